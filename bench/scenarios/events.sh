# events.sh
#		Scenarios: what events cost the queues that have them, and how fast they are read.

# shellcheck shell=bash
# shellcheck disable=SC2154

# A thousand tasks in each queue keep the clients from waiting for each other's.
scenario_events()
{
	fresh_database bench
	sql -c "select taskq.create_queue('all', events => '{submitted, started, progress, value, failed, released, lost, finished, dead, cancelled, expired}'), taskq.create_queue('none')" >/dev/null
	fill_taskq all 1000
	fill_taskq none 1000
	sql -c 'vacuum analyze'
	for _ in $(seq "$runs"); do
		measure 'a life with all events' rate 8 taskq_life -D queue=all
		measure 'a life without events' rate 8 taskq_life -D queue=none
	done
	row 'a life with all events' 'a life without events' lives/s '>= 0.6'
}

# A reader of a stream that is there already, 1000 events in each call.
read_events()
{
	local start end n
	sql -c "create or replace function read_all(inout cursor text, out n bigint) language plpgsql as \$\$
		declare
			found bigint;
			next text;
		begin
			n := 0;
			loop
				select count(e.event), (array_agg(e.cursor order by e.ord desc))[1] into found, next
					from taskq.events_after(read_all.cursor, 1000) with ordinality as e (cursor, at, task_id, queue, event, data, ord);
				cursor := next;
				exit when found = 0;
				n := n + found;
			end loop;
		end \$\$"
	start=$(date +%s.%N)
	n=$(sql -c "select n from read_all('start')")
	end=$(date +%s.%N)
	awk "BEGIN { printf \"%.0f\", $n / ($end - $start) }"
}

scenario_events_read()
{
	fresh_database bench
	sql -c "select taskq.create_queue('all', events => '{submitted}')" >/dev/null
	for _ in $(seq 20); do
		submit_statements all 10000 0 | sql >/dev/null
	done
	sql -c 'vacuum analyze'
	for _ in $(seq "$runs"); do
		measure 'a reader of 1000 events a call' read_events
	done
	row 'a reader of 1000 events a call' - events/s '>= 100000'
}
