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
