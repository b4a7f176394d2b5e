# pinned.sh
#		Scenarios: whole lives at full speed, behind somebody's old snapshot.
#
# Rates are of equal windows of time; the last is compared with the first.

# shellcheck shell=bash
# shellcheck disable=SC2154

# One session that stays in its transaction; told what to do by a pipe.
pin()
{
	mkfifo "$work/pin"
	"$bin/psql" -XAtq -v ON_ERROR_STOP=1 <"$work/pin" >"$work/pinned" &
	pinner=$!
	exec 7>"$work/pin"
	say "begin isolation level repeatable read; $1; select 'pinned';" >&7
	until grep -q pinned "$work/pinned"; do sleep 0.05; done
}

unpin()
{
	exec 7>&-
	wait "$pinner"
	rm "$work/pin"
}

# pg_dump that nobody reads on from, in the middle of its data.
pin_by_dump()
{
	mkfifo "$work/pin"
	"$bin/pg_dump" >"$work/pin" 2>/dev/null &
	pinner=$!
	exec 7<"$work/pin"
	head -c 8192 <&7 >/dev/null
	poll "select count(*) = 1 from pg_stat_activity where application_name = 'pg_dump' and query like 'COPY %'"
}

unpin_dump()
{
	kill "$pinner"
	exec 7<&-
	wait "$pinner" 2>/dev/null
	rm "$work/pin"
}

# Lives a second in each window, one a line, by 8 clients, after some that
# warm up.
life_windows()
{
	pgbench_rate 8 "$1" -T 3 -D queue=default >/dev/null || exit 1
	pgbench_rate 8 "$1" -T "$((seconds + 1))" -P "$window" -D queue=default >/dev/null || exit 1
	awk '/^progress: / { print $4 }' "$work/pgbench.err" | head -n "$((seconds / window))" >"$work/windows"
}

# The same as samples: the first window and the last.
measure_windows()
{
	life_windows "$2" || die "$scenario: no value of $1"
	measure "$1, first window" head -n 1 "$work/windows"
	measure "$1, last window" tail -n 1 "$work/windows"
	note "$1, lives/s in windows of $window s: $(awk '{ printf "%s%d", sep, $1; sep = " " }' "$work/windows")"
}

prepare_lives()
{
	seconds=${duration:-$pinned_seconds}
	window=$((seconds >= 600 ? 60 : seconds / 6))
	[ "$window" -gt 0 ] || window=1
	fresh_database bench
	fill_taskq default 10000
	fill_raw 10000
	sql -c 'vacuum analyze'
}

scenario_pinned()
{
	prepare_lives
	pin 'select 1'
	measure_windows taskq taskq_life
	measure_windows 'SQL queue' raw_life
	unpin
	row 'taskq, last window' 'taskq, first window' lives/s '>= 0.85'
	row 'taskq, last window' 'SQL queue, first window' lives/s '>= 3'
	row 'SQL queue, last window' 'SQL queue, first window' lives/s
}

scenario_pinned_read()
{
	prepare_lives
	pin 'select count(*) from taskq.tasks'
	measure_windows taskq taskq_life
	unpin
	row 'taskq, last window' 'taskq, first window' lives/s '>= 0.7'
}

scenario_pinned_dump()
{
	prepare_lives
	pin_by_dump
	measure_windows taskq taskq_life
	unpin_dump
	row 'taskq, last window' 'taskq, first window' lives/s '>= 0.7'
}
