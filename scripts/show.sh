#!/bin/bash
# show.sh
#		The demonstration itself.
#
# usage: show.sh DIRECTORY PG_CONFIG [1: keep running]
#
# Started by demo.sh as an unprivileged user in the copy of the source tree
# that lies in DIRECTORY.  Exits with 0 only if everything happened as it says.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set -u
exec 3>&1

work=$1
config=$2
keep=${3:-}
log=$work/requests
export PGHOST=$work/socket PGUSER=postgres PGDATABASE=demo PGOPTIONS='-c client_min_messages=warning'

# How long a delayed task is delayed, and how long everything may take.
delay=3
limit=40

sql()
{
	"$bin/psql" -XAtq -v ON_ERROR_STOP=1 "$@" || die "a statement failed: $*"
}

# Shows a statement, then what it answers.
shown()
{
	say "demo=# $1" >&3
	sql -c "$1"
}

# wait_for WHAT CONDITION…: polls until the command succeeds.
wait_for()
{
	local what=$1 tries
	shift
	for tries in $(seq $((limit * 20))); do
		"$@" && return
		sleep 0.05
	done
	sql -c 'select * from taskq.status()' >&2
	tail -n 20 "$work/data.log" >&2
	die "waited $limit s in vain for $what ($tries times)"
}

start_receiver()
{
	python3 test/lib/receiver.py --show --port-file "$work/port" --log "$log" </dev/null &
	receiver=$!
	wait_for "the receiver" test -s "$work/port"
	url=http://127.0.0.1:$(cat "$work/port")
}

# Number of requests for a path.
requests()
{
	grep -cF "\"path\": \"$1\"" "$log" 2>/dev/null
}

# When the first request for a path came, in seconds.
first_request()
{
	python3 - "$log" "$1" <<-'END'
		import json, sys
		for line in open(sys.argv[1]):
		    request = json.loads(line)
		    if request["path"] == sys.argv[2]:
		        print(request["time"])
		        break
	END
}

# expect WHAT EXPECTED FOUND
expect()
{
	[ "$2" = "$3" ] && return
	say "not as expected: $1 should be $2, is $3"
	failures=$((failures + 1))
}

all_ended()
{
	[ "$(sql -c "select count(*) from taskq.tasks where state in ('pending', 'running')")" = 0 ]
}

state_of()
{
	sql -c "select state || ' ' || attempt from taskq.tasks where id = $1"
}

submit_everything()
{
	now=$(shown "select taskq.submit_http('$url/ok', '{\"greeting\": \"hello\"}')") || exit
	later=$(shown "select taskq.submit_http('$url/ok?later', '{\"n\": 2}', delay => '$delay s')") || exit
	again=$(shown "select taskq.submit_http('$url/fail/1', '{\"n\": 3}')  -- answers 500 at first") || exit
	shown "begin; select taskq.submit_http('$url/ok?never', '{\"n\": 4}'); rollback" >/dev/null || exit
	pulled=$(shown "select taskq.submit('default', '{\"sum\": [20, 22]}')") || exit
	say "these are tasks $now, $later, $again and $pulled; the one in between was rolled back and must never arrive" >&3
}

# A worker, as any client could be one.
work_once()
{
	local token payload
	IFS='|' read -r token payload < <(shown "select token, payload from taskq.acquire('default', worker => 'me')")
	say "the worker got $payload"
	shown "select taskq.finish($pulled, $token, '{\"sum\": 42}')" >/dev/null || exit
}

check()
{
	failures=0
	expect "the task sent at once" 'finished 1' "$(state_of "$now")"
	expect "the delayed task" 'finished 1' "$(state_of "$later")"
	expect "the task that failed once" 'finished 2' "$(state_of "$again")"
	expect "the worker's task" 'finished 1' "$(state_of "$pulled")"
	expect "the worker's result" '{"sum": 42}' "$(sql -c "select result from taskq.result($pulled)")"
	expect "number of tasks" 4 "$(sql -c 'select count(*) from taskq.tasks')"
	expect "requests of the task sent at once" 1 "$(requests /ok)"
	expect "requests of the delayed task" 1 "$(requests '/ok?later')"
	expect "requests of the task that failed once" 2 "$(requests /fail/1)"
	expect "requests of the transaction rolled back" 0 "$(requests '/ok?never')"
	expect "the delayed task not early" t "$(sql -c "select $(first_request '/ok?later') >=
		extract(epoch from submitted_at) + $delay - 0.1 from taskq.tasks where id = $later")"
	[ "$failures" -eq 0 ]
}

say "building in $work"
private_config=$(make_server_tree "$work/pg" "$config")
bin=$(dirname "$private_config")
private_make -j2 install >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
start_server "$work/data" "$PGHOST" "taskq.http_allow = '127.0.0.1'" "taskq.http_ports = ''" || exit 1
"$bin/createdb" demo && sql -c 'create extension taskq' || exit 1
start_receiver
say "a private server runs, and a web server at $url; requests as they arrive:"
say
submit_everything
work_once
wait_for "the end of all tasks" all_ended
say
"$bin/psql" -X -P pager=off -c "select id, queue, state, attempt, max_attempts, ended_at - run_at as took, error
	from taskq.tasks order by id" || exit 1
check || exit 1
connect="psql -h $PGHOST -U postgres demo"
if [ "$keep" = 1 ]; then
	say "Running until you press Ctrl-C.  Connect with: $connect"
	say "Try: select taskq.submit_http('$url/ok');"
	wait "$receiver"
else
	kill "$receiver"
	stop_server "$work/data"
	say "All as it should be.  make demo KEEP=1 keeps it running; then connect with:"
	say "  ${connect/$work/DIRECTORY}   (it prints the directory)"
fi
