# submit.sh
#		Scenarios: submitting, beside the INSERTs that it needs at least.
#
# The executor runs, and ten clients listen to the queue's channel.

# shellcheck shell=bash
# shellcheck disable=SC2154

start_listeners()
{
	"$work/listener" listen taskq_default 10 &
	listeners=$!
}

stop_listeners()
{
	kill "$listeners"
	wait "$listeners" 2>/dev/null || true
}

# submit CLIENTS
submit()
{
	fresh_database bench
	start_listeners
	for _ in $(seq "$runs"); do
		measure taskq rate "$1" taskq_submit -D queue=default
		measure 'bare INSERT' rate "$1" bare_insert
	done
	stop_listeners
	row taskq 'bare INSERT' tasks/s '>= 0.85'
}

scenario_submit1()
{
	submit 1
}

scenario_submit8()
{
	submit 8
}

scenario_submit32()
{
	submit 32
}

scenario_submit_many()
{
	fresh_database bench
	start_listeners
	for _ in $(seq "$runs"); do
		measure taskq rate_of 1000 1 taskq_submit_many -D queue=default
		measure 'bare INSERT of 1000 rows' rate_of 1000 1 bare_insert_many
	done
	stop_listeners
	row taskq 'bare INSERT of 1000 rows' tasks/s '>= 0.8'
}
