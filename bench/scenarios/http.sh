# http.sh
#		Scenarios: the gateway, beside the same over libpq.

# shellcheck shell=bash
# shellcheck disable=SC2154

# Listens on a UNIX socket, as behind a proxy.
start_gateway()
{
	rm -f "$work/http"
	build/cli/taskq serve --listen "$work/http" --anonymous bench_shop --log /dev/null "$@" &
	gateway=$!
	until curl -sf --unix-socket "$work/http" http://bench/readyz >/dev/null; do kill -0 "$gateway" && sleep 0.05 || die 'taskq serve has ended'; done
}

stop_gateway()
{
	kill "$gateway"
	wait "$gateway" 2>/dev/null || true
}

fresh_gateway_database()
{
	fresh_database bench
	sql -c 'drop role if exists bench_shop' -c 'create role bench_shop' -c 'grant taskq_submitter, taskq_worker, taskq_reader to bench_shop' \
		-c "select taskq.create_queue('quiet')" >/dev/null
}

http_submits()
{
	remember "http_client submit $work/http $1 $seconds"
	"$work/http_client" submit "$work/http" "$1" "$seconds"
}

# The gateway has sixteen connections, and as many sessions submit over libpq.
scenario_http_submit()
{
	fresh_gateway_database
	start_gateway
	for _ in $(seq "$runs"); do
		measure 'HTTP, 32 clients' http_submits 32
		measure 'libpq, 16 sessions' rate 16 taskq_submit -D queue=default
		measure 'libpq, which takes the role' rate 16 taskq_submit_as_role -D queue=default
	done
	stop_gateway
	row 'HTTP, 32 clients' 'libpq, 16 sessions' tasks/s
	row 'HTTP, 32 clients' 'libpq, which takes the role' tasks/s '>= 0.7'
}

# CPU seconds of process $1.
process_cpu()
{
	awk -v tick="$(getconf CLK_TCK)" '{ print ($14 + $15) / tick }' "/proc/$1/stat"
}

# A thousand clients that wait for a task of a queue that has none.
scenario_http_waiting()
{
	local cpu before waiting=1000
	fresh_gateway_database
	# All begin at once.
	start_gateway --max-queued 2000
	"$work/http_client" wait "$work/http" "$waiting" >"$work/waiting" &
	clients=$!
	until [ "$(curl -sf --unix-socket "$work/http" http://bench/metrics | awk '$1 == "taskq_gateway_waiting" { print $2 }')" = "$waiting" ]; do
		kill -0 "$clients" && sleep 0.1 || die 'the clients have ended'
	done
	for _ in $(seq "$runs"); do
		cpu=$(process_cpu "$gateway") before=$(server_cpu)
		sleep "$seconds"
		measure 'CPU of the gateway' minus "$(process_cpu "$gateway")" "$cpu" "100 / $seconds"
		measure 'CPU of the server' minus "$(server_cpu)" "$before" "100 / $seconds"
	done
	kill "$clients"
	stop_gateway
	row 'CPU of the gateway' - '% of a core' '< 1'
	row 'CPU of the server' - '% of a core'
}

# 300 queues; half of the tasks are pending, the others have ended, and one in ten of these is dead.
fill_dashboard()
{
	local half=$((metrics_tasks / 2))
	sql -c "select count(taskq.create_queue('q' || i)) from generate_series(1, 300) as i" -c "select taskq_private.make_history()" \
		-c "select setval('taskq_private.task_id', $half)" \
		-c "insert into taskq_private.history (bucket, id, state, priority, push, attempt, max_attempts, submitted_at, run_at, started_at, ended_at,
				queue, key, kind, worker, error)
			select taskq_private.bucket(now(), case when dead then interval '30 days' else '1 day' end), i,
				(case when dead then 'dead' else 'finished' end)::taskq.state, 0, false, 1, 25, now(), now(), now(), now(),
				'q' || i % 300 + 1, 'key ' || i, 'mail', 'worker', case when dead then 'mailbox full' end
			from (select i, i % 10 < 1 as dead from generate_series(1, $half) as i) as ended" \
		-c "do \$\$
			begin
				for i in 1..300 loop
					perform count(*) from taskq.submit_many('q' || i, array_fill('$payload'::jsonb, array[$half / 300]), kind => 'mail');
					commit;
					perform count(*) from taskq.acquire('q' || i, 10, lease_for => '1 day', worker => 'worker');
					commit;
				end loop;
			end \$\$" \
		-c 'vacuum analyze' >/dev/null
}

# Milliseconds of a request of the dashboard; the second one, because the first one reads the catalogs.
dashboard_call()
{
	curl -sf -o /dev/null -o /dev/null -w '%{time_total}\n' --unix-socket "$work/http" "http://bench/v1/$1" "http://bench/v1/$1" |
		awk 'END { print $1 * 1000 }'
}

scenario_dashboard()
{
	local call calls=(
		status 'stats?window=3600&queue=q11' queues queues/q11 queues/q11/times workers
		'tasks?limit=50&preview=200&scan=20000'
		'tasks?queue=q11&state=dead&limit=5&preview=200'
		'tasks?queue=q11&limit=50&preview=200&scan=20000'
		'tasks?state=running&limit=50&preview=200&scan=20000'
		'tasks?kind=none&limit=50&preview=200&scan=20000'
		'tasks?error=none&limit=50&preview=200&scan=20000'
		'tasks/10' 'tasks/10/attempts')
	fresh_gateway_database
	fill_dashboard
	start_gateway --connections 1
	for _ in $(seq "$runs"); do
		for call in "${calls[@]}"; do measure "$call" dashboard_call "$call"; done
	done
	stop_gateway
	note "300 queues with $metrics_tasks tasks, half of which have ended"
	for call in "${calls[@]}"; do row "$call" - ms '<= 100'; done
}
