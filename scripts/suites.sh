#!/bin/bash
# suites.sh
#		Builds the extension into a private server tree and runs the suites.
#
# usage: suites.sh DIRECTORY PG_CONFIG test|all|soak [SECONDS SEED]
#
# Started by test.sh as an unprivileged user in the copy of the source tree
# that lies in DIRECTORY.  Every test program prints TAP; one line a program
# is shown when it ends, after all of them what those that failed printed.
# Leaves "PASSED FAILED" in DIRECTORY/totals.
#
# Most programs wait more than they compute, so several run at a time: one more
# than there are cores.  None shares a server, a directory or a port with
# another.  What only computes has the lowest priority, so that it takes nothing
# from those that measure time; and those that load the machine on purpose, LOUD
# in the Makefile, are over before the others begin.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set -u

work=$1
config=$2
purpose=$3
logs=$work/logs
# A line for each program: PASSED FAILED LOG.
results=$work/results
mkdir "$logs"
: >"$results"

# How long one program may take.
limit=600

# How many run at a time, without computing_suites, which is this process.
slots=${SLOTS:-$(($(nproc) + 1))}
computing=0

# beside COMMAND…: runs it in the background as soon as there is room.
beside()
{
	wait_below "$slots"
	"$@" &
}

# Waits until fewer than that many run.
wait_below()
{
	while [ "$(jobs -pr | grep -cvx "$computing")" -ge "$1" ]; do wait -n; done
}

# program SUITE NAME COMMAND…: runs it, counts, shows a line.  Fails if it did.
program()
{
	local suite=$1 name=$2 log=$logs/$1-$2.log start=$EPOCHREALTIME status=0 p f s
	shift 2
	timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
	read -r p f s < <(awk -v status="$status" -f scripts/tap.awk "$log")
	[ "$status" -ne 124 ] || say "broken off after $limit seconds" >>"$log"
	count "$suite" "$name" "$p" "$f" "$s" "$start" "$log"
}

# Processes in the background do this, too: each writes one line at once.
count()
{
	local suite=$1 name=$2 p=$3 f=$4 s=$5 start=$6 log=$7 verdict
	verdict="$p passed"
	[ "$s" -eq 0 ] || verdict+=", $s skipped"
	[ "$f" -eq 0 ] || verdict+=", $f FAILED"
	say "$p $f $log" >>"$results"
	printf '%-10s %-24s %-34s %6.1f s\n' "$suite" "$name" "$verdict" \
		"$(awk "BEGIN { print $EPOCHREALTIME - $start }")"
	[ "$f" -eq 0 ]
}

# A suite of which nothing ran is a failure.
nothing_ran()
{
	say "no test is listed" >"$logs/$1.log"
	count "$1" - 0 1 0 "$EPOCHREALTIME" "$logs/$1.log"
}

list()
{
	make -s --no-print-directory PG_CONFIG="$private_config" "print-$1"
}

# A step that must succeed before others can: one test of its own.  Fails if it did.
prepare()
{
	local name=$1 log=$logs/prepare-$1.log start=$EPOCHREALTIME ok=1
	shift
	"$@" >"$log" 2>&1 || ok=0
	count prepare "$name" "$ok" $((1 - ok)) 0 "$start" "$log"
}

build()
{
	private_make -j2 install && private_make -j2 unit && private_make -j2 worker && private_make -j2 cli
}

# node-postgres from npm, where Debian's does not fit the machine's Node.js.  Without it
# 068_examples.pl skips JavaScript.
node_driver()
{
	command -v npm >/dev/null && [ ! -d /usr/share/nodejs/pg ] || return 0
	case " $(list TAP) " in *" 068_examples "*) ;; *) return 0 ;; esac
	mkdir "$work/npm"
	(cd "$work/npm" && timeout 120 npm install --no-audit --no-fund --ignore-scripts pg@8.8.0) >"$logs/npm.log" 2>&1 &&
		export TASKQ_NODE_PATH=$work/npm/node_modules
	return 0
}

# axe-core from npm, which Debian has not.  Without it 056_dashboard.pl skips its rules.
axe_core()
{
	[ "$purpose" = all ] && command -v npm >/dev/null || return 0
	case " $(list TAP) " in *" 056_dashboard "*) ;; *) return 0 ;; esac
	mkdir "$work/axe"
	(cd "$work/axe" && timeout 120 npm install --no-audit --no-fund --ignore-scripts axe-core@4.10.2) >"$logs/axe.log" 2>&1 &&
		export TASKQ_AXE=$work/axe/node_modules/axe-core/axe.min.js
	return 0
}

unit_suite()
{
	local test
	for test in $(list UNIT); do
		beside program unit "$test" "build/unit/$test"
	done
	[ -n "$(list UNIT)" ] || nothing_ran unit
}

# The unit tests once more, compiled with $2 and started by the rest.
unit_again()
{
	local suite=$1 cflags=$2 test
	shift 2
	prepare "$suite" private_make -j2 unit UNIT_DIR="build/$suite" UNIT_CFLAGS="$cflags" || return
	for test in $(list UNIT); do
		beside program "$suite" "$test" "$@" "build/$suite/$test"
	done
}

lint_suite()
{
	program lint checks scripts/lint.sh "$private_config" "$logs/prepare-build.log"
}

# The protocols of dispatch.c and groups.c, of which spin visits every state.
model_suite()
{
	program model protocols test/model/run.sh
}

