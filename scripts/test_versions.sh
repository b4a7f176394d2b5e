#!/bin/bash
# test_versions.sh
#		make test with each version of PostgreSQL that Debian has, in a Debian of its own.
#
# usage: test_versions.sh
#        test_versions.sh --in DIRECTORY SUITE (called by itself)
#
# DEBIAN names the suites of Debian, CACHE a directory in which downloaded packages are kept.
#
# The last lines are "SUITE, PostgreSQL VERSION: N passed, N failed"; the exit status is 0 only
# if make test succeeded in each.
#
# debootstrap makes a Debian in a directory under /var/tmp, and make test installs there what is
# missing, as on a new machine.  This runs in namespaces, so the directory can be removed whatever
# happens.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set -u

# shellcheck source-path=SCRIPTDIR source=debian.sh
. "$top/scripts/debian.sh"

# ---- in the namespaces ------------------------------------------------------

test_in()
{
	local root=$1 suite=$2 tree=/usr/src/taskq
	make_debian "$root" "$suite" || return
	mkdir "$root$tree" && pack_tree | tar -C "$root$tree" --no-same-owner -xf - || return
	move_into "$root" || return
	env -i HOME=/root PATH="$PATH" LANG=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} make -s -C "$tree" test
}

# ---- outside ------------------------------------------------------------------

# A line for each suite.
summary=()
failed=0

test_suite()
{
	local suite=$1 log=$work/$1.log status=0 version result
	say "Debian $suite"
	set -m
	(
		set -o pipefail
		in_namespaces --in "$work/$suite" "$suite" 2>&1 | tee "$log"
	) &
	child=$!
	set +m
	wait "$child" || status=$?
	child=
	version=$(sed -n 's/^taskq [^,]*, \(PostgreSQL [^ ]*\).*/\1/p' "$log" | head -n 1)
	result=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
	summary+=("$suite, ${version:-no server}: ${result:-0 passed, 1 failed}")
	[ "$status" -eq 0 ] || failed=1
	rm -rf --one-file-system "${work:?}/$suite"
}

end_versions()
{
	trap '' HUP INT TERM
	trap - EXIT
	[ -z "$child" ] || kill -TERM -- "-$child" 2>/dev/null
	# What is being killed may still write.
	for _ in $(seq 50); do
		rm -rf --one-file-system "$work" 2>/dev/null && return
		sleep 0.1
	done
}

if [ "${1:-}" = --in ]; then
	test_in "$2" "$3"
	exit
fi
[ "$(id -u)" -eq 0 ] || die "needs root, to make a Debian in a directory: sudo make test-versions"
"$top/scripts/packages.sh" versions || exit 1
make_cache || exit 1
work=$(mktemp -d /var/tmp/taskq-versions.XXXXXX) || die "cannot make a directory in /var/tmp"
trap end_versions EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
for suite in ${DEBIAN:-bookworm trixie sid}; do
	test_suite "$suite"
done
end_versions
printf '%s\n' "${summary[@]}"
exit "$failed"
