# wakeup.sh
#		Scenario: from the commit of a submit until somebody has the task.

# shellcheck shell=bash
# shellcheck disable=SC2154

# quantile FILE SHARE
quantile()
{
	sort -g "$1" | awk -v q="$2" '{ v[NR] = $1 } END { if (NR) printf "%.2f\n", v[int((NR - 1) * q) + 1] }'
}

# Both quantiles of $2, a file of milliseconds, for what is named $1.
tell_latency()
{
	measure "$1, p50" quantile "$2" 0.5
	measure "$1, p99" quantile "$2" 0.99
	row "$1, p50" - ms '<= 2'
	row "$1, p99" - ms '<= 10'
}

start_receiver()
{
	rm -f "$work/port" "$work/requests" "$work"/committed.*
	python3 test/lib/receiver.py --port-file "$work/port" --log "$work/requests" </dev/null &
	receiver=$!
	until [ -s "$work/port" ]; do sleep 0.05; done
}

# From the answer to the submit, as pgbench has logged it, until the receiver has
# read the whole request: one after the other, so both are in one order.
executor_latency()
{
	start_receiver
	pgbench_rate 1 submit_http -t "$wakeups" -R 10 -D "url=http://127.0.0.1:$(cat "$work/port")/ok" \
		-l --log-prefix="$work/committed" >/dev/null || exit 1
	until [ "$(wc -l <"$work/requests")" = "$wakeups" ]; do sleep 0.05; done
	kill "$receiver"
	python3 - "$work/requests" "$work"/committed.* <<-'END'
		import json, sys
		requests = [json.loads(line)["time"] for line in open(sys.argv[1])]
		commits = [float(f"{f[4]}.{int(f[5]):06}") for f in map(str.split, open(sys.argv[2]))]
		for request, commit in zip(requests, commits, strict=True):
		    print(1000 * (request - commit))
	END
}

scenario_wakeup()
{
	fresh_database bench
	sql -c "select taskq.create_queue('waited')" >/dev/null
	if "$work/listener" wakeup notify default "$wakeups" 100 >"$work/notified"; then
		tell_latency 'client that LISTENs' "$work/notified"
	else
		note 'client that LISTENs: not measured: no notification came within 2 s'
	fi
	"$work/listener" wakeup wait waited "$wakeups" 100 >"$work/waited" || die 'wait_ready() was not woken'
	tell_latency 'client in wait_ready()' "$work/waited"
	executor_latency >"$work/executed"
	tell_latency 'request of the executor' "$work/executed"
}
