# flow.sh
#		Scenarios: groups, limits and order, beside the same queue without them, beside
#		hand-written SQL, and beside other queues that have groups.
#
# A group is full if one of its tasks runs; others of its tasks wait.

# shellcheck shell=bash
# shellcheck disable=SC2154

# fill_groups QUEUE COUNT NAME GROUPS: tasks of the groups NAME0, NAME1, ... in turn.
fill_groups()
{
	local first n
	for ((first = 0; first < $2; first += n)); do
		n=$(($2 - first < 10000 ? $2 - first : 10000))
		say "select count(*) from taskq.submit_many('$1', array_fill('$payload'::jsonb, array[$n]),
			group_keys => array(select '$3' || i % $4 from generate_series($first, $((first + n - 1))) as i));"
	done | sql >/dev/null
}

# fill_raw_flow STATE COUNT NAME GROUPS
fill_raw_flow()
{
	sql -c "insert into raw_flow (queue, group_key, state, priority, run_at, payload)
		select 'q', '$3' || i % $4, '$1', 0, clock_timestamp(), '$payload' from generate_series(0, $2 - 1) as i"
}

# ---- other queues --------------------------------------------------------------

# Those that can be measured: sets peers.
find_npm_peers()
{
	peers=()
	if has_npm_packages; then
		peers=(graphile-worker pg-boss)
	fi
}

# measure_npm_peers JOBS ORDER GROUPS BACKLOG FULL: see peers.mjs.
measure_npm_peers()
{
	local peer
	for peer in "${peers[@]}"; do
		measure "$peer" npm_rate "$peer" "$1" 8 "${@:2}"
	done
}

# rows_npm_peers [TARGET]
rows_npm_peers()
{
	local peer
	for peer in "${peers[@]}"; do
		row taskq "$peer" tasks/s "$@"
		note_npm_package "$peer"
	done
}

# ---- full groups ---------------------------------------------------------------

full=95000
others=5000

make_full_groups()
{
	fill_groups limited $full full $full
	for _ in $(seq $((full / 1000))); do
		say "select count(*) from taskq.acquire('limited', 1000, lease_for => '1 day');"
	done | sql >/dev/null
	fill_groups limited $full full $full
	fill_raw_flow running $full full $full
	fill_raw_flow ready $full full $full
}

# handover HOW NAME: from the end of a task of a full group until a client has the next one.
handover()
{
	remember "listener handover $1 limited $wakeups 20"
	"$work/listener" handover "$1" limited "$wakeups" 20 >"$work/handed" || die 'the next task did not come'
	measure "next task of a full group, $2, p50" quantile "$work/handed" 0.5
	measure "next task of a full group, $2, p99" quantile "$work/handed" 0.99
	row "next task of a full group, $2, p50" - ms
	row "next task of a full group, $2, p99" - ms
}

# Two databases: one of them has no full groups.
prepare_full_groups()
{
	local database
	for database in without bench; do
		fresh_database $database
		sql -c "select taskq.create_queue('limited'), taskq.set_group_limit('limited', null, max_running => 1)" >/dev/null
		[ $database = without ] || make_full_groups
	done
	handover wait 'client in wait_ready()'
	handover notify 'client that LISTENs'
	for database in without bench; do
		PGDATABASE=$database fill_groups limited "$backlog" other $others
	done
	fill_raw_flow ready "$backlog" other $others
	PGDATABASE=without sql -c 'vacuum analyze'
	sql -c 'vacuum analyze'
}

# Longer runs, because each new client first maps the memory of all groups.
scenario_groups_blocked()
{
	local peers seconds=$((seconds * 2))
	find_npm_peers
	prepare_full_groups
	for _ in $(seq "$runs"); do
		measure taskq rate 8 taskq_work -D queue=limited
		fill_groups limited "$(processed)" other $others
		PGDATABASE=without measure 'taskq, without the full groups' rate 8 taskq_work -D queue=limited
		PGDATABASE=without fill_groups limited "$(processed)" other $others
		measure 'SQL queue with anti-join' rate 8 raw_groups_work
		fill_raw_flow ready "$(processed)" other $others
		measure_npm_peers 200 limited $others "$small" $full
	done
	row taskq 'taskq, without the full groups' tasks/s '>= 0.8'
	row taskq 'SQL queue with anti-join' tasks/s '>= 100'
	rows_npm_peers
	sql -d postgres -c 'drop database without with (force)'
}

# ---- no full groups ------------------------------------------------------------

scenario_groups()
{
	fresh_database bench
	sql -c "select taskq.create_queue('grouped')" >/dev/null
	fill_groups grouped "$backlog" g 10000
	fill_taskq default "$backlog"
	sql -c 'vacuum analyze'
	for _ in $(seq "$runs"); do
		measure '10 000 groups' rate 8 taskq_work -D queue=grouped
		fill_groups grouped "$(processed)" g 10000
		measure 'no groups' rate 8 taskq_work -D queue=default
		fill_taskq default "$(processed)"
	done
	row '10 000 groups' 'no groups' tasks/s '>= 0.8'
}

