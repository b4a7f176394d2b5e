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
