-- Bad input: every call raises an error with code, detail and hint, and stores nothing.
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
	$$taskq.submit('pull', (select jsonb_agg(1e131071) from generate_series(1, 8)))$$,
	$$taskq.submit('pull', (select jsonb_object_agg(i, ('0.1' || repeat('0', 16382))::numeric) from generate_series(1, 64) i))$$,
	$$taskq.submit('pull', to_jsonb(repeat(E'\u0001', 174763)))$$,
	$$taskq.submit('pull', to_jsonb(repeat('"', 524288)))$$,
	$$taskq.submit_many('pull', array['1', (select jsonb_agg(1e131071) from generate_series(1, 8))])$$,
	$$taskq.submit_http('http://a.example/', (select jsonb_agg(-1e131071) from generate_series(1, 9000)))$$,
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
	$$taskq.finish(1, 1, (select jsonb_agg(1e131071) from generate_series(1, 8)))$$,
	$$taskq.finish_many('{1}', '{1}', array[(select jsonb_agg(1e131071) from generate_series(1, 8))])$$,
	$$taskq.finish_and_acquire('pull', '{1}', '{1}', array[(select jsonb_agg(1e131071) from generate_series(1, 8))])$$,
	$$taskq.fail(1, 1, 'x', (select jsonb_agg(1e131071) from generate_series(1, 8)))$$,
	$$taskq.fail(1, 1, null)$$,
	$$taskq.fail(1, null, 'x')$$,
	$$taskq.fail(1, 1, 'x', retry_in => '-1 s')$$,
	$$taskq.release(1, 1, '-1 s')$$,
	$$taskq.decline(null, 1)$$,
	$$taskq.decline(1, 1, '-1 s')$$,
	$$taskq.decline(1, 1, times => 1001)$$,
	$$taskq.serve(null)$$,
	$$taskq.serve('{}')$$,
	$$taskq.serve('{pull}', null)$$,
	$$taskq.serve('{pull}', '{a, null}')$$,
	$$taskq.serve('{pull, nowhere}')$$,
	$$taskq.serve('{pull}', array[repeat('k', 58)])$$,
	$$taskq.unserved('nowhere')$$,
	$$taskq.unserved(scan => 0)$$,
	$$taskq.cancel(null)$$,
	$$taskq.cancel_many(null)$$,
	$$taskq.cancel_many('{1, null}')$$,
	$$taskq.cancel_many('{{1}}')$$,
	$$taskq.cancel_many(array(select generate_series(1, 100001)))$$,
	$$taskq.results(null)$$,
	$$taskq.results('{1, null}')$$,
	$$taskq.results(array(select generate_series(1, 100001)))$$,
	$$taskq.reschedule(null)$$,
	$$taskq.reschedule(1, priority => 16)$$,
	$$taskq.reschedule(1, priority => -17)$$,
	$$taskq.redrive('nowhere')$$,
	$$taskq.redrive(null)$$,
	$$taskq.redrive('pull', '{running}')$$,
	$$taskq.redrive('pull', null)$$,
	$$taskq.redrive('pull', max_tasks => 0)$$,
	$$taskq.redrive('pull', max_tasks => 100001)$$,
	$$taskq.redrive('pull', spread => '-1 s')$$,
	$$taskq.retry(null)$$,
	$$taskq.acquire('pull', worker => E'\u001b[2J')$$,
	$$taskq.acquire('pull', worker => U&'\009b2J')$$,
	-- the push protocol
	$$taskq_private.push_claim(1, null, '')$$,
	$$taskq_private.push_claim(1, null, repeat('w', 58))$$,
	$$taskq_private.push_claim(1, null, E'\u001b[2J')$$,
	$$taskq_private.push_claim(1, array[repeat('q', 58)], 'w')$$,
	$$taskq_private.push_claim(1, array_fill('q'::text, array[10001]), 'w')$$,
	$$taskq_private.push_next_due(null, repeat('w', 58))$$,
	$$taskq_private.push_report(1, 1, 'maybe', 'http', 200, null, null, false, null, null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 99, null, null, false, null, null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 1000, null, null, false, null, null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, convert_to(repeat('x', 32769), 'UTF8'), null, false, null, null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, convert_to(repeat('x', 67108865), 'UTF8'), false, null, null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, '-1 s', null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, '31 days', null, null, null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, '-1 s', null)$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '[]')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": "garbage"}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": 1}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": {"tls": "1 us"}}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": null}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": "-1 us"}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": "31 days"}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"dns": "178000000000 years"}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, '{"proxy": "1 us"}')$$,
	$$taskq_private.push_report(1, 1, 'retry', 'http', 500, null, null, false, null, null, null, jsonb_build_object('dns', repeat('1', 1024)))$$,
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

