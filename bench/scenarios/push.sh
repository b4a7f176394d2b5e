# push.sh
#		Scenarios: how fast push tasks leave, what a host that hangs does to others,
#		and the executor's memory.
#
# Small POSTs to a local nginx, from the commit of the submit to the last
# result stored; a bare curl-multi program sends the same requests with the same
# concurrency.

# shellcheck shell=bash
# shellcheck disable=SC2154

free_port()
{
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# TLS at a port of its own, with a certificate that nobody else trusts; $1: nginx's directory.
offer_tls()
{
	local port
	port=$(free_port)
	ca_file=$work/ca.pem tls_url=https://127.0.0.1:$port/
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1/key.pem" -out "$ca_file" -days 2 -subj /CN=localhost \
		-addext 'subjectAltName = IP:127.0.0.1' 2>/dev/null || die "openssl made no certificate"
	say "server { listen 127.0.0.1:$port ssl; ssl_certificate $ca_file; ssl_certificate_key $1/key.pem;
		location / { return 200 '{\"ok\": true}'; } }" >"$1/tls"
}

# Answers at 127.0.0.1, or at the addresses $1: * is all, see hosts.sh.  Connections are kept, but
# after a request for /close.
# shellcheck disable=SC2120
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
			server {
				listen ${1:-127.0.0.1}:$port;
				location / { return 200 '{"ok": true}'; }
				location /close { keepalive_timeout 0; return 200 '{"ok": true}'; }
				location /status { stub_status; }
			}
			${tls:+include $dir/tls;}
		}
	END
	[ -z "${tls:-}" ] || offer_tls "$dir"
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

# The requests that nginx has read so far.
received()
{
	curl -fs "${url}status" | awk 'NR == 3 { print $3 }'
}

# Requests per second, by the program itself; $1: another URL, $2: its authorities.
bare_curl()
{
	remember "bare_curl URL $requests 100"
	"$work/bare_curl" "${1:-$url}" "$requests" 100 ${2:+"$2"} | sed 's/.* \([0-9.]*\) requests.s.*/\1/'
}

# The same by taskq; $1: a queue with a URL of its own, or else $url.  No session looks at the tasks
# before the last request has been received: a look takes a processor, and pages, from the executor.
delivered()
{
	local before all submit="taskq.submit_http('$url', '{\"order\": 4711, \"state\": \"paid\"}')"
	[ -z "${1:-}" ] || submit="taskq.submit('$1', '{\"order\": 4711, \"state\": \"paid\"}')"
	before=$(sql -c "select coalesce(max(id), 0) from taskq.tasks")
	all=$(($(received) + requests))
	sql -c "select count($submit) from generate_series(1, $requests)" \
		-c "create table committed as select clock_timestamp() as at" >/dev/null
	until [ "$(received)" -ge "$all" ]; do sleep 0.2; done
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
	for _ in $(seq "$push_runs"); do
		measure taskq delivered
		measure 'bare curl-multi' bare_curl
	done
	row taskq 'bare curl-multi' requests/s '>= 0.45'
	stop_nginx
}

scenario_push_signed()
{
	fresh_database bench
	start_nginx
	sql -c "select taskq.create_endpoint('unsigned', '$url', max_running => 1000)" \
		-c "select taskq.create_endpoint('signed', '$url', max_running => 1000, secret => 'whsec_' || encode(sha256('bench'), 'base64'))" \
		>/dev/null
	for _ in $(seq "$push_runs"); do
		measure signed delivered signed
		measure unsigned delivered unsigned
		measure 'bare curl-multi' bare_curl
	done
	row signed unsigned requests/s '>= 0.9'
	row signed 'bare curl-multi' requests/s
	stop_nginx
}

scenario_push_tls()
{
	local tls=yes ca_file tls_url
	fresh_database bench
	start_nginx
	sql -c "alter system set taskq.http_ca_file = '$ca_file'" -c 'select pg_reload_conf()' \
		-c "select taskq.create_queue('tls', mode => 'push', url => '$tls_url')" >/dev/null
	for _ in $(seq "$push_runs"); do
		measure 'taskq, TLS' delivered tls
		measure 'bare curl-multi, TLS' bare_curl "$tls_url" "$ca_file"
	done
	row 'taskq, TLS' 'bare curl-multi, TLS' requests/s '>= 0.5'
	stop_nginx
	sql -c 'alter system reset taskq.http_ca_file' -c 'select pg_reload_conf()' >/dev/null
}

