#!/bin/bash
# run.sh
#		Builds, starts the server, runs scenarios one after the other, reports.
#
# usage: run.sh DIRECTORY PG_CONFIG bench|soak|quick SCENARIO DURATION COMMIT
#
# Started by bench.sh as an unprivileged user in the copy of the source tree
# that lies in DIRECTORY.  SCENARIO may be several names.  It and DURATION may be empty: all of the
# mode, at their own lengths.

# Lengths are for the scenarios to read.
# shellcheck disable=SC2034
# shellcheck source-path=SCRIPTDIR source=../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
set -u

work=$1 config=$2 mode=$3 only=$4 duration=$5 commit=$6
export PGHOST=$work/socket PGUSER=postgres PGDATABASE=postgres PGOPTIONS='-c client_min_messages=warning'

. bench/lib.sh
for file in bench/scenarios/*.sh; do
	# shellcheck disable=SC1090
	. "$file"
done

# What is run, and its lengths: seconds of one run, numbers of runs, tasks, …
runs=3 push_runs=5
case $mode in
	bench)
		scenarios=(work1 work8 work32 work64vs16 batch100 finish_and_acquire submit1 submit8 submit32 submit_many
			priorities backlog pinned pinned_read pinned_dump wakeup wal idle size
			push push_signed push_tls push_worker fair endpoints
			groups_blocked groups limited8 limited32 fifo fair_groups pinned_group
			hosts keys queue_stats metrics http_submit http_waiting dashboard publish follow batch batch_pinned batch_pg_boss events events_read schedules call
			pgq graphile_worker pg_boss pgmq pg_net runners commands)
		seconds=${duration:-4} backlog=100000 batch_backlog=1000000 small=10000 large=300000 pinned_seconds=90 wakeups=200
		wal_lives=10000 size_lives=100000 idle_seconds=60 requests=10000 batches=300 jobs=10000 fair_seconds=10 claims=200 calls=10000
		schedule_minutes=3 schedule_idle_seconds=60 metrics_tasks=10000000 members=100000
		;;
	soak)
		scenarios=(pinned pinned_read pinned_dump backlog idle size push_memory)
		seconds=${duration:-5} small=10000 large=10000000 pinned_seconds=600 size_lives=1000000 idle_seconds=3600 push_steps=20
		# A duration is for trying: the numbers of make bench.
		[ -z "$duration" ] || large=300000 size_lives=100000 push_steps=2
		;;
	quick)
		scenarios=(work8 batch100 submit8 pinned wakeup wal push endpoints hosts)
		seconds=2 backlog=30000 batch_backlog=200000 small=2000 large=20000 pinned_seconds=4 wakeups=20
		wal_lives=400 size_lives=2000 idle_seconds=5 requests=1000 batches=50 jobs=1000 claims=20 calls=1000 schedule_minutes=1 schedule_idle_seconds=5 metrics_tasks=30000 members=3200
		;;
esac
[ -z "$only" ] || read -ra scenarios <<<"$only"

build()
{
	private_config=$(make_server_tree "$work/pg" "$config")
	bin=$(dirname "$private_config")
	private_make -j2 install >"$work/build.log" 2>&1 && private_make -j2 cli >>"$work/build.log" 2>&1 &&
		cc -O2 -o "$work/http_client" bench/http_client.c >>"$work/build.log" 2>&1 &&
		private_make -j2 worker >>"$work/build.log" 2>&1 &&
		cc -O2 -o "$work/bare_curl" bench/bare_curl.c -lcurl >>"$work/build.log" 2>&1 &&
		cc -O2 -I"$("$config" --includedir)" -o "$work/listener" bench/listener.c -L"$("$config" --libdir)" -lpq \
			>>"$work/build.log" 2>&1 ||
		{ cat "$work/build.log"; exit 1; }
}

# pg_net's worker serves one database, and is there only if it is preloaded.
start_bench_server()
{
	[ ! -e "$("$private_config" --pkglibdir)/pg_net.so" ] ||
		settings+=("shared_preload_libraries = 'taskq,pg_net'" "pg_net.database_name = 'bench'")
	start_server "$work/data" "$work/socket" "${settings[@]}" || exit 1
}

# Of the machine no name: what the figures depend on.
describe_machine()
{
	tell machine "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r | cut -d. -f1-2), $(df --output=fstype "$work" | tail -n 1)"
	tell server "PostgreSQL $(sql -c 'show server_version')"
	tell taskq "$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" taskq.control)${commit:+ at $commit}"
	tell settings "$(printf '%s; ' "${settings[@]}")"
	local scenario=commit
	tell commits "$(pgbench_rate 1 commit -T 2)"
}

run_scenario()
{
	say "$scenario"
	(
		"scenario_$scenario"
	) && return
	tell note "$scenario" 'failed'
	failed+=("$scenario")
}

build
for scenario in "${scenarios[@]}"; do
	declare -F "scenario_$scenario" >/dev/null || die "there is no scenario $scenario"
done
start_bench_server
describe_machine
failed=()
for scenario in "${scenarios[@]}"; do
	run_scenario
done
python3 bench/report.py "$work/report" bench/notes.md docs/benchmarks.md README.md "$mode"
stop_server "$work/data"
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
