-- The views, with a task in each state.
\set VERBOSITY terse
set timezone = 'UTC';
-- The executor itself stays out of it.
select taskq.stop_executor(), taskq.arm();
select taskq.create_queue('views', lease_for => '10 min', retry => 'default'), taskq.create_queue('seen', 'push', 'https://a.example/', retry => 'default');

-- tasks
select taskq.submit('views', '1', key => 'later', kind => 'sort', priority => 3, run_at => '2100-01-01') as pending,
	taskq.submit('views', '2', priority => -16) as running \gset
select token from taskq.acquire('views', worker => 'w') \gset
select taskq.progress(:running, :token, 0.5, 'half');
select taskq.submit('views', '3', priority => -16) as finished \gset
select taskq.finish(id, token, '[3]') from taskq.acquire('views');
select taskq.submit('views', '4', priority => -16, max_attempts => 2) as dead \gset
select taskq.fail(id, token, 'first', '{"d": 1}', retry_in => '0') from taskq.acquire('views', worker => 'v');
select taskq.fail(id, token, 'last') from taskq.acquire('views', worker => 'v');
select taskq.submit('views', '5') as cancelled \gset
select taskq.cancel(:cancelled, 'no'), taskq.cancel(:running);
select taskq.submit('views', '6', start_within => '1 ms') as expired, pg_sleep(0.01) \gset
select count(*) from taskq.acquire('views');
select queue, key, kind, state, priority, attempt, max_attempts, cancel_requested as stop, fraction, message, worker, payload, result, error
	from taskq.tasks where queue = 'views' order by id;
select state, run_at = '2100-01-01' as later, submitted_at <= now() as submitted, started_at is not null as started, ended_at is not null as ended,
	lease_until > now() as leased
	from taskq.tasks where queue = 'views' order by id;

-- find_tasks(): the same tasks, newest first, and how far it looked
select queue, key, kind, state, priority, attempt, worker, payload, error, looked_at, next = id as next from taskq.find_tasks('views');
select state from taskq.find_tasks('views', '{dead, expired}');
select state from taskq.find_tasks('views', key => 'later', kind => 'sort', payload => '1');
select a.state, a.error, b.state from taskq.find_tasks('views', error => '^la') a, taskq.find_tasks('views', key_prefix => 'lat', class => null) b;
select count(*) from taskq.find_tasks('views', class => 'mine');
select count(*) from taskq.find_tasks(worker => 'nobody') where id is not null;
select count(*) from taskq.find_tasks('views', since => now() + interval '1 day');
select id is null as stopped, looked_at, next = :dead as next from taskq.find_tasks('views', kind => 'none', scan => 3);
-- Of running tasks only these are looked at, and of ended ones no live one.
select state, looked_at from taskq.find_tasks('views', '{running}', scan => 3);
select state, looked_at from taskq.find_tasks('views', '{dead, expired}', scan => 3);
-- A queue with more live tasks than may be looked at is searched among all.
select id is null as stopped, looked_at, next = :running as next from taskq.find_tasks('views', '{pending}', scan => 1);
select state from taskq.find_tasks('views', "limit" => 1, after => :dead);
select taskq.find_tasks('nowhere');
select taskq.find_tasks("limit" => 0);
select taskq.find_tasks(error => '(');

-- serve() and unserved(): a worker tells its kinds until its session ends
select taskq.create_queue('served'), taskq.create_queue('no tasks');
select count(*) from taskq.submit_many('served', array_fill('1'::jsonb, array[3]), kind => 'a_b');
select count(*) from taskq.submit_many('served', array_fill('1'::jsonb, array[2]), kind => 'axb');
select taskq.submit('served', kind => 'x', delay => '1 hour') > 0, taskq.submit('served') > 0;
select kind, tasks, oldest <= now() as old, looked_at from taskq.unserved('served');
select taskq.serve('{served, no tasks}', '{a_*}');
select kind, tasks from taskq.unserved('served');
select taskq.serve('{no tasks}');
select count(*) from taskq.unserved('served');
select taskq.serve('{served}', '{*b, x, a%}');
select queue, kind, tasks from taskq.unserved() where queue = 'served';
begin;
select taskq.serve('{served}');
select count(*) from taskq.unserved('served');
rollback;
select count(*) from taskq.unserved('served');
select kind, tasks, looked_at from taskq.unserved('served', 3);
select count(*) from taskq.acquire('served', 3);
select count(*) from taskq.unserved('served');
select pg_advisory_unlock_all();
select kind, tasks from taskq.unserved('served');
select taskq.serve('{served}');
select kind, tasks from taskq.unserved('served');
select taskq.drop_queue('served', true), taskq.drop_queue('no tasks');

-- attempts, of live and of ended tasks
select attempt, started_at <= ended_at as ended, worker, class, error, detail, status, elapsed from taskq.attempts where task_id = :dead
order by attempt;
select taskq.submit('seen', '7') as sent \gset
select count(*) from taskq_private.push_claim(1, null, null);
select taskq_private.push_report(id, token, 'retry', 'http', 503, null, null, false, '400 ms', null, null,
	'{"dns": "1 ms", "connect": "2 ms", "tls": "3 ms", "first_byte": "300 ms"}') from taskq_private.lease where id = :sent;
select attempt, worker, class, error, status, elapsed, dns, connect, tls, first_byte from taskq.attempts where task_id = :sent;
select state, method, url, payload, error from taskq.tasks where id = :sent;
select taskq.cancel(:sent);
select attempt, class, status, elapsed, dns, connect, tls, first_byte from taskq.attempts where task_id = :sent;

-- workers
select worker, queue, running, oldest_start <= now() as started, next_lease_end > now() + interval '5 min' as leased
	from taskq.workers where queue = 'views';
select taskq.finish(:running, :token);
select count(*) from taskq.workers where queue = 'views';

-- queues, policies
select taskq.pause_queue('seen');
select queue, mode, url, paused, pause_reason, executor from taskq.queues where queue in ('views', 'seen') order by queue;
select name, backoff, base, factor, max_delay, jitter, max_attempts, delays from taskq.retry_policies where built_in order by name;

-- The ended tasks of a dropped queue can still be seen.
select taskq.drop_queue('views', true), taskq.drop_queue('seen', true);
select state, count(*) from taskq.tasks where queue = 'views' group by state order by state;
select taskq.disarm(), taskq.start_executor();
