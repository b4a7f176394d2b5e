-- Topics: queues with subscribers instead of tasks.  See src/life/publish.c.

create table taskq_private.subscription (
	topic_id int not null,
	queue_id int not null,
	kinds text[],					-- NULL: all
	constraint subscription_pkey primary key (topic_id, queue_id)
);

select pg_catalog.pg_extension_config_dump('taskq_private.subscription', '');

-- Sessions remember subscriptions with the queues: see src/tables/subscribers.c.  A trigger, so that
-- the rows of a restore and those written by hand count as well.
create function taskq_private.subscriptions_changed() returns trigger
language c volatile as 'MODULE_PATHNAME', 'taskq_queues_changed';

create trigger subscription_changed after insert or update or delete or truncate on taskq_private.subscription
for each statement execute function taskq_private.subscriptions_changed();
alter table taskq_private.subscription enable always trigger subscription_changed;

-- For alter_queue(), which has locked the row: a topic keeps its mode while it has subscribers, and
-- a subscriber must be able to take payloads.
create function taskq_private.check_subscriptions(q taskq_private.queue, old_mode text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	topic text;
begin
	if old_mode = 'topic' and q.mode <> 'topic' and exists (select from taskq_private.subscription s where s.topic_id = q.id) then
		raise exception using errcode = 'TQ009', message = format('topic "%s" has subscribers', q.name),
			detail = 'A queue of another mode cannot have any.', hint = 'Call taskq.unsubscribe() for each of them first.';
	end if;
	if q.mode = 'pull' or (q.mode = 'push' and q.url is not null) then
		return;
	end if;
	topic := (select t.name from taskq_private.subscription s join taskq_private.all_queues t on t.id = s.topic_id
		where s.queue_id = q.id order by t.name limit 1);
	if topic is not null then
		raise exception using errcode = 'TQ009', message = format('queue "%s" is subscribed to topic "%s"', q.name, topic),
			detail = case q.mode when 'topic' then 'A topic cannot be a subscriber, because it has no tasks.'
				when 'call' then 'A call queue cannot take the tasks, because they name no function.'
				else 'A push queue without a url cannot take the tasks.' end,
			hint = 'Call taskq.unsubscribe() first.';
	end if;
end
$$;

-- The rows of both queues are locked, so that neither is dropped or changed before the commit.  A
-- queue that exists from the start may have none; it cannot be dropped, and its mode does not
-- change while a client call is open.
create function taskq_private.subscribe(topic text, queue text, kinds text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
	t taskq_private.all_queues%rowtype;
	q taskq_private.all_queues%rowtype;
begin
	perform from taskq_private.queue x where x.name in (topic, queue) order by x.id for share;
	select * into t from taskq_private.all_queues x where x.name = topic;
	select * into q from taskq_private.all_queues x where x.name = queue;
	if t.id is null or q.id is null then
		raise exception using errcode = 'TQ001',
			message = format('queue "%s" does not exist', case when t.id is null then topic else queue end),
			detail = 'It was dropped at this moment.', hint = 'taskq.queues shows all queues.';
	elsif t.mode <> 'topic' then
		raise exception using errcode = 'TQ005', message = format('queue "%s" is not a topic', topic),
			detail = 'It has tasks instead of subscribers.',
			hint = 'Create a topic with taskq.create_queue(..., mode => ''topic'').';
	elsif q.mode = 'topic' then
		raise exception using errcode = 'TQ005', message = format('queue "%s" is a topic', queue),
			detail = 'A topic cannot be a subscriber, because it has no tasks.', hint = 'Subscribe a pull or push queue.';
	elsif q.mode = 'call' then
		raise exception using errcode = 'TQ005', message = format('queue "%s" is a call queue', queue),
			detail = 'What is published names no function to call.', hint = 'Subscribe a pull or push queue.';
	elsif q.mode = 'push' and q.url is null then
		raise exception using errcode = 'TQ005', message = format('queue "%s" is a push queue without a url', queue),
			detail = 'The tasks would have no destination.', hint = 'Give it a url with taskq.alter_queue().';
	end if;
	insert into taskq_private.subscription (topic_id, queue_id, kinds) values (t.id, q.id, kinds)
		on conflict on constraint subscription_pkey do update set kinds = excluded.kinds;
end
$$;

create function taskq_private.unsubscribe(topic text, queue text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	delete from taskq_private.subscription s using taskq_private.all_queues t, taskq_private.all_queues q
		where t.name = topic and q.name = queue and s.topic_id = t.id and s.queue_id = q.id;
	return found;
end
$$;

create function taskq.subscribe(topic text, queue text, kinds text[] default null) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_subscribe';
comment on function taskq.subscribe is
	E'Subscribes a queue to a topic: each message that is published from now on becomes a task of the queue.\n'
	'topic: a queue that was created with mode => ''topic''.\n'
	'queue: a pull queue, or a push queue with a url.\n'
	'kinds: only messages of these kinds, 1 to 100. Default: all. A queue that is subscribed already gets these kinds instead.\n'
	'Errors: TQ001 unknown topic or queue; TQ004 bad argument; TQ005 if the first is no topic, or the second is one or is a push '
	'queue without a url; TQ007 no privilege control on both.';

create function taskq.unsubscribe(topic text, queue text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_unsubscribe';
comment on function taskq.unsubscribe is
	E'Ends a subscription. The tasks that the queue has stay.\n'
	'topic, queue: as in subscribe().\n'
	'Returns false if the queue was not subscribed to the topic.\n'
	'Errors: TQ001 unknown topic or queue; TQ004 bad argument; TQ007 no privilege control on both.';

create function taskq.publish(topic text, payload jsonb default null, kind text default null, key text default null,
	priority int default 0, delay interval default null, group_key text default null, trace text default null) returns setof bigint
language c volatile parallel unsafe rows 10 as 'MODULE_PATHNAME', 'taskq_publish';
comment on function taskq.publish is
	E'Publishes a message: submits one task to each queue that is subscribed to the topic, in this transaction.\n'
	'topic: a queue that was created with mode => ''topic''.\n'
	'payload, kind, key, priority, delay, group_key, trace: of each task, as in submit(). A queue in which the key is taken keeps the task '
	'that has it. In an ordered queue the priority is 0.\n'
	'Returns the ids of the tasks; no row if no queue is subscribed. The privilege submit on the topic is enough.\n'
	'Errors: TQ001 unknown topic; TQ004 bad argument; TQ005 if the queue is not a topic; TQ006 payload too large; TQ007 no privilege '
	'submit on the topic.';

create view taskq.subscriptions with (security_barrier) as
	select t.name as topic, q.name as queue, s.kinds
	from taskq_private.subscription s
		join taskq_private.all_queues t on t.id = s.topic_id
		join taskq_private.all_queues q on q.id = s.queue_id
	where taskq_private.visible(t.name) and taskq_private.visible(q.name);
comment on view taskq.subscriptions is
	E'One row for each queue that is subscribed to a topic, if the caller may view both.\n'
	'kinds: the kinds of messages that the queue gets; NULL: all.';
