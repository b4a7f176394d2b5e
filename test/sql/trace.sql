-- Traces: where a task gets its trace, and to whom it hands it on.
\set VERBOSITY terse
select taskq.create_queue('tr_pull', retry => 'none'), taskq.create_queue('tr_next'), taskq.create_queue('tr_topic', mode => 'topic'),
	taskq.create_queue('tr_hook', mode => 'push', url => 'https://hook.example/in', retry => 'default');
select taskq.subscribe('tr_topic', 'tr_pull'), taskq.subscribe('tr_topic', 'tr_next');
select taskq.stop_executor(), taskq.arm();
\set own '''00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'''
\set other '''00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'''

-- Every way to submit takes it, and every way to get a task returns it.
create temp table submitted as
	select 'submit' as by, taskq.submit('tr_pull', trace => :own) as id
	union all select 'submit_many', taskq.submit_many('tr_pull', '{1, 2}', trace => :own)
	union all select 'publish', taskq.publish('tr_topic', '3', trace => :own)
	union all select 'template', taskq.submit_template(jsonb_build_object('queue', 'tr_pull', 'trace', :own));
select s.by, t.queue, t.trace from submitted s join taskq.tasks t using (id) order by s.by, t.queue, t.id;
select taskq.submit_template(jsonb_build_object('topic', 'tr_topic', 'trace', :own));
select count(*), count(trace) from taskq.tasks where queue = 'tr_next';
select taskq.submit_http('https://a.example/', trace => :own) as http,
	taskq.submit_template(jsonb_build_object('url', 'https://a.example/', 'trace', :own)) as template \gset
select count(trace) from taskq.tasks where id in (:http, :template);
select taskq.cancel(:http), taskq.cancel(:template);
create temp table acquired as select * from taskq.acquire('tr_pull', 3);
select count(*), count(trace) from acquired;
select count(*), count(trace) from taskq.finish_and_acquire('tr_pull', array(select id from acquired), array(select token from acquired), max_tasks => 2);
select count(taskq.finish(id, token)) from taskq.acquire('tr_pull', 10);
-- An ended task keeps it.
select state, count(*), count(trace) from taskq.find_tasks('tr_pull') group by state order by state;
select taskq.purge_queue('tr_next');

