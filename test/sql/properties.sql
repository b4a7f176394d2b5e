\	iming
-- Properties of every payload, every policy and every number of attempts.
-- The values are random, but the same at every run; only violations are shown.
\set VERBOSITY terse
set timezone = 'UTC';
select taskq.create_queue('properties', lease_for => '10 minutes');

-- ---- payloads and results are stored unchanged --------------------------------------

create function one_of(variadic choices text[]) returns text language sql volatile as
	$$ select choices[1 + floor(random() * cardinality(choices))::int] $$;

-- JSON source text.
create function any_string() returns text language plpgsql volatile as $$
declare
	s text := '';
begin
	for i in 1 .. floor(random() * 6)::int loop
		s := s || one_of('a', ' ', 'Zürich', '\"', '\\', '\/', '\b\f\n\r\t', '\u0001', '\u001f', '\u007f', '\u00e9', 'é', 'e\u0301', '€',
			'\ud83d\ude00', '😀', '\uffff', '\ufeff', '\u200b', '日本', '--', '$1', '%s', '{}', 'null', 'true', '1e3', ''';', '\\u0041',
			chr(floor(160 + random() * 50000)::int));
	end loop;
	return '"' || s || '"';
end
$$;

create function any_number() returns text language sql volatile as $$
	select one_of('', '-') || one_of('0', '0.0', '0.10', '1.50000', '1e3', '1E-7', '9007199254740993', '9223372036854775808', '1e308', '1e-400', '1e5000',
		'0.' || repeat('0', 400) || '1', '1' || repeat('7', 2000), '3.' || repeat('14159', 500),
		floor(random() * 1e6)::text, random()::text)
$$;

create function any_json(depth int) returns text language plpgsql volatile as $$
declare
	n constant int := floor(random() * 6);
	kind constant text := case when depth > 0 then one_of('object', 'array', 'scalar') else 'scalar' end;
	parts text[] := '{}';
begin
	if kind = 'scalar' then
		return case one_of('number', 'string', 'string', 'word') when 'number' then any_number() when 'string' then any_string()
			else one_of('null', 'true', 'false', '{}', '[]', '""', '{"": null}') end;
	end if;
	for i in 1 .. n loop
		parts := parts || (case kind when 'object' then any_string() || ': ' else '' end || any_json(depth - 1));
	end loop;
	return case kind when 'object' then '{' || array_to_string(parts, ',') || '}' else '[' || array_to_string(parts, ',') || ']' end;
end
$$;

-- One in ten is large: it compresses, it does not, or it has many parts.
create function any_document(n int) returns jsonb language sql volatile as $$
	select case
		when n = 1 then null
		when n % 10 <> 0 then any_json(n % 7)::jsonb
		when n % 30 = 0 then to_jsonb(repeat('x', 20000 + n))
		when n % 20 = 0 then jsonb_build_object('large', (select string_agg(md5(random()::text), '') from generate_series(1, 300 + n)))
		else (select jsonb_object_agg(i, any_json(1)::jsonb) from generate_series(1, 200) i)
	end
$$;

select setseed(0.42);
create temp table doc as select n, any_document(n) as d from generate_series(1, 1000) n;
-- The documents that the checks below use.
select count(*), count(distinct d) > 500 as various, count(*) filter (where length(d::text) > 8192) > 90 as large,
	count(*) filter (where octet_length(d::text) > length(d::text)) > 100 as beyond_ascii, count(*) filter (where d::text like '%\\u00%') > 30 as control_characters,
	count(*) filter (where d::text like '%: null%') > 100 as nulls_in_objects, count(*) filter (where strpos(d::text, repeat('7', 2000)) > 0) > 30 as long_numbers from doc;

-- The text is measured, to the byte, without being written.
create function is_measured(d jsonb) returns boolean language sql immutable as
	$$ select taskq_private.json_fits(d, octet_length(d::text)) and not taskq_private.json_fits(d, octet_length(d::text) - 1) $$;
select count(*) filter (where not is_measured(d)) as mismeasured, count(d) from doc;
select count(*) filter (where not is_measured(to_jsonb(number))) as mismeasured, count(*) from (
	select sign * digits * 10::numeric ^ exponent as number from unnest('{0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 123456789}'::numeric[]) as digits,
		unnest('{1, -1}'::int[]) as sign, unnest('{0, 1, 2, 3, 4, 5, 100, 251, 252, 253, 255, 256, 257, 1000, 131000}'::int[]) as exponent
	union all
	select (digits || repeat('0', zeros))::numeric from unnest('{0.0, 0.001, 0.1, 0.9999, 0.00001234, 1.5, -1.5, -0.25, 12345.678, -0.0}'::text[]) as digits,
		unnest('{0, 1, 2, 3, 4, 5, 59, 60, 61, 62, 63, 64, 65, 127, 128, 1000, 16374}'::int[]) as zeros) as numbers;
select string_agg(d, ' ') as mismeasured from unnest(array['null', 'true', 'false', '0', '""', '[]', '{}', '[[]]', '[{}]', '{"": {}}', '[0]', '[1, 2]',
	'{"a": 1, "b": [true, null, "\u0001\u001f\u007f\"\\/\b\f\n\r\t"]}', repeat('[', 1000) || repeat(']', 1000)]) as d where not is_measured(d::jsonb);

-- The texts are compared, because 1.0 and 1.00 are equal as jsonb.
create function differ(a jsonb, b jsonb) returns boolean language sql immutable as
	$$ select a is distinct from b or a::text is distinct from b::text $$;

-- submit and submit_many to acquire.
create temp table task as select n, taskq.submit('properties', d) as id from doc where n <= 500;
insert into task select 500 + x.n, x.id
	from taskq.submit_many('properties', (select array_agg(d order by n) from doc where n > 500)) with ordinality as x (id, n);
select count(*) filter (where differ(d, payload)) as differ_while_pending, count(*) from task join doc using (n) join taskq.tasks using (id);
create temp table work as select * from taskq.acquire('properties', 1000);
select count(*) filter (where differ(d, w.payload)) as differ_when_acquired, count(*) from task join doc using (n) join work w using (id);

-- finish and finish_many to result() and tasks; the results are the documents in reverse.
select count(*) filter (where taskq.finish(w.id, w.token, d)) from work w join task t using (id) join doc on doc.n = 1001 - t.n where t.n <= 500;
select count(*) from (select array_agg(w.id order by t.n) as ids, array_agg(w.token order by t.n) as tokens, array_agg(d order by t.n) as results
	from work w join task t using (id) join doc on doc.n = 1001 - t.n where t.n > 500) x, taskq.finish_many(ids, tokens, results);
select count(*) filter (where differ(d, r.result)) as differ_as_result, count(*) filter (where differ(d, x.result)) as differ_in_view, count(*)
	from task t join doc on doc.n = 1001 - t.n join taskq.tasks x using (id), taskq.result(t.id) r;

-- A dead task keeps its payload and its errors, for the views and for retry().
truncate task, work;
insert into task select x.n, x.id
	from taskq.submit_many('properties', (select array_agg(d order by n) from doc)) with ordinality as x (id, n);
insert into work select * from taskq.acquire('properties', 1000);
select count(*) filter (where taskq.fail(w.id, w.token, 'x', detail => d, retry_in => '0') = 'pending') from work w join task t using (id) join doc on doc.n = 1001 - t.n;
select count(*) filter (where differ(d, a.detail)) as differ_in_detail, count(*) from task t join doc on doc.n = 1001 - t.n join taskq.attempts a on a.task_id = t.id;
truncate work;
insert into work select * from taskq.acquire('properties', 1000);
select count(*) filter (where differ(d, w.payload)) as differ_at_second_attempt, count(*) from task join doc using (n) join work w using (id);
select count(*) filter (where taskq.fail(id, token, 'x', retryable => false) = 'dead') from work;
select count(*) filter (where differ(d, payload)) as differ_when_dead, count(*) from task join doc using (n) join taskq.tasks using (id);
-- Ended tasks keep no detail of more than 8 kB, or 64 kB as text; a detail that is JSON null is shown as NULL.
select count(*) filter (where differ(d, a.detail)) as differ_in_kept_detail, count(*) > 900 as most from task t join doc on doc.n = 1001 - t.n
	join taskq.attempts a on a.task_id = t.id and a.attempt = 1 where d is null or (d <> 'null' and pg_column_size(d) < 8000 and taskq_private.json_fits(d, 65536));
select count(*) filter (where taskq.retry(id)) from task;
truncate work;
insert into work select * from taskq.acquire('properties', 1000);
select count(*) filter (where differ(d, w.payload)) as differ_when_brought_back, count(*) from task join doc using (n) join work w using (id);
select count(*) filter (where taskq.finish(id, token)) from work;

-- ---- every delay of every policy and attempt is right ----------------------------------

create temp table policy as
	select row_number() over () as n, backoff, base::interval, factor, max_delay::interval, doublings
	from unnest(array['fixed', 'linear', 'exponential', 'power']) as backoff,
		unnest(array['0', '1 us', '1 s', '366 days', '1 year']) as base,
		unnest(array[1, 1.0000001, 100]) as factor,
		unnest(array['0', '1 us', '1.5 s', '366 days']) as max_delay,
		unnest(array[null, 0, 40, 2147483647]) as doublings
	where (backoff = 'exponential' or doublings is null) and (backoff in ('exponential', 'power') or factor = 1);
select count(taskq.create_retry_policy('any ' || n, backoff, base => base, factor => factor, max_delay => max_delay,
	max_doublings => doublings, jitter => n % 2, max_attempts => 2147483647)) > 300 as many from policy;
select count(taskq.create_retry_policy('any schedule ' || n, 'schedule', delays => delays, jitter => n - 1, max_attempts => 2147483647))
	from (values (1, '{0}'::interval[]), (2, '{366 days, 0, 1 us, 1 year}')) as s (n, delays);
create temp view policies as select * from taskq.retry_policies where built_in or name like 'any %';
create temp table attempt as select attempt from generate_series(1, 50) attempt
	union all values (256), (65536), (1073741824), (2147483646), (2147483647);

create function seconds(i interval) returns numeric language sql immutable as $$ select extract(epoch from i) $$;
create temp table delay as
	select p.name, p.backoff, attempt, seconds(taskq.backoff(p.name, attempt)) as delay, p.jitter,
		seconds(case p.backoff when 'schedule' then (select max(d) from unnest(p.delays) d) else p.max_delay end) as most
	from policies p, attempt;
select count(distinct backoff) as kinds, count(*) filter (where delay is null or delay < 0 or delay > most) as out_of_bounds from delay;
select count(*) filter (where delay < before) as falls
	from (select *, lag(delay) over (partition by name order by attempt) as before from delay where backoff <> 'schedule') x;
-- Some delays rise and reach the greatest one.
select backoff, count(distinct delay) > 50 as rise, count(*) filter (where delay = most) > 100 as reach from delay
	where backoff in ('linear', 'exponential', 'power') group by backoff order by backoff;

-- The resulting time lies within the jitter, and there is no error; the call itself takes time.
create temp table next_try as
	select d.*, seconds(taskq_private.retry_at(name, attempt, 2147483647, clock_timestamp(), null) - now()) as actual, seconds(clock_timestamp() - now()) as now
	from delay d where attempt in (1, 2, 3, 10, 50) or attempt > 50;
select count(*) filter (where (actual is null) <> (attempt = 2147483647)) as dead_too_soon_or_late,
	count(*) filter (where actual < delay * (1 - jitter::numeric) - 0.001) as too_soon,
	count(*) filter (where actual > delay * (1 + jitter::numeric) + now + 0.001) as too_late,
	count(*) filter (where jitter = 1 and abs(actual - delay) > delay / 2 and delay > 1000) > 20 as varies from next_try;

-- ---- attempts are counted up to the greatest int -----------------------------------------

-- A task that has two attempts left.
create function old_task(retry text) returns bigint language plpgsql as $$
declare
	new constant bigint := taskq.submit('properties', max_attempts => 2147483647, retry => old_task.retry);
begin
	update taskq_private.task set attempt = 2147483645 where id = new;
	return new;
end
$$;
-- Its lease runs out and is taken back.
create function lose_lease(id bigint, token bigint) returns boolean language plpgsql as $$
begin
	update taskq_private.lease l set lease_until = 'epoch' where l.id = lose_lease.id and l.token = lose_lease.token;
	perform taskq_private.leases_changed(), taskq_private.take_back_leases();
	return not exists (select from taskq_private.lease l where l.id = lose_lease.id);
end
$$;
-- Ends each attempt in the given way, and returns the attempts.
create function wear_out(retry text, ending text) returns text language plpgsql as $$
declare
	told text := '';
	old constant bigint := old_task(retry);
	w record;
	result text;
begin
	while (select state from taskq.tasks where id = old) = 'pending' loop
		update taskq_private.task set run_at = now() where id = old;
		select * into strict w from taskq.acquire('properties') where id = old;
		execute ending into result using w.id, w.token;
		told := told || format('%s %s; ', w.attempt, result);
	end loop;
	return told || (select format('%s %s', state, attempt) from taskq.tasks where id = old);
end
$$;
select distinct wear_out(name, $$select taskq.fail($1, $2, 'x')$$) from policies;
select distinct wear_out('default', e) from unnest(array[
	$$select taskq.fail($1, $2, 'x', retry_in => '0')$$,
	$$select lose_lease($1, $2)$$]) as e;
-- After release() the last attempt stays the last; after retry() attempts count from zero.
select old_task('default') as id \gset
update taskq_private.task set attempt = 2147483646 where id = :id;
select attempt, taskq.release(id, token) from taskq.acquire('properties');
select attempt, taskq.fail(id, token, 'x') from taskq.acquire('properties');
select taskq.retry(:id);
select attempt, max_attempts from taskq.tasks where id = :id;
select attempt, taskq.finish(id, token) from taskq.acquire('properties');

select count(taskq.drop_retry_policy(name)) from policies where not built_in;
select taskq.drop_queue('properties');
drop view policies;
drop function any_document, any_json, any_number, any_string, one_of, is_measured, differ, seconds, old_task, lose_lease, wear_out;
