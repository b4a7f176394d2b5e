#!/bin/bash
# suites.sh
#		Builds the extension into a private server tree and runs the suites.
#
# usage: suites.sh DIRECTORY PG_CONFIG test|all
#
# Started by test.sh as an unprivileged user in the copy of the source tree
# that lies in DIRECTORY.  Every test program prints TAP; one line a program
# is shown, at the end what those that failed printed about it.  Leaves
# "PASSED FAILED" in DIRECTORY/totals.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set -u

work=$1
config=$2
purpose=$3
logs=$work/logs
passed=0
failed=0
failing=()
mkdir "$logs"

# How long one program may take.
limit=600

# program SUITE NAME COMMAND…: runs it, counts, shows a line.
program()
{
	local suite=$1 name=$2 log=$logs/$1-$2.log start=$EPOCHREALTIME status=0 p f s
	shift 2
	timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
	read -r p f s < <(awk -v status="$status" -f scripts/tap.awk "$log")
	[ "$status" -ne 124 ] || say "broken off after $limit seconds" >>"$log"
	count "$suite" "$name" "$p" "$f" "$s" "$start" "$log"
}

count()
{
	local suite=$1 name=$2 p=$3 f=$4 s=$5 start=$6 log=$7 verdict
	passed=$((passed + p))
	failed=$((failed + f))
	verdict="$p passed"
	[ "$s" -eq 0 ] || verdict+=", $s skipped"
	[ "$f" -eq 0 ] || { verdict+=", $f FAILED"; failing+=("$log"); }
	printf '%-10s %-24s %-34s %6.1f s\n' "$suite" "$name" "$verdict" \
		"$(awk "BEGIN { print $EPOCHREALTIME - $start }")"
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

# A step that must succeed before anything else can: one test of its own.
prepare()
{
	local name=$1 log=$logs/prepare-$1.log start=$EPOCHREALTIME
	shift
	if "$@" >"$log" 2>&1; then
		count prepare "$name" 1 0 0 "$start" "$log"
	else
		count prepare "$name" 0 1 0 "$start" "$log"
		finish
	fi
}

build()
{
	private_make -j2 install && private_make -j2 unit && private_make -j2 worker
}

unit_suite()
{
	local test
	for test in $(list UNIT); do
		program unit "$test" "build/unit/$test"
	done
	[ -n "$(list UNIT)" ] || nothing_ran unit
}

# The unit tests once more, compiled with $2 and started by the rest.
unit_again()
{
	local suite=$1 cflags=$2 test
	shift 2
	prepare "$suite" private_make -j2 unit UNIT_DIR="build/$suite" UNIT_CFLAGS="$cflags"
	for test in $(list UNIT); do
		program "$suite" "$test" "$@" "build/$suite/$test"
	done
}

# The protocol of dispatch.c, of which spin visits every state.
model_suite()
{
	program model dispatch test/model/run.sh
}

# What arrives from outside and is taken apart by hand.
fuzz_suite()
{
	prepare fuzz private_make -j2 fuzz
	# shellcheck disable=SC2046
	program fuzz targets test/fuzz/run.sh $(list FUZZ)
}

installed_suites()
{
	export PGHOST=$work/socket PGUSER=postgres
	prepare server start_server "$work/data" "$PGHOST" "$(cat test/lib/server.conf)"
	installed_suite regress REGRESS ISOLATION
	installed_suite isolation ISOLATION REGRESS
	prepare shutdown stop_server "$work/data"
	unset PGHOST PGUSER
}

# installed_suite SUITE LIST OTHER: installcheck, the way every user runs it.
installed_suite()
{
	local before=$failed
	[ -n "$(list "$2")" ] || { nothing_ran "$1"; return; }
	rm -rf regression.diffs
	program "$1" installcheck make -s --no-print-directory installcheck \
		PG_CONFIG="$private_config" with_llvm=no "$3=" TAP=
	[ "$failed" -eq "$before" ] ||
		cat regression.diffs output_iso/regression.diffs >>"$logs/$1-installcheck.log" 2>/dev/null
}

tap_suite()
{
	local test before
	for test in $(list TAP); do
		before=$failed
		program tap "$test" make -s --no-print-directory installcheck PG_CONFIG="$private_config" \
			with_llvm=no REGRESS= ISOLATION= TAP="$test" PROVE_FLAGS='--verbose --merge'
		[ "$failed" -eq "$before" ] ||
			tail -n 200 tmp_check/log/* >>"$logs/tap-$test.log" 2>/dev/null
	done
	[ -n "$(list TAP)" ] || nothing_ran tap
}

finish()
{
	local log
	for log in ${failing[@]+"${failing[@]}"}; do
		printf '\n==== %s\n' "$(basename "$log" .log)"
		grep -v '^ok ' "$log"
	done
	say "$passed $failed" >"$work/totals"
	exit 0
}

private_config=$(make_server_tree "$work/pg" "$config")
say "taskq $(list TASKQ_VERSION), $("$config" --version)"
prepare build build
program lint checks scripts/lint.sh "$private_config"
unit_suite
model_suite
fuzz_suite
installed_suites
tap_suite
if [ "$purpose" = all ]; then
	unit_again sanitize '-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'
	unit_again valgrind '-O1 -g' valgrind -q --error-exitcode=99 --leak-check=full
fi
finish
