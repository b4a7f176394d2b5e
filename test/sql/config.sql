-- apply_config() and export_config(): what a document names becomes as it says, in one transaction.
\set VERBOSITY default
-- In a database of its own, where nothing else is.
select current_database() as regression \gset
create database regress_config;
\c regress_config
create extension taskq;
create role regress_shop;
create role regress_mailer;
create role regress_admin in role taskq_admin;
grant create on schema public to regress_admin;
set role regress_admin;

-- An empty database exports nothing.
select taskq.export_config();
select * from taskq.apply_config('{}', prune => true);

-- The document of the tests.
\set document '{"policies": {"slow": {"backoff": "exponential", "base": "10 s", "max_delay": "1 h", "max_attempts": 10}, "steps": {"backoff": "schedule", "delays": ["1 s", "1 min"]}}, "queues": {"mail": {"lease_for": "60 s", "retry": "slow", "grants": {"regress_shop": ["submit"], "regress_mailer": ["work", "view"]}, "limit": {"max_running": 5, "rate": 2.5}, "on_dead": {"queue": "zoo", "payload": {"a": null}, "on_finish": {"url": "http://192.0.2.1/", "headers": {"Authorization": "Bearer s3cr3t"}}}}, "default": {"keep_dead": "7 days"}, "hooks": {"mode": "push", "url": "https://hooks.example.com/?key=1", "executor": "external"}, "orders": {"mode": "topic"}, "zoo": {"ordered": true, "keep_payload": true, "group_limit": {"max_running": 1}, "group_limits": {"acme": {"rate": 3, "weight": 2}, "free": null}, "subscriptions": {"orders": {"kinds": ["paid", "new"]}}}}, "endpoints": {"acme": {"url": "https://hooks.example.com/acme", "rate": 20, "timeout": "10 s", "keep_dead": "1 day", "headers": {"Authorization": "Bearer s3cr3t", "X-More": "1"}, "secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}, "schedules": {"report": {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "starts": "2027-01-01 00:00", "task": {"url": "https://192.0.2.1/r", "headers": {"X-Token": "s3cr3t"}, "payload": {"headers": {"X": {"!env": "Y"}}}}}}}'

-- A dry run says what would be done, and does nothing.
select * from taskq.apply_config(:'document', dry_run => true);
select taskq.export_config();
select * from taskq.apply_config(:'document');
-- Once more: there is nothing to do.
select * from taskq.apply_config(:'document');
select * from taskq.apply_config(:'document', prune => true, force => true);

-- What there is, without secrets.
select jsonb_pretty(taskq.export_config());
select taskq.export_config()::text ~ 'Bearer|s3cr3t|whsec' as secrets;
-- To apply that changes nothing, whatever the settings of the session are.
select * from taskq.apply_config(taskq.export_config());
set IntervalStyle = 'iso_8601';
set DateStyle = 'SQL, DMY';
set TimeZone = 'Asia/Tokyo';
select * from taskq.apply_config(taskq.export_config(), prune => true, force => true);
select * from taskq.apply_config(:'document');
reset IntervalStyle;
reset DateStyle;
reset TimeZone;

-- The schedule belongs to the role that applied it.
select owner, starts from taskq.schedules;
select endpoint, url, header_names, signed, rate, timeout, secrets_missing from taskq.endpoints;

-- ---- changes -----------------------------------------------------------------------------------

-- Only what is named is touched; a key that is not there leaves its setting as it is.
select * from taskq.apply_config('{"queues": {"mail": {"retry": "default", "on_dead": [], "grants": {"regress_mailer": ["work", "submit"]}, "limit": {}}}}');
select taskq.export_config() #> '{queues, mail}';
select * from taskq.apply_config('{"queues": {"hooks": {"url": ""}, "mail": {"lease_for": null, "url": ""}, "zoo": {"subscriptions": {"orders": null}, "group_limit": {}, "group_limits": {"acme": {"rate": 3}}}}}');
-- A policy is declared as a whole, also one that is in use.
select taskq.alter_queue('mail', retry => 'slow');
select * from taskq.apply_config('{"policies": {"slow": {"base": "20 s"}}}');
select backoff, base, max_delay, max_attempts from taskq.retry_policies where name = 'slow';
-- So is a schedule.
select * from taskq.apply_config('{"schedules": {"report": {"every": "1 hour", "task": {"queue": "mail"}}}}');
select * from taskq.apply_config('{"schedules": {"report": {"every": "60 min", "timezone": "utc", "task": {"queue": "mail"}}}}');
-- An endpoint: headers and secret are compared, and not shown.
select * from taskq.apply_config('{"endpoints": {"acme": {"headers": {"Authorization": "Bearer other"}, "secret": "", "rate": 0, "timeout": "20 s", "retry": "slow"}}}');
select * from taskq.apply_config('{"endpoints": {"acme": {"headers": {"Authorization": "Bearer other"}, "secret": "", "rate": 0, "timeout": "20 s", "retry": "slow"}}}');
-- A limit that is not so much a second.
select * from taskq.apply_config('{"endpoints": {"acme": {"limit": {"max_running": 3, "rate": 5, "per": "1 min"}}}}');
select taskq.export_config() #> '{endpoints, acme, limit}' as limit_, taskq.export_config() #> '{endpoints, acme}' ? 'rate' as rate;
select * from taskq.apply_config(taskq.export_config());

