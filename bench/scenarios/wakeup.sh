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
	python3 test/lib/receiver.py --port-file "$work/port" --log "$work/requests" </dev/null &
	receiver=$!
	until [ -s "$work/port" ]; do sleep 0.05; done
}

# By the receiver's log: until the whole request was there, from the call of
# submit_http(), which is earlier than its commit.
executor_latency()
{
	start_receiver
	for _ in $(seq "$wakeups"); do
		say "select taskq.submit_http('http://127.0.0.1:$(cat "$work/port")/ok', jsonb_build_object('t', extract(epoch from clock_timestamp())));"
		say "select pg_sleep(0.1);"
	done | sql >/dev/null
	until [ "$(wc -l <"$work/requests")" = "$wakeups" ]; do sleep 0.05; done
	kill "$receiver"
	python3 - "$work/requests" <<-'END'
		import json, sys
		for line in open(sys.argv[1]):
		    row = json.loads(line)
		    print(1000 * (row["time"] - json.loads(row["body"])["t"]))
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
