-- Templates: a task as a JSON object, judged strictly.
\set VERBOSITY terse
select taskq.create_queue('t_mail', keep_origin => true), taskq.create_queue('t_mute', mode => 'push'), taskq.create_queue('t_hook', mode => 'push', url => 'http://192.0.2.1/hook');
select taskq.create_endpoint('t_crm', 'https://crm.example.com/api');
select taskq.disarm();

-- Every argument reaches the task, and the defaults are those of the functions.
select taskq.submit_template('{"queue": "t_mail", "payload": {"to": "ada"}, "key": "k", "priority": -3, "delay": "1 h", "start_within": "1 day",
	"timeout": "2 s", "retry": "webhook", "max_attempts": 7, "kind": "letter", "on_duplicate": "replace"}') as id \gset
select queue, key, priority, run_at - submitted_at > '59 min' as later, max_attempts, kind, payload, origin ->> 'role' from taskq.tasks where id = :id;
select timeout, retry, start_by is not null from taskq_private.task where id = :id;
-- Its own key again.
select taskq.submit_template('{"queue": "t_mail", "payload": 2, "key": "k", "on_duplicate": "replace"}') = :id as replaced, taskq.submit_template('{"queue": "t_mail", "key": "k"}') = :id as kept;
select taskq.submit_template('{"queue": "t_mail"}') as plain, taskq.submit('t_mail') as direct \gset
select count(*) from (select (to_jsonb(t) - array['id', 'submitted_at', 'run_at', 'origin']) as t from taskq_private.task t where id in (:plain, :direct)) x group by t;
select taskq.submit_template('{"queue": "t_mail", "payload": null}') as id \gset
select payload, payload is null from taskq_private.task where id = :id;
select taskq.submit_template('{"url": "https://example.com/a b", "method": "PUT"}');
select taskq.submit_template('{"url": "https://example.com/", "payload": [1], "method": "PUT", "headers": {"X-A": "b"}, "kind": "call", "timeout": "3 s", "queue": "t_mute"}') as id \gset
select queue, method, url, payload, request_headers, kind from taskq.tasks where id = :id;
select taskq.submit_template('{"url": "https://example.com/", "body": "grün", "key": "u", "priority": 1, "delay": "1 d", "start_within": "2 d", "retry": "none", "max_attempts": 2, "on_duplicate": "keep"}') as id \gset
select queue, method, convert_from(request_body, 'UTF8'), key, priority, max_attempts from taskq.tasks where id = :id;
select taskq.submit_template('{"endpoint": "t_crm", "path": "/people?x=1", "payload": {"id": 1}}') as id \gset
select queue, method, url from taskq.tasks where id = :id;
select count(*) from taskq.tasks where queue = 't_hook' and id = taskq.submit_template('{"queue": "t_hook", "payload": 1}');

-- What is no template, or a wrong one.
create function refused(task jsonb) returns text language plpgsql as $$
declare
	message text;
	detail text;
begin
	perform taskq.submit_template(task);
	return 'submitted';
exception when others then
	get stacked diagnostics message = message_text, detail = pg_exception_detail;
	return sqlstate || ' ' || message || ': ' || detail;
end
$$;
select t, refused(t::jsonb) from (values
	(null), ('1'), ('[]'), ('"t_mail"'), ('{}'), ('{"payload": 1}'),
	('{"queue": "t_mail", "url": "http://example.com/", "endpoint": "t_crm"}'), ('{"queue": "t_crm", "endpoint": "t_crm"}'),
	('{"queue": "t_mail", "color": 1}'), ('{"queue": "t_mail", "run_at": "now"}'), ('{"queue": "t_mail", "headers": {}}'), ('{"queue": "t_mail", "Priority": 1}'),
	('{"endpoint": "t_crm", "urls": "x"}'),
	('{"queue": 1}'), ('{"queue": null}'), ('{"queue": "t_mail", "priority": "1"}'), ('{"queue": "t_mail", "priority": 1.5}'), ('{"queue": "t_mail", "priority": 1e99}'),
	('{"queue": "t_mail", "priority": 16}'), ('{"queue": "t_mail", "max_attempts": 0}'), ('{"queue": "t_mail", "key": 1}'), ('{"queue": "t_mail", "key": null}'),
	('{"queue": "t_mail", "key": ""}'), ('{"queue": "t_mail", "delay": 5}'), ('{"queue": "t_mail", "delay": "soon"}'), ('{"queue": "t_mail", "delay": "1 parsec"}'),
	('{"queue": "t_mail", "delay": "-1 s"}'), ('{"queue": "t_mail", "delay": "999999999999 years"}'), ('{"queue": "t_mail", "timeout": "2 days"}'),
	('{"queue": "t_mail", "delay": "2 h", "start_within": "1 h"}'), ('{"queue": "t_mail", "kind": ["a"]}'),
	('{"queue": "t_mail", "retry": "never"}'), ('{"queue": "t_mail", "on_duplicate": "raise"}'), ('{"queue": "t_mail", "on_duplicate": "merge"}'),
	('{"queue": "none"}'), ('{"queue": "t_mute"}'), ('{"url": "ftp://example.com/"}'), ('{"url": "http://example.com/", "queue": "t_mail"}'),
	('{"url": "http://example.com/", "path": "/x"}'), ('{"url": "http://example.com/", "method": "GET IT"}'), ('{"url": "http://example.com/", "body": 1}'),
	('{"url": "http://example.com/", "body": "a", "payload": "a"}'), ('{"url": "http://example.com/", "headers": "X-A: b"}'),
	('{"url": "http://example.com/", "headers": {"Host": "b"}}'), ('{"endpoint": "t_mail"}'), ('{"endpoint": "none"}'), ('{"endpoint": "t_crm", "path": "x"}'),
	('{"call": "f(jsonb)"}'), ('{"topic": "t_mail", "queue": "t_mail"}')) x (t);
-- 8 kB as text, with its quotes.
select refused(jsonb_build_object('queue', 't_mail', 'payload', repeat('x', 8158))), refused(jsonb_build_object('queue', 't_mail', 'payload', repeat('x', 8159)));

-- The current user submits.
create role template_user;
select taskq.grant_queue('t_mail', 'template_user', '{submit}'), taskq.grant_queue('t_hook', 'template_user', '{view}');
grant execute on function refused to template_user;
set role template_user;
select t, refused(t::jsonb) from (values ('{"queue": "t_mail"}'), ('{"queue": "t_hook"}'), ('{"queue": "default"}'), ('{"url": "http://example.com/"}'), ('{"endpoint": "t_crm"}')) x (t);
reset role;
set default_transaction_read_only = on;
select refused('{"queue": "t_mail"}');
reset default_transaction_read_only;
-- A judged template leaves nothing.
begin;
select count(*) from taskq_private.task \gset before_
select taskq_private.judge_template('{"queue": "t_mail", "key": "judged"}'), taskq_private.judge_template('{"url": "http://example.com/"}');
select count(*) = :before_count from taskq_private.task;
select count(*) from taskq_private.key where key = 'judged';
rollback;
select taskq_private.judge_template('{"queue": "t_mail", "delay": "2 h", "start_within": "1 h"}');

select taskq.drop_queue('t_mail', true), taskq.drop_queue('t_mute', true), taskq.drop_queue('t_hook', true), taskq.drop_queue('t_crm', true);
drop function refused;
drop role template_user;
select taskq.purge_queue('http');
