# sizes.sh
#		Scenarios: what must not grow with the number of queues, tasks or keys.

# shellcheck shell=bash
# shellcheck disable=SC2154

# A database $1 with $2 queues and $3 running tasks in each.
make_queues()
{
	fresh_database "$1"
	sql -c "select count(taskq.create_queue('q' || i, lease_for => '1 day')) from generate_series(1, $2) as i" \
		-c "select sum((select count(*) from taskq.submit_many('q' || i, array_fill('1'::jsonb, array[$3])))) from generate_series(1, $2) as i" \
		-c "select sum((select count(*) from taskq.acquire('q' || i, $3))) from generate_series(1, $2) as i" >/dev/null
}

# The milliseconds of a call of $2 in database $1, by the server's clock: the second one of a session.
call_time()
{
	sql -d "$1" -c "explain (analyze, timing off) select from taskq.$2()" \
		-c "explain (analyze, timing off) select from taskq.$2()" |
		sed -n 's/^Execution Time: \([0-9.]*\) ms$/\1/p' | tail -n 1
}

scenario_queue_stats()
{
	make_queues stats_leases 2000 50
	fresh_database stats_queues
	sql -c "select count(taskq.create_queue('q' || i)) from generate_series(1, 3000) as i" \
		-c "select count(taskq.submit('q' || i)) from generate_series(1, 3000) as i" >/dev/null
	for _ in $(seq "$runs"); do
		measure '3000 queues with a task each' call_time stats_queues queue_stats
		measure '2000 queues with 100000 leases' call_time stats_leases queue_stats
	done
	row '3000 queues with a task each' - ms '<= 50'
	row '2000 queues with 100000 leases' - ms '<= 50'
}

scenario_metrics()
{
	fresh_database metrics
	sql -c "select count(taskq.create_queue('q' || i)) from generate_series(1, 300) as i" \
		-c "do \$\$
			begin
				for i in 1..300 loop
					perform count(*) from taskq.submit_many('q' || i, array_fill('1'::jsonb, array[$metrics_tasks / 300]));
					commit;
					perform taskq.finish(a.id, a.token) from taskq.acquire('q' || i) a;
					commit;
				end loop;
			end \$\$" >/dev/null
	for _ in $(seq "$runs"); do
		measure "300 queues with $metrics_tasks tasks" call_time metrics metrics
	done
	row "300 queues with $metrics_tasks tasks" - ms '<= 10'
}

# How many keys whose time is over are forgotten in a second, in passes as the executor makes them.
forget_rate()
{
	sql -c "insert into taskq_private.key select 1, 'over ' || i, i, now() - i * interval '1 us' from generate_series(1, 20000) i" \
		-c 'call forget_all(null)'
}

scenario_keys()
{
	fresh_database keys
	# The executor would take its part.  A database with keys that was never armed is taken for a copy.
	sql -c 'select taskq.stop_executor(), taskq.arm()' \
		-c "insert into taskq_private.key select 1, 'taken ' || i, i, now() + '1 hour' from generate_series(1, $batch_backlog) i" \
		-c "create procedure forget_all(inout per_second float8) language plpgsql as \$\$
			declare
				began timestamptz := clock_timestamp();
			begin
				while taskq_private.drop_keys(5) = 0 loop
					commit;
				end loop;
				per_second := 20000 / extract(epoch from clock_timestamp() - began);
			end \$\$" >/dev/null
	for _ in $(seq "$runs"); do
		measure 'forgotten keys' forget_rate
		measure 'keyed tasks' rate 8 taskq_keyed
	done
	row 'forgotten keys' - keys/s '>= 4000'
	row 'keyed tasks' - tasks/s
}
