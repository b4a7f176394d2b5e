# runners.sh
#		Scenarios: programs that run the jobs of a queue, each with its own worker.

# shellcheck shell=bash
# shellcheck disable=SC2154

# usage_of CONTENDER COMMAND…: the command prints what usage.py does.
usage_of()
{
	local contender=$1 rate cpu memory
	shift
	read -r rate cpu memory < <("$@") && [ -n "$memory" ] || die "$scenario: no value of $contender"
	measure "$contender" say "$rate"
	measure "$contender, CPU a job" say "$cpu"
	measure "$contender, memory of the largest process" say "$memory"
}

# usage_rows CONTENDER BASE TARGET
usage_rows()
{
	row "$1" "$2" jobs/s "${3:--}"
	row "$1, CPU a job" "$2, CPU a job" ms
	row "$1, memory of the largest process" "$2, memory of the largest process" MB
}

# taskq_usage JOBS OPTION… -- COMMAND…
taskq_usage()
{
	local number=$1
	shift
	remember "taskq work default -j 8 --drain $*"
	python3 bench/usage.py "$number" build/cli/taskq work default -j 8 --drain -q "$@"
}

# npm_usage PEER JOBS
npm_usage()
{
	remember "peers.mjs $1 $2 8"
	(cd "$work/npm" && node_modules/.bin/node peers.mjs "$1" "$2" 8 usage)
}

# redis_usage PEER JOBS
redis_usage()
{
	remember "redis_peers.py $1 $2 8"
	(cd bench && python3 redis_peers.py "$1" "$work/redis.socket" "$2" 8)
}

# Its server ends with the scenario, which is a process of its own.
start_redis()
{
	[ -x "$(command -v redis-server)" ] && python3 -c 'import celery, rq, redis' 2>/dev/null ||
		{ note 'Celery and rq: not measured: not installed'; return 1; }
	redis-server --port 0 --unixsocket "$work/redis.socket" --save '' --appendonly no >"$work/redis.log" 2>&1 &
	redis=$!
	# shellcheck disable=SC2064
	trap "kill $redis" EXIT
	until [ -S "$work/redis.socket" ]; do kill -0 "$redis" && sleep 0.05 || return; done
}

# Long-lived handlers, and those of others that run in the worker's own process.
scenario_runners()
{
	local redis='' peer peers=()
	! has_npm_packages || peers=(graphile-worker pg-boss)
	! start_redis || peers+=(celery)
	fresh_database bench
	for _ in $(seq "$runs"); do
		fill_taskq default "$jobs"
		usage_of 'taskq work --lines, Python' taskq_usage "$jobs" --lines -- python3 bench/empty_worker.py
		for peer in "${peers[@]}"; do
			case $peer in
				celery) usage_of "$peer" redis_usage "$peer" "$jobs" ;;
				*) usage_of "$peer" npm_usage "$peer" "$jobs" ;;
			esac
		done
	done
	for peer in "${peers[@]}"; do
		case $peer in
			celery) usage_rows 'taskq work --lines, Python' "$peer" ;;
			*) usage_rows 'taskq work --lines, Python' "$peer" '>= 3' ;;
		esac
	done
}

# A process for each job.
scenario_commands()
{
	local number=$((jobs / 5)) redis=''
	fresh_database bench
	start_redis || redis=''
	for _ in $(seq "$runs"); do
		fill_taskq default "$number"
		usage_of 'taskq work -- true' taskq_usage "$number" -- true
		usage_of 'xargs -P 8 true' python3 bench/usage.py "$number" bash -c "seq $number | xargs -n 1 -P 8 true"
		[ -z "$redis" ] || usage_of rq redis_usage rq "$((number / 10))"
	done
	usage_rows 'taskq work -- true' 'xargs -P 8 true' '>= 0.8'
	[ -z "$redis" ] || usage_rows 'taskq work -- true' rq
}
