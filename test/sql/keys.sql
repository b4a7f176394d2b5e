-- Keys: at most one live task of a queue has a given key.
\set VERBOSITY terse
select taskq.create_queue('keys', keep_key => '1 hour'), taskq.create_queue('other'), taskq.create_queue('soon', keep_key => '0');

-- keep returns the id of the task that has the key, live or ended.
select taskq.submit('keys', '1', key => 'k') as id \gset
select taskq.submit('keys', '2', key => 'k') = :id as kept, taskq.submit('keys', '3', key => 'k', on_duplicate => 'keep') = :id as kept_again;
select taskq.submit('keys', '4', key => 'K') <> :id as another_key, taskq.submit('other', '5', key => 'k') <> :id as another_queue;
select payload, key from taskq.tasks where id = :id;
select key, payload from taskq.acquire('keys', 10) order by key;
select taskq.submit('keys', '6', key => 'k') = :id as kept_while_running;

-- raise, and replace of a running task.
select taskq.submit('keys', '7', key => 'k', on_duplicate => 'raise');
select taskq.submit('keys', '8', key => 'k', on_duplicate => 'replace');

-- After the end the key stays taken for keep_key.
select taskq.finish(l.id, l.token) from taskq_private.lease l join taskq.tasks t on t.id = l.id where t.key = 'k' and t.queue = 'keys';
select taskq.submit('keys', '9', key => 'k') = :id as kept_after_the_end;
select taskq.submit('keys', '10', key => 'k', on_duplicate => 'raise');
select taskq.submit('keys', '11', key => 'k', on_duplicate => 'replace') as newer \gset
select :newer <> :id as replace_makes_a_new_one, taskq.submit('keys', '12', key => 'k') = :newer as which_has_the_key;
select taskq.cancel_key('keys', 'k'), taskq.cancel_key('keys', 'k'), taskq.cancel_key('keys', 'nobody''s');
update taskq_private.key set taken_until = 'epoch' where id = :newer;
select taskq.submit('keys', '13', key => 'k') as third \gset
select :third > :newer as free_when_the_time_is_up;

-- replace of a pending task: same id, new content and schedule, attempts from zero.
select taskq.fail(id, token, 'x', retry_in => '1 hour') from taskq.acquire('keys');
select taskq.submit('keys', '{"new": true}', key => 'k', priority => -5, max_attempts => 3, kind => 'fresh', on_duplicate => 'replace') = :third as same_id;
select payload, state, attempt, max_attempts, priority, kind, run_at <= now() as due from taskq.tasks where id = :third;
select id = :third as same, payload, attempt from taskq.acquire('keys');
select count(*) from taskq_private.lease where id = :third;
select taskq.finish(id, token) from taskq_private.lease where id = :third;

-- keep_key 0: free at the end.
select taskq.submit('soon', key => 'k') as id \gset
select taskq.submit('soon', key => 'k') = :id as kept;
select taskq.finish(id, token) from taskq.acquire('soon');
select taskq.submit('soon', key => 'k') > :id as free;
select taskq.purge_queue('soon');

-- A rollback frees the key, a rollback to a savepoint too.
begin;
select taskq.submit('soon', key => 'r') as id \gset
rollback;
begin;
savepoint s;
select taskq.submit('soon', key => 'r') as second \gset
rollback to s;
select taskq.submit('soon', key => 'r') <> :second as free;
commit;
select taskq.cancel_key('soon', 'r');

-- At every isolation level.
select taskq.submit('keys', key => 'iso') as id \gset
begin isolation level serializable;
select taskq.submit('keys', key => 'iso') = :id as kept;
select taskq.submit('keys', '"s"', key => 'iso', on_duplicate => 'replace') = :id as replaced;
commit;
select payload from taskq.tasks where id = :id;

-- retry() takes the key again.
select taskq.cancel(:id);
select taskq.retry(:id);
select taskq.submit('keys', key => 'iso') = :id as has_it_again;
select taskq.cancel(:id);
select taskq.submit('keys', key => 'iso', on_duplicate => 'replace') <> :id as new_one;
select taskq.retry(:id);
select taskq.cancel_key('keys', 'iso');

-- HTTP requests have keys too.
select taskq.submit_http('http://a.example/', key => 'h', delay => '1 hour') = taskq.submit_http('http://b.example/', key => 'h', delay => '1 hour') as kept;
select taskq.submit_http('http://c.example/', '{"c": 1}', key => 'h', delay => '2 hours', on_duplicate => 'replace') > 0 as replaced;
select url, payload, run_at > now() + interval '90 min' as later from taskq.tasks where key = 'h';
select taskq.cancel_key('http', 'h');

-- Bad keys.
select taskq.submit('keys', key => '');
select taskq.submit('keys', key => repeat('k', 513));
select taskq.submit('keys', key => E'a\nb');
select taskq.submit('keys', key => 'k', on_duplicate => 'ignore');
select taskq.submit('keys', key => repeat('k', 512)) > 0 as longest;
select taskq.cancel_key('nowhere', 'k');
select taskq.cancel_key('keys', null);

-- Keys whose time is over are forgotten, and those of a dropped queue.
update taskq_private.key set taken_until = 'epoch' where taken_until is not null;
select taskq_private.drop_keys();
select count(*) from taskq_private.key where taken_until is not null;
select taskq.drop_queue('keys', true), taskq.drop_queue('other', true), taskq.drop_queue('soon', true);
select count(*) from taskq_private.key k where not exists (select from taskq_private.all_queues q where q.id = k.queue_id);
