-- Bad input: each an error with its code, a detail and a hint, and nothing is stored.
\set VERBOSITY terse
set timezone = 'UTC';

create function try(call text) returns text language plpgsql as $$
declare
	d text;
	h text;
begin
	execute 'select ' || call;
	return 'no error';
exception when others then
	get stacked diagnostics d = pg_exception_detail, h = pg_exception_hint;
	return format('%s: %s; %s%s', sqlstate, sqlerrm, d, case when h = '' then ' NO HINT' else '' end);
end
$$;

select taskq.create_queue('pull'), taskq.create_queue('push', mode => 'push', url => 'http://receiver.invalid/');
select taskq.disarm();

select call, try(call) from unnest(array[
	-- queues
	$$taskq.submit('nowhere')$$,
	$$taskq.submit(null)$$,
	$$taskq.submit('')$$,
	$$taskq.submit(repeat('q', 58))$$,
	$$taskq.submit(repeat('ä', 29))$$,
	$$taskq.submit(E'a\nb')$$,
	$$taskq.submit('http')$$,
	$$taskq.submit_http('http://a.example/', queue => 'pull')$$,
	$$taskq.acquire('push')$$,
	$$taskq.acquire('nowhere')$$,
	-- submit
	$$taskq.submit('pull', to_jsonb(repeat('x', 1048577)))$$,
	$$taskq.submit('pull', priority => -17)$$,
	$$taskq.submit('pull', priority => 16)$$,
	$$taskq.submit('pull', delay => '-1 s')$$,
	$$taskq.submit('pull', delay => '1000000 years'::interval)$$,
	$$taskq.submit('pull', delay => '178000000 years'::interval)$$,
	$$taskq.submit('pull', delay => '1 s', run_at => now())$$,
	$$taskq.submit('pull', timeout => '0')$$,
	$$taskq.submit('pull', timeout => '2 days')$$,
	$$taskq.submit('pull', retry => 'nowhere')$$,
	$$taskq.submit('pull', retry => '')$$,
	$$taskq.submit('pull', max_attempts => 0)$$,
	$$taskq.submit('pull', kind => '')$$,
	$$taskq.submit('pull', kind => repeat('k', 58))$$,
	-- submit_http
	$$taskq.submit_http(null)$$,
	$$taskq.submit_http('')$$,
	$$taskq.submit_http('receiver')$$,
	$$taskq.submit_http('ftp://a.example/')$$,
	$$taskq.submit_http('file:///etc/passwd')$$,
	$$taskq.submit_http('http:///path')$$,
	$$taskq.submit_http('http://')$$,
	$$taskq.submit_http('http://a.example:65536/')$$,
	$$taskq.submit_http('http://user@a.example/')$$,
	$$taskq.submit_http('http://user:secret@a.example/')$$,
	$$taskq.submit_http(E'http://a.example/\r\nX: y')$$,
	$$taskq.submit_http('http://a.example/a b')$$,
	$$taskq.submit_http('http://a.example/ä')$$,
	$$taskq.submit_http(E'http://\u200b/')$$,
	$$taskq.submit_http('http://a.example/' || repeat('x', 8192))$$,
	$$taskq.submit_http('http://a.example/', method => null)$$,
	$$taskq.submit_http('http://a.example/', method => '')$$,
	$$taskq.submit_http('http://a.example/', method => 'GET /')$$,
	$$taskq.submit_http('http://a.example/', method => E'GET\r\nX: y')$$,
	$$taskq.submit_http('http://a.example/', method => repeat('M', 33))$$,
	$$taskq.submit_http('http://a.example/', '1', method => 'HEAD')$$,
	$$taskq.submit_http('http://a.example/', '1', body => 'x')$$,
	$$taskq.submit_http('http://a.example/', body => convert_to(repeat('x', 1048577), 'UTF8'))$$,
	$$taskq.submit_http('http://a.example/', headers => '[]')$$,
	$$taskq.submit_http('http://a.example/', headers => '"X"')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"X": 1}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"X": ["a"]}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"": "a"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"A B": "a"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"X:": "a"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"X": "S3CR3T\r\nY: z"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"X\r\nY": "z"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"hOST": "z"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"Content-Length": "1"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"Transfer-Encoding": "chunked"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"Connection": "close"}')$$,
	$$taskq.submit_http('http://a.example/', headers => '{"idempotency-key": "1"}')$$,
	$$taskq.submit_http('http://a.example/', headers => (select jsonb_object_agg('x-' || i, 'y') from generate_series(1, 101) i))$$,
	$$taskq.submit_http('http://a.example/', headers => jsonb_build_object('X', repeat('y', 32768)))$$,
	-- work
	$$taskq.acquire(null)$$,
	$$taskq.acquire('pull', 0)$$,
	$$taskq.acquire('pull', 10001)$$,
	$$taskq.acquire('pull', lease_for => '0')$$,
	$$taskq.acquire('pull', lease_for => '31 days')$$,
	$$taskq.acquire('pull', worker => repeat('w', 58))$$,
	$$taskq.heartbeat(null, 1)$$,
	$$taskq.heartbeat(1, null)$$,
	$$taskq.heartbeat(1, 1, '-1 s')$$,
	$$taskq.finish(null, 1)$$,
	$$taskq.finish(1, 1, to_jsonb(repeat('x', 1048577)))$$,
	$$taskq.fail(1, 1, null)$$,
	$$taskq.fail(1, null, 'x')$$,
	$$taskq.fail(1, 1, 'x', retry_in => '-1 s')$$,
	$$taskq.release(1, 1, '-1 s')$$,
	$$taskq.cancel(null)$$,
	$$taskq.retry(null)$$,
	-- queues and policies
	$$taskq.create_queue(null)$$,
	$$taskq.create_queue('')$$,
	$$taskq.create_queue(repeat('q', 58))$$,
	$$taskq.create_queue(E'a\tb')$$,
	$$taskq.create_queue('pull')$$,
	$$taskq.create_queue('default')$$,
	$$taskq.create_queue('q', mode => 'stack')$$,
	$$taskq.create_queue('q', url => 'http://a.example/')$$,
	$$taskq.create_queue('q', mode => 'push', url => 'gopher://a.example/')$$,
	$$taskq.create_queue('q', lease_for => '1 ms')$$,
	$$taskq.create_queue('q', retry => 'nowhere')$$,
	$$taskq.create_queue('q', keep_finished => '-1 day')$$,
	$$taskq.create_queue('q', keep_dead => null)$$,
	$$taskq.drop_queue('http')$$,
	$$taskq.drop_queue(null)$$,
	$$taskq.backoff('nowhere', 1)$$,
	$$taskq.backoff('default', 0)$$,
	$$taskq.create_retry_policy('')$$,
	$$taskq.create_retry_policy('default')$$,
	$$taskq.create_retry_policy('p', 'random')$$,
	$$taskq.create_retry_policy('p', base => '-1 s')$$,
	$$taskq.create_retry_policy('p', factor => 'NaN')$$,
	$$taskq.create_retry_policy('p', jitter => 2)$$,
	$$taskq.create_retry_policy('p', max_attempts => 0)$$,
	$$taskq.create_retry_policy('p', max_age => '0')$$,
	$$taskq.create_retry_policy('p', 'schedule')$$,
	$$taskq.create_retry_policy('p', 'schedule', delays => '{}')$$,
	$$taskq.create_retry_policy('p', 'schedule', delays => '{null}')$$,
	$$taskq.create_retry_policy('p', delays => '{1 s}')$$,
	$$taskq.create_retry_policy('p', 'fixed', max_doublings => 3)$$
]) as call;

