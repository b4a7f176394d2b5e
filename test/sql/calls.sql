-- Submitting calls, and what is refused.  t/063_calls.pl and t/064_calls_security.pl make calls.

set client_min_messages = warning;
create role call_user login;
create role call_stranger login;
create schema calls authorization call_user;
grant usage on schema calls to call_stranger;
select taskq.grant_queue('call', 'call_user', '{submit, view, control}');
select taskq.grant_queue(q, 'call_user', '{submit}') from unnest('{default, http}'::text[]) q;
select taskq.pause_queue('call');

-- SQLSTATE, message and detail of the error that a statement raises.
create function pg_temp.refused(statement text) returns text language plpgsql as $$
declare
	m text;
	d text;
begin
	execute statement;
	return 'accepted';
exception when others then
	get stacked diagnostics m = message_text, d = pg_exception_detail;
	return sqlstate || ' ' || m || ': ' || d;
end
$$;

-- The queue exists from the start.
select queue, mode, url, retry, executor from taskq.queues where queue = 'call';
select taskq.drop_queue('call');
select taskq.create_queue('call');
select taskq.create_queue('calls', mode => 'call', on_dead => '{"queue": "default"}');
select w, pg_temp.refused(format('select taskq.create_queue(%L, mode => %L, %s)', 'bad', 'call', w)) from unnest(array[
	$$url => 'http://a.example/'$$, $$executor => 'external'$$, $$header_style => 'miyamoto'$$, $$accept_202 => true$$]) w;
select taskq.alter_queue('calls', mode => 'pull'), taskq.alter_queue('calls', mode => 'call');

set role call_user;
set search_path = calls;
create type pair as (a int, b text);
create domain small as int check (value < 10);
create function f(a int, b text default 'x') returns text language sql as 'select b || a';
create function f(a int) returns text language sql as $$select 'other'$$;
create function of_json(outcome jsonb, more json default '{}') returns jsonb language sql as 'select outcome';
create function of_pair(p pair, q pair[] default '{}', s small default 1, t timestamptz default now(), i interval default '0') returns int language sql as 'select 1';
create function unnamed(int, text) returns int language sql as 'select 1';
create function "a""b"("x y" int) returns int language sql as 'select 1';
create procedure p(a int, out b int) language plpgsql as $$begin b := a; end$$;
create function "of any"(anyelement) returns anyelement language sql as 'select $1';
create function of_set() returns setof int language sql as 'select 1';
create function of_trigger() returns trigger language plpgsql as 'begin return null; end';
create aggregate total(int) (sfunc = int4pl, stype = int, initcond = '0');

-- What is stored: JSON where its meaning depends on no setting, else the text of the value.
set datestyle = 'SQL, DMY';
set intervalstyle = 'sql_standard';
set timezone = 'Asia/Tokyo';
create table submitted as
select taskq.submit_call('f(int, text)', '[1]') as id, 1 as n
union all select taskq.submit_call('f(int, text)', '["1", "y"]'), 2
union all select taskq.submit_call('f(int, text)', '[null]', '{"b": null}'), 3
union all select taskq.submit_call('f(int)', '[1]'), 4
union all select taskq.submit_call('of_json(jsonb, json)', '[{"a": [1, null]}, "text"]'), 5
union all select taskq.submit_call('of_pair(pair, pair[], small, timestamptz, interval)', '[{"b": "x"}, [{"a": 1}, null], 5]', '{"t": "03/02/2026 04:05", "i": "1 2:00:00"}'), 6
union all select taskq.submit_call('unnamed(int, text)', '[1, "x"]'), 7
union all select taskq.submit_call('"a""b"(int)', '[]', '{"x y": 1}', queue => 'call', key => 'k', kind => 'sort', priority => -3), 8
union all select taskq.submit_call('p(int)', '[5]'), 9
union all select taskq.submit_call('of_set()', on_demand => true), 10
union all select taskq.submit_template('{"call": "of_set()", "on_demand": true}'), 11
union all select taskq.submit_template('{"call": "of_set()", "on_demand": false}'), 12;
reset datestyle;
reset intervalstyle;
reset timezone;
select n, call - 'role' as call, state, key, kind, priority from taskq.tasks join submitted using (id) order by n;
select distinct call -> 'role' as role from taskq.tasks join submitted using (id);

-- What does not fit.
select w, pg_temp.refused('select taskq.submit_call(' || w || ')') from unnest(array[
	$$null$$,
	$$'gone()'$$,
	$$0$$,
	$$'f(int, text)'$$,
	$$'f(int, text)', '[1, "a", 2]'$$,
	$$'f(int, text)', '["one"]'$$,
	$$'f(int, text)', '[{"a": 1}]'$$,
	$$'f(int, text)', '[1.5]'$$,
	$$'f(int, text)', '[99999999999]'$$,
	$$'f(int, text)', '[1]', '{"c": 1}'$$,
	$$'f(int, text)', '[1]', '{"a": 1}'$$,
	$$'f(int, text)', '[1]', '{"": 1}'$$,
	$$'f(int, text)', '{"a": 1}'$$,
	$$'f(int, text)', '1'$$,
	$$'f(int, text)', '[1]', '[1]'$$,
	$$'of_pair(pair, pair[], small, timestamptz, interval)', '[5]'$$,
	$$'of_pair(pair, pair[], small, timestamptz, interval)', '[{}, 5]'$$,
	$$'of_pair(pair, pair[], small, timestamptz, interval)', '[{}, [], 10]'$$,
	$$'of_pair(pair, pair[], small, timestamptz, interval)', '[{}, [], 1, "yesterday evening"]'$$,
	$$'unnamed(int, text)', '[1]'$$,
	$$'unnamed(int, text)', '[1, "a"]', '{"unnamed": 1}'$$,
	$$'"of any"(anyelement)', '[1]'$$,
	$$'of_trigger()'$$,
	$$'total(int)', '[1]'$$,
	$$'pg_catalog.rank()'$$,
	$$'f(int)', '[1]', queue => 'default'$$,
	$$'f(int)', '[1]', queue => 'http'$$,
	$$'f(int)', '[1]', queue => 'calls'$$,
	$$'f(int)', '[1]', timeout => '2 days'$$,
	$$'f(int)', '[1]', retry => 'gone'$$,
	$$'f(int)', '[1]', priority => 99$$,
	$$'of_json(jsonb, json)', jsonb_build_array(repeat('x', 1100000))$$]) w;
