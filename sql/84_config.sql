-- Configuration: apply_config() makes queues, endpoints, retry policies and schedules as a document
-- says, and export_config() writes such a document.
--
-- The names of keys, their types and their defaults are those of the arguments of the public functions,
-- read from the catalog: there is no second list of them.  A plan is made first, as taskq_owner, because
-- it compares secrets.  It consists of calls of public functions, which are then made with the rights
-- of the caller.  No role may make a plan but taskq_owner: it contains stored secrets.

-- ---- keys ------------------------------------------------------------------------------------

create view taskq_private.config_sections as
	select * from (values
		(1, 'policies', 'policy', 'create_retry_policy', 'name'),
		(2, 'queues', 'queue', 'create_queue', 'queue'),
		(3, 'endpoints', 'endpoint', 'create_endpoint', 'endpoint'),
		(4, 'schedules', 'schedule', 'schedule', 'schedule')) as s (number, section, object, function, name_argument);

-- The arguments of the public functions.  default_: an expression; NULL: there is none.
create view taskq_private.config_arguments as
	select p.proname::text as function, a.key, a.type::regtype as type, a.position,
		pg_get_function_arg_default(p.oid, a.position::int) as default_
	from pg_proc p, unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) with ordinality as a (key, type, position)
	where p.pronamespace = 'taskq'::regnamespace;

-- Which keys an object has.  type: NULL for a part of the object that is set by another function.
create view taskq_private.config_keys as
	select s.object, a.key, a.type
	from taskq_private.config_sections s join taskq_private.config_arguments a using (function)
	where a.key <> s.name_argument
	union
	select 'endpoint', a.key, a.type from taskq_private.config_arguments a
	where a.function = 'alter_queue' and a.key not in ('queue', 'mode')
	union all
	select p.part, a.key, a.type
	from (values ('limit', 'set_limit'), ('group_limit', 'set_group_limit'), ('subscription', 'subscribe')) as p (part, function)
		join taskq_private.config_arguments a using (function)
	where a.key not in ('topic', 'queue', 'group_key')
	union all
	select o.object, k.key, null
	from unnest(array['queue', 'endpoint']) as o (object),
		unnest(array['limit', 'group_limit', 'group_limits', 'grants', 'subscriptions']) as k (key)
	union all
	select 'document', s.section, null from taskq_private.config_sections s;

-- How a statement takes an argument from the JSON object $1.
create function taskq_private.argument_text(key text, type regtype) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when type = 'jsonb'::regtype then format('$1 -> %L', key)
		when type::text like '%[]' then format('array(select jsonb_array_elements_text($1 -> %L))::%s', key, type)
		else format('($1 ->> %L)::%s', key, type) end
$$;

