# cost.sh
#		Scenarios: what a task costs in log and space, and an idle server in time.

# shellcheck shell=bash
# shellcheck disable=SC2154

set_full_page_writes()
{
	sql -c "alter system set full_page_writes = $1" -c 'select pg_reload_conf()' >/dev/null
	poll "select current_setting('full_page_writes') = '$1'"
}

# Bytes of log a life: all that the server writes meanwhile, and to vacuum what
# has ended.  What others have left is vacuumed before.
wal_per_life()
{
	local before
	sql -c vacuum
	before=$(sql -c 'select pg_current_wal_insert_lsn()')
	pgbench_rate 8 "$@" -t "$((wal_lives / 8))" >/dev/null || exit 1
	sql -c vacuum
	sql -c "select round((pg_current_wal_insert_lsn() - '$before') / $(processed))"
}

# In one database only the queue that is measured has tasks.  In the other two
# have: there, one that comes before another in the dispatch index.
scenario_wal()
{
	fresh_database one
	fill_taskq default 1000
	fresh_database two
	sql -c "select taskq.create_queue('forgetful', keep_finished => '0')" >/dev/null
	fill_taskq default 1000
	fill_taskq forgetful 1000
	fill_raw 1000
	set_full_page_writes off
	sql -c checkpoint
	for _ in $(seq "$runs"); do
		PGDATABASE=one measure taskq wal_per_life taskq_life -D queue=default
		measure 'taskq, a queue before another' wal_per_life taskq_life -D queue=default
		measure "taskq, keep_finished => '0'" wal_per_life taskq_life -D queue=forgetful
		measure 'SQL queue' wal_per_life raw_life
	done
	set_full_page_writes on
	row taskq - bytes/task '<= 1100'
	row 'taskq, a queue before another' - bytes/task
	row "taskq, keep_finished => '0'" - bytes/task '<= 900'
	row 'SQL queue' - bytes/task
}

# The database without ended tasks, in megabytes.
size_outside_history()
{
	sql -c "select round((pg_database_size(current_database()) - sum(pg_total_relation_size(oid))) / 1048576.0, 1)
		from pg_class where relnamespace = 'taskq_private'::regnamespace and relname like 'history%' and relkind = 'r'"
}

scenario_size()
{
	fresh_database bench
	measure 'at first' size_outside_history
	fill_taskq default 1000
	pgbench_rate 8 taskq_life -t "$((size_lives / 8))" -D queue=default >/dev/null || exit 1
	measure "after $size_lives tasks" size_outside_history
	row 'at first' - MB
	row "after $size_lives tasks" - MB '<= 64'
}

# Seconds of CPU that the server's processes have used, the ended ones too.
server_cpu()
{
	local postmaster
	postmaster=$(head -n 1 "$work/data/postmaster.pid")
	sed 's/(.*)/x/' /proc/[0-9]*/stat 2>/dev/null |
		awk -v p="$postmaster" -v hz="$(getconf CLK_TCK)" '
			$1 == p || $4 == p { ticks += $14 + $15 }
			$1 == p { ticks += $16 + $17 }
			END { printf "%.2f\n", ticks / hz }'
}

next_xid()
{
	sql -c 'select pg_snapshot_xmax(pg_current_snapshot())'
}

data_kilobytes()
{
	du -sk "$work/data" | cut -f 1
}

# minus AFTER BEFORE [FACTOR]
minus()
{
	awk "BEGIN { print ($1 - $2) * ${3:-1} }"
}

scenario_idle()
{
	local seconds=${duration:-$idle_seconds} cpu xid kilobytes database
	fresh_database bench
	sql -c "select count(taskq.create_queue('q' || i)) from generate_series(1, 100) as i" >/dev/null
	# All databases: else autovacuum analyzes, in the first hour, what initdb has made.
	"$bin/vacuumdb" --all --freeze --analyze --quiet
	# The first session after that writes a file of what it knows of the catalogs.
	for database in template1 postgres; do sql -d "$database" -c 'select 1' >/dev/null; done
	sql -c checkpoint
	sleep 5
	cpu=$(server_cpu) xid=$(next_xid) kilobytes=$(data_kilobytes)
	sleep "$seconds"
	measure 'CPU' minus "$(server_cpu)" "$cpu" "100 / $seconds"
	measure 'transaction ids' minus "$(next_xid)" "$xid"
	measure 'data directory' minus "$(data_kilobytes)" "$kilobytes"
	note "100 queues, $seconds s; all processes of the server, PostgreSQL's own included"
	row 'CPU' - '% of a core' '< 0.1'
	row 'transaction ids' - xids '<= 0'
	row 'data directory' - 'kB more' '<= 0'
}