set role none;
select pg_temp.refused($$select taskq.submit_call('calls.f(int)', '[1]')$$);

-- The queue is of one mode only.
select w, pg_temp.refused('select * from taskq.' || w) from unnest(array[
	$$submit('call', '1')$$,
	$$submit_many('call', array['1'::jsonb])$$,
	$$submit_http('http://a.example/', queue => 'call')$$,
	$$acquire('call')$$,
	$$finish_and_acquire('call', '{}', '{}')$$,
	$$subscribe('topic', 'call')$$,
	$$submit_template('{"queue": "call"}')$$]) w;
select taskq.create_queue('calls_topic', mode => 'topic');
select pg_temp.refused($$select taskq.subscribe('calls_topic', 'calls')$$);

-- Templates.
set role call_user;
set search_path = calls, pg_temp;
create table of_templates as select taskq.submit_template('{"call": "f(int)", "args": ["1"], "kind": "made", "delay": "1 hour"}') as id;
select call, kind, run_at > now() + interval '59 min' as later from taskq.tasks join of_templates using (id);
select w, pg_temp.refused(format('select taskq.submit_template(%L)', w)) from unnest(array[
	'{"call": "f(int)"}',
	'{"call": "f(int)", "args": [1], "payload": 1}',
	'{"call": "f(int)", "args": [1], "run_at": "2030-01-01"}',
	'{"call": "f(int)", "args": [1], "url": "http://a.example/"}',
	'{"call": "f(int)", "args": [1], "role": "postgres"}',
	'{"call": "f(int)", "args": [1], "caller": 1}',
	'{"call": "f(int)", "args": [1], "on_duplicate": "raise"}',
	'{"call": "f(int)", "args": [1], "on_demand": "yes"}',
	'{"queue": "default", "on_demand": true}',
	'{"call": "f(int)", "args": [1], "queue": "default"}',
	'{"call": "f(unknown_type)", "args": [1]}',
	'{"call": "f", "args": [1]}',
	'{"call": 1}']) w;
-- In a follow-up the outcome is the first argument unless args are given.
select w, pg_temp.refused(format('select taskq.submit_call(%L, %L, on_finish => %L)', 'f(int)', '[1]', w)) from unnest(array[
	'{"call": "of_json(jsonb,json)"}',
	'{"call": "of_json(jsonb,json)", "kwargs": {"more": 1}}',
	'{"call": "f(int)"}',
	'{"call": "f(int)", "args": [1]}',
	'[{"queue": "call"}]',
	'[{"call": "of_json(jsonb,json)", "on_finish": {"call": "f(int)"}}]']) w;

-- One task for a key, as elsewhere.
create table twice as select taskq.submit_call('f(int)', '[1]', key => 'same') as id;
insert into twice select taskq.submit_call('f(int)', '[2]', key => 'same');
insert into twice select taskq.submit_call('f(int)', '[3]', key => 'same', on_duplicate => 'replace');
select count(distinct id), min(call ->> 'args') from taskq.tasks join twice using (id);

-- Outside of a call.
select taskq.current_task();
select pg_temp.refused('select taskq.progress(1, null, 0.5)');
select pg_temp.refused($$select taskq.emit(1, null, '1')$$);

-- Who has no privilege, or may not execute.
set role call_stranger;
select pg_temp.refused($$select taskq.submit_call('calls.f(int)', '[1]')$$);
set role none;
select taskq.grant_queue('call', 'call_stranger', '{submit}');
revoke execute on function calls.f(int) from public;
set role call_stranger;
select pg_temp.refused($$select taskq.submit_call('calls.f(int)', '[1]')$$);
set role none;
revoke execute on function calls.f(int) from call_stranger;

-- A cancelled call can be brought back; but not to a queue of another mode.
select taskq.cancel(id) from calls.submitted where n = 1;
select state, call - 'role' as call from taskq.tasks join calls.submitted using (id) where n = 1;
select taskq.retry(id) from calls.submitted where n = 1;
select state, call - 'role' as call from taskq.tasks join calls.submitted using (id) where n = 1;
set role call_user;
create table calls.moved as select taskq.cancel(id), id from (select taskq.submit_call('calls.p(int)', '[1]') as id) x;
set role none;
select taskq.purge_queue('call') > 0 as purged;
select taskq.alter_queue('call', mode => 'pull');
select regexp_replace(pg_temp.refused(format('select taskq.retry(%s)', id)), 'Task \d+', 'Task N'), taskq.redrive('call', '{cancelled}') from calls.moved;
select taskq.alter_queue('call', mode => 'call');
select taskq.redrive('call', '{cancelled}') > 0 as redriven;
select taskq.purge_queue('call') > 0 as purged;

select taskq.drop_queue('calls'), taskq.drop_queue('calls_topic'), taskq.resume_queue('call');
select taskq.revoke_queue('call', r, '{submit, view, control}') from unnest('{call_user, call_stranger}'::text[]) r;
select taskq.revoke_queue(q, 'call_user', '{submit}') from unnest('{default, http}'::text[]) q;
drop schema calls cascade;
drop role call_user, call_stranger;