-- A call of a public function with those of its arguments that the JSON object has.
create function taskq_private.call_text(function text, args jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select format('select taskq.%I(%s)', call_text.function,
		string_agg(format('%I => %s', a.key, taskq_private.argument_text(a.key, a.type)), ', ' order by a.position))
	from taskq_private.config_arguments a where a.function = call_text.function and args ? a.key
$$;

-- The arguments that a function has by itself, without those that are NULL.
create function taskq_private.config_defaults(function text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	a record;
	value jsonb;
	defaults jsonb := '{}';
begin
	for a in select * from taskq_private.config_arguments c where c.function = config_defaults.function and c.default_ is not null loop
		execute format('select to_jsonb(%s)', a.default_) into value;
		if value is not null then
			defaults := defaults || jsonb_build_object(a.key, value);
		end if;
	end loop;
	return defaults;
end
$$;

-- ---- values that are secret --------------------------------------------------------------------

-- In place of a secret, export_config() writes the name of an environment variable.
create function taskq_private.is_placeholder(value jsonb) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when jsonb_typeof(value) = 'object'
		then value - '!env' = '{}' and jsonb_typeof(value -> '!env') is not distinct from 'string' else false end
$$;

create function taskq_private.variable_name(name text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select regexp_replace(upper(regexp_replace(name, '[^A-Za-z0-9]+', '_', 'g')), '^(?=[0-9])', '_')
$$;

create function taskq_private.placeholder(object text, name text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object('!env', taskq_private.variable_name(object || '_' || name))
$$;

-- Refuses a document in which the secrets of two objects have the same name: one value cannot be both.
create function taskq_private.check_variables(state jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	twice record;
begin
	select v.name, min(o.key collate "C") as first_, max(o.key collate "C") as last_ into twice
		from jsonb_each(state) as s, jsonb_each(s.value) as o, jsonb_path_query(o.value, '$.**."!env"') as e,
			lateral (select e #>> '{}' as name) as v
		where s.key in ('queues', 'endpoints', 'schedules') and starts_with(v.name, taskq_private.variable_name(o.key || '_'))
		group by v.name having min(o.key collate "C") <> max(o.key collate "C") order by v.name limit 1;
	if found then
		raise exception using errcode = 'TQ009',
			message = format('the environment variable %s would stand for secrets of both "%s" and "%s"', twice.name, twice.first_,
				twice.last_),
			detail = 'In the names of variables, all characters but letters and digits become underscores.',
			hint = 'Give one of the two another name.';
	end if;
	return state;
end
$$;

-- The three functions that follow look at headers wherever templates have them.  A payload has none.
-- is_headers: the value is an object of headers.

-- The value with placeholders in place of headers.  object: the name that the placeholders begin with.
create function taskq_private.without_headers(value jsonb, object text, is_headers boolean default false) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case jsonb_typeof(value)
		when 'object' then (
			select coalesce(jsonb_object_agg(m.key, case when is_headers then taskq_private.placeholder(object, m.key)
				when m.key = 'payload' then m.value
				else taskq_private.without_headers(m.value, object, m.key = 'headers') end), '{}')
			from jsonb_each(value) as m)
		when 'array' then (
			select coalesce(jsonb_agg(taskq_private.without_headers(e.value, object) order by e.n), '[]')
			from jsonb_array_elements(value) with ordinality as e (value, n))
		else value end
$$;

-- The value with stored headers in place of placeholders.
create function taskq_private.with_headers(value jsonb, stored jsonb, is_headers boolean default false) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when jsonb_typeof(value) = 'object' and jsonb_typeof(stored) = 'object' then (
			select coalesce(jsonb_object_agg(m.key, case
				when is_headers then case when taskq_private.is_placeholder(m.value)
					then coalesce(stored -> m.key, m.value) else m.value end
				when m.key = 'payload' then m.value
				else taskq_private.with_headers(m.value, stored -> m.key, m.key = 'headers') end), '{}')
			from jsonb_each(value) as m)
		when jsonb_typeof(value) = 'array' and jsonb_typeof(stored) = 'array' then (
			select coalesce(jsonb_agg(taskq_private.with_headers(e.value, stored -> (e.n - 1)::int) order by e.n), '[]')
			from jsonb_array_elements(value) with ordinality as e (value, n))
		else value end
$$;

-- The path of a header that is a placeholder; NULL: there is none.
create function taskq_private.placeholder_path(value jsonb, path text, is_headers boolean default false) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case jsonb_typeof(value)
		when 'object' then (
			select min(case when is_headers then case when taskq_private.is_placeholder(m.value) then path || '.' || m.key end
				when m.key <> 'payload' then taskq_private.placeholder_path(m.value, path || '.' || m.key, m.key = 'headers') end)
			from jsonb_each(value) as m)
		when 'array' then (
			select min(taskq_private.placeholder_path(e.value, path || '.' || e.n))
			from jsonb_array_elements(value) with ordinality as e (value, n))
		end
$$;

-- ---- what there is -------------------------------------------------------------------------------

-- A limit as set_limit() or set_group_limit() stores it.
create function taskq_private.config_limit(f taskq_private.flow_limit) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object('max_running', f.max_running, 'rate', f.rate,
		'per', case when f.rate is not null then f.per end, 'burst', case when f.rate is not null then f.burst end,
		'weight', case when f.scope <> 'q' then f.weight end))
$$;

-- What belongs to a queue or an endpoint beside its settings.
create function taskq_private.config_parts(queue_id int) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object(
		'limit', (select taskq_private.config_limit(f) from taskq_private.flow_limit f
			where f.queue_id = config_parts.queue_id and f.scope = 'q'),
		'group_limit', (select taskq_private.config_limit(f) from taskq_private.flow_limit f
			where f.queue_id = config_parts.queue_id and f.scope = 'd'),
		'group_limits', (select jsonb_object_agg(f.group_key, taskq_private.config_limit(f)) from taskq_private.flow_limit f
			where f.queue_id = config_parts.queue_id and f.scope = 'g'),
		'grants', (select jsonb_object_agg(g.role, g.privileges)
			from (select v.role, array_agg(v.privilege order by v.privilege) as privileges from taskq_private.valid_grants v
				where v.queue_id = config_parts.queue_id group by v.role) as g),
		'subscriptions', (select jsonb_object_agg(q.name, case when s.kinds is null then '{}' else jsonb_build_object('kinds', s.kinds) end)
			from taskq_private.subscription s join taskq_private.all_queues q on q.id = s.topic_id
			where s.queue_id = config_parts.queue_id)))
$$;

-- The settings of an endpoint that are not those of its queue.
create function taskq_private.config_endpoint(e taskq_private.endpoint, name text, secrets boolean) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object('timeout', e.timeout, 'max_running', s.max_running, 'rate', s.rate,
		'headers', case when e.header_names = '{}' then null when secrets then x.headers
			else (select jsonb_object_agg(h, taskq_private.placeholder(name, h)) from unnest(e.header_names) as h) end,
		'secret', case when not e.signed then null when secrets then to_jsonb('whsec_' || replace(encode(x.secret, 'base64'), E'\n', ''))
			else taskq_private.placeholder(name, 'secret') end))
	from taskq_private.endpoint_settings s left join taskq_private.endpoint_secret x on x.queue_id = s.queue_id
	where s.queue_id = e.queue_id
$$;

-- A queue or an endpoint.
create function taskq_private.config_queue(q taskq_private.all_queues, secrets boolean) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(to_jsonb(q)
			- array['id', 'name', 'paused', 'created_at', 'pause_reason', 'on_finish', 'on_dead',
				case when e.queue_id is not null then 'mode' end])
		|| case when q.on_finish is null then '{}' else jsonb_build_object('on_finish',
			case when secrets then q.on_finish else taskq_private.without_headers(q.on_finish, q.name) end) end
		|| case when q.on_dead is null then '{}' else jsonb_build_object('on_dead',
			case when secrets then q.on_dead else taskq_private.without_headers(q.on_dead, q.name) end) end
		|| coalesce(taskq_private.config_endpoint(e, q.name, secrets), '{}')
		|| taskq_private.config_parts(q.id)
	from (values (1)) as one left join taskq_private.endpoint e on e.queue_id = q.id
$$;

create function taskq_private.config_schedule(s taskq_private.schedule, secrets boolean) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_strip_nulls(jsonb_build_object('cron', s.cron, 'every', s.every, 'timezone', s.timezone, 'starts', s.starts,
			'ends', s.ends, 'overlap', s.overlap, 'missed', s.missed, 'missed_within', s.missed_within, 'jitter', s.jitter))
		|| jsonb_build_object('task', case when secrets then s.task else taskq_private.without_headers(s.task, s.name) end)
$$;

-- All that there is, in the form of a document: an object for each section.
create function taskq_private.config_state(secrets boolean) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_object(
		'policies', coalesce((select jsonb_object_agg(p.name, jsonb_strip_nulls(to_jsonb(p) - array['name', 'built_in']))
			from taskq_private.all_retry_policies p), '{}'),
		'queues', coalesce((select jsonb_object_agg(q.name, taskq_private.config_queue(q, secrets)) from taskq_private.all_queues q
			where not exists (select from taskq_private.endpoint e where e.queue_id = q.id)), '{}'),
		'endpoints', coalesce((select jsonb_object_agg(q.name, taskq_private.config_queue(q, secrets)) from taskq_private.all_queues q
			where exists (select from taskq_private.endpoint e where e.queue_id = q.id)), '{}'),
		'schedules', coalesce((select jsonb_object_agg(s.name, taskq_private.config_schedule(s, secrets))
			from taskq_private.schedule s), '{}'))
$$;

-- Of an endpoint, the limit of its queue or else max_running and rate, which are a simpler form of it.
create function taskq_private.one_limit(endpoint jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when l.rate is null or (l.per = '00:00:01' and l.burst = (greatest(l.rate / 10, 1))::int)
		then endpoint - 'limit' else endpoint - array['max_running', 'rate'] end
	from (select (endpoint #>> '{limit, rate}')::double precision as rate, endpoint #>> '{limit, per}' as per,
		(endpoint #>> '{limit, burst}')::int as burst) as l
$$;

-- Settings of the session must not change how intervals and times are written.
create function taskq.export_config() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
set IntervalStyle = 'postgres'
set DateStyle = 'ISO, YMD'
set TimeZone = 'UTC'
set extra_float_digits = 1
as $$
	select coalesce(jsonb_object_agg(section, objects), '{}')
	from taskq_private.check_variables(taskq_private.config_state(false)) as state, lateral (values
		('policies', (select jsonb_object_agg(p.key, p.value) from jsonb_each(state -> 'policies') as p
			where p.key in (select r.name from taskq_private.retry_policy r))),
		('queues', (select jsonb_object_agg(q.key, q.value) from jsonb_each(state -> 'queues') as q
			where q.key in (select r.name from taskq_private.queue r))),
		('endpoints', (select jsonb_object_agg(e.key, taskq_private.one_limit(e.value)) from jsonb_each(state -> 'endpoints') as e)),
		('schedules', nullif(state -> 'schedules', '{}'))) as s (section, objects)
	where objects is not null
$$;
comment on function taskq.export_config is
	E'Returns all queues, endpoints, retry policies and schedules as a document for apply_config(). Those that exist from the start '
	'are in it if they were changed.\n'
	'In place of headers and secrets it has the names of environment variables, such as {"!env": "ACME_AUTHORIZATION"}, which '
	'taskq apply reads.\n'
	'What is not in it: pauses, tasks, and the owners of schedules.\n'
	'Errors: TQ009 the secrets of two objects would have the same name.';

-- ---- judging a document ----------------------------------------------------------------------------

-- The name that is most like another one, with at most two edits; NULL: none is.
create function taskq_private.nearest(name text, names text[]) returns text
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_nearest';

-- The beginning of the detail of an error.  path: empty for the document itself.
create function taskq_private.config_place(path text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case path when '' then 'It is the configuration itself.' else format('The place in the configuration is %s.', path) end
$$;

create function taskq_private.refuse_config(message text, path text, hint text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	raise exception using errcode = 'TQ004', message = message, detail = taskq_private.config_place(path),
		hint = coalesce(hint, 'See the comment of taskq.apply_config().');
end
$$;

create function taskq_private.refuse_config_key(key text, path text, known text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	perform taskq_private.refuse_config(format('there is no key "%s"', key), path,
		coalesce('Did you mean "' || taskq_private.nearest(key, known) || '"?', format('There are %s.', array_to_string(known, ', '))));
end
$$;

-- A JSON object; null is an empty one.
create function taskq_private.config_members(value jsonb, key text, path text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if coalesce(jsonb_typeof(value), 'null') not in ('object', 'null') then
		perform taskq_private.refuse_config(format('"%s" must be a mapping', key), path, null);
	end if;
	return case when jsonb_typeof(value) = 'object' then value else '{}' end;
end
$$;

-- What a value of that type must be in JSON if it is something else, or NULL.
create function taskq_private.config_type_fault(value jsonb, type regtype) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when type = 'jsonb'::regtype then null
		when type::text like '%[]' then case when jsonb_typeof(value) <> 'array'
			or exists (select from jsonb_array_elements(value) as e where jsonb_typeof(e) <> 'string') then 'a list of texts' end
		when type = 'boolean'::regtype then case when jsonb_typeof(value) not in ('boolean', 'string') then 'true or false' end
		when type in ('integer'::regtype, 'double precision'::regtype) then
			case when jsonb_typeof(value) not in ('number', 'string') then 'a number' end
		when jsonb_typeof(value) = 'string' then null
		when type = 'interval'::regtype then 'an interval such as "30 s"'
		else 'a text' end
$$;

-- The value as it is stored, for comparisons.
create function taskq_private.config_value(value jsonb, type regtype, key text, path text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong constant text := taskq_private.config_type_fault(value, type);
	normal jsonb;
	cause text;
begin
	if wrong is not null then
		perform taskq_private.refuse_config(format('"%s" must be %s', key, wrong), path, null);
	end if;
	begin
		execute format('select to_jsonb(%s)', taskq_private.argument_text(key, type)) into normal using jsonb_build_object(key, value);
		return case
			when key = 'url' and normal <> '""' then to_jsonb(taskq_private.check_url(normal #>> '{}'))
			when key = 'secret' and normal <> '""' then
				to_jsonb('whsec_' || replace(encode(taskq_private.read_secret(normal #>> '{}'), 'base64'), E'\n', ''))
			when key in ('on_finish', 'on_dead') and jsonb_typeof(normal) = 'object' then jsonb_build_array(normal)
			else normal end;
	exception when data_exception or sqlstate 'TQ004' then
		get stacked diagnostics cause = pg_exception_detail;
		perform taskq_private.refuse_config(format('"%s": %s', key, sqlerrm), path, nullif(cause, ''));
	end;
end
$$;

-- The settings of an object that are not null, as they are stored; parts are as they were given.  path: empty for
-- the document itself.
create function taskq_private.config_settings(object text, value jsonb, name text, path text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	m record;
	settings jsonb := '{}';
begin
	for m in
		select e.key, e.value, concat_ws('.', nullif(path, ''), e.key) as path, k.key is not null as known, k.type
		from jsonb_each(taskq_private.config_members(value, name, path)) as e
			left join taskq_private.config_keys k on k.object = config_settings.object and k.key = e.key
		where e.value <> 'null'
	loop
		if not m.known then
			perform taskq_private.refuse_config_key(m.key, m.path,
				array(select k.key from taskq_private.config_keys k where k.object = config_settings.object order by k.key));
		end if;
		settings := settings || jsonb_build_object(m.key, case
			when m.type is null or (m.key = 'secret' and taskq_private.is_placeholder(m.value)) then m.value
		 else taskq_private.config_value(m.value, m.type, m.key, m.path) end);
	end loop;
	return settings;
end
$$;

-- A limit as it will be stored.  part: limit or group_limit.
create function taskq_private.config_limit_settings(part text, value jsonb, name text, path text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when l ? 'rate' then l else l - array['per', 'burst'] end
	from (select taskq_private.config_defaults('set_' || part) || taskq_private.config_settings(part, value, name, path)) as x (l)
$$;

-- ---- planning ----------------------------------------------------------------------------------------

-- A call of the plan: of a public function whose first argument is a name, with those settings that it
-- takes.  phase: calls with a lower one are made first.
create function taskq_private.config_step(phase int, path text, function text, name text, settings jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_build_array(jsonb_build_object('phase', phase, 'path', path, 'sql', taskq_private.call_text(function, c.args),
		'args', c.args))
	from (select jsonb_object_agg(a.key, case a.position when 1 then to_jsonb(name) else settings -> a.key end) as args
		from taskq_private.config_arguments a
		where a.function = config_step.function and (a.position = 1 or settings ? a.key)) as c
$$;

-- A value in the column detail.  The query of a url may be secret.
create function taskq_private.config_shown(key text, value jsonb) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when value is null or value in ('null', '""') then 'none'
		when key = 'url' then regexp_replace(value #>> '{}', '[?].*$', '?...')
		when jsonb_typeof(value) = 'object' then coalesce((
			select string_agg(m.key || ' ' || taskq_private.config_shown(m.key, m.value), ', ' order by m.key)
			from jsonb_each(value) as m), 'none')
		else value #>> '{}' end
$$;

-- What the column detail says of a setting.  old: NULL if the object is created.
create function taskq_private.config_detail(key text, old jsonb, new jsonb, created boolean) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case
		when key in ('headers', 'secret', 'on_finish', 'on_dead', 'task') then key || case when created then '' else ' changed' end
		when created then format('%s: %s', key, taskq_private.config_shown(key, new))
		else format('%s: %s -> %s', key, taskq_private.config_shown(key, old), taskq_private.config_shown(key, new)) end
$$;

-- Whether a setting is what it is to be.  old: NULL if there is none.
create function taskq_private.config_same(object text, key text, old jsonb, new jsonb) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select case when key = 'timezone' then lower(old #>> '{}') = lower(new #>> '{}')
		-- What removes a setting.
		when old is null and object in ('queue', 'endpoint') then new in ('""', '[]', '{}', '0', '"00:00:00"')
		else new is not distinct from old end
$$;

-- The settings that are to change, without parts.  A policy and a schedule are declared as a whole.
create function taskq_private.config_changes(object text, wanted jsonb, old jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(jsonb_object_agg(k.key, wanted -> k.key), '{}')
	from (select taskq_private.with_headers(wanted, old) || case when taskq_private.is_placeholder(wanted -> 'secret') and old ? 'secret'
			then jsonb_build_object('secret', old -> 'secret') else '{}' end) as f (filled),
		taskq_private.config_keys k
	where k.object = config_changes.object and k.type is not null
		and case when object in ('policy', 'schedule') then wanted ? k.key or old ? k.key else wanted ? k.key end
		and not taskq_private.config_same(object, k.key, old -> k.key, filled -> k.key)
$$;

-- The entries of a part that is a mapping: those that are given and, with prune, those that are gone.
create function taskq_private.config_entries(part text, given jsonb, old jsonb, path text, prune boolean,
	out key text, out path_ text, out new jsonb, out before jsonb) returns setof record
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select x.key, format('%s.%s.%s', path, part, x.key), n -> x.key, old -> part -> x.key
	from (select taskq_private.config_members(given -> part, part, path || '.' || part)) as m (n),
		lateral (select k from jsonb_object_keys(n) as k
			union select k from jsonb_object_keys(coalesce(old -> part, '{}')) as k where prune and given ? part) as x (key)
	order by x.key
$$;

create function taskq_private.plan_limits(name text, given jsonb, old jsonb, path text, prune boolean, out details text[], out steps jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	part text;
	wanted jsonb;
	g record;
begin
	details := '{}';
	steps := '[]';
	foreach part in array array['limit', 'group_limit'] loop
		continue when not given ? part;
		wanted := taskq_private.config_limit_settings(part, given -> part, part, path || '.' || part);
		continue when wanted = coalesce(old -> part, taskq_private.config_limit_settings(part, null, part, path));
		details := details || format('%s: %s', part, taskq_private.config_shown(part, wanted));
		steps := steps || taskq_private.config_step(6, path || '.' || part, 'set_' || part, name, wanted || '{"group_key": null}');
	end loop;
	for g in select * from taskq_private.config_entries('group_limits', given, old, path, prune) loop
		wanted := taskq_private.config_limit_settings('group_limit', g.new, g.key, g.path_);
		if g.new is null then
			details := details || format('drop limit of group %s', g.key);
			steps := steps || taskq_private.config_step(6, g.path_, 'drop_group_limit', name, jsonb_build_object('group_key', g.key));
		elsif wanted is distinct from g.before then
			details := details || format('limit of group %s: %s', g.key, taskq_private.config_shown('limit', wanted));
			steps := steps || taskq_private.config_step(6, g.path_, 'set_group_limit', name,
				wanted || jsonb_build_object('group_key', g.key));
		end if;
	end loop;
end
$$;

create function taskq_private.plan_grants(name text, given jsonb, old jsonb, path text, prune boolean, out details text[], out steps jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	g record;
	wanted text[];
	present text[];
	c record;
begin
	details := '{}';
	steps := '[]';
	for g in select * from taskq_private.config_entries('grants', given, old, path, prune) loop
		wanted := array(select jsonb_array_elements_text(
			taskq_private.config_value(coalesce(g.new, '[]'), 'text[]'::regtype, g.key, g.path_)));
		present := array(select jsonb_array_elements_text(coalesce(g.before, '[]')));
		for c in
			select x.function, x.verb, array(select unnest(x.more) except select unnest(x.less) order by 1) as privileges
			from (values ('grant_queue', 'grant %s to %s', wanted, present), ('revoke_queue', 'revoke %s from %s', present, wanted))
				as x (function, verb, more, less)
		loop
			continue when c.privileges = '{}';
			details := details || format(c.verb, array_to_string(c.privileges, ', '), g.key);
			steps := steps || taskq_private.config_step(6, g.path_, c.function, name,
				jsonb_build_object('role', g.key, 'privileges', c.privileges));
		end loop;
	end loop;
end
$$;

create function taskq_private.plan_subscriptions(name text, given jsonb, old jsonb, path text, prune boolean, out details text[],
	out steps jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	t record;
	wanted jsonb;
begin
	details := '{}';
	steps := '[]';
	for t in select * from taskq_private.config_entries('subscriptions', given, old, path, prune) loop
		wanted := taskq_private.config_settings('subscription', t.new, t.key, t.path_);
		if t.new is null then
			details := details || format('unsubscribe from %s', t.key);
			steps := steps || taskq_private.config_step(6, t.path_, 'unsubscribe', t.key, jsonb_build_object('queue', name));
		elsif wanted is distinct from t.before then
			details := details || concat_ws(': ', format('subscribe to %s', t.key), (wanted -> 'kinds')::text);
			steps := steps || taskq_private.config_step(6, t.path_, 'subscribe', t.key, wanted || jsonb_build_object('queue', name));
		end if;
	end loop;
end
$$;

-- The calls that change settings.  old: NULL if the object is created.  Follow-ups come later, when the queues
-- that they name are there.
create function taskq_private.plan_settings(object text, name text, changes jsonb, old jsonb, path text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	creator constant text := (select s.function from taskq_private.config_sections s where s.object = plan_settings.object);
	now_ constant jsonb := changes - array['on_finish', 'on_dead'];
	-- What alter_queue() has to do of an endpoint.
	of_queue constant jsonb := case when object = 'endpoint' then now_ - array(select a.key from taskq_private.config_arguments a
		where a.function = case when old is null then 'create_endpoint' else 'alter_endpoint' end) else '{}' end;
	steps jsonb := '[]';
begin
	if object = 'policy' then
		return case when old is null then taskq_private.config_step(3, path, creator, name, changes)
			else jsonb_build_array(jsonb_build_object('phase', 3, 'path', path, 'args', changes || jsonb_build_object('name', name),
				'sql', 'select taskq_private.replace_retry_policy($1)')) end;
	elsif object = 'schedule' then
		return taskq_private.config_step(8, path, creator, name, changes);
	end if;
	if old is null or now_ - array(select jsonb_object_keys(of_queue)) <> '{}' then
		steps := steps || taskq_private.config_step(4, path, case when old is null then creator else 'alter_' || object end, name, now_);
	end if;
	if of_queue <> '{}' then
		steps := steps || taskq_private.config_step(5, path, 'alter_queue', name, of_queue);
	end if;
	if changes <> now_ then
		steps := steps || taskq_private.config_step(5, path, 'alter_queue', name, changes - array(select jsonb_object_keys(now_)));
	end if;
	return steps;
end
$$;

-- What is to be done with one object of the document.  action: NULL if nothing is.
create function taskq_private.plan_object(object text, name text, given jsonb, old jsonb, path text, prune boolean,
	out action text, out detail text, out steps jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
	creator constant text := (select s.function from taskq_private.config_sections s where s.object = plan_object.object);
	settings constant jsonb := taskq_private.config_settings(object, given, name, path);
	whole constant boolean := object in ('policy', 'schedule');
	wanted constant jsonb := case when whole then taskq_private.config_defaults(creator) else '{}' end || settings;
	changes constant jsonb := case when old is null then wanted else taskq_private.config_changes(object, wanted, old) end;
	open_place constant text := case when taskq_private.is_placeholder(changes -> 'secret') then path || '.secret'
		else taskq_private.placeholder_path(changes, path) end;
	missing constant text := (select min(a.key) from taskq_private.config_arguments a where a.function = creator and a.position > 1
		and a.default_ is null and not wanted ? a.key);
	details text[];
	part record;
begin
	if missing is not null and (whole or old is null) then
		perform taskq_private.refuse_config(format('"%s" is missing', missing), path, null);
	elsif open_place is not null then
		perform taskq_private.refuse_config('a header or secret has no value', open_place,
			'taskq apply reads it from an environment variable; call taskq.apply_config() with the value itself.');
	elsif settings ? 'limit' and settings ?| array['rate', 'max_running'] then
		perform taskq_private.refuse_config('limit and max_running or rate are given', path, 'Give one of them: they are the same limit.');
	end if;
	details := array(select taskq_private.config_detail(c.key, old -> c.key, c.value, old is null)
		from jsonb_each(case when old is null then settings else changes end) as c, taskq_private.config_keys k
		where k.object = plan_object.object and k.key = c.key and k.type is not null order by c.key);
	steps := case when old is null or changes <> '{}' then taskq_private.plan_settings(object, name,
		case when whole then wanted else changes end, old, path) else '[]' end;
	if not whole then
		for part in
			select * from taskq_private.plan_limits(name, settings, old, path, prune)
			union all select * from taskq_private.plan_grants(name, settings, old, path, prune)
			union all select * from taskq_private.plan_subscriptions(name, settings, old, path, prune)
		loop
			details := details || part.details;
			steps := steps || part.steps;
		end loop;
	end if;
	action := case when steps = '[]' then null when old is null then 'create' else 'alter' end;
	detail := array_to_string(details, '; ');
end
$$;

-- Why an object that the document does not name is not dropped, or what that would end; NULL: nothing.
create function taskq_private.drop_obstacle(object text, name text, prune boolean, force boolean) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select nullif(concat_ws('; ', case when not prune then 'only with prune' end,
		case when l.live > 0 then format('has %s%s live task%s', case when l.live > 1000 then 'over ' end, least(l.live, 1000),
				case when l.live > 1 then 's' end)
			|| case when not force then ': only with force' || case when not prune then ', too' else '' end else '' end end), '')
	from (select count(*) as live from (
		select from taskq_private.tasks_by_queue t where object in ('queue', 'endpoint')
			and t.queue_id = (select q.id from taskq_private.all_queues q where q.name = drop_obstacle.name) limit 1001) as x) as l
$$;

-- Objects of a section that the document does not name.  Those that exist from the start stay.
create function taskq_private.plan_unnamed(object text, named jsonb, present jsonb, path text, prune boolean, force boolean,
	dry_run boolean)
returns table (action text, name text, detail text, steps jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
	select case when prune then 'drop' else 'keep' end, o.name, coalesce(x.obstacle, ''),
		case when not prune or (dry_run and x.obstacle like '%only with force%') then '[]'
			else taskq_private.config_step(d.phase, path || '.' || o.name, d.function, o.name, jsonb_build_object('force', force)) end
	from jsonb_object_keys(present) as o (name),
		(values ('policy', 9, 'drop_retry_policy'), ('queue', 7, 'drop_queue'), ('endpoint', 7, 'drop_queue'),
			('schedule', 1, 'unschedule')) as d (object, phase, function),
		lateral taskq_private.drop_obstacle(object, o.name, prune, force) as x (obstacle)
	where d.object = plan_unnamed.object and not named ? o.name and (prune or dry_run)
		and case object when 'queue' then o.name not in ('default', 'http', 'call')
			when 'policy' then o.name in (select p.name from taskq_private.retry_policy p) else true end
	order by o.name
$$;

-- Names that cannot stand in that section of the document.
create function taskq_private.check_config_name(object text, name text, path text, config jsonb, state jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
	if object = 'queue' and (state -> 'endpoints' ? name or config -> 'endpoints' ? name) then
		perform taskq_private.refuse_config(format('queue "%s" is an endpoint', name), path,
			'Name it under endpoints only; it takes the settings of queues.');
	elsif object = 'endpoint' and state -> 'queues' ? name then
		perform taskq_private.refuse_config(format('queue "%s" is not an endpoint', name), path,
			'Choose another name, or drop the queue first.');
	end if;
end
$$;

-- What is to be done: a row for each object, with the calls that do it.
create function taskq_private.config_plan(config jsonb, prune boolean, force boolean, dry_run boolean)
returns table (action text, object text, name text, detail text, steps jsonb)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set IntervalStyle = 'postgres'
set DateStyle = 'ISO, YMD'
set TimeZone = 'UTC'
set extra_float_digits = 1
as $$
#variable_conflict use_column
declare
	sections constant jsonb := taskq_private.config_settings('document', config, 'configuration', '');
	state jsonb;
	s record;
	o record;
	place text;
begin
	-- One configuration is applied at a time.
	lock table taskq_private.retry_policy in share row exclusive mode;
	state := taskq_private.config_state(true);
	for s in select * from taskq_private.config_sections c where sections ? c.section order by c.number loop
		for o in
			select * from jsonb_each(taskq_private.config_members(sections -> s.section, s.section, s.section)) as e order by e.key
		loop
			place := s.section || '.' || o.key;
			perform taskq_private.check_config_name(s.object, o.key, place, sections, state);
			return query select p.action, s.object, o.key, p.detail, p.steps
				from taskq_private.plan_object(s.object, o.key, o.value, state -> s.section -> o.key, place, prune) as p
				where p.action is not null;
		end loop;
		return query select u.action, s.object, u.name, u.detail, u.steps
			from taskq_private.plan_unnamed(s.object, sections -> s.section, state -> s.section, s.section, prune, force, dry_run) as u;
	end loop;
end
$$;

-- ---- acting -------------------------------------------------------------------------------------------

-- Replaces a policy that may be in use, which drop_retry_policy() refuses.  args: those of create_retry_policy().
create function taskq_private.replace_retry_policy(args jsonb) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
	if exists (select from taskq_private.all_retry_policies p where p.name = args ->> 'name' and p.built_in) then
		raise exception using errcode = 'TQ009', message = format('retry policy "%s" cannot be changed', args ->> 'name'),
			detail = 'The policy exists from the start.', hint = 'Create a policy with another name.';
	end if;
	delete from taskq_private.retry_policy p where p.name = args ->> 'name';
	execute taskq_private.call_text('create_retry_policy', args) using args;
end
$$;

-- Makes a call of the plan, with the rights of the caller.  The detail of an error begins with its place.
create function taskq_private.make_call(path text, sql text, args jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	code text;
	message text;
	detail text;
	hint text;
begin
	execute sql using args;
exception when others then
	get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
	raise exception using errcode = code, message = message,
		detail = concat_ws(' ', taskq_private.config_place(path), nullif(detail, '')),
		hint = coalesce(nullif(hint, ''), 'See the comment of taskq.apply_config().');
end
$$;

-- plan: an array of the rows of config_plan().
-- A dry run makes the calls, too, and takes them back: so it finds what they would refuse.
create function taskq_private.carry_out(plan jsonb, dry_run boolean)
returns table (action text, object text, name text, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
	begin
		perform taskq_private.make_call(c.path, c.sql, c.args)
		from (select x.* from jsonb_array_elements(plan) with ordinality as r (entry, number),
				jsonb_to_recordset(entry -> 'steps') as x (phase int, path text, sql text, args jsonb)
			order by x.phase, number) as c;
		if dry_run then
			raise exception using errcode = 'TQ099', message = 'dry run';
		end if;
	exception when sqlstate 'TQ099' then
		null;
	end;
	return query select x.* from jsonb_to_recordset(plan) as x (action text, object text, name text, detail text);
end
$$;

create function taskq.apply_config(config jsonb, prune boolean default false, force boolean default false, dry_run boolean default false)
returns table (action text, object text, name text, detail text)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_apply_config';
comment on function taskq.apply_config is
	E'Makes queues, endpoints, retry policies and schedules as a document says, all of it or nothing. What the document does not '
	'name is not touched.\n'
	'config: an object with policies, queues, endpoints and schedules, of which each is an object of names. The keys of an object are '
	'the arguments of create_retry_policy(), create_queue(), create_endpoint() and schedule(). A queue that is there, and an endpoint, '
	'is altered: a key that is missing or null leaves its setting as it is. A policy and a schedule is declared as a whole. An endpoint '
	'also has the keys of alter_queue().\n'
	'Queues and endpoints also have limit (the arguments of set_limit()), group_limit (of set_group_limit(), for each group), group_limits '
	'(an object of groups), grants (an object of roles, whose values are lists of privileges) and subscriptions (an object of topics, '
	'with the arguments of subscribe()). A role that is named has these privileges and no others afterwards.\n'
	'prune: drop the objects of these sections that the document does not name, and the same of the entries of group_limits, grants and '
	'subscriptions where they are given. Queues and policies that exist from the start stay.\n'
	'force: with prune, also queues with live tasks, which are cancelled.\n'
	'dry_run: change nothing, and return what would be done. What prune would drop is returned with the action keep.\n'
	'Returns a row for each change. action: create, alter, drop or keep. object: policy, queue, endpoint or schedule.\n'
	'It makes the calls of these functions with the rights of the caller. New values of headers and secrets are compared with those '
	'that are stored, so that nothing is done if they are the same; the caller learns whether they are.\n'
	'Errors: TQ004 for a bad document, with the place in it; and those of the functions.';
