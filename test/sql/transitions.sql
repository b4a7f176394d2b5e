-- Every function that acts on a task, called for a task in every situation that
-- is possible.  The matrix at the end shows the transitions; the
-- illegal ones must not be in it.
\set VERBOSITY terse

select taskq.create_queue('transitions', lease_for => '10 minutes');

-- The calls for a task: $1 is its id, $2 the token of its owner
-- (1 if it has none), $3 its key.
create temp table call (n int generated always as identity, name text unique, sql text, a_step_only boolean default false);
insert into call (name, sql) values
	('acquire', $$select case a.id when $1 then 'it' else 'another' end from taskq.acquire('transitions') a$$),
	('heartbeat', $$select case when cancel_requested then 'to be cancelled' else 'extended' end from taskq.heartbeat($1, $2)$$),
	('heartbeat_many', $$select case when cancel_requested then 'to be cancelled' else 'extended' end
		from taskq.heartbeat_many(array[$1], array[$2])$$),
	('progress', $$select taskq.progress($1, $2, 0.5)$$),
	('finish', $$select taskq.finish($1, $2, '1')$$),
	('finish_many', $$select case id when $1 then 'it' else 'another' end from taskq.finish_many(array[$1], array[$2]) as id$$),
	('finish_and_acquire', $$select case a.id when $1 then 'it' else 'another' end
		from taskq.finish_and_acquire('transitions', array[$1], array[$2]) a$$),
	('fail', $$select taskq.fail($1, $2, 'failed', retry_in => '0')$$),
	('fail for good', $$select taskq.fail($1, $2, 'failed', retryable => false)$$),
	('release', $$select taskq.release($1, $2)$$),
	('decline', $$select taskq.decline($1, $2, '0')$$),
	('decline for good', $$select taskq.decline($1, $2, times => 0)$$),
	('cancel', $$select taskq.cancel($1, 'unwanted')$$),
	('cancel_many', $$select case id when $1 then 'it' else 'another' end from taskq.cancel_many(array[$1], 'unwanted') as id$$),
	('cancel_key', $$select taskq.cancel_key('transitions', $3)$$),
	('purge_queue', $$select taskq.purge_queue('transitions')$$),
	('reschedule', $$select taskq.reschedule($1)$$),
	('retry', $$select taskq.retry($1)$$),
	('submit, keep', $$select case taskq.submit('transitions', key => $3) when $1 then 'it' else 'another' end$$),
	('submit, replace', $$select case taskq.submit('transitions', key => $3, on_duplicate => 'replace') when $1 then 'it' else 'another' end$$),
	('submit, raise', $$select case taskq.submit('transitions', key => $3, on_duplicate => 'raise') when $1 then 'it' else 'another' end$$),
	-- Here the clock is set first; not before, for the executor looks at clocks, too.
	('take_back_leases', $$with late as (update taskq_private.lease set lease_until = 'epoch' where id = $1 returning id)
		select case count(*) when 0 then 'no lease' else 'late' end from late$$),
	('expire_starts', $$with late as (update taskq_private.start_limit set start_by = 'epoch' where id = $1 returning id)
		select case count(*) when 0 then 'no limit' else 'late' end from late$$);

-- The situations: how the task is submitted (NULL: it is not), and the steps
-- before the call.
create temp table situation (n int generated always as identity, name text unique, submit text, steps text[]);
insert into situation (name, submit, steps) values
	('pending', '', '{}'),
	('pending, for later', $$, delay => '1 hour'$$, '{}'),
	('pending, start_within to come', $$, start_within => '1 hour'$$, '{}'),
	('pending, start_within over', $$, start_within => '1 hour'$$, '{start_within is over}'),
	('pending, has failed', '', '{acquire, fail}'),
	('pending, was given back', $$, start_within => '1 hour'$$, '{acquire, start_within is over, release}'),
	('pending, was brought back', '', '{acquire, fail for good, retry}'),
	('running', '', '{acquire}'),
	('running, start_within over', $$, start_within => '1 hour'$$, '{acquire, start_within is over}'),
	('running, second attempt', '', '{acquire, fail, acquire}'),
	('running, last attempt', ', max_attempts => 1', '{acquire}'),
	('running, to be cancelled', '', '{acquire, cancel}'),
	('running, by another', '', '{acquire, release, another acquires}'),
	('running, by another, to be cancelled', '', '{acquire, release, another acquires, cancel}'),
	('finished', '', '{acquire, finish}'),
	('dead', '', '{acquire, fail for good}'),
	('dead, attempts used up', ', max_attempts => 1', '{acquire, fail}'),
	('dead, key taken by another', '', '{acquire, fail for good, "submit, replace"}'),
	('cancelled', '', '{cancel}'),
	('cancelled, while it ran', '', '{acquire, cancel, release}'),
	('expired', $$, start_within => '1 hour'$$, '{start_within is over, expire_starts}'),
	('unknown', null, '{}');

