#!/bin/bash
# demo.sh
#		Shows taskq at work in a private server, and checks that it worked.
#
# usage: [KEEP=1] demo.sh
#
# With KEEP=1 server and receiver go on until they are interrupted.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

"$top/scripts/packages.sh" demo || exit 1
config=$(find_pg_config) || die "no server headers"
make_work demo
run_in_work bash scripts/show.sh "$work" "$config" "${KEEP:-}"