-- Nothing was stored by any of them, and names are data.
select count(*) from taskq.tasks where queue in ('pull', 'push', 'http') and state in ('pending', 'running');
select taskq.create_queue($$a'; drop table taskq_private.task; --"\$$);
select taskq.submit($$a'; drop table taskq_private.task; --"\$$) > 0 as submitted;
select taskq.drop_queue($$a'; drop table taskq_private.task; --"\$$, force => true);

-- At the limit it works.
select taskq.create_queue(repeat('q', 57));
select taskq.submit(repeat('q', 57), to_jsonb(repeat('x', 1000000)), kind => repeat('k', 57), priority => -16, delay => '36525 days',
	timeout => '1 day', max_attempts => 2147483647) > 0 as submitted;
select taskq.submit(repeat('q', 57), run_at => '-infinity') > 0 as submitted;
select payload is null, run_at > now() - interval '1 minute' as now from taskq.tasks where queue = repeat('q', 57) and kind is null;
select taskq.submit_http('http://a.example/' || repeat('x', 8192 - 17), method => repeat('M', 32),
	headers => (select jsonb_object_agg('x-' || i, 'y') from generate_series(1, 100) i), queue => 'push') > 0 as submitted;
select taskq.drop_queue(repeat('q', 57), true), taskq.drop_queue('push', true), taskq.drop_queue('pull');
drop function try;
