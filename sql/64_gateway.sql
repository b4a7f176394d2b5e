-- What the HTTP gateway (taskq serve) needs beside the functions that everybody calls.

create function taskq._created(id bigint) returns boolean
language c volatile strict parallel unsafe as 'MODULE_PATHNAME', 'taskq_created';
comment on function taskq._created is
	'For taskq serve: whether the last submit of this session has made the task, or found it by its key.';

create function taskq._acquire_bytes(queue text, max_tasks int, lease_for interval, worker text, group_key text, max_bytes int)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int, group_key text, trace text)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_acquire_bytes';
comment on function taskq._acquire_bytes is
	E'For taskq serve: acquire() of tasks whose payloads fit into one answer.\n'
	'max_bytes: no more tasks are taken when the payloads have so many bytes as text; they exceed it by one payload at most.\n'
	'The other arguments, the result and the errors: see acquire().';

-- The privileges on single queues of the role that calls.
create function taskq._own_privileges() returns table (queue text, privileges text[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
	select q.name::text, array_agg(distinct g.privilege order by g.privilege)
	from taskq_private.valid_grants g join taskq_private.all_queues q on q.id = g.queue_id
	where pg_has_role(case current_setting('role') when 'none' then session_user else current_setting('role') end::name, g.role::name,
		'usage')
	group by q.name
$$;
comment on function taskq._own_privileges is
	'For taskq serve: the privileges on single queues that grant_queue() gave to the current role.';

-- Decodes a part of a form, which is in the format escape: %XX and + as a blank.  NULL: it is not
-- valid, or no text.
create function taskq_private.form_text(part text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
	if part ~ '%(?![0-9A-Fa-f]{2})' then
		return null;
	end if;
	return (select coalesce(convert_from(string_agg(
			case when m[1] like '\%%' escape '\' then decode(substr(m[1], 2), 'hex') else decode(m[1], 'escape') end, '' order by n),
			'UTF8'), '')
		from regexp_matches(replace(part, '+', ' '), '%..|[^%]+', 'g') with ordinality as x (m, n));
exception when character_not_in_repertoire or untranslatable_character then
	return null;
end
$$;

-- Encodes a text for a form.
create function taskq_private.form_encode(value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(string_agg(case when c ~ '^[A-Za-z0-9_.~-]$' then c when c = ' ' then '+'
		else regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') end, '' order by n), '')
	from regexp_split_to_table(value, '') with ordinality as x (c, n)
$$;

-- The parameters of a JSON body as a form.  NULL: a value is neither a scalar nor a list of scalars.
create function taskq_private.form_of(params json) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
	with fields as (
		select p.n, coalesce(e.n, 0) as m, p.key, case when json_typeof(p.value) = 'array' then e.value else p.value end as value
		from json_each(params) with ordinality as p (key, value, n)
			left join lateral json_array_elements(case when json_typeof(p.value) = 'array' then p.value else '[]' end)
				with ordinality as e (value, n) on true
		where json_typeof(p.value) <> 'array' or e.n is not null
	)
	select case when coalesce(bool_and(json_typeof(f.value) in ('string', 'number', 'boolean')), true) then
		coalesce(string_agg(taskq_private.form_encode(f.key) || '=' || taskq_private.form_encode(f.value #>> '{}'), '&'
			order by f.n, f.m), '') end
	from fields f
$$;

-- What a body says: fields of the task as text, by name; the form, in the format escape; or what is wrong.
create function taskq_private.read_form(body bytea, out fields jsonb, out form text, out error text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	part text;
	name text;
	value text;
	kept text[] := '{}';
begin
	fields := '{}';
	foreach part in array regexp_split_to_array(encode(body, 'escape'), '&') loop
		name := taskq_private.form_text(split_part(part, '=', 1));
		if name is null or name not like 'task.%' then
			kept := kept || case when part <> '' then part end;
			continue;
		end if;
		name := substr(name, 6);
		value := taskq_private.form_text(substr(part, strpos(part, '=') + 1));
		if name not in ('url', 'method', 'countdown', 'eta', 'name', 'last_id', 'priority', 'timeout', 'max_attempts', 'retry', 'kind') then
			error := format('there is no field task.%s', left(name, 60));
		elsif fields ? name then
			error := format('task.%s is given twice', name);
		elsif value is null or strpos(part, '=') = 0 then
			error := format('task.%s is not valid', name);
		end if;
		if error is not null then
			return;
		end if;
		fields := fields || jsonb_build_object(name, value);
	end loop;
	form := array_to_string(kept, '&');
end
$$;

create function taskq_private.read_json(body bytea, out fields jsonb, out form text, out content jsonb, out bytes text, out headers jsonb,
	out error text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	document json;
	wrong text;
begin
	begin
		document := convert_from(body, 'UTF8')::json;
		-- What jsonb refuses, too.
		perform document::jsonb;
	exception when data_exception or program_limit_exceeded then
		error := 'the body is not valid JSON';
		return;
	end;
	select case
		when count(*) <> count(distinct e.key) then 'a member of the body is given twice'
		when bool_or(e.key not in ('url', 'method', 'countdown', 'eta', 'name', 'last_id', 'priority', 'timeout', 'max_attempts', 'retry',
			'kind', 'params', 'body', 'json', 'headers')) then
			format('there is no member "%s"', left((array_agg(e.key) filter (where e.key not in ('url', 'method', 'countdown', 'eta',
				'name', 'last_id', 'priority', 'timeout', 'max_attempts', 'retry', 'kind', 'params', 'body', 'json', 'headers')))[1], 60))
		when bool_or(e.key in ('params', 'headers') and json_typeof(e.value) <> 'object') then 'params and headers must be objects'
		when bool_or(e.key = 'body' and json_typeof(e.value) <> 'string') then 'body must be a string'
		when bool_or(e.key not in ('params', 'headers', 'body', 'json') and json_typeof(e.value) not in ('string', 'number')) then
			'the options of a task must be strings or numbers'
		when count(*) filter (where e.key in ('params', 'body', 'json')) > 1 then 'only one of params, body and json can be given' end
	into wrong from json_each(document) e;
	error := wrong;
	if error is not null then
		return;
	end if;
	select coalesce(jsonb_object_agg(e.key, e.value #>> '{}') filter (where e.key not in ('params', 'body', 'json', 'headers')), '{}')
	into fields from json_each(document) e;
	headers := (document -> 'headers')::jsonb;
	content := (document -> 'json')::jsonb;
	bytes := document ->> 'body';
	if document -> 'params' is not null then
		form := taskq_private.form_of(document -> 'params');
		if form is null then
			error := 'the values of params must be strings, numbers, booleans or lists of them';
		end if;
	end if;
end
$$;

-- What is wrong with the options of a task; NULL: nothing.
create function taskq_private.option_fault(fields jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	option text;
begin
	if coalesce(fields ->> 'url', '') = '' then
		return 'task.url is missing';
	end if;
	foreach option in array array['countdown', 'eta'] loop
		if fields ->> option !~ '^-?[0-9]{1,15}([.][0-9]{1,9})?$' then
			return format('task.%s is not a number of seconds', option);
		end if;
	end loop;
	foreach option in array array['priority', 'max_attempts'] loop
		if fields ->> option !~ '^-?[0-9]{1,9}$' then
			return format('task.%s is not a number', option);
		end if;
	end loop;
	perform (fields ->> 'timeout')::interval;
	return null;
exception when data_exception then
	return 'task.timeout is not a length of time';
end
$$;

-- The request that a body describes, or what is wrong with the body.  It only reads its arguments; it
-- has the rights of its owner for the functions that it is made of.
create function taskq._read_request(content_type text, body bytea, idempotency_key text, out options jsonb, out url text,
	out method text, out task_key text, out payload jsonb, out headers jsonb, out content bytea, out error text)
language plpgsql immutable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	said record;
begin
	-- What begins with a brace is JSON, whatever its type says.
	if ltrim(body, '\x20090d0a') >= '\x7b' and ltrim(body, '\x20090d0a') < '\x7c' then
		said := taskq_private.read_json(body);
		payload := said.content;
		headers := said.headers;
		content := convert_to(said.bytes, 'UTF8');
	elsif coalesce(content_type, '') ~* '^(application/x-www-form-urlencoded *(;.*)?)?$' then
		said := taskq_private.read_form(body);
	else
		error := 'the body must be a form or JSON';
		return;
	end if;
	options := said.fields;
	error := coalesce(said.error, taskq_private.option_fault(options));
	if error is not null then
		return;
	end if;
	task_key := coalesce(options ->> 'name', options ->> 'last_id', idempotency_key);
	if options ->> 'last_id' <> task_key or idempotency_key <> task_key then
		error := 'task.name, task.last_id and Idempotency-Key differ';
		return;
	end if;
	url := options ->> 'url';
	method := upper(coalesce(options ->> 'method', 'POST'));
	if said.form is not null and method in ('GET', 'DELETE', 'HEAD') then
		url := url || case when said.form = '' then '' when strpos(url, '?') > 0 then '&' else '?' end
			|| convert_from(decode(said.form, 'escape'), 'UTF8');
	elsif said.form is not null then
		content := decode(said.form, 'escape');
		headers := case when exists (select from jsonb_object_keys(headers) k where lower(k) = 'content-type') then headers
			else coalesce(headers, '{}') || '{"Content-Type": "application/x-www-form-urlencoded"}' end;
	end if;
exception when character_not_in_repertoire or untranslatable_character then
	error := 'the body is not UTF-8';
end
$$;
comment on function taskq._read_request is
	'For _http_submit(): reads a body of Miyamoto''s API.';

create function taskq._http_submit(queue text, content_type text, body bytea, idempotency_key text default null,
	trace text default null, out id bigint, out created boolean, out error text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	r record := taskq._read_request(content_type, body, idempotency_key);
begin
	error := r.error;
	if error is not null then
		return;
	end if;
	id := taskq.submit_http(url => r.url, payload => r.payload, method => r.method, headers => r.headers, body => r.content,
		queue => queue, key => r.task_key, priority => coalesce((r.options ->> 'priority')::int, 0),
		run_at => to_timestamp((r.options ->> 'eta')::float8),
		delay => case when r.options ->> 'eta' is null then make_interval(secs => greatest((r.options ->> 'countdown')::float8, 0)) end,
		timeout => (r.options ->> 'timeout')::interval, retry => r.options ->> 'retry', trace => trace,
		max_attempts => (r.options ->> 'max_attempts')::int, kind => r.options ->> 'kind');
	created := taskq._created(id);
end
$$;
comment on function taskq._http_submit is
	E'For taskq serve: submits the HTTP request that a body of Miyamoto''s API describes.\n'
	'queue: a push queue. content_type: of the body, empty or NULL for a form.\n'
	'body: JSON if it begins with {, else a form. Parameters of a form stay as they are, byte for byte.\n'
	'idempotency_key: the key of the task, if the body has none. trace: as in submit().\n'
	'id: of the task. created: false if the key was taken already. error: what is wrong with the body; id is NULL then.\n'
	'Errors: those of submit_http().';
