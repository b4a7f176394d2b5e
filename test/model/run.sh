#!/bin/bash
# run.sh
#		Has spin look at every state of the models, and at the variants that must fail.
#
# usage: run.sh [--large] [NAME]…
#
# Prints TAP: one test for each scenario of the unbroken model, of which all
# states are visited, and one for each variant with a part left out, of which
# spin must find where it goes wrong.  With names, only those.  Works in a
# directory of its own.  --large: the scenarios that take many minutes, for make soak.

set -u
here=$(cd "$(dirname "$0")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/tmp}/taskq-model.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# NAME MODEL EXPECTED DEFINES…; EXPECTED: passes, or what a counterexample
# violates.  Bounds: three tasks, of which one may be there from the start; of
# pending one, which four want; of groups two tasks, for which two look twice; of after
# one task that waits for two.
cases='
race          lanes passes
overflow      lanes passes HEAP=1
refill-of-two lanes passes REFILL=2
delayed       lanes passes DELAYED
look          lanes passes LOOK
many          lanes passes MANY
prepared      lanes passes PREPARED
forget        lanes passes FORGET
pending       pending passes
token         token passes
group         groups passes
group-of-two  groups passes LIMIT=2 LOOKS=1
group-count   groups passes RECOUNT LOOKS=1
group-silent  groups passes SILENT LOOKS=1
ordered       groups passes ORDERED
after         after passes
scan-before-flag  lanes missed SCAN_BEFORE_FLAG
no-late           lanes missed NO_LATE
no-give-back      lanes missed NO_GIVE_BACK
no-lower          lanes missed NO_LOWER HEAP=1
no-sweep          lanes missed NO_SWEEP PREPARED
sweep-in-passing  lanes missed SWEEP_IN_PASSING PREPARED
no-second-look    lanes missed NO_SECOND_LOOK LOOK
no-version        lanes missed NO_VERSION FORGET
no-recheck        pending claimed NO_RECHECK
no-lock           pending claimed NO_LOCK
row-first         pending claimed ROW_FIRST
no-epoch          token issued NO_EPOCH
no-jump           token issued NO_JUMP
no-check          groups missed NO_CHECK
no-inflight       groups miscounted NO_INFLIGHT RECOUNT TASKS=1
split             groups overtaken SPLIT ORDERED
no-mark           after missed NO_MARK
no-again          after missed NO_AGAIN
no-count          after missed NO_COUNT
'
# Up to a hundred million states.
large='
group-large         groups passes LOOKS=1 TASKS=3
group-of-two-twice  groups passes LIMIT=2
group-of-two-large  groups passes LOOKS=1 TASKS=3 LIMIT=2
group-count-large   groups passes RECOUNT
group-silent-large  groups passes SILENT
ordered-large       groups passes ORDERED LOOKS=1 TASKS=3
'
memory=2000
if [ "${1-}" = --large ]; then
	shift
	cases=$large
	memory=12000
fi

# Makes and runs the verifier of one case in a directory of its own.
verify()
{
	local dir=$work/$1 model=$2
	shift 3
	mkdir "$dir" && cd "$dir" || return
	cp "$here/$model.pml" . &&
		spin -a "${@/#/-D}" "$model.pml" &&
		gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM="$memory" -o pan pan.c &&
		./pan -m20000
}

# What the verifier found: passes, the name of what was violated, or neither.
verdict()
{
	case $(grep -E '^pan:[0-9]*: ' "$1" | head -n 1) in
		*'assertion violated'*issued*) echo issued ;;
		*'assertion violated'*claims*) echo claimed ;;
		*'assertion violated'*nrun*) echo miscounted ;;
		*'assertion violated'*was*) echo overtaken ;;
		*'assertion violated'*) echo missed ;;
		'')
			# Broken off or too shallow is not passed.
			grep -q 'errors: 0' "$1" && ! grep -qE 'Search not completed|max search depth' "$1" && echo passes
			;;
	esac
}

report()
{
	local name=$1 expected=$3 log=$work/$1.log what
	number=$((number + 1))
	if [ "$expected" = passes ]; then
		what="model passes: $name, $(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$log") states"
	else
		what="$name: spin finds a counterexample"
	fi
	if [ "$(verdict "$log")" = "$expected" ]; then
		printf 'ok %d - %s\n' "$number" "$what"
	else
		printf 'not ok %d - %s\n' "$number" "$what"
		sed 's/^/# /' "$log"
		failed=1
	fi
}

chosen()
{
	local wanted=$1 name
	shift
	[ $# -gt 0 ] || return 0
	for name; do
		[ "$name" != "$wanted" ] || return 0
	done
	return 1
}

number=0
failed=0
lines=()
while read -r line; do
	[ -n "$line" ] && chosen "${line%% *}" "$@" && lines+=("$line")
done <<<"$cases"

# Two at a time.
for line in ${lines[@]+"${lines[@]}"}; do
	[ "$(jobs -r | wc -l)" -lt 2 ] || wait -n
	# shellcheck disable=SC2086
	verify $line >"$work/${line%% *}.log" 2>&1 &
done
wait
for line in ${lines[@]+"${lines[@]}"}; do
	# shellcheck disable=SC2086
	report $line
done
echo "1..$number"
[ "$failed" -eq 0 ] && [ "$number" -gt 0 ]
