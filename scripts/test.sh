#!/bin/bash
# test.sh
#		Runs every suite in a private directory and leaves nothing behind.
#
# usage: test.sh [--all | --soak]
#
# --soak: only the random driver, for an hour or DURATION seconds, by TASKQ_CHAOS_SEED, and what else takes long.
#
# The last line is "N passed, N failed"; the exit status is 0 only if nothing
# failed and every suite ran something.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

purpose='test'
[ "$1" != --all ] || purpose=all
[ "$1" != --soak ] || purpose=soak

finish()
{
	say "$1 passed, $2 failed"
	[ "$2" -eq 0 ] && [ "$1" -gt 0 ]
	exit
}

"$top/scripts/packages.sh" "$purpose" || finish 0 1
config=$(find_pg_config) || finish 0 1
make_work test
run_in_work bash scripts/suites.sh "$work" "$config" "$purpose" "${DURATION:-3600}" "${TASKQ_CHAOS_SEED:-$RANDOM}"
totals=$(cat "$work/totals" 2>/dev/null)
end_work
# shellcheck disable=SC2086
finish ${totals:-0 1}
