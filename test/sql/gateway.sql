-- What taskq serve calls: _http_submit(), which reads Miyamoto's bodies; _created(), _acquire_bytes(), _own_privileges().
\set VERBOSITY terse
select taskq.stop_executor();
select taskq.create_queue('q', mode => 'push', retry => 'none');
-- A body, and the task that came of it.
create function try(body text, type text default null, key text default null) returns table (says text, method text, url text, sent text, "json" jsonb,
	headers jsonb, options text)
language plpgsql as $$
declare
	r record;
begin
	r := taskq._http_submit('q', type, convert_to(body, 'UTF8'), key);
	return query select coalesce(r.error, case when r.created then 'created' else 'known' end), t.method, t.url, convert_from(t.request_body, 'UTF8'), t.payload,
		t.request_headers, concat_ws(' ', t.key, nullif(t.priority, 0), t.max_attempts, t.kind,
			case when t.run_at > t.submitted_at + interval '1 s' then 'later' end)
	from (values (1)) one left join taskq.tasks t on t.id = r.id;
end
$$;

-- Forms: fields of the task are decoded, parameters stay as they are.
select b, (try(b)).* from unnest(array[
	'task.url=http://192.0.2.1/w&foo=bar',
	'task.url=http%3A%2F%2F192.0.2.1%2Fw',
	'a=%41+b&task.url=http://192.0.2.1/w&a=2&=&b&c==&%zz&',
	'a&&b&task%2Eurl=http://192.0.2.1/w',
	'task.url=http://192.0.2.1/w&task.method=get&x=1&y=2',
	'task.url=http://192.0.2.1/w?z=0&task.method=DELETE&x=1',
	'task.url=http://192.0.2.1/w&task.method=GET',
	'task.url=http://192.0.2.1/w&task.method=PUT&x=1',
	'task.url=http://192.0.2.1/w&task.countdown=5&task.priority=3&task.max_attempts=7&task.kind=k',
	'task.url=http://192.0.2.1/w&task.countdown=0.001',
	'task.url=http://192.0.2.1/w&task.countdown=-5',
	'task.url=http://192.0.2.1/w&task.eta=4000000000&task.countdown=0',
	'task.url=http://192.0.2.1/w&task.eta=1.5&task.countdown=100',
	'task.url=http://192.0.2.1/w&task.timeout=90&task.retry=default',
	'task.url=http://192.0.2.1/w&task.name=n%20%C3%A4',
	'task.url=http://192.0.2.1/w&task.last_id=n%20%C3%A4']) as b;
-- What is wrong with a form.
select b, (try(b)).says from unnest(array['', 'foo=bar', 'task.url', 'task.url=', 'task.url=%', 'task.url=%ff', 'task.url=%00',
	'task.url=a&task.url=b', 'task.url=a&task.x=1', 'task.=1', 'task.url=a&task.countdown=x', 'task.url=a&task.countdown=1e3', 'task.url=a&task.eta=',
	'task.url=a&task.priority=1.5', 'task.url=a&task.max_attempts=99999999999', 'task.url=a&task.timeout=soon',
	'task.url=a&task.name=x&task.last_id=y']) as b;
select (taskq._http_submit('q', '', '\x7461736b2e75726c3d61267461736b2e6d6574686f643d47455426783dff')).error;
-- Bytes that are no text arrive as they came.
select (taskq._http_submit('q', '', '\x7461736b2e75726c3d687474703a2f2f3139322e302e322e312f7726613dff5c00')).error as bytes;
select request_body from taskq.tasks order by id desc limit 1;

-- JSON, whatever the type says.
select b, (try(b, 'applicatoin/json')).* from unnest(array[
	'{"url": "http://192.0.2.1/w", "params": {"foo": "bar"}}',
	e'\n\t {"url": "http://192.0.2.1/w", "params": {"z": [1, "two", true], "a": 1.50, "ä&": "=+ ~", "e": [], "": ""}}',
	'{"url": "http://192.0.2.1/w", "params": {}}',
	'{"url": "http://192.0.2.1/w"}',
	'{"url": "http://192.0.2.1/w", "method": "GET", "params": {"a": "b c"}}',
	'{"url": "http://192.0.2.1/w", "json": {"n": 12345678901234567890}}',
	'{"url": "http://192.0.2.1/w", "body": "text", "headers": {"Content-Type": "text/plain"}}',
	'{"url": "http://192.0.2.1/w", "params": {"a": 1}, "headers": {"content-type": "x/y", "X-A": "b"}}',
	'{"url": "http://192.0.2.1/w", "countdown": 60, "priority": -3, "name": "j1", "kind": "k", "timeout": "5 s"}',
	'{"url": "http://192.0.2.1/w", "name": "j1"}']) as b;
