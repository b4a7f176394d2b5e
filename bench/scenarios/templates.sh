# templates.sh
#		Scenarios: tasks that the database submits, beside submits by clients.

# shellcheck shell=bash
# shellcheck disable=SC2154

# Each contender has ten queues of its own.
scenario_publish()
{
	fresh_database bench
	sql -c "select taskq.create_queue('topic', mode => 'topic'), count(taskq.create_queue(q || n)) from generate_series(1, 10) n, unnest('{p,s}'::text[]) q" \
		-c "select count(*) from generate_series(1, 10) n, taskq.subscribe('topic', 'p' || n)" >/dev/null
	for _ in $(seq "$runs"); do
		measure 'publish to 10 queues' rate_of 10 8 taskq_publish
		measure 'ten submits in a statement' rate_of 10 8 taskq_ten_submits
	done
	row 'publish to 10 queues' 'ten submits in a statement' tasks/s '>= 1'
}

# What follows is worked on as well, so both contenders end two tasks.  A thousand other tasks keep the
# clients from waiting for each other's.
scenario_follow()
{
	local queue
	fresh_database bench
	sql -c "select count(taskq.create_queue(q)) from unnest('{first,second,third,fourth}'::text[]) q" \
		-c "select count(taskq.submit('first', '$payload', on_finish => '{\"queue\": \"second\"}')) from generate_series(1, 1000)" >/dev/null
	for queue in second third fourth; do
		fill_taskq $queue 1000
	done
	sql -c 'vacuum analyze'
	for _ in $(seq "$runs"); do
		measure 'a life with a follow-up' rate 8 taskq_follow
		measure 'two lives' rate 8 taskq_two_lives
	done
	row 'a life with a follow-up' 'two lives' lives/s '>= 0.9'
}

# The commit of each member's end goes to the disk for all contenders.  A member of the counted batch
# updates the row that says how many are left, in the transaction that ends it.
scenario_batch()
{
	fresh_database bench
	sql -c "select count(taskq.create_queue(q)) from unnest('{waited_for,counted,single}'::text[]) q" \
		-c 'create table batch (id int primary key, left_over int); insert into batch values (1, 1000000000)' >/dev/null
	for _ in $(seq "$runs"); do
		measure_batch 'a batch and its dependent' 'from the last end to the dependent, ms'
		fill_taskq counted "$members"
		measure 'a counter in a row' rate 32 counter_work -D queue=counted
		sql -c "select taskq.purge_queue('counted')" >/dev/null
		fill_taskq single "$members"
		measure 'tasks that no other waits for' pgbench_rate 32 taskq_work -D queue=single -t "$((members / 32))"
	done
	row 'a batch and its dependent' 'a counter in a row' tasks/s '>= 5'
	row 'a batch and its dependent' 'tasks that no other waits for' tasks/s
	row 'from the last end to the dependent, ms' - ms '<= 100'
}

# The same while a session keeps an old snapshot, so that no dead row can go.
scenario_batch_pinned()
{
	fresh_database bench
	sql -c "select taskq.create_queue('waited_for')" >/dev/null
	for _ in $(seq "$runs"); do
		measure_batch 'a batch' 'from its last end to the dependent, ms'
		pin 'select count(*) from taskq.tasks'
		measure_batch 'a batch behind an old snapshot' 'behind an old snapshot, ms'
		unpin
	done
	row 'a batch behind an old snapshot' 'a batch' tasks/s '>= 0.83'
	row 'behind an old snapshot, ms' - ms '<= 100'
}

# The same of a smaller batch, beside a flow of pg-boss.
scenario_batch_pg_boss()
{
	local members=$jobs
	has_npm_packages || return 0
	fresh_database bench
	sql -c "select taskq.create_queue('waited_for')" >/dev/null
	for _ in $(seq "$runs"); do
		measure_batch 'a batch' 'from its last end to the dependent, ms'
		measure 'pg-boss, a flow' npm_rate pg-boss "$members" 32 batch
	done
	row 'a batch' 'pg-boss, a flow' tasks/s
	note "$(printf '%s\n' "${npm_packages[@]}" | grep ^pg-boss@), one Node.js process, 32 jobs at a time; taskq's clients are pgbench's"
}

# measure_batch RATE LATENCY: names of what is measured.
measure_batch()
{
	fill_taskq waited_for "$members"
	sql -c "select taskq.submit('default', after => array(select id from taskq.tasks where queue = 'waited_for' and state = 'pending'))" >/dev/null
	measure "$1" pgbench_rate 32 taskq_work -D queue=waited_for -t "$((members / 32))"
	measure "$2" after_the_last waited_for
}

# Ends what pgbench has left of the members; how long after that the dependent has become due.
after_the_last()
{
	sql -c "select count(taskq.finish(id, token)) from taskq.acquire('$1', 1000)" >/dev/null
	poll "select run_at is not null from taskq.tasks where queue = 'default' and state = 'pending'"
	sql -c "select extract(epoch from (select run_at from taskq.tasks where queue = 'default' and state = 'pending') - max(ended_at)) * 1000 from taskq.tasks where queue = '$1'" \
		-c "do \$\$ begin perform taskq.finish(id, token) from taskq.acquire('default'); end \$\$"
}
