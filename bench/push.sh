#!/bin/bash
# push.sh
#		How fast push tasks leave: latency of one, throughput of many.
#
# usage: push.sh DIRECTORY PG_CONFIG
#
# Started by bench.sh as an unprivileged user in the copy of the source tree
# that lies in DIRECTORY.  Throughput: TASKS small POSTs to a local nginx, from
# the commit of the submit to the last result stored, beside a bare curl-multi
# program that sends the same requests with the same concurrency; alternating.
# Latency: from the call of submit_http(), in a transaction of its own, to the
# complete request at the receiver, whose log gives the time.

# shellcheck source-path=SCRIPTDIR source=../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
set -u

work=$1
config=$2
export PGHOST=$work/socket PGUSER=postgres PGDATABASE=bench PGOPTIONS='-c client_min_messages=warning'

TASKS=10000
SINGLES=500
INFLIGHT=100
RUNS=5

sql()
{
	"$bin/psql" -XAtq -v ON_ERROR_STOP=1 "$@" || die "a statement failed: $*"
}

free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_nginx()
{
	local port
	port=$(free_port)
	mkdir "$work/nginx"
	cat >"$work/nginx/conf" <<-END
		daemon off;
		worker_processes 1;
		pid $work/nginx/pid;
		error_log $work/nginx/error.log;
		events { worker_connections 2048; }
		http {
			access_log off;
			keepalive_requests 1000000;
			client_body_temp_path $work/nginx/body;
			proxy_temp_path $work/nginx/proxy;
			fastcgi_temp_path $work/nginx/fastcgi;
			uwsgi_temp_path $work/nginx/uwsgi;
			scgi_temp_path $work/nginx/scgi;
			server { listen 127.0.0.1:$port; location / { return 200 '{"ok": true}'; } }
		}
	END
	PATH=$PATH:/usr/sbin nginx -e "$work/nginx/error.log" -c "$work/nginx/conf" &
	url=http://127.0.0.1:$port/
	for _ in $(seq 100); do
		curl -fs -o "$work/nginx/hello" "$url" && return
		sleep 0.05
	done
	die "nginx does not answer"
}

# Requests per second, by the program itself.
bare()
{
	"$work/bare_curl" "$url" "$TASKS" "$INFLIGHT" | sed 's/.* \([0-9.]*\) requests.s.*/\1/'
}

# The same by taskq.
delivered()
{
	local before
	before=$(sql -c "select coalesce(max(id), 0) from taskq.tasks")
	sql -c "select count(taskq.submit_http('$url', '{\"order\": 4711, \"state\": \"paid\"}')) from generate_series(1, $TASKS)" \
		-c "create table committed as select clock_timestamp() as at" >/dev/null
	until [ "$(sql -c "select count(*) from taskq.tasks where id > $before and state = 'finished'")" = "$TASKS" ]; do
		sleep 0.2
	done
	sql -c "select round($TASKS / extract(epoch from max(ended_at) - (select at from committed))) from taskq.tasks where id > $before" \
		-c "drop table committed"
}

median()
{
	printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

throughput()
{
	local bares=() ours=() ratios=() b o
	for _ in $(seq $RUNS); do
		b=$(bare)
		o=$(delivered)
		bares+=("$b")
		ours+=("$o")
		ratios+=("$(awk "BEGIN { printf \"%.2f\", $o / $b }")")
	done
	printf '%-44s %10.0f /s\n' "bare curl-multi, $TASKS POSTs" "$(median "${bares[@]}")"
	printf '%-44s %10.0f /s\n' "taskq, $TASKS POSTs, submit to result" "$(median "${ours[@]}")"
	printf '%-44s %10s    (%s to %s)\n' "ratio" "$(median "${ratios[@]}")" \
		"$(printf '%s\n' "${ratios[@]}" | sort -g | head -n 1)" "$(printf '%s\n' "${ratios[@]}" | sort -g | tail -n 1)"
}

latency()
{
	local receiver
	python3 test/lib/receiver.py --port-file "$work/port" --log "$work/requests" </dev/null &
	receiver=$!
	until [ -s "$work/port" ]; do sleep 0.05; done
	for _ in $(seq $SINGLES); do
		say "select taskq.submit_http('http://127.0.0.1:$(cat "$work/port")/ok', jsonb_build_object('t', extract(epoch from clock_timestamp())));"
		say "select pg_sleep(0.01);"
	done | sql >/dev/null
	until [ "$(wc -l <"$work/requests")" = $SINGLES ]; do sleep 0.05; done
	kill "$receiver"
	python3 - "$work/requests" <<-'END'
		import json, sys
		rows = [json.loads(line) for line in open(sys.argv[1])]
		ms = sorted(1000 * (row["time"] - json.loads(row["body"])["t"]) for row in rows)
		for name, share in ("p50", 0.5), ("p99", 0.99):
		    print("%-44s %10.2f ms" % ("taskq, submit to request, " + name, ms[int(len(ms) * share)]))
	END
}

private_config=$(make_server_tree "$work/pg" "$config")
bin=$(dirname "$private_config")
private_make -j2 install >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
cc -O2 -o "$work/bare_curl" bench/bare_curl.c -lcurl || die "could not build bare_curl"
start_nginx
start_server "$work/data" "$work/socket" "fsync = on" "taskq.http_allow = '127.0.0.1'" "taskq.http_max_inflight = $INFLIGHT" || exit 1
"$bin/createdb" bench
sql -c 'create extension taskq'
say "$("$bin/postgres" --version), $(nproc) cores, $INFLIGHT in flight, median of $RUNS"
throughput
latency
stop_server "$work/data"
