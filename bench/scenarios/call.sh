# call.sh
#		Scenario: calls of a function that does nothing, beside workers and connections that run it.

# shellcheck shell=bash
# shellcheck disable=SC2154

# calls_rate COUNT: calls a second, of a role that has its processes.
calls_rate()
{
	remember "submit_call() $1 times, two processes"
	sql -c "select taskq.pause_queue('call')" -c 'set role bench_caller' \
		-c "select count(taskq.submit_call('public.nothing()')) from generate_series(1, $1)" >/dev/null
	sql -c "select taskq.resume_queue('call')" >/dev/null
	poll "select count(*) = 0 from taskq_private.task where queue_id = 3"
	sql -c "select round($1 / extract(epoch from max(ended_at) - min(started_at)), 1) from
		(select started_at, ended_at from taskq.tasks where queue = 'call' order by id desc limit $1) as t"
}

# Both the calls and the workers are two at a time.
scenario_call()
{
	fresh_database bench
	sql -c 'create function public.nothing() returns void language sql as $$$$' \
		-c "do \$\$ begin create role bench_caller login; exception when duplicate_object then end \$\$" \
		-c 'grant taskq_submitter to bench_caller' -c "select taskq.create_queue('pull')" >/dev/null
	calls_rate 100 >/dev/null
	for _ in $(seq "$runs"); do
		fill_taskq pull $((calls * 4))
		measure 'calls' calls_rate "$calls"
		measure 'a pull worker that runs the function' rate 2 taskq_run_function
		measure 'a connection for each job' rate 2 connect_and_run -C
		sql -c "select taskq.purge_queue('pull')" >/dev/null
	done
	row 'calls' 'a pull worker that runs the function' calls/s '>= 0.7'
	row 'calls' 'a connection for each job' calls/s
	row 'calls' - calls/s '>= 2000'
	sql -c 'drop owned by bench_caller' -c 'drop role bench_caller'
}