# What arrives from outside and is taken apart by hand.
fuzz_suite()
{
	prepare fuzz private_make -j2 fuzz || return
	# shellcheck disable=SC2046
	program fuzz targets test/fuzz/run.sh $(list FUZZ)
}

# Needs no server, and as many cores as it can get.  With a low priority it takes
# longer on a machine that has other things to do.
computing_suites()
{
	local limit=1800
	renice -n 10 "$BASHPID" >/dev/null
	lint_suite
	model_suite
	fuzz_suite
}

installed_suites()
{
	export PGHOST=$work/socket PGUSER=postgres
	prepare server start_server "$work/data" "$PGHOST" "$(cat test/lib/server.conf)" || return
	installed_suite regress REGRESS ISOLATION
	installed_suite isolation ISOLATION REGRESS
	[ "$purpose" != all ] || parallel_suite
	prepare shutdown stop_server "$work/data"
}

# The SQL suite once more, each query in a parallel plan that its functions allow.
parallel_suite()
{
	local setting=debug_parallel_query
	[ "$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 16 ] || setting=force_parallel_mode
	PGOPTIONS="-c $setting=regress" installed_suite parallel REGRESS ISOLATION
}

# installed_suite SUITE LIST OTHER: installcheck, the way every user runs it.
installed_suite()
{
	[ -n "$(list "$2")" ] || { nothing_ran "$1"; return; }
	rm -rf regression.diffs
	program "$1" installcheck make -s --no-print-directory installcheck \
		PG_CONFIG="$private_config" with_llvm=no "$3=" TAP= ||
		cat regression.diffs output_iso/regression.diffs >>"$logs/$1-installcheck.log" 2>/dev/null
}

# initdb takes longer than copying what it makes: see TaskqNode.pm.
make_template()
{
	"$(dirname "$private_config")/initdb" -D "$INITDB_TEMPLATE" -A trust -N --lc-messages=C
}

# One file, the way every user runs it, but that its servers lie in a directory of its own.
tap_program()
{
	local test=$1 suite=${tap_suite:-tap} dir
	dir=$work/$suite/$test
	mkdir -p "$dir"
	program "$suite" "$test" make -s --no-print-directory installcheck PG_CONFIG="$private_config" CURDIR="$dir" \
		with_llvm=no REGRESS= ISOLATION= TAP="$test" PROVE_FLAGS='--verbose --merge' ||
		tail -n 200 "$dir"/tmp_check/log/* >>"$logs/$suite-$test.log" 2>/dev/null
}

# tap_suite TEST…
tap_suite()
{
	local test
	export INITDB_TEMPLATE=$work/template PG_TEST_PORT_DIR=$work/ports
	[ -e "$INITDB_TEMPLATE" ] || prepare initdb make_template || return
	for test in "$@"; do
		beside tap_program "$test"
	done
	[ -n "$(list TAP)" ] || nothing_ran tap
}

# The command line once more, compiled with sanitizers.  What it allocates for its whole life is no leak.
command_line_again()
{
	local tap_suite=cli-sanitize
	export ASAN_OPTIONS=detect_leaks=0
	wait_below 1
	rm -rf build/cli
	prepare "$tap_suite" private_make -j2 cli CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all' || return
	tap_suite 051_cli 052_cli_worker 054_perfectqueue 055_serve 057_accepted 059_receive 060_gateway
	wait_below 1
}

# What is running ends first.
finish()
{
	local p f log
	wait
	while read -r p f log; do
		[ "$f" -gt 0 ] || continue
		printf '\n==== %s\n' "$(basename "$log" .log)"
		grep -v '^ok ' "$log"
	done <"$results"
	awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }' "$results" >"$work/totals"
	exit 0
}

private_config=$(make_server_tree "$work/pg" "$config")
say "taskq $(list TASKQ_VERSION), $("$config" --version)"
prepare build build || finish
node_driver
axe_core
[ "$purpose" != all ] || export TASKQ_EXAMPLES=all
# See 049_follow_ups.pl, 053_flow.pl and 056_dashboard.pl.
[ "$purpose" = test ] || export TASKQ_KILLS=200 TASKQ_EVENT_SECONDS=30 TASKQ_MEMBERS=100000 TASKQ_WAITERS=1000 TASKQ_FLOW_SECONDS=40 TASKQ_NAT_TASKS=10000 TASKQ_DASHBOARD_LONG=1 FUZZ_SECONDS=60
# How long and with what seed the random driver runs: see 023_chaos.pl.  050_schedules.pl kills more often.
if [ "$purpose" = soak ]; then
	export TASKQ_CHAOS_SECONDS=$4 TASKQ_CHAOS_SEED=$5 TASKQ_FLOW_SECONDS=300
	limit=$((TASKQ_CHAOS_SECONDS + 1800))
	say "TASKQ_CHAOS_SEED=$TASKQ_CHAOS_SEED"
	tap_suite 023_chaos 049_follow_ups 050_schedules 053_flow
	program model large test/model/run.sh --large
	finish
fi
computing_suites &
computing=$!
# shellcheck disable=SC2046
tap_suite $(list LOUD)
wait_below 1
beside installed_suites
# More random expressions, but not under sanitizers and valgrind: see test_cron.c.
if [ "$purpose" = all ]; then TASKQ_CRON_EXPRESSIONS=50000 unit_suite; else unit_suite; fi
# shellcheck disable=SC2046
tap_suite $(list QUIET)
if [ "$purpose" = all ]; then
	unit_again sanitize '-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'
	unit_again valgrind '-O1 -g' valgrind -q --error-exitcode=99 --leak-check=full
	command_line_again
fi
finish