scenario_push_worker()
{
	local worker port
	fresh_database bench
	start_nginx
	sql -c "select taskq.create_queue('outside', mode => 'push', url => '$url', executor => 'external')" >/dev/null
	port=${url%/} port=${port##*:}
	build/worker/taskq-worker --database 'dbname=bench' --allow 127.0.0.1 --ports "$port" \
		--max-inflight 100 --max-per-host 100 2>"$work/worker.log" &
	worker=$!
	for _ in $(seq "$push_runs"); do
		measure taskq-worker delivered outside
		measure executor delivered
		measure 'bare curl-multi' bare_curl
	done
	kill "$worker"
	wait "$worker"
	row taskq-worker executor requests/s '>= 0.8'
	row taskq-worker 'bare curl-multi' requests/s
	stop_nginx
}

# Milliseconds from the call of the submit to the end of the task, of requests that
# come one by one, 100 a second; quantile $1.
healthy_latency()
{
	sql -c "select round(1000 * extract(epoch from percentile_disc($1) within group (order by ended_at - submitted_at)), 2)
		from taskq.tasks where queue = '$round'"
}

# Each round has a queue of its own.
send_healthy()
{
	round=healthy$((++rounds))
	sql -c "select taskq.create_queue('$round', mode => 'push', url => '$url')" >/dev/null
	pgbench_rate 4 taskq_submit -R 100 -T "$fair_seconds" -D "queue=$round" >/dev/null || exit 1
	poll "select count(*) = 0 from taskq.tasks where queue = '$round' and state <> 'finished'"
}

scenario_fair()
{
	local rounds=0 round port
	fresh_database bench
	sql -c "alter system set taskq.http_max_per_host = 32" -c 'select pg_reload_conf()' >/dev/null
	start_nginx
	start_receiver
	port=$(cat "$work/port")
	for _ in $(seq "$runs"); do
		send_healthy
		measure 'alone, p50' healthy_latency 0.5
		measure 'alone, p99' healthy_latency 0.99
		# By name, so that it is another host.
		sql -c "select taskq.create_queue('dead$rounds', mode => 'push', url => 'http://localhost:$port/hang/0')" \
			-c "select count(taskq.submit('dead$rounds', '{}')) from generate_series(1, 2000)" >/dev/null
		poll "select count(*) = 2000 from taskq.tasks where queue = 'dead$rounds' and state = 'running'"
		send_healthy
		measure 'beside 2 000 for a host that hangs, p50' healthy_latency 0.5
		measure 'beside 2 000 for a host that hangs, p99' healthy_latency 0.99
		sql -c "select taskq.drop_queue('dead$((rounds - 1))', force => true)" >/dev/null
		sleep 1
	done
	kill "$receiver"
	stop_nginx
	sql -c 'alter system reset taskq.http_max_per_host' -c 'select pg_reload_conf()' >/dev/null
	row 'beside 2 000 for a host that hangs, p50' 'alone, p50' ms
	row 'beside 2 000 for a host that hangs, p99' 'alone, p99' ms '<= 1.2'
	row 'beside 2 000 for a host that hangs, p99' - ms '<= 50'
}

# Megabytes of the executor that are its own.
executor_memory()
{
	awk '/^RssAnon:/ { printf "%.1f\n", $2 / 1024 }' "/proc/$(sql -c "select pid from pg_stat_activity
		where backend_type = 'taskq executor' and datname = current_database()")/status"
}

scenario_push_memory()
{
	local sent
	fresh_database bench
	sql -c "select taskq.alter_queue('http', keep_finished => '0')" >/dev/null
	start_nginx
	for sent in $(seq "$push_steps"); do
		sql -c "select count(taskq.submit_http('$url', '{\"order\": 4711, \"state\": \"paid\"}')) from generate_series(1, 50000)" >/dev/null
		until [ "$(sql -c 'select count(*) from (select from taskq_private.task limit 1) t')" = 0 ]; do sleep 0.5; done
		[ "$sent" -gt 1 ] || measure 'after 50 000' executor_memory
	done
	measure "after $((push_steps * 50000))" executor_memory
	stop_nginx
	row 'after 50 000' - MB
	row "after $((push_steps * 50000))" 'after 50 000' MB '<= 1.1'
	row "after $((push_steps * 50000))" - MB '<= 64'
}