-- Drivers that declare the types of parameters find each public function.  PREPARE and CALL resolve a
-- name as a driver does; a call with NULLs may fail for another reason later.
create function call_with(f regprocedure, declared jsonb) returns text language sql as $$
	select format('%s %s(%s)', case p.prokind when 'p' then 'call' else 'select' end, f::regproc,
		(select string_agg(format('%I => null%s', a.name, coalesce('::' || (declared ->> t.typname), '')), ', ' order by n)
			from unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) with ordinality as a (name, type, n)
				join pg_type t on t.oid = a.type))
	from pg_proc p where p.oid = f
$$;
create function found(call text) returns text language plpgsql as $$
begin
	if call like 'call %' then
		execute call;
	else
		execute 'prepare found as ' || call;
		deallocate found;
	end if;
	return 'found';
exception
	when undefined_function or ambiguous_function then return sqlerrm;
	when others then return 'found';
end
$$;
select d.name, found(call_with(p.oid, d.declared)) as result, count(*) > 30 as many,
		string_agg(p.proname, ', ') filter (where found(call_with(p.oid, d.declared)) <> 'found') as missing
	from pg_proc p, (values
		('unknown', '{}'::jsonb),
		('natural', '{"int8": "int8", "int4": "int4", "float8": "float8", "float4": "float8", "text": "text", "jsonb": "jsonb", "bytea": "bytea", "bool": "bool",
			"interval": "interval", "timestamptz": "timestamptz", "_int8": "int8[]", "_text": "text[]", "_jsonb": "jsonb[]",
			"_timestamptz": "timestamptz[]", "_interval": "interval[]"}'),
		('others', '{"int8": "int4", "int4": "int2", "float8": "numeric", "float4": "numeric", "text": "varchar", "timestamptz": "timestamp", "_int8": "int4[]",
			"_text": "varchar[]", "jsonb": "jsonb", "interval": "interval"}')) as d (name, declared)
	where p.pronamespace = 'taskq'::regnamespace group by 1, 2 order by 1, 2;
select a.attrelid::regclass as with_real, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
	where c.relnamespace = 'taskq'::regnamespace and a.atttypid = 'real'::regtype;
drop function found, call_with;

-- None of them has stored anything, and names are data.
select count(*) from taskq.tasks where queue in ('pull', 'push', 'http') and state in ('pending', 'running');
select taskq.create_queue($$a'; drop table taskq_private.task; --"\$$);
select taskq.submit($$a'; drop table taskq_private.task; --"\$$) > 0 as submitted;
select taskq.drop_queue($$a'; drop table taskq_private.task; --"\$$, force => true);

-- A value at the limit is accepted.
select taskq.create_queue(repeat('q', 57));
select taskq.submit(repeat('q', 57), to_jsonb(repeat('x', 1000000)), kind => repeat('k', 57), priority => -16, delay => '36525 days',
	timeout => '1 day', max_attempts => 2147483647) > 0 as submitted;
select count(taskq.submit(repeat('q', 57), payload, delay => '1 day', kind => 'limit')) as submitted from unnest(array[(select jsonb_agg(1e131071) from generate_series(1, 7)),
	to_jsonb(repeat(E'\u0001', 174762)), to_jsonb(repeat('"', 524287)), to_jsonb(repeat('x', 1048568))]) as payload;
select taskq.submit(repeat('q', 57), run_at => '-infinity') > 0 as submitted;
select payload is null, run_at > now() - interval '1 minute' as now from taskq.tasks where queue = repeat('q', 57) and kind is null;
select taskq.submit_http('http://a.example/' || repeat('x', 8192 - 17), method => repeat('M', 32),
	headers => (select jsonb_object_agg('x-' || i, 'y') from generate_series(1, 100) i), queue => 'push') > 0 as submitted;
select taskq.drop_queue(repeat('q', 57), true), taskq.drop_queue('push', true), taskq.drop_queue('pull');
drop function try;
