-- Limits of queues and groups: set_limit() and set_group_limit(), see src/tables/limit_calls.c.  A
-- group is what has this key; there is no list of groups.

-- At commit, the claimers of the queue heed its limits anew.
create function taskq_private.limits_changed(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_limits_changed';

-- The only place after which other sessions learn of a changed limit: at the commit they read the queue
-- again.
create function taskq_private.tell_limits(queue_id int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
	perform taskq_private.queues_changed();
	perform taskq_private.limits_changed(queue_id);
end
$$;

-- Writes a row of flow_limit in place of the former one.  A row that limits nothing is left out, except
-- that of a group, which exempts it from what holds for every group.  The row of the queue is
-- locked, so that it is not dropped before the commit; a queue that exists from the start may have none.
create function taskq_private.set_flow_limit(queue_id int, scope "char", group_id bigint, group_key text, max_running int,
	rate double precision, per interval, burst int, weight int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
	perform from taskq_private.queue q where q.id = queue_id for share;
	if not found and not exists (select from taskq_private.all_queues q where q.id = queue_id) then
		raise exception using errcode = 'TQ001', message = 'the queue does not exist',
			detail = 'It was dropped at this moment.', hint = 'taskq.queues shows all queues.';
	end if;
	if scope <> 'g' and max_running is null and rate is null and weight = 1 then
		delete from taskq_private.flow_limit f where f.queue_id = set_flow_limit.queue_id and f.scope = set_flow_limit.scope;
	else
		insert into taskq_private.flow_limit values (queue_id, scope, group_id, group_key, max_running, rate, per, burst, weight)
			on conflict on constraint flow_limit_pkey do update
				set (group_key, max_running, rate, per, burst, weight) =
					(excluded.group_key, excluded.max_running, excluded.rate, excluded.per, excluded.burst, excluded.weight);
	end if;
	perform taskq_private.tell_limits(queue_id);
end
$$;

create function taskq_private.drop_flow_limit(queue_id int, scope "char", group_id bigint) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	dropped boolean;
begin
	delete from taskq_private.flow_limit f where f.queue_id = drop_flow_limit.queue_id and f.scope = drop_flow_limit.scope
		and f.group_id = drop_flow_limit.group_id;
	dropped := found;
	if dropped then
		perform taskq_private.tell_limits(queue_id);
	end if;
	return dropped;
end
$$;

create function taskq.set_limit(queue text, max_running int default null, rate double precision default null,
	per interval default '1 s', burst int default 1) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_set_limit';
comment on function taskq.set_limit is
	E'Limits how many tasks of a queue run at a time, and how many start in a time. It replaces what was set before: what is not '
	'given is not limited. It holds for every acquire() that begins after the commit of this call. Tasks that run go on.\n'
	'queue: the name of the queue.\n'
	'max_running: so many tasks run at a time, 0 (none starts) to 1000000. A task runs until it is finished, failed or released, or '
	'its lease is taken back.\n'
	'rate, per: so many tasks start in that time, retries included: rate 0.001 to 1000000, per 1 ms to 1 day.\n'
	'burst: so many of them may start at once after a pause, 1 to 100000. With 1 the starts are evenly spaced.\n'
	'per and burst need a rate.\n'
	'Without all of them the queue has no limit. The limits of its groups stay.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 the queue is a topic; TQ007 no privilege control on the queue.';

create function taskq.set_group_limit(queue text, group_key text, max_running int default null, rate double precision default null,
	per interval default '1 s', burst int default 1, weight int default 1) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_set_group_limit';
comment on function taskq.set_group_limit is
	E'Limits a group of a queue: how many of its tasks run at a time, and how many start in a time. It replaces what was set before.\n'
	'queue: the name of the queue. Its own limit holds as well.\n'
	'group_key: the group, as in submit(); it need not have tasks. NULL: each group that has no limit of its own.\n'
	'max_running, rate, per, burst: as in set_limit(), but at most 1000 starts a second. A group with none of them is not limited, '
	'whatever holds for each group; see drop_group_limit(). In an ordered queue a group has at most one running task, whatever is set.\n'
	'weight: the share of the group of what runs, beside other groups, 1 to 100.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 the queue is a topic; TQ007 no privilege control on the queue.';

create function taskq.drop_group_limit(queue text, group_key text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_drop_group_limit';
comment on function taskq.drop_group_limit is
	E'Removes the limit of a group. Then the limit holds for it that set_group_limit() has set for each group, if there is one.\n'
	'queue, group_key: as in set_group_limit().\n'
	'Returns false if the group had no limit of its own.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 the queue is a topic; TQ007 no privilege control on the queue.';

create view taskq.limits with (security_barrier) as
	select q.name as queue, case f.scope when 'q' then 'queue' when 'd' then 'every group' else 'group' end as scope, f.group_key,
		f.max_running, f.rate, case when f.rate is not null then f.per end as per,
		case when f.rate is not null then f.burst end as burst, case when f.scope <> 'q' then f.weight end as weight
	from taskq_private.flow_limit f
		join taskq_private.all_queues q on q.id = f.queue_id
	where taskq_private.visible(q.name);
comment on view taskq.limits is
	E'One row for each limit that set_limit() and set_group_limit() have set on a queue that the caller may view.\n'
	'scope: queue, every group (each that has no limit of its own), or group, which has this group_key.\n'
	'max_running, rate: NULL if not limited. per, burst: of the rate.\n'
	'weight: NULL for a queue.';
