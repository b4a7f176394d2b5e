# endpoints.sh
#		Scenario: what a claim of push tasks costs with many endpoints.
#
# A claim as the executor makes it: one task, of which endpoint is not known, and then the
# question when the next one will be due.  Measured by the server's clock, inside one
# session, without the commit.

# shellcheck shell=bash
# shellcheck disable=SC2154

endpoint_counts=(10 100 1000 2000)

# A database with $1 endpoints; each has sent a task and has one for later.
make_endpoints()
{
	fresh_database "endpoints$1"
	sql -c 'select taskq.stop_executor()' \
		-c "select count(taskq.create_endpoint('e' || i, 'http://127.0.0.1/')) from generate_series(1, $1) as i" \
		-f bench/endpoints.sql -c "call send_all($1)" >/dev/null
}

# The median of $claims claims, in microseconds.
claim_time()
{
	sql -d "endpoints$1" -c "call claim_time($1, $claims, null)"
}

scenario_endpoints()
{
	local count
	for count in "${endpoint_counts[@]}"; do
		make_endpoints "$count"
	done
	for _ in $(seq "$runs"); do
		for count in "${endpoint_counts[@]}"; do
			measure "$count endpoints" claim_time "$count"
		done
	done
	row '100 endpoints' '10 endpoints' µs
	row '1000 endpoints' '10 endpoints' µs
	row '2000 endpoints' '10 endpoints' µs '<= 2'
}
