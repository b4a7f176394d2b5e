#!/bin/bash
# bench.sh
#		Measures taskq in a private server, side by side with yardsticks.
#
# usage: [SCENARIO='NAME…'] [DURATION=SECONDS] [QUICK=1] bench.sh [--soak]
#
# Prints one table.  Figures of different runs do not compare, ratios within a
# run do: machines are shared and noisy.  docs/benchmarks.md and README.md get what was
# measured at full length; QUICK and DURATION are for trying.

# shellcheck source-path=SCRIPTDIR source=../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

mode=bench
[ "${1:-}" != --soak ] || mode=soak
[ -z "${QUICK:-}" ] || mode=quick

"$top/scripts/packages.sh" bench || exit 1
config=$(find_pg_config) || die "no server headers"
make_work bench
as_user mkdir "$work/report"
run_in_work bash bench/run.sh "$work" "$config" "$mode" "${SCENARIO:-}" "${DURATION:-}" \
	"$(git -C "$top" describe --always --dirty 2>/dev/null)"
status=$?
if [ "$mode" != quick ] && [ -z "${DURATION:-}" ] && [ -s "$work/report/benchmarks.md" ]; then
	cat "$work/report/benchmarks.md" >"$top/docs/benchmarks.md"
	cat "$work/report/benchmarks.svg" >"$top/docs/images/benchmarks.svg"
	cat "$work/report/README.md" >"$top/README.md"
	say "written: docs/benchmarks.md, its chart, the figures in README.md"
fi
exit $status
