# push.sh
#		Scenario: how fast push tasks leave, beside a bare curl-multi program.
#
# Small POSTs to a local nginx, from the commit of the submit to the last
# result stored; the program sends the same requests with the same concurrency.

# shellcheck shell=bash
# shellcheck disable=SC2154

free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_nginx()
{
	local port dir=$work/nginx
	port=$(free_port)
	mkdir "$dir"
	cat >"$dir/conf" <<-END
		daemon off;
		worker_processes 1;
		pid $dir/pid;
		error_log $dir/error.log;
		events { worker_connections 2048; }
		http {
			access_log off;
			keepalive_requests 1000000;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server { listen 127.0.0.1:$port; location / { return 200 '{"ok": true}'; } }
		}
	END
	PATH=$PATH:/usr/sbin nginx -e "$dir/error.log" -c "$dir/conf" &
	nginx=$!
	url=http://127.0.0.1:$port/
	for _ in $(seq 100); do
		curl -fs -o "$dir/hello" "$url" && return
		sleep 0.05
	done
	die "nginx does not answer"
}

stop_nginx()
{
	kill "$nginx"
	wait "$nginx" 2>/dev/null
	rm -r "$work/nginx"
}

# Requests per second, by the program itself.
bare_curl()
{
	remember "bare_curl URL $requests 100"
	"$work/bare_curl" "$url" "$requests" 100 | sed 's/.* \([0-9.]*\) requests.s.*/\1/'
}

# The same by taskq.
delivered()
{
	local before
	before=$(sql -c "select coalesce(max(id), 0) from taskq.tasks")
	sql -c "select count(taskq.submit_http('$url', '{\"order\": 4711, \"state\": \"paid\"}')) from generate_series(1, $requests)" \
		-c "create table committed as select clock_timestamp() as at" >/dev/null
	until [ "$(sql -c "select count(*) from taskq.tasks where id > $before and state = 'finished'")" = "$requests" ]; do
		sleep 0.2
	done
	sql -c "select round($requests / extract(epoch from max(ended_at) - (select at from committed))) from taskq.tasks where id > $before" \
		-c "drop table committed"
}

scenario_push()
{
	fresh_database bench
	start_nginx
	for _ in $(seq "$runs"); do
		measure taskq delivered
		measure 'bare curl-multi' bare_curl
	done
	row taskq 'bare curl-multi' requests/s
	stop_nginx
}
