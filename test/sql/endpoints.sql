-- Endpoints: their settings, refused arguments, and claims of their tasks.
set client_min_messages = warning;
\set VERBOSITY terse
\set ON_ERROR_STOP 0
-- The executor is stopped, so that it does not claim the tasks.
select taskq.stop_executor(), taskq.arm();

\set secret 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX'
select taskq.create_endpoint('hooks', 'https://hooks.example/v1/', headers => '{"X-Key": "k", "Content-Type": "text/plain"}',
	timeout => '3 s', max_running => 5, rate => 25, secret => :'secret', retry => 'none');
select taskq.create_endpoint('bare', 'http://bare.example');
select endpoint, url, header_names, timeout, max_running, rate, signed, old_secret_until, secrets_missing, circuit, failures, next_start
	from taskq.endpoints order by endpoint;
select queue, mode, url, retry, executor, paused, pause_reason from taskq.queues where queue in ('hooks', 'bare') order by queue;

-- Refused calls; the number of endpoints stays the same.
create function pg_temp.try(call text) returns text language plpgsql as $$
declare
	detail text;
begin
	execute 'select ' || call;
	return 'done';
exception when others then
	get stacked diagnostics detail = pg_exception_detail;
	return format('%s %s: %s', sqlstate, sqlerrm, detail);
end
$$;
select call, pg_temp.try(call) from unnest(array[
	$$taskq.create_endpoint(null, 'http://a.example')$$,
	$$taskq.create_endpoint('', 'http://a.example')$$,
	$$taskq.create_endpoint('hooks', 'http://a.example')$$,
	$$taskq.create_endpoint('http', 'http://a.example')$$,
	$$taskq.create_endpoint('x', null)$$,
	$$taskq.create_endpoint('x', 'ftp://a.example')$$,
	$$taskq.create_endpoint('x', 'http://me@a.example')$$,
	$$taskq.create_endpoint('x', 'http://a.example/?q')$$,
	$$taskq.create_endpoint('x', 'http://a.example/#f')$$,
	$$taskq.create_endpoint('x', 'http://a.example', headers => '[]')$$,
	$$taskq.create_endpoint('x', 'http://a.example', headers => '{"Host": "b"}')$$,
	$$taskq.create_endpoint('x', 'http://a.example', headers => '{"webhook-id": "b"}')$$,
	$$taskq.create_endpoint('x', 'http://a.example', headers => '{"X": "a\nb"}')$$,
	$$taskq.create_endpoint('x', 'http://a.example', timeout => '-1 s')$$,
	$$taskq.create_endpoint('x', 'http://a.example', timeout => '25 hours')$$,
	$$taskq.create_endpoint('x', 'http://a.example', max_running => -1)$$,
	$$taskq.create_endpoint('x', 'http://a.example', rate => -1)$$,
	$$taskq.create_endpoint('x', 'http://a.example', rate => 0.0001)$$,
	$$taskq.create_endpoint('x', 'http://a.example', rate => 'nan')$$,
	$$taskq.create_endpoint('x', 'http://a.example', rate => 'infinity')$$,
	$$taskq.create_endpoint('x', 'http://a.example', secret => 'whsec_')$$,
	$$taskq.create_endpoint('x', 'http://a.example', secret => 'whsec_AAAA')$$,
	$$taskq.create_endpoint('x', 'http://a.example', secret => 'whsec_' || encode(convert_to(repeat('x', 65), 'UTF8'), 'base64'))$$,
	$$taskq.create_endpoint('x', 'http://a.example', secret => 'not base64, and long enough for one!!')$$,
	$$taskq.create_endpoint('x', 'http://a.example', retry => 'no such policy')$$,
	$$taskq.create_endpoint('x', 'http://a.example', executor => 'nobody')$$,
	$$taskq.alter_endpoint('nothing')$$,
	$$taskq.alter_endpoint('http')$$,
	$$taskq.alter_endpoint('hooks', url => 'http://a.example/?q')$$,
	$$taskq.alter_endpoint('hooks', url => '')$$,
	$$taskq.alter_endpoint('hooks', secret => 'x')$$,
	$$taskq.alter_endpoint('hooks', headers => '"x"')$$,
	$$taskq.rotate_secret('nothing')$$,
	$$taskq.rotate_secret('default')$$,
	$$taskq.rotate_secret('hooks', 'x')$$,
	$$taskq.rotate_secret('hooks', keep_old => '-1 s')$$,
	$$taskq.rotate_secret('hooks', keep_old => '367 days')$$,
	$$taskq.rotate_secret('hooks', keep_old => null)$$,
	$$taskq.alter_queue('hooks', mode => 'pull', url => '')$$,
	$$taskq.alter_queue('hooks', url => '')$$,
	$$taskq.alter_queue('hooks', url => 'http://a.example/?q')$$,
	-- tasks
	$$taskq.submit_http(endpoint => 'nothing')$$,
	$$taskq.submit_http(endpoint => 'http')$$,
	$$taskq.submit_http('http://a.example/', endpoint => 'hooks')$$,
	$$taskq.submit_http('http://a.example/', queue => 'hooks')$$,
	$$taskq.submit_http(endpoint => 'hooks', queue => 'hooks')$$,
	$$taskq.submit_http(path => '/a')$$,
	$$taskq.submit_http('http://a.example/', path => '/a')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => 'a')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '@evil.example/')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '.evil.example/')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '/../admin')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '/a/%2e%2E/admin')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '/a#b')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '/a b')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => E'/a\r\nX: y')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '/ä')$$,
	$$taskq.submit_http(endpoint => 'hooks', path => '/' || repeat('a', 8170))$$,
	$$taskq.submit_http(endpoint => 'hooks', headers => '{"Webhook-Signature": "v1,x"}')$$,
	-- signatures
	$$taskq.verify_signature(null, '{}', '')$$,
	$$taskq.verify_signature('x', '{}', '')$$,
	$$taskq.verify_signature('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX', '{}', '', '-1 s')$$,
	$$taskq.verify_signature('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX', '{}', '', '36526 days')$$
	]) as call;
