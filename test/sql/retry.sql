-- Retry policies: the delay after each attempt, and when a task is given up.
select taskq.create_retry_policy('gae', base => '10 s', max_delay => '300 s', max_doublings => 3);
select taskq.create_retry_policy('power', 'power', base => '1 s', factor => 1.5, max_delay => '120 s');
select taskq.create_retry_policy('linear', 'linear', base => '2 s', max_delay => '7 s');
select taskq.create_retry_policy('fixed', 'fixed', base => '3 s');
select taskq.create_retry_policy('schedule', 'schedule', delays => '{1 s, 1 min, 2 hours}');
select taskq.create_retry_policy('nothing', base => '0');
select taskq.create_retry_policy('old', base => '1 hour', max_age => '30 min', jitter => 0);

select policy, array_agg(extract(epoch from taskq.backoff(policy, attempt))::numeric(10,2) order by attempt) as seconds
from unnest(array['default', 'webhook', 'none', 'gae', 'power', 'linear', 'fixed', 'schedule', 'nothing']) as policy,
	generate_series(1, 8) as attempt
group by policy order by policy;

-- Every attempt number has a delay.
select policy, taskq.backoff(policy, 1000), taskq.backoff(policy, 2147483647)
from unnest(array['default', 'webhook', 'none', 'gae', 'power', 'linear', 'fixed', 'schedule', 'nothing']) as policy
order by policy;

-- There is jitter, and it stays within its bounds; the call itself takes time.
select taskq.create_retry_policy('hour', 'fixed', base => '1 hour', max_delay => '1 hour', jitter => 0.1);
select bool_and(d between interval '53 min' and interval '66 min') as within, count(distinct d) > 50 as varies
from (select taskq_private.retry_at('hour', 1, 25, clock_timestamp(), null) - clock_timestamp() as d from generate_series(1, 100)) as x;

-- Given up: all attempts are used up, or the task is too old for another one.
select taskq_private.retry_at('default', 25, 25, now(), null) is null as attempts_used_up,
	taskq_private.retry_at('old', 1, 25, now(), null) is null as too_old,
	taskq_private.retry_at('old', 1, 25, now(), '1 min') is not null as young_enough,
	taskq_private.retry_at('none', 1, 1, now(), null) is null as none;

-- A delay that was asked for is used.
select taskq_private.retry_at('default', 1, 25, now(), '5 min') - now() between interval '5 min' and interval '6 min' as asked;

-- Policies apply by queue and by task.
select taskq.create_queue('strict', retry => 'none');
select taskq.submit('strict') as a, taskq.submit('strict', retry => 'fixed') as b, taskq.submit('strict', retry => 'fixed', max_attempts => 3) as c \gset
select max_attempts from taskq.tasks where id in (:a, :b, :c) order by id;
select count(*) from taskq.acquire('strict', 10);
select l.id = :a as is_a, taskq.fail(l.id, l.token, 'x') from taskq_private.lease l order by l.id;
select t.run_at - a.ended_at between interval '2.5 s' and interval '5 s' as in_three_seconds
	from taskq.tasks t join taskq.attempts a on a.task_id = t.id where t.id in (:b, :c);

-- Shown, and dropped if no queue uses them.
select name, backoff, max_attempts, built_in from taskq.retry_policies order by built_in, name;
\set VERBOSITY terse
select taskq.drop_retry_policy('none');
select taskq.alter_queue('strict', retry => 'linear');
select taskq.drop_retry_policy('linear');
select taskq.drop_queue('strict', true);
select taskq.drop_retry_policy('linear'), taskq.drop_retry_policy('linear');
select taskq.drop_retry_policy(null);
-- A task whose policy was dropped is retried by the policy default.
select taskq.submit('default', retry => 'fixed', max_attempts => 3) as id \gset
select taskq.drop_retry_policy('fixed');
select taskq.fail(id, token, 'x') from taskq.acquire('default');
select taskq.cancel(:id);
