-- Life after the end: where ended tasks go, and when.
set timezone = 'UTC';
-- In one transaction, so that the executor's maintenance knows nothing of these queues yet.
begin;
select taskq.create_queue('brief', keep_finished => '0', keep_dead => '0'),
	taskq.create_queue('days', keep_finished => '5 days', keep_dead => '31 days'),
	taskq.create_queue('years', keep_finished => '2 years', keep_dead => '32 days');
select taskq_private.bucket('2026-02-27 23:59:59+00', '1 day'), taskq_private.bucket('2026-02-28 00:00:00+00', '1 day'),
	taskq_private.bucket('2026-01-01 00:00:00+00', '31 days'), taskq_private.bucket('2026-01-01 00:00:00+00', '32 days');

create function run(queue text, fails boolean default false) returns bigint language plpgsql as $$
declare
	task record;
	id bigint := taskq.submit(queue, '{"x": 1}');
begin
	select * into task from taskq.acquire(queue);
	if fails then
		perform taskq.fail(task.id, task.token, 'x', retryable => false);
	else
		perform taskq.finish(task.id, task.token);
	end if;
	return id;
end
$$;

-- Without the dated tables history_rest takes them; keep 0 stores nothing.
select run('brief') as b, run('days') as d, run('years') as y \gset
select h.queue, h.tableoid::regclass::text like '%history_rest' as rest from
	(select tableoid, * from taskq_private.history union all select tableoid, * from taskq_private.history_rest) h
	where h.queue in ('brief', 'days', 'years') order by h.queue;
select count(*) from taskq.result(:b);
commit;

-- Maintenance makes the tables; then they are used.
select taskq_private.make_history(), taskq_private.drop_history();
select run('days') as d, run('years') as y, run('days', true) as dd, run('years', true) as yd \gset
select h.queue, h.state, h.tableoid::regclass::text = 'taskq_private.history_' || h.bucket as dated, length(h.bucket::text) as digits, h.payload
	from taskq_private.history h where h.queue in ('days', 'years') order by h.queue, h.state;
select count(*) filter (where relname ~ '^history_\d{8}$') > 0 as daily, count(*) filter (where relname ~ '^history_\d{6}$') > 0 as monthly,
	bool_and(relowner = 'taskq_owner'::regrole) as owned
	from pg_class where relnamespace = 'taskq_private'::regnamespace and relkind = 'r' and relname ~ '^history_\d';
select state from taskq.result(:d) union all select state from taskq.result(:yd);
select taskq.retry(:dd), taskq.cancel(:dd);

-- What has expired is dropped; what has not stays.
do $$
begin
	set local role taskq_owner;
	create table taskq_private.history_20200101 (like taskq_private.history including constraints);
	alter table taskq_private.history attach partition taskq_private.history_20200101 for values in (20200101);
	create table taskq_private.history_202001 (like taskq_private.history including constraints);
	alter table taskq_private.history attach partition taskq_private.history_202001 for values in (202001);
	insert into taskq_private.history_rest select (jsonb_populate_record(h, '{"bucket": 20200101, "id": 0}')).* from taskq_private.history_rest h limit 1;
end
$$;
select taskq_private.make_history(), taskq_private.drop_history();
select to_regclass('taskq_private.history_20200101'), to_regclass('taskq_private.history_202001');
select count(*) from taskq_private.history_rest where id = 0;
select count(*) > 0 as kept from taskq_private.history_rest;
select taskq.drop_queue('brief'), taskq.drop_queue('days'), taskq.drop_queue('years');
drop function run;