select count(*) from taskq.endpoints;

-- The requests.
set timezone = 'UTC';
select taskq.submit_http(endpoint => 'hooks', path => '/a?b=c', payload => '{"a": 1}', headers => '{"x-KEY": "mine", "X-Own": "1"}') as a,
	taskq.submit('hooks', '[2]') as b, taskq.submit_http(endpoint => 'bare', path => '?q', method => 'GET') as c \gset
select method, url, payload from taskq.tasks where id in (:a, :b, :c) order by id;
create temp table claimed as select * from taskq_private.push_claim(10, null, null);
select count(*), count(*) filter (where id = :c) as bare from claimed;
select method, url, timeout_ms,
	array(select h from unnest(headers) h where h !~ '^(User-Agent|X-Task-Id|Idempotency-Key|webhook-)' order by 1) as headers,
	convert_from(body, 'UTF8') as body from claimed order by id;
-- The signature is that of the request; 028_endpoints.pl compares verify_signature() with another library.
select taskq.verify_signature(:'secret', (select jsonb_object(array_agg(split_part(h, ': ', 1)), array_agg(split_part(h, ': ', 2)))
	from unnest(headers) h), body) as verified, taskq.verify_signature(:'secret', (select jsonb_object(array_agg(split_part(h, ': ', 1)),
	array_agg(split_part(h, ': ', 2))) from unnest(headers) h), body || '\x00') as another from claimed where id in (:a, :b) order by id;
select h from claimed, unnest(headers) h where id = :c and h ~ '^webhook';

