# hosts.sh
#		Scenario: what a request costs the executor with many different hosts.
#
# The executor's CPU time per request, when each of 10 000 requests goes to a host of its
# own, and when they go to 100 hosts: with a connection for each request, and with connections
# that are kept.  All addresses of 127.0.0.0/8 are this machine, so that no name server takes
# part.

# shellcheck shell=bash
# shellcheck disable=SC2154

# CPU time of the executor so far, in ticks of the kernel's clock.
executor_ticks()
{
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$(sql -c "select pid from pg_stat_activity
		where backend_type = 'taskq executor' and datname = current_database()")/stat"
}

# Microseconds of CPU time per request to $1 hosts, in turn; $2: the path.
cost_per_request()
{
	local before first port=${url##*:}
	before=$(executor_ticks)
	first=$(sql -c 'select coalesce(max(id), 0) from taskq.tasks')
	sql -c "select count(taskq.submit_http(format('http://127.%s.%s.%s:$port', 1 + h / 62500, h / 250 % 250, 1 + h % 250) || '$2', '{}'))
		from (select i % $1 from generate_series(1, $requests) as i) as hosts (h)" >/dev/null
	until [ "$(sql -c "select count(*) from taskq.tasks where id > $first and state = 'finished'")" = "$requests" ]; do
		sleep 0.2
	done
	awk -v "ticks=$(($(executor_ticks) - before))" -v "n=$requests" -v "hz=$(getconf CLK_TCK)" \
		'BEGIN { printf "%.1f\n", ticks * 1000000 / hz / n }'
}

scenario_hosts()
{
	fresh_database bench
	sql -c "alter system set taskq.http_allow = '127.0.0.0/8'" -c 'select pg_reload_conf()' >/dev/null
	start_nginx '*'
	for _ in $(seq "$runs"); do
		measure '100 hosts' cost_per_request 100 /close
		measure "$requests hosts" cost_per_request "$requests" /close
		measure '100 hosts, connections kept' cost_per_request 100 /
	done
	stop_nginx
	sql -c 'alter system reset taskq.http_allow' -c 'select pg_reload_conf()' >/dev/null
	row "$requests hosts" '100 hosts' µs '<= 1.5'
	row "$requests hosts" '100 hosts, connections kept' µs
}