-- One that is none.
select taskq.submit('tr_pull', trace => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g');
select taskq.submit('tr_pull', trace => E'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nX: y');
select taskq.submit_many('tr_pull', '{}', trace => 'x');
select taskq.submit_http('https://a.example/', trace => '00-00000000000000000000000000000000-00f067aa0ba902b7-01');
select taskq.publish('tr_topic', trace => 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');
select taskq.submit('tr_pull', on_finish => '{"queue": "tr_next", "trace": "x"}');
\set VERBOSITY default
select taskq.submit('tr_pull', trace => '00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01');
set taskq.trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01';
\set VERBOSITY terse

-- The setting is for submits without an argument; an empty argument is none.
create function trace_of(id bigint) returns text language sql as $$ select trace from taskq.tasks t where t.id = trace_of.id $$;
begin;
set local taskq.trace = :own;
select trace_of(taskq.submit('tr_pull')) as session, trace_of(taskq.submit('tr_pull', trace => :other)) as given,
	trace_of(taskq.submit('tr_pull', trace => '')) as none, trace_of(taskq.submit_http('https://a.example/')) as http,
	(select trace_of(id) from taskq.submit_many('tr_pull', '{1}') id) as many;
select count(*), count(trace_of(id)) from taskq.publish('tr_topic') id;
rollback;
show taskq.trace;
select trace_of(taskq.submit('tr_pull')) as after_it;
-- A task without one takes no more room than before: its row ends before the column.
select taskq.submit('tr_pull', '{"a": 1}') as bare, taskq.submit('tr_pull', '{"a": 1}', trace => :own) as traced \gset
select (select pg_column_size(t) from taskq_private.task t where id = :traced) - (select pg_column_size(t) from taskq_private.task t where id = :bare) as more,
	(select pg_column_size(t) from taskq_private.task t where id = :bare) as bare;
select taskq.purge_queue('tr_pull');

-- replace replaces it; keep keeps it.
select taskq.submit('tr_pull', key => 'k', trace => :own) as id \gset
select taskq.submit('tr_pull', key => 'k', trace => :other) = :id as kept, trace_of(:id) = :own as old;
select taskq.submit('tr_pull', key => 'k', trace => :other, on_duplicate => 'replace') = :id as replaced, trace_of(:id) = :other as new;
select taskq.submit('tr_pull', key => 'k', on_duplicate => 'replace') = :id as replaced, trace_of(:id) as none;
select taskq.purge_queue('tr_pull');

-- A task that fails keeps it; so do retry() and redrive().
select taskq.submit('tr_pull', trace => :own) as id \gset
select taskq.fail(id, token, 'e') from taskq.acquire('tr_pull');
select taskq.retry(:id), trace_of(:id) = :own as same;
select taskq.fail(id, token, 'e', retry_in => '0') from taskq.acquire('tr_pull');
select taskq.redrive('tr_pull'), trace_of(:id) = :own as same;
select attempt, trace = :own as same, taskq.release(id, token) from taskq.acquire('tr_pull');
select attempt, trace = :own as same, taskq.finish(id, token) from taskq.acquire('tr_pull');

-- A follow-up inherits it, unless it has its own; the setting of the session that ends the task is nothing to it.
set taskq.trace = :other;
select taskq.submit('tr_pull', trace => :own, on_finish => '[{"queue": "tr_next", "kind": "heir"}, {"topic": "tr_topic", "kind": "message"},
	{"queue": "tr_next", "kind": "own", "trace": "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-00"}]') as traced,
	taskq.submit('tr_pull', trace => '', on_finish => '[{"queue": "tr_next", "kind": "none"}, {"queue": "tr_next", "kind": "same", "key": "a"},
	{"queue": "tr_next", "kind": "same", "key": "a", "on_duplicate": "replace"}]') as bare \gset
select taskq.finish(id, token) from taskq.acquire('tr_pull', 2);
select taskq.add_follow_up(:traced, '{"queue": "tr_next", "kind": "late"}'), taskq.add_follow_up(:bare, '{"queue": "tr_next", "kind": "late none"}');
select kind, trace from taskq.tasks where queue in ('tr_next', 'tr_pull') and kind is not null order by kind, queue;
-- Also one that cannot be submitted.
select taskq.create_queue('tr_gone');
select taskq.submit('tr_next', trace => :own, on_finish => '{"queue": "tr_gone", "kind": "x"}', priority => -5) as traced,
	taskq.submit('tr_next', trace => '', on_finish => '{"queue": "tr_gone", "kind": "y"}', priority => -5) as bare \gset
select taskq.drop_queue('tr_gone');
select taskq.finish(id, token) from taskq.acquire('tr_next', 2);
select taskq.create_queue('tr_gone');
select kind, state, trace from taskq.tasks where queue = 'tr_gone' order by kind;
select taskq.redrive('tr_gone');
select kind, state, trace from taskq.tasks where queue = 'tr_gone' order by kind;
reset taskq.trace;

-- A push task sends it: in the first attempt as traceparent, later as X-Task-Trace.  A header of the
-- submitter comes first.
create function sent(id bigint, attempts int) returns setof text language plpgsql as $$
declare
	c record;
begin
	for i in 1..attempts loop
		for tries in 1..1000 loop
			select p.* into c from taskq_private.push_claim(1, null, null) p;
			exit when found;
			perform pg_sleep(0.001);
		end loop;
		return next i || ': ' || coalesce((select string_agg(h, ', ' order by h) from unnest(c.headers) h where h ~* 'trace'), '');
		perform taskq_private.push_report(c.id, c.token, 'retry', 'connect', null, null, null, false, '1 ms', 'e', '0', null);
	end loop;
	perform taskq.cancel(sent.id);
end
$$;
select sent(taskq.submit('tr_hook', '1', trace => :own), 3);
select sent(taskq.submit('tr_hook', '1'), 2);
select sent(taskq.submit_http('https://a.example/', headers => '{"TraceParent": "mine"}', trace => :own, retry => 'default'), 2);
select sent(taskq.submit_http('https://a.example/', headers => '{"traceparent": "mine"}', retry => 'default'), 2);
select taskq.submit_http('https://a.example/', headers => '{"x-task-trace": "mine"}');
-- One that was changed by hand is not sent.
select taskq.submit('tr_hook', '1', trace => :own) as id \gset
update taskq_private.task set trace = E'x\nX-Y: z' where id = :id;
select sent(:id, 2);

select taskq.drop_queue(q, force => true) from unnest('{tr_pull, tr_next, tr_topic, tr_hook, tr_gone}'::text[]) q;
drop function sent, trace_of;
select taskq.disarm(), taskq.start_executor();
