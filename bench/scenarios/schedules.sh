# schedules.sh
#		Scenario: from the time of a schedule until a worker has its task, beside pg_cron.
#
# pg_cron is preloaded for this scenario only, because it wakes up each second.

# shellcheck shell=bash
# shellcheck disable=SC2154

# restart_with LIBRARIES
restart_with()
{
	printf '%s\n' "shared_preload_libraries = '$1'" "cron.database_name = 'bench'" "cron.host = '$work/socket'" \
		"cron.max_running_jobs = 100" >>"$work/data/postgresql.conf"
	"$bin/pg_ctl" -D "$work/data" -l "$work/data.log" -m fast -w -t 60 restart >/dev/null || die 'the server does not start'
}

# Seconds of processor time of the processes that look at the clock, named $1 in pg_stat_activity.
clock_cpu()
{
	local pid
	for pid in $(sql -c "select pid from pg_stat_activity where backend_type ~ '$1'"); do
		cut -d ' ' -f 1 "/proc/$pid/schedstat"
	done | awk '{ ns += $1 } END { printf "%.6f\n", ns / 1e9 }'
}

# declare_taskq NAME COUNT TIMES
declare_taskq()
{
	sql -c "select taskq.create_queue('$1')" \
		-c "select count(taskq.schedule('$1' || i, '{\"queue\": \"$1\"}', overlap => 'allow', $3)) from generate_series(1, $2) as i" >/dev/null
}

# taskq_delays NAME COUNT: prints for each of COUNT tasks by how many milliseconds later than its time a
# worker had it.
taskq_delays()
{
	remember "listener schedules $1 $2"
	"$work/listener" schedules "$1" "$2" || die 'no task came'
}

# declare_cron COUNT: jobs of each minute, which note that they have begun.
declare_cron()
{
	sql -c 'truncate ran' \
		-c "select count(cron.schedule('s' || i, '* * * * *', 'insert into ran default values')) from generate_series(1, $1) as i" >/dev/null
}

cron_delays()
{
	until [ "$(sql -c 'select count(*) from ran')" -ge "$1" ]; do sleep 0.5; done
	sql -c "select round(extract(epoch from at - date_trunc('minute', at)) * 1000, 3) from (select at from ran order by at limit $1) as r"
}

drop_all()
{
	sql -c 'select count(taskq.unschedule(schedule)) from taskq.schedules' -c 'select count(cron.unschedule(jobname)) from cron.job' >/dev/null
}

# Both at once: they fire a task each, and nothing else happens.
delays_of_one()
{
	declare_taskq second 1 "every => '1 s'"
	declare_taskq minute 1 "cron => '* * * * *'"
	declare_cron 1
	taskq_delays second "$((schedule_minutes * 60))" >"$work/second" &
	taskq_delays minute "$schedule_minutes" >"$work/minute" &
	cron_delays "$schedule_minutes" >"$work/cron" || die 'no job ran'
	wait
	drop_all
	tell_delays 'one schedule of each second' "$work/second"
	tell_delays 'one schedule' "$work/minute"
	tell_delays 'one job of pg_cron' "$work/cron"
	row 'one schedule of each second, p50' - ms
	row 'one schedule of each second, p99' - ms '<= 20'
	row 'one schedule, p50' 'one job of pg_cron, p50' ms
}

delays_of_1000()
{
	declare_taskq many 1000 "cron => '* * * * *'"
	taskq_delays many 1000 >"$work/many"
	drop_all
	declare_cron 1000
	cron_delays 1000 >"$work/cron"
	drop_all
	tell_delays '1 000 schedules' "$work/many"
	tell_delays '1 000 jobs of pg_cron' "$work/cron"
	row '1 000 schedules, p50' '1 000 jobs of pg_cron, p50' ms
	row '1 000 schedules, p99' '1 000 jobs of pg_cron, p99' ms
	row '1 000 schedules, p99' - ms '<= 1000'
}

# From their time until the last has fired.
burst_of_10000()
{
	local at
	at=$(sql -c "select date_trunc('second', clock_timestamp()) + interval '1 min'")
	sql -c "select taskq.create_queue('burst')" \
		-c "select count(taskq.schedule('burst' || i, '{\"queue\": \"burst\"}', every => '1 day', starts => '$at')) from generate_series(1, 10000) as i" >/dev/null
	until [ "$(sql -c "select count(*) from taskq.schedule_runs where schedule ~ '^burst' and outcome = 'submitted'")" = 10000 ]; do sleep 1; done
	measure '10 000 schedules, until the last' sql -c "select round(extract(epoch from max(fired_at) - min(run_at)), 3) from taskq.schedule_runs where schedule ~ '^burst'"
	drop_all
	row '10 000 schedules, until the last' - s '<= 5'
}

# Both at once: each process counts its own time.
idle_clocks()
{
	local taskq cron
	declare_taskq daily 1000 "every => '1 day'"
	sql -c "select count(cron.schedule('s' || i, to_char(now() - interval '1 hour', 'MI HH24 * * *'), 'select 1')) from generate_series(1, 1000) as i" >/dev/null
	# Until what the scenario has left is vacuumed, and no commit has come for some time.
	sql -c 'vacuum analyze'
	sleep "$schedule_idle_seconds"
	taskq=$(clock_cpu '^taskq') cron=$(clock_cpu '^pg_cron')
	sleep "$schedule_idle_seconds"
	measure 'CPU, 1 000 daily schedules' minus "$(clock_cpu '^taskq')" "$taskq" "100 / $schedule_idle_seconds"
	measure 'CPU, 1 000 daily jobs of pg_cron' minus "$(clock_cpu '^pg_cron')" "$cron" "100 / $schedule_idle_seconds"
	row 'CPU, 1 000 daily schedules' 'CPU, 1 000 daily jobs of pg_cron' '% of a core' '<= 0.1'
}

# tell_delays NAME FILE
tell_delays()
{
	measure "$1, p50" quantile "$2" 0.5
	measure "$1, p99" quantile "$2" 0.99
}

scenario_schedules()
{
	local libraries
	libraries=$(sql -c 'show shared_preload_libraries')
	offers pg_cron || { note 'pg_cron: not installed'; return; }
	# pg_cron's process ends with its database, and does not come again.
	fresh_database bench
	restart_with "$libraries,pg_cron"
	sql -c 'create extension pg_cron' -c 'create table ran (at timestamptz default clock_timestamp())'
	delays_of_one
	delays_of_1000
	burst_of_10000
	idle_clocks
	note "pg_cron $(sql -c "select extversion from pg_extension where extname = 'pg_cron'"): its times are whole minutes, and each job is a new connection; CPU time of its launcher, and of taskq's launcher and executor"
	sql -d postgres -c 'drop database bench with (force)'
	restart_with "$libraries"
}
