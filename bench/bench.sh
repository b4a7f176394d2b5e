#!/bin/bash
# bench.sh
#		Measures taskq in a private server, side by side with a yardstick.
#
# usage: bench.sh
#
# Prints one table.  Figures of different runs do not compare, ratios within a
# run do: machines are shared and noisy.

# shellcheck source-path=SCRIPTDIR source=../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

"$top/scripts/packages.sh" bench || exit 1
config=$(find_pg_config) || die "no server headers"
make_work bench
run_in_work bash bench/push.sh "$work" "$config"
