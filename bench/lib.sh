# lib.sh
#		What the scenarios share: server settings, databases, measuring.
#
# A scenario is a function scenario_NAME.  It takes samples (`measure`) of its
# contenders in turn, and says which lines of the table come of them (`row`).
# Sourced by run.sh, which sets work, bin and mode.

# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

# The same for all that is measured.  Durability is the server's default, the
# write-ahead log is large enough that no checkpoint falls into a run.
settings=(
	"fsync = on"
	"synchronous_commit = on"
	"shared_buffers = '1GB'"
	"max_wal_size = '16GB'"
	"min_wal_size = '2GB'"
	"checkpoint_timeout = '60min'"
	"max_connections = 200"
	"taskq.group_memory = '64MB'"
	"taskq.http_allow = '127.0.0.1'"
	"taskq.http_ports = ''"
	"taskq.http_max_per_host = 100"
	"taskq.http_max_inflight = 100"
)

# 200 bytes.
payload="{\"p\": \"$(printf 'x%.0s' {1..191})\"}"

sql()
{
	"$bin/psql" -XAtq -v ON_ERROR_STOP=1 "$@" || die "a statement failed: $*"
}

poll()
{
	local tries
	for tries in $(seq 600); do
		[ "$("$bin/psql" -XAtqc "$1")" != t ] || return 0
		sleep 0.1
	done
	die "in vain waited for: $1"
}

# A new database $1 with the extension and its executor, and the contenders' tables.
fresh_database()
{
	export PGDATABASE=$1
	sql -d postgres -c "drop database if exists $1 with (force)" -c "create database $1"
	sql -c 'create extension taskq' -f bench/raw.sql -f bench/bare.sql
	poll "select ok from taskq.status() where \"check\" = 'executor'"
}

# Whether the server has extension $1.
offers()
{
	[ -n "$(sql -c "select 1 from pg_available_extensions where name = '$1'")" ]
}

# Whether this taskq has queues with durable_finish.
has_durable_finish()
{
	[ "$(sql -c "select 'durable_finish' = any(proargnames) from pg_proc where oid::regproc = 'taskq.create_queue'::regproc")" = t ]
}

# pgbench CLIENTS SCRIPT LIMIT…: prints transactions a second; their number
# goes to $work/processed.
pgbench_rate()
{
	local clients=$1 script=$2 threads
	shift 2
	threads=$((clients < $(nproc) ? clients : $(nproc)))
	set -- -n -M prepared -c "$clients" -j "$threads" -f "bench/pgbench/$script.sql" "$@"
	remember "pgbench $*"
	"$bin/pgbench" "$@" -D "payload=$payload" >"$work/pgbench.out" 2>"$work/pgbench.err" || {
		grep -m 3 -i 'error\|fatal' "$work/pgbench.err" >&2
		die "pgbench $script failed"
	}
	sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/pgbench.out" >"$work/processed"
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/pgbench.out" | grep . || die "pgbench $script: no transaction ended"
}

# rate CLIENTS SCRIPT [pgbench's -D …]: the same for one run's time, after a
# time to warm up: new backends read the catalogs and plan, and with many of
# them on few cores that takes seconds.
rate()
{
	local warm=$((1 + $1 / 16))
	pgbench_rate "$@" -P 1 -T "$((warm + seconds))" >/dev/null || exit 1
	awk -v warm="$warm" '
		/^progress: / && before >= warm - 0.5 { n += $4 * ($2 - before); time += $2 - before }
		/^progress: / { before = $2 + 0 }
		END { if (time > 0) printf "%.1f\n", n / time }' "$work/pgbench.err" | grep . || die "$2: too short a run"
}

# The same, in tasks: TASKS a transaction.
rate_of()
{
	local tasks=$1 per_second
	shift
	per_second=$(rate "$@") || exit 1
	awk "BEGIN { print $per_second * $tasks }"
}

processed()
{
	cat "$work/processed"
}

# fill_taskq QUEUE COUNT
fill_taskq()
{
	submit_statements "$1" "$2" 0 | sql >/dev/null
}

# submit_statements QUEUE COUNT PRIORITY
submit_statements()
{
	local left=$2 n
	while [ "$left" -gt 0 ]; do
		n=$((left < 10000 ? left : 10000))
		say "select count(*) from taskq.submit_many('$1', array_fill('$payload'::jsonb, array[$n]), priority => $3);"
		left=$((left - n))
	done
}

fill_raw()
{
	sql -c "insert into raw (queue, state, priority, run_at, payload)
		select 'q', 'ready', 0, clock_timestamp(), '$payload' from generate_series(1, $1)"
}

# ---- what is told to report.py ----------------------------------------------

tell()
{
	(IFS=$'\t'; printf '%s\n' "$*") >>"$work/report/facts"
}

# measure CONTENDER COMMAND…: the command prints the value.
measure()
{
	local contender=$1 value
	shift
	value=$("$@") && [ -n "$value" ] || die "$scenario: no value of $contender"
	tell sample "$scenario" "$contender" "$value"
	say "  $contender: $value"
}

# row CONTENDER BASE UNIT TARGET: a line that compares two contenders; without
# a base (-), the target is for the value and not for the ratio.
row()
{
	tell row "$scenario" "$1" "$2" "$3" "${4:--}"
}

# note TEXT: why something was not measured, or what to know about it.
note()
{
	tell note "$scenario" "$1"
	say "  $1"
}

# Of a command line, what does not belong to this machine.
remember()
{
	local line=${1//"$work"\//}
	grep -qsxF -- "command	$scenario	$line" "$work/report/facts" || tell 'command' "$scenario" "$line"
}