-- ---- prune ----------------------------------------------------------------------------------------

select taskq.create_queue('old'), taskq.create_queue('older'), taskq.create_retry_policy('unused') from taskq.submit('mail', '1');
select count(taskq.submit('old', '1')) from generate_series(1, 12);
-- Without prune, a dry run tells what it would drop.
select * from taskq.apply_config('{"policies": {"slow": {"base": "20 s"}}, "queues": {"mail": {"grants": {"regress_shop": ["submit"]}}, "zoo": {"group_limits": {}, "subscriptions": {}}}}', dry_run => true);
select * from taskq.apply_config('{"policies": {"slow": {"base": "20 s"}}, "queues": {"mail": {"grants": {"regress_shop": ["submit"]}}, "zoo": {"group_limits": {}, "subscriptions": {}}}}', prune => true, dry_run => true);
-- Live tasks are in the way, and nothing is done.
select * from taskq.apply_config('{"policies": {"slow": {"base": "20 s"}}, "queues": {"mail": {"grants": {"regress_shop": ["submit"]}}, "zoo": {"group_limits": {}, "subscriptions": {}}}}', prune => true);
select string_agg(queue, ' ' order by queue) from taskq.queues;
select * from taskq.apply_config('{"policies": {"slow": {"base": "20 s"}}, "queues": {"mail": {"grants": {"regress_shop": ["submit"]}}, "zoo": {"group_limits": {}, "subscriptions": {}}}}', prune => true, force => true);
select string_agg(queue, ' ' order by queue) from taskq.queues;
select string_agg(name, ' ' order by name) from taskq.retry_policies;
-- A section that is null is not there; one that is empty names nothing.
select * from taskq.apply_config('{"schedules": null, "endpoints": {}}', prune => true);
select * from taskq.apply_config('{"schedules": {}}', prune => true);
-- A policy that a queue still uses.
select * from taskq.apply_config('{"policies": {}}', prune => true);

-- ---- mistakes ----------------------------------------------------------------------------------------

create function pg_temp.try(config text) returns text language plpgsql as $$
declare
	detail text;
	hint text;
begin
	perform taskq.apply_config(config::jsonb);
	return 'done';
exception when others then
	get stacked diagnostics detail = pg_exception_detail, hint = pg_exception_hint;
	return format(E'%s: %s\n%s\n%s', sqlstate, sqlerrm, detail, hint);