-- Steps that are not calls of taskq.
insert into call (name, sql, a_step_only) values
	('another acquires', $$select 'it' from taskq.acquire('transitions')$$, true),
	('start_within is over', $$update taskq_private.task set start_by = 'epoch' where id = $1 returning 'over'$$, true);

-- Everything that can be seen of a task, and whether it stands in one place
-- only, with its key.
create function look(id bigint) returns jsonb language sql as $$
	select to_jsonb(t) || jsonb_build_object('places',
			(select count(*) from taskq_private.task x where x.id = t.id) + (select count(*) from taskq_private.lease x where x.id = t.id
				and not exists (select from taskq_private.task y where y.id = x.id)) + (select count(*) from taskq_private.all_history x where x.id = t.id),
			'has_key', exists (select from taskq_private.key k where k.id = t.id and k.taken_until is null))
	from taskq.tasks t where t.id = look.id
$$;

create function state(seen jsonb) returns text language sql as $$
	select coalesce(seen->>'state', 'none') || coalesce(' ' || (seen->>'attempt'), '')
		|| case when (seen->>'cancel_requested')::boolean then ', to be cancelled' else '' end
		|| case when seen->>'places' <> '1' or (seen->>'has_key')::boolean <> (seen->>'state' in ('pending', 'running'))
			then ' BROKEN' else '' end
$$;

-- One call: its result, 'nothing' for no row, or the error.
create function try(name text, id bigint, token bigint, key text) returns text language plpgsql as $$
declare
	result text;
begin
	execute (select c.sql from call c where c.name = try.name) into result using id, token, key;
	-- The clock was set behind everybody's back.
	perform taskq_private.leases_changed();
	if name in ('take_back_leases', 'expire_starts') then
		execute format('select taskq_private.%I()', name);
	end if;
	return coalesce(result, 'nothing');
exception when others then
	return sqlstate || case when sqlstate like 'TQ%' then '' else ': ' || sqlerrm end;
end
$$;

create temp table outcome (situation int, call int, result text, before jsonb, after jsonb);

-- Each step and each call is a transaction of its own.
create procedure run() language plpgsql as $$
declare
	s record;
	c record;
	step text;
	task bigint;
	token bigint;
	key text;
	result text;
	before jsonb;
begin
	for s in select * from situation order by n loop
		for c in select * from call where not a_step_only order by n loop
			task := 9223372036854775807;
			token := 1;
			key := s.n || '.' || c.n;
			if s.submit is not null then
				execute format($q$select taskq.submit('transitions', '1', %L %s)$q$, key, s.submit) into task;
				commit;
			end if;
			foreach step in array s.steps loop
				result := try(step, task, token, key);
				if step = 'acquire' then
					token := (select l.token from taskq_private.lease l where l.id = task);
				end if;
				commit;
			end loop;
			before := look(task);
			result := try(c.name, task, token, key);
			commit;
			insert into outcome values (s.n, c.n, result, before, look(task));
			perform taskq.cancel(t.id) from taskq.tasks t
				where t.queue = 'transitions' and t.state in ('pending', 'running');
			perform taskq.release(l.id, l.token) from taskq_private.lease l join taskq.tasks t using (id)
				where t.queue = 'transitions';
			commit;
		end loop;
	end loop;
end
$$;
call run();

-- The situations as they were found, the same before each call.
select s.name as situation, string_agg(distinct state(o.before), ' OR ') as state
	from outcome o join situation s on s.n = o.situation group by s.n, s.name order by s.n;

-- Every call in every situation.  "=" means that nothing about the task has changed.
select s.name as situation, c.name as call, o.result,
		case when o.after is not distinct from o.before then '=' else state(o.after) end as after
	from outcome o join situation s on s.n = o.situation join call c on c.n = o.call order by s.n, c.n;

-- The legal transitions; a state may always stay the same.
create temp table legal (before text, after text);
insert into legal values
	('pending', 'running'), ('pending', 'dead'), ('pending', 'cancelled'), ('pending', 'expired'),
	('running', 'finished'), ('running', 'pending'), ('running', 'dead'), ('running', 'cancelled'),
	('dead', 'pending'), ('cancelled', 'pending'), ('expired', 'pending');
create temp view seen as
	select distinct coalesce(before->>'state', 'none') as before, coalesce(after->>'state', 'none') as after from outcome;
select * from seen where before <> after except select * from legal;
-- Legal but never seen: only an attempt can end a task as dead, so the task runs before that.
select * from legal except select * from seen;

-- The calls that cause each transition.
select before->>'state' as before, after->>'state' as after, array_agg(distinct c.name order by c.name) as calls
	from outcome o join call c on c.n = o.call where before->>'state' <> after->>'state'
	group by 1, 2 order by 1, 2;

-- A call with the token of another attempt changes nothing, nor does a call for a task that does not exist.
select count(*) from outcome o join situation s on s.n = o.situation join call c on c.n = o.call
	where c.sql like '%$2%' and c.name <> 'finish_and_acquire' and after is distinct from before
		and (s.name like 'running, by another%' or s.name not like 'running%');

drop view seen;
drop procedure run;
drop function look, state, try;
select taskq.drop_queue('transitions');
