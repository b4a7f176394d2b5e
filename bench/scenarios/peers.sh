# peers.sh
#		Scenarios: other queues, where they are to be had.

# shellcheck shell=bash
# shellcheck disable=SC2154

# ---- PgQ: its consumer reads batches between two ticks ----------------------

prepare_pgq()
{
	fresh_database bench
	sql -c 'create extension pgq' \
		-c "select pgq.create_queue('q'), pgq.register_consumer('q', 'worker'),
			pgq.set_queue_config('q', 'ticker_max_count', '50')" >/dev/null
}

# $1 batches of 100 events: there is a tick when 50 or more are new.
fill_pgq()
{
	for _ in $(seq "$1"); do
		say "select count(pgq.insert_event('q', 'task', '$payload')) from generate_series(1, 100);"
		say "select pgq.ticker();"
	done | sql -c 'set synchronous_commit = off' -f - >/dev/null
}

# batches_rate SCRIPT …: tasks a second of one client that works off $batches batches.
batches_rate()
{
	local per_second
	per_second=$(pgbench_rate 1 "$@" -t "$batches") || exit 1
	awk "BEGIN { print $per_second * 100 }"
}

scenario_pgq()
{
	offers pgq || { note 'PgQ: not installed'; return; }
	prepare_pgq
	for _ in $(seq "$runs"); do
		measure 'taskq, submit' rate 8 taskq_submit -D queue=default
		measure 'PgQ, insert_event' rate 8 pgq_insert
	done
	row 'taskq, submit' 'PgQ, insert_event' tasks/s
	prepare_pgq
	for _ in $(seq "$runs"); do
		fill_taskq default "$((batches * 100))"
		fill_pgq "$batches"
		measure 'taskq, acquire and finish by 100' batches_rate taskq_batch -D queue=default
		measure 'PgQ, batches of 100' batches_rate pgq_consume
	done
	row 'taskq, acquire and finish by 100' 'PgQ, batches of 100' tasks/s
	note 'PgQ gives every event to one consumer, a batch at a time, with no lease or retry of one event'
}

# ---- from npm, with their own workers ---------------------------------------

# Newer than most systems' own: those of these packages' versions need it.
npm_packages=(node@22.23.3 graphile-worker@0.18.0 pg-boss@12.38.0)

install_npm_packages()
{
	[ ! -d "$work/npm/node_modules" ] || return 0
	mkdir -p "$work/npm"
	cp bench/peers.mjs "$work/npm"
	(cd "$work/npm" && timeout 180 npm install --no-audit --no-fund "${npm_packages[@]}") >"$work/npm.log" 2>&1
}

has_npm_packages()
{
	command -v npm >/dev/null || { note 'packages of npm: not measured: there is no npm'; return 1; }
	install_npm_packages || { note 'packages of npm: not measured: npm could not install them'; return 1; }
}

note_npm_package()
{
	note "$(printf '%s\n' "${npm_packages[@]}" | grep "^$1@"), one Node.js process, 8 jobs at a time; taskq's clients are pgbench's"
}

# npm_rate PEER ...: see peers.mjs.
npm_rate()
{
	remember "peers.mjs $*"
	(cd "$work/npm" && node_modules/.bin/node peers.mjs "$@")
}

# The same number of tasks, by 8 clients.
jobs_rate()
{
	pgbench_rate 8 taskq_work -t "$((jobs / 8))" -D queue=default
}

# against PACKAGE
against()
{
	has_npm_packages || return 0
	fresh_database bench
	for _ in $(seq "$runs"); do
		fill_taskq default "$jobs"
		measure taskq jobs_rate
		measure "$1" npm_rate "$1" "$jobs" 8
	done
	row taskq "$1" tasks/s
	note_npm_package "$1"
}

scenario_graphile_worker()
{
	against graphile-worker
}

scenario_pg_boss()
{
	against pg-boss
}

# ---- extensions that this server may have ------------------------------------

scenario_pgmq()
{
	offers pgmq || { note 'pgmq: not installed'; return; }
	fresh_database bench
	sql -c 'create extension pgmq' -c "select pgmq.create('q')" >/dev/null
	fill_taskq default "$backlog"
	sql -c "select count(*) from pgmq.send_batch('q', array_fill('$payload'::jsonb, array[$backlog]))" >/dev/null
	for _ in $(seq "$runs"); do
		measure taskq rate 8 taskq_work -D queue=default
		fill_taskq default "$(processed)"
		measure pgmq rate 8 pgmq_work
		sql -c "select count(*) from pgmq.send_batch('q', array_fill('$payload'::jsonb, array[$(processed)]))" >/dev/null
	done
	row taskq pgmq tasks/s
}

# Requests a second of pg_net, until the last answer is stored.
pg_net_rate()
{
	local all=$(($(received) + requests))
	sql -c 'truncate net._http_response' \
		-c "select count(net.http_post('$url', '{\"order\": 4711, \"state\": \"paid\"}')) from generate_series(1, $requests)" >/dev/null
	local start=${EPOCHREALTIME/./}
	until [ "$(received)" -ge "$all" ]; do sleep 0.2; done
	until [ "$(sql -c "select count(*) from net._http_response")" = "$requests" ]; do sleep 0.2; done
	say "$((requests * 1000000 / (${EPOCHREALTIME/./} - start)))"
}

scenario_pg_net()
{
	local requests=$((requests / 5))
	offers pg_net || { note 'pg_net: not installed'; return; }
	fresh_database bench
	sql -c 'create extension pg_net'
	start_nginx
	for _ in $(seq "$runs"); do
		measure taskq delivered
		measure pg_net pg_net_rate
	done
	row taskq pg_net requests/s
	stop_nginx
}
