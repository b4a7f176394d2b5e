-- Many tasks in one transaction, as in a test suite that rolls back: the cost of a task does not
-- grow with the number of those before it.  Pages are counted, so the load of the machine does not
-- matter.
\set VERBOSITY terse
select taskq.create_queue('one');

-- The pages that a statement touches.
create function pages(statement text) returns int language plpgsql as $$
declare
	plan json;
begin
	execute 'explain (analyze, buffers, timing off, summary off, format json) ' || statement into plan;
	return (plan #>> '{0,Plan,Shared Hit Blocks}')::int + (plan #>> '{0,Plan,Shared Read Blocks}')::int;
end
$$;
create function submits(n int) returns void language plpgsql as $$
begin
	for i in 1 .. n loop
		perform taskq.submit('one');
	end loop;
end
$$;
create function cycles(n int) returns void language plpgsql as $$
declare
	t record;
begin
	for i in 1 .. n loop
		perform taskq.submit('one', priority => i % 3);
		select * into strict t from taskq.acquire('one');
		if not taskq.finish(t.id, t.token) then
			raise 'the lease was lost';
		end if;
	end loop;
end
$$;
-- Every other cycle is rolled back to its savepoint.
create function savepoints(n int) returns void language plpgsql as $$
begin
	for i in 1 .. n loop
		begin
			perform cycles(1);
			if i % 2 = 0 then
				raise sqlstate 'XX999';
			end if;
		exception when sqlstate 'XX999' then
			null;
		end;
	end loop;
end
$$;

-- Submit, acquire, finish, in one loop.
begin;
select pages('select cycles(100)') as first \gset
select cycles(1800);
select pages('select cycles(100)') < 2 * :first as linear;
rollback;

-- The same with savepoints.
begin;
select pages('select savepoints(100)') as first \gset
select savepoints(1800);
select pages('select savepoints(100)') < 2 * :first as linear;
rollback;

-- All are submitted first, then acquired in separate statements.
begin;
select submits(2000);
select pages('select from taskq.acquire(''one'')') + pages('select from taskq.acquire(''one'', 50)') as first \gset
select count(*) from taskq.acquire('one', 1000);
\o /dev/null
select format('select from taskq.acquire(%L)', 'one') from generate_series(1, 100) \gexec
\o
select pages('select from taskq.acquire(''one'')') + pages('select from taskq.acquire(''one'', 50)') < 2 * :first as linear;
-- They come in order, and none is missed.
select count(*) from taskq.acquire('one', 1000);
rollback;

-- Tasks of other transactions, and of this one, come in their common order.
select taskq.submit('one', '"other 0"'), taskq.submit('one', '"other 2"', priority => 2) \g /dev/null
begin;
select taskq.submit('one', '"own 0"'), taskq.submit('one', '"own 1"', priority => 1), taskq.submit('one', '"own 3"', priority => 3) \g /dev/null
select payload from taskq.acquire('one', 2);
select taskq.submit('one', '"own -1"', priority => -1) \g /dev/null
savepoint s;
select payload from taskq.acquire('one', 10);
rollback to s;
select id, token, payload from taskq.acquire('one') \gset
select :'payload' as payload, taskq.release(:id, :token);
select payload from taskq.acquire('one', 3);
select payload from taskq.acquire('one', 3);
select payload from taskq.acquire('one', 3);
rollback;
select payload from taskq.acquire('one', 10);

-- A session that rolls back each of its savepoints does not look at the same dead tasks each time.
begin;
select savepoints(20);
create function give_up(n int) returns void language plpgsql as $$
begin
	for i in 1 .. n loop
		begin
			perform taskq.submit('one');
			perform taskq.acquire('one');
			raise sqlstate 'XX999';
		exception when sqlstate 'XX999' then
			null;
		end;
	end loop;
end
$$;
select pages('select give_up(50)') as first \gset
select give_up(900);
select pages('select give_up(50)') < 3 * :first as linear;
rollback;

drop function pages, submits, cycles, savepoints;