select b, (try(b)).says from unnest(array['{', '{}', '{"url": "u"} x', '{"url": 1, "colour": 2}', '{"url": "u", "url": "v"}', '{"url": null}',
	'{"url": ["u"]}', '{"url": "u", "params": 1}', '{"url": "u", "params": {"a": null}}', '{"url": "u", "params": {"a": {}}}',
	'{"url": "u", "params": {"a": [[1]]}}', '{"url": "u", "body": 1}', '{"url": "u", "body": "", "json": 1}', '{"url": "u", "headers": []}',
	'{"url": "u", "eta": true}', '{"url": "\ud800"}', '{"url": "\u0000"}', '[]', '"x"']) as b;
select (try('x', 'text/plain')).says;
select (try('task.url=http://192.0.2.1/w', 'Application/X-WWW-Form-URLencoded; charset=utf-8')).says;
-- Keys.
select (try('task.url=http://192.0.2.1/w', key => 'i1')).says;
select (try('task.url=http://192.0.2.1/w', key => 'i1')).says as again, (try('task.url=http://192.0.2.1/w&task.name=i2', key => 'i1')).says as differs;
select (taskq._http_submit('q', '', 'task.url=http://192.0.2.1/w', trace => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')).id \gset
select trace from taskq.tasks where id = :id;
-- Errors of submit_http() are raised.
select taskq._http_submit('nowhere', '', 'task.url=http://192.0.2.1/w');
select taskq._http_submit('default', '', 'task.url=http://192.0.2.1/w');
select taskq._http_submit('q', '', 'task.url=ftp://192.0.2.1/w');

-- created
select taskq.submit('default', key => 'c') as id \gset
select taskq._created(:id), taskq._created(:id - 1), taskq._created(null);
select taskq._created(taskq.submit('default', key => 'c')) as kept, taskq._created(taskq.submit('default', key => 'c', on_duplicate => 'replace')) as replaced,
	taskq._created(taskq.submit('default', key => 'd')) as made;

-- As many tasks as an answer has room for: payloads of 1000 bytes, of 3002 as text, none.
select taskq.create_queue('large');
select count(*) from taskq.submit_many('large', array_fill(to_jsonb(repeat('x', 998)), array[12]));
select count(*) from taskq.submit_many('large', array_fill(to_jsonb(repeat(e'\x01', 500)), array[2]));
select count(*) from taskq.submit_many('large', array_fill(null::jsonb, array[2]));
create function take(max_tasks int, max_bytes int) returns table (tasks bigint, attempts int, bytes bigint)
language sql as $$
	select count(*), max(attempt), sum(octet_length(payload::text)) from taskq._acquire_bytes('large', max_tasks, '1 h', 'w', null, max_bytes)
$$;
select * from take(20, 1);
select * from take(20, 2999);
select * from take(2, 100000);
-- The others wait, and no attempt of theirs is used.
select state, attempt, count(*) from taskq.tasks where queue = 'large' group by 1, 2 order by 1;
-- Payloads are small here, so several are claimed at a time.
set taskq.max_payload = 1024;
select * from take(20, 2049);
reset taskq.max_payload;
select * from take(20, 4001);
select * from take(20, 1000000);
select * from take(20, null);
select * from take(0, 1);
drop function take;
select taskq.drop_queue('large', true);

-- privileges
create role one; create role two; create role member; grant one to member;
select taskq.grant_queue('q', 'one', '{submit,view}'), taskq.grant_queue('default', 'one', '{work}'), taskq.grant_queue('q', 'two', '{control}');
set role one;
select * from taskq._own_privileges() order by 1;
set role member;
select * from taskq._own_privileges() order by 1;
set role two;
select * from taskq._own_privileges() order by 1;
select taskq._http_submit('q', '', 'task.url=http://192.0.2.1/w');
set role one;
select (taskq._http_submit('q', '', 'task.url=http://192.0.2.1/w')).created;
reset role;
select taskq.revoke_queue('q', 'one', '{submit,view}'), taskq.revoke_queue('default', 'one', '{work}'), taskq.revoke_queue('q', 'two', '{control}');
drop role one, two, member;
drop function try;
select taskq.drop_queue('q', true);
select taskq.purge_queue('default') >= 0 as purged;
select taskq.start_executor();