# ---- a limit -------------------------------------------------------------------

# limited CLIENTS
limited()
{
	fresh_database bench
	sql -c "select taskq.create_queue('limited'), taskq.set_limit('limited', max_running => 100)" >/dev/null
	fill_taskq limited "$backlog"
	fill_taskq default "$backlog"
	fill_raw_flow ready "$backlog" g 1
	sql -c 'vacuum analyze'
	for _ in $(seq $((runs * 2 - 1))); do
		measure 'max_running 100' rate "$1" taskq_work -D queue=limited
		fill_taskq limited "$(processed)"
		PGOPTIONS="$PGOPTIONS -c taskq.acquire_sync=on" \
			measure 'no limit, acquire_sync = on' rate "$1" taskq_work -D queue=default
		fill_taskq default "$(processed)"
		measure 'SQL queue that counts' rate "$1" raw_limited_work
		fill_raw_flow ready "$(processed)" g 1
	done
	row 'max_running 100' 'no limit, acquire_sync = on' tasks/s '>= 0.95'
	row 'max_running 100' 'SQL queue that counts' tasks/s
}

scenario_limited8()
{
	limited 8
}

scenario_limited32()
{
	limited 32
}

# ---- order ---------------------------------------------------------------------

scenario_fifo()
{
	local peers
	find_npm_peers
	fresh_database bench
	sql -c "select taskq.create_queue('ordered', ordered => true)" >/dev/null
	fill_groups ordered "$backlog" g 10000
	sql -c 'vacuum analyze'
	for _ in $(seq "$runs"); do
		measure taskq rate 8 taskq_work -D queue=ordered
		fill_groups ordered "$(processed)" g 10000
		measure_npm_peers 1000 ordered 10000 20000 0
	done
	rows_npm_peers '>= 3'
}

# ---- turns ---------------------------------------------------------------------

# Tenant b submits a task of 10 ms each 100 ms; all workers are busy with a's, of 200 ms each.
serve_tenants()
{
	pgbench_rate 10 taskq_sleep -T $((fair_seconds + 2)) -D queue=tenants >/dev/null &
	sleep 1
	for _ in $(seq $((fair_seconds * 10))); do
		say "select taskq.submit('tenants', group_key => 'b0');"
		sleep 0.1
	done | sql >/dev/null
	wait $! || exit 1
}

# Milliseconds from the submit until the claim, quantile $2 of b's tasks since task $1.
wait_of_b()
{
	sql -c "select round(1000 * extract(epoch from percentile_disc($2) within group (order by started_at - submitted_at)), 2)
		from taskq.tasks where group_key = 'b0' and id > $1"
}

# How many of c's tasks ran at a time for one of d's: by the time that they took.
share_of_c()
{
	pgbench_rate 12 taskq_sleep -T "$fair_seconds" -D queue=weights >/dev/null || exit 1
	sql -c "select round(extract(epoch from sum(ended_at - started_at) filter (where group_key = 'c0'))
			/ extract(epoch from sum(ended_at - started_at) filter (where group_key = 'd0')), 2)
		from taskq.tasks where queue = 'weights' and state = 'finished'"
}

scenario_fair_groups()
{
	local before
	fresh_database bench
	sql -c "select taskq.create_queue('tenants'), taskq.create_queue('weights'), taskq.set_group_limit('weights', 'c0', weight => 3)" >/dev/null
	fill_groups tenants "$backlog" a 1
	fill_groups weights 10000 c 1
	fill_groups weights 10000 d 1
	for _ in $(seq "$runs"); do
		before=$(sql -c 'select max(id) from taskq.tasks')
		serve_tenants
		measure 'wait of a quiet tenant, p50' wait_of_b "$before" 0.5
		measure 'wait of a quiet tenant, p99' wait_of_b "$before" 0.99
	done
	measure 'running of weight 3 beside weight 1' share_of_c
	row 'wait of a quiet tenant, p50' - ms
	row 'wait of a quiet tenant, p99' - ms '< 300'
	row 'running of weight 3 beside weight 1' - times '>= 2.7'
	row 'running of weight 3 beside weight 1' - times '<= 3.3'
}

# ---- an old snapshot -----------------------------------------------------------

scenario_pinned_group()
{
	prepare_lives
	sql -c "select taskq.create_queue('hot')" >/dev/null
	fill_groups hot 10000 group 1
	sql -c 'vacuum analyze'
	pin 'select 1'
	measure_windows 'one group' taskq_group_life
	unpin
	row 'one group, last window' 'one group, first window' lives/s '>= 0.85'
}
