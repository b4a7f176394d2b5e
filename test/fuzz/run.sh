#!/bin/bash
# run.sh
#		Runs every fuzz target for some time, under sanitizers.
#
# usage: [FUZZ_SECONDS=5] run.sh TARGET…
#
# Prints TAP: one test for each target, in build/fuzz.  A target begins with its
# corpus, test/fuzz/corpus/TARGET, to which nothing is added; the input that
# broke it is printed in base64.  As many run at a time as there are cores.

set -u
seconds=${FUZZ_SECONDS:-5}
work=$(mktemp -d "${TMPDIR:-/tmp}/taskq-fuzz.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

fuzz()
{
	mkdir "$work/$1"
	build/fuzz/"$1" -max_total_time="$seconds" -max_len=2048 -timeout=5 -rss_limit_mb=1024 -artifact_prefix="$work/$1-" \
		"$work/$1" "test/fuzz/corpus/$1" >"$work/$1.log" 2>&1
	echo $? >"$work/$1.status"
}

echo "1..$#"
for target in "$@"; do
	while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	fuzz "$target" &
done
wait

n=0
for target in "$@"; do
	n=$((n + 1))
	runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$work/$target.log")
	if [ "$(cat "$work/$target.status")" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
		echo "ok $n - $target: $runs inputs"
	else
		echo "not ok $n - $target"
		tail -n 40 "$work/$target.log" | sed 's/^/# /'
	fi
done
