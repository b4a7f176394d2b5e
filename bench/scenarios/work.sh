# work.sh
#		Scenarios: acquire and finish, from a backlog that is kept full.
#
# The backlog is filled up again between the runs.

# shellcheck shell=bash
# shellcheck disable=SC2154

make_backlogs()
{
	fresh_database bench
	fill_taskq default "$1"
	fill_raw "$1"
	if has_durable_finish; then
		sql -c "select taskq.create_queue('relaxed', durable_finish => false)" >/dev/null
		fill_taskq relaxed "$1"
	fi
	sql -c 'vacuum analyze'
}

# work CLIENTS TARGET TARGET-WITHOUT-DURABLE-FINISH
work()
{
	make_backlogs "$backlog"
	for _ in $(seq "$runs"); do
		measure taskq rate "$1" taskq_work -D queue=default
		fill_taskq default "$(processed)"
		measure 'SQL queue' rate "$1" raw_work
		fill_raw "$(processed)"
		measure 'empty calls' rate "$1" empty_work
		has_durable_finish || continue
		measure 'taskq, durable_finish => false' rate "$1" taskq_work -D queue=relaxed
		fill_taskq relaxed "$(processed)"
	done
	row taskq 'SQL queue' tasks/s "$2"
	row taskq 'empty calls' tasks/s
	row 'empty calls' 'SQL queue' tasks/s
	if has_durable_finish; then
		row 'taskq, durable_finish => false' 'SQL queue' tasks/s "$3"
	else
		note 'durable_finish => false: not available'
	fi
}

scenario_work1()
{
	work 1 '>= 1.5' '>= 1.5'
}

scenario_work8()
{
	work 8 '>= 2.2' '>= 3'
}

scenario_work32()
{
	work 32 '>= 2.2' '>= 3'
}

scenario_work64vs16()
{
	make_backlogs "$backlog"
	for _ in $(seq "$runs"); do
		measure '64 clients' rate 64 taskq_work -D queue=default
		fill_taskq default "$(processed)"
		measure '16 clients' rate 16 taskq_work -D queue=default
		fill_taskq default "$(processed)"
		measure 'empty calls, 64 clients' rate 64 empty_work
		measure 'empty calls, 16 clients' rate 16 empty_work
	done
	row '64 clients' '16 clients' tasks/s '>= 0.9'
	row 'empty calls, 64 clients' 'empty calls, 16 clients' tasks/s
}

scenario_batch100()
{
	make_backlogs "$batch_backlog"
	for _ in $(seq "$runs"); do
		measure taskq rate_of 100 8 taskq_batch -D queue=default
		fill_taskq default "$(($(processed) * 100))"
		measure 'SQL queue' rate_of 100 8 raw_batch
		fill_raw "$(($(processed) * 100))"
	done
	row taskq 'SQL queue' tasks/s '>= 1.5'
}

scenario_finish_and_acquire()
{
	make_backlogs "$backlog"
	for _ in $(seq "$runs"); do
		measure finish_and_acquire rate 8 taskq_finish_and_acquire -D queue=default -D id=0 -D token=0
		fill_taskq default "$(processed)"
		measure 'acquire + finish' rate 8 taskq_work -D queue=default
		fill_taskq default "$(processed)"
	done
	row finish_and_acquire 'acquire + finish' tasks/s '>= 1.15'
}

# The backlog of 32 levels is filled up evenly; the first levels are used up
# first.
fill_levels()
{
	local level
	for level in $(seq -16 15); do
		submit_statements levels "$(($1 / 32))" "$level"
	done | sql >/dev/null
}

scenario_priorities()
{
	make_backlogs "$backlog"
	sql -c "select taskq.create_queue('levels')" >/dev/null
	fill_levels "$backlog"
	for _ in $(seq "$runs"); do
		measure '32 priorities' rate 8 taskq_work -D queue=levels
		fill_levels "$(processed)"
		measure 'one priority' rate 8 taskq_work -D queue=default
		fill_taskq default "$(processed)"
	done
	row '32 priorities' 'one priority' tasks/s
}

# Two databases, so that the small queue's tables are small.  A run takes
# four fifths of the small backlog.
scenario_backlog()
{
	local tasks=$((small / 10))
	for database in large small; do
		fresh_database $database
		fill_taskq default "${!database}"
		sql -c 'vacuum analyze'
	done
	for _ in $(seq $((runs * 2 - 1))); do
		for database in large small; do
			export PGDATABASE=$database
			measure "backlog of ${!database}" pgbench_rate 8 taskq_work -t "$tasks" -D queue=default
			fill_taskq default "$(processed)"
		done
	done
	row "backlog of $large" "backlog of $small" tasks/s '>= 0.9'
	export PGDATABASE=postgres
	sql -c 'drop database large with (force)' -c 'drop database small with (force)'
}