-- The published example of Standard Webhooks.
select taskq.verify_signature('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
	'{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
	"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}', '{"test": 2432232314}', '20 years');
select taskq.verify_signature(:'secret', x, null) from unnest(array['{}', '[]', '1', 'null', '{"webhook-id": 1}',
	'{"webhook-id": "a", "webhook-timestamp": "9999999999999999999999", "webhook-signature": "v1,"}',
	'{"webhook-id": "a", "webhook-timestamp": "-1", "webhook-signature": "v1,"}',
	'{"webhook-id": "a", "webhook-timestamp": "1e9", "webhook-signature": "v1,"}']::jsonb[]) x;
select taskq.verify_signature(:'secret', null, null);

-- max_running and rate.
select taskq.create_endpoint('two', 'http://two.example', max_running => 2);
select count(taskq.submit('two', '1')) from generate_series(1, 5);
select count(*) from taskq_private.push_claim(10, null, null);
select limited from taskq_private.push_next_due(null, null);
select taskq_private.push_report(id, token, 'success', 'http', 200, null, null, false, null, null, null, null)
	from taskq_private.lease where queue_id = (select id from taskq_private.queue where name = 'two') limit 1;
select count(*) from taskq_private.push_claim(10, null, null);
-- Without a mark its bucket is as full as it can be since the server has started.
do $$ begin perform pg_sleep(greatest(0, 1.1 - extract(epoch from clock_timestamp() - pg_postmaster_start_time()))); end $$;
select taskq.alter_endpoint('two', max_running => 0, rate => 1);
-- One request may start at once.
select count(*) from taskq_private.push_claim(10, null, null);
select next_ms between 1 and 1000 as within_a_second, limited from taskq_private.push_next_due(null, null);
select taskq.alter_endpoint('two', rate => 0);
select count(*) from taskq_private.push_claim(10, null, null);
select max_running, rate from taskq.endpoints where endpoint = 'two';

-- The circuit.  Nothing else may be due soon.
select count(taskq.purge_queue(endpoint)) > 0 as purged from taskq.endpoints;
select taskq.create_endpoint('broken', 'http://broken.example', retry => 'none');
select count(taskq.submit('broken', '1')) from generate_series(1, 14);
create function pg_temp.answer(class text, status int, n int, retry_after interval default null) returns text language sql as $$
	with claimed as materialized (select id, token from taskq_private.push_claim(n, null, null)), told as materialized (
		select taskq_private.push_report(id, token, case when status < 300 then 'success' else 'retry' end, class, status,
			null, null, false, null, null, retry_after, null) from claimed)
	select count(*)::text from told
$$;
select pg_temp.answer('connect', null, 9);
select pg_temp.answer('http', 404, 1);
select failures, circuit from taskq.endpoints where endpoint = 'broken';
select count(taskq.submit('broken', '1')) from generate_series(1, 14);
select pg_temp.answer('timeout', null, 4), pg_temp.answer('http', 500, 3), pg_temp.answer('http', 429, 3);
select failures, circuit, next_start between now() + interval '4 s' and now() + interval '6 s' as in_five_seconds
	from taskq.endpoints where endpoint = 'broken';
select pg_temp.answer('http', 200, 10);
-- The rate of another endpoint may open before.
do $$ begin
	for i in 1 .. 500 loop
		perform from taskq_private.push_claim(10, null, null);
		exit when (select next_ms > 2000 from taskq_private.push_next_due(null, null));
		perform pg_sleep(0.01);
	end loop;
end $$;
select * from taskq_private.push_next_due(null, null) as due where next_ms between 2000 and 5000 is not true;
select taskq.pause_queue('broken'), taskq.resume_queue('broken');
select pg_temp.answer('http', 200, 1);
select failures, circuit, next_start from taskq.endpoints where endpoint = 'broken';
-- A pause that a Retry-After has asked for.
select pg_temp.answer('http', 503, 1, '90 s');
select failures, circuit, next_start between now() + interval '80 s' and now() + interval '91 s' as in_90_seconds
	from taskq.endpoints where endpoint = 'broken';
select pg_temp.answer('http', 200, 10);
select ok, detail ~ '^"broken": it has asked for nothing to be sent before ' as told, hint from taskq.status() where "check" = 'endpoints';

-- Hosts are stored in ASCII.
select taskq.create_endpoint('books', 'https://Bücher.example/ok'), taskq.create_queue('books too', 'push', 'https://bücher.example');
select taskq.alter_queue('books too', url => 'http://faß.example');
select queue, url from taskq.queues where queue ~ '^books' order by queue;
select taskq.submit_http('http://例え.テスト/?a', queue => 'books too') as id \gset
select url from taskq.tasks where id = :id;
select taskq.drop_queue('books too', force => true);

-- A dropped endpoint leaves no rows.
select taskq.drop_queue(endpoint, force => true) from taskq.endpoints order by endpoint;
select (select count(*) from taskq_private.endpoint), (select count(*) from taskq_private.endpoint_secret);
select taskq.disarm(), taskq.start_executor();