end
$$;
\pset format unaligned
\pset tuples_only on
select pg_temp.try(config) || E'\n' from unnest(array[
	'[]', '"x"',
	'{"queus": {}}', '{"nothing": {}}', '{"queues": []}', '{"queues": {"mail": 1}}',
	'{"queues": {"mail": {"lease_fr": "1 s"}}}', '{"endpoints": {"x": {"mode": "push"}}}', '{"policies": {"x": {"name": "y"}}}',
	'{"queues": {"mail": {"lease_for": "soon"}}}', '{"queues": {"mail": {"lease_for": 60}}}', '{"queues": {"mail": {"lease_for": "1 ms"}}}',
	'{"queues": {"mail": {"keep_payload": "perhaps"}}}', '{"queues": {"mail": {"keep_payload": 1}}}', '{"queues": {"mail": {"retry": {}}}}',
	'{"policies": {"x": {"factor": []}}}', '{"policies": {"x": {"max_attempts": 1.5}}}', '{"policies": {"x": {"delays": "1 s"}}}',
	'{"policies": {"x": {"delays": [1]}}}', '{"policies": {"x": {"backoff": "quick"}}}', '{"policies": {"default": {"base": "5 s"}}}',
	'{"queues": {"mail": {"retry": "none such"}}}', '{"queues": {"": {}}}',
	'{"queues": {"mail": {"url": "ftp://example.com/"}}}', '{"queues": {"mail": {"on_dead": {"queue": "nowhere"}}}}',
	'{"queues": {"mail": {"limit": {"max_runing": 5}}}}', '{"queues": {"mail": {"limit": 5}}}', '{"queues": {"mail": {"limit": {"rate": -1}}}}',
	'{"queues": {"mail": {"group_limits": {"a": {"wait": 5}}}}}', '{"queues": {"mail": {"grants": {"regress_shop": "work"}}}}',
	'{"queues": {"mail": {"grants": {"regress_shop": null}}}}', '{"queues": {"mail": {"grants": {"regress_shop": ["wrk"]}}}}',
	'{"queues": {"mail": {"grants": {"regress_none": ["work"]}}}}', '{"queues": {"mail": {"subscriptions": {"mail": {}}}}}',
	'{"queues": {"mail": {"subscriptions": {"zoo": {"kind": "x"}}}}}',
	'{"endpoints": {"x": {}}}', '{"queues": {"mail": {"url": "http://192.0.2.1/"}}}', '{"endpoints": {"x": {"url": "https://x.example/?a=b"}}}',
	'{"endpoints": {"x": {"url": "https://x.example/", "secret": "s3cr3t"}}}', '{"endpoints": {"x": {"url": "https://x.example/", "secret": 5}}}',
	'{"endpoints": {"x": {"url": "https://x.example/", "rate": 5, "limit": {}}}}',
	'{"endpoints": {"x": {"url": "https://x.example/", "headers": {"A": {"!env": "B"}}}}}',
	'{"endpoints": {"x": {"url": "https://x.example/", "secret": {"!env": "B"}}}}',
	'{"endpoints": {"x": {"url": {"!env": "B"}}}}',
	'{"schedules": {"x": {"every": "1 h", "task": {"url": "https://x.example/", "headers": {"A": {"!env": "B"}}}}}}',
	'{"endpoints": {"mail": {"url": "https://x.example/"}}}', '{"queues": {"x": {}}, "endpoints": {"x": {"url": "https://x.example/"}}}',
	'{"schedules": {"x": {"cron": "61 * * * *", "task": {"queue": "mail"}}}}', '{"schedules": {"x": {"every": "1 h"}}}',
	'{"schedules": {"x": {"every": "1 h", "task": {"queue": "nowhere"}}}}']) as config;
\pset format aligned
\pset tuples_only off
drop function pg_temp.try(text);
select taskq.export_config() - 'queues' as left_, (select string_agg(queue, ' ' order by queue) from taskq.queues) as queues;

-- ---- rights -------------------------------------------------------------------------------------------

-- A plan contains stored secrets.  No role can make one and look at it.
select * from taskq_private.config_plan('{}', false, false, false);
select taskq_private.config_state(true);
-- The calls are made with the rights of the caller: EXECUTE on the functions is not enough.
reset role;
grant execute on function taskq.apply_config, taskq_private.carry_out, taskq_private.make_call, taskq_private.config_place to regress_shop;
grant usage on schema taskq_private to regress_shop;
set role regress_shop;
select * from taskq.apply_config('{"queues": {"mine": {}}}');
select * from taskq.apply_config('{"queues": {"mail": {"limit": {"max_running": 1}}}}');
reset role;
set role regress_mailer;
select * from taskq.apply_config('{}');
select taskq.export_config();
reset role;
revoke execute on function taskq.apply_config, taskq_private.carry_out, taskq_private.make_call, taskq_private.config_place from regress_shop;
revoke usage on schema taskq_private from regress_shop;

begin read only;
select * from taskq.apply_config('{}');
rollback;

-- One variable cannot stand for the secrets of two.
select taskq.create_endpoint('a-b', 'https://hooks.example.com/1', headers => '{"X": "1"}') is not null as one,
	taskq.create_endpoint('a_b', 'https://hooks.example.com/2', headers => '{"Y": "1"}') is not null as two;
select jsonb_path_query_array(taskq.export_config(), 'strict $.**."!env"') ?& '{A_B_X, A_B_Y}' as distinct_;
select taskq.alter_endpoint('a_b', headers => '{"X": "2"}');
select taskq.export_config();
select taskq.drop_queue('a-b'), taskq.drop_queue('a_b');

select taskq.revoke_queue('mail', 'regress_shop', '{submit}');
revoke create on schema public from regress_admin;
\c :regression
drop database regress_config;
drop role regress_shop, regress_mailer, regress_admin;
