#!/bin/bash
# mutations.sh
#		Shows of each line in mutations.txt that a test fails when it is changed.
#
# usage: mutations.sh [NAME]…
#
# Prints TAP: first that the tests pass as the code is, then one test for each
# mutation.  Builds and runs in a private directory and leaves nothing behind.
# Takes some five minutes for all, so it is not part of make test.

# shellcheck source-path=SCRIPTDIR/../../scripts source=common.sh
. "$(dirname "$0")/../../scripts/common.sh"
set -u

list=$top/test/model/mutations.txt
number=0
failed=0

# Copies a tree with the one line changed; fails where it is not the only one.
mutate()
{
	awk -v old="$2" -v new="$3" '
		function trimmed(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
		trimmed($0) == old { print new; found++; next }
		{ print }
		END { exit found != 1 }' "$top/$1" >"$work/mutated" || return
	as_user tee "$work/tree/$1" <"$work/mutated" >/dev/null
}

restore()
{
	as_user tee "$work/tree/$1" <"$top/$1" >/dev/null
}

result()
{
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		say "ok $number - $2"
	else
		say "not ok $number - $2"
		failed=1
	fi
}

# 0: the test passes, 1: it fails, 2: it does not build.
run_test()
{
	# shellcheck disable=SC2016
	run_in_work bash -c '
		. scripts/common.sh
		private_config=$1
		export TASKQ_FIRST_FAILURE=1
		private_make -j2 install || exit 2
		timeout --kill-after=10 300 make -s --no-print-directory installcheck PG_CONFIG="$1" with_llvm=no \
			REGRESS= ISOLATION= TAP="$2" PROVE_FLAGS=--verbose || exit 1' bash "$private_config" "$1" >"$work/log" 2>&1
}

wanted()
{
	local name=$1 each
	shift
	[ $# -gt 0 ] || return 0
	for each; do
		[ "$each" != "$name" ] || return 0
	done
	return 1
}

# One mutation: the test must fail, and in a test, not in preparing for it.
check()
{
	local name=$1 file=$2 old=$3 new=$4 test=$5 status=0
	if ! mutate "$file" "$old" "$new"; then
		say "# $file has no such line, or more than one: $old"
		result 1 "$name"
		return
	fi
	run_test "$test" || status=$?
	restore "$file"
	[ "$status" -eq 1 ] && grep -E '^not ok' "$work/log" | sed 's/^/# /'
	[ "$status" -eq 1 ] && grep -qE '^not ok' "$work/log"
	result $? "$name: $test fails"
	[ "$status" -ne 2 ] || sed 's/^/# /' "$work/log"
}

config=$(find_pg_config) || die "no server headers: install postgresql-server-dev-NN, or set PG_CONFIG"
make_work mutations
# shellcheck disable=SC2016
run_in_work bash -c '. scripts/common.sh; make_server_tree "$1/pg" "$2" >"$1/config"' bash "$work" "$config" ||
	die "cannot copy the server's installation"
private_config=$(cat "$work/config")

mutations=()
while IFS= read -r line; do
	[[ $line != '#'* && -n $line ]] && wanted "${line%% | *}" "$@" && mutations+=("$line")
done <"$list"
[ ${#mutations[@]} -gt 0 ] || die "no mutation of that name: $*"

mapfile -t tests < <(printf '%s\n' "${mutations[@]}" | sed 's/.* | //' | sort -u)
for test in "${tests[@]}"; do
	run_test "$test"
	result $? "$test passes as the code is"
done
for line in "${mutations[@]}"; do
	mapfile -t fields < <(printf '%s\n' "$line" | sed 's/ | /\n/g')
	check "${fields[@]}"
done
say "1..$number"
[ "$failed" -eq 0 ]
