#!/bin/sh
# worker.sh
#		A worker in shell: one process does all tasks.
#
# usage: taskq work QUEUE --lines -- examples/worker.sh
#
# It needs jq.  The payload is {"text": TEXT}; the result has the text in capitals.

while IFS= read -r line; do
	id=$(printf '%s' "$line" | jq -r '.task.id? // (if .cancel? then "cancel" else empty end)')
	[ "$id" != cancel ] || continue # such short work is finished anyway
	[ -n "$id" ] || { echo 'this is a worker for taskq work --lines' >&2; exit 1; }
	if text=$(printf '%s' "$line" | jq -er '.task.payload.text | strings'); then
		done=$(printf '%s' "$text" | tr '[:lower:]' '[:upper:]')
		jq -cn --arg id "$id" --arg text "$done" '{id: $id, finish: {text: $text}}'
	else
		jq -cn --arg id "$id" '{id: $id, fail: "the payload has no text", permanent: true}'
	fi
done
