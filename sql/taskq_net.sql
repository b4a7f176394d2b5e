-- taskq_net: what calls pg_net goes on working, and is delivered.
--
-- The functions, views and types of pg_net's reference, by the same names, orders and defaults.  A
-- request is a task of the push queue net, so it commits with the transaction, is sent after it,
-- and is still there after a crash.  The functions run with the rights of their caller, who needs
-- the privileges submit and view on the queue: see docs/migrate/pg_net.md.  The queue is not made by
-- this script, because a restore runs it before it brings the queues back.

do $$
begin
	if exists (select from pg_catalog.pg_extension where extname = 'pg_net') then
		raise object_not_in_prerequisite_state using message = 'extension pg_net is in this database',
			detail = 'It has functions of the same names in schema net.',
			hint = 'Run DROP EXTENSION pg_net first. What calls its functions stays, and calls those of taskq_net.';
	end if;
end
$$;

create schema net;
comment on schema net is 'The functions and views of pg_net, over the queue net of taskq';
grant usage on schema net to public;

-- Percent-encodes what is not an unreserved character of RFC 3986, section 2.3.
create function net._urlencode_string(string varchar) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select coalesce(string_agg(case when c ~ '^[A-Za-z0-9._~-]$' then c
			else regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') end, '' order by n), '')
	from regexp_split_to_table(string, '') with ordinality s (c, n)
	where c <> ''
$$;
comment on function net._urlencode_string is 'A string, percent-encoded for the query of a URL.';

-- The query goes before the fragment, behind what is there.
create function net._encode_url_with_params_array(url text, params_array text[]) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select case when cardinality(params_array) = 0 then url
		else base || case when strpos(base, '?') = 0 then '?' when base ~ '[?&]$' then '' else '&' end
			|| array_to_string(params_array, '&') || substr(url, length(base) + 1) end
	from split_part(url, '#', 1) base
$$;
comment on function net._encode_url_with_params_array is 'A URL with parameters, each of them name=value and encoded, added to its query.';

create function net._encode_url(url text, params jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select net._encode_url_with_params_array(url,
		coalesce(array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(coalesce(value, ''))), '{}'))
	from jsonb_each_text(coalesce(params, '{}'))
$$;
comment on function net._encode_url is 'A URL with the members of an object added to its query.';

-- Without those that taskq sends itself, which submit_http() refuses.
create function net._headers(headers jsonb, with_body boolean) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
	select jsonb_object_agg(key, value)
	from jsonb_each_text(coalesce(headers, '{}'))
	where value is not null and lower(key) not in ('user-agent', 'content-length', 'host')
		and not (with_body and lower(key) = 'content-type')
$$;
comment on function net._headers is 'The headers of a request as taskq.submit_http() takes them.';

create function net._submit(method text, url text, params jsonb, headers jsonb, body jsonb, timeout_milliseconds int)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
	if not has_schema_privilege('taskq', 'usage') then
		raise insufficient_privilege using message = format('role "%s" may not send requests', current_user),
			detail = 'A role needs the privileges submit and view on queue "net".',
			hint = format('An administrator calls net.allow(%L).', current_user);
	end if;
	return taskq.submit_http(net._encode_url(url, params), payload => body, method => method,
		headers => net._headers(headers, body is not null), queue => 'net',
		timeout => make_interval(secs => timeout_milliseconds / 1000.0::float8));
end
$$;
comment on function net._submit is 'Submits a request to the queue net.';

create function net.http_get(url text, params jsonb default '{}', headers jsonb default '{}',
	timeout_milliseconds int default 5000) returns bigint
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
	select net._submit('GET', url, params, headers, null, timeout_milliseconds)
$$;
comment on function net.http_get is
	E'Sends a GET request after the commit.\n'
	'url: http or https. params: an object; its members are encoded and added to the query. headers: an object.\n'
	'timeout_milliseconds: how long the request may take.\n'
	'Returns the id of the request, which is the id of a task.\n'
	'Errors: those of taskq.submit_http().';

create function net.http_post(url text, body jsonb default '{}', params jsonb default '{}',
	headers jsonb default '{"Content-Type": "application/json"}', timeout_milliseconds int default 5000) returns bigint
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
	if exists (select from jsonb_each_text(coalesce(headers, '{}')) h
			where lower(h.key) = 'content-type' and h.value <> 'application/json') then
		raise exception 'Content-Type header must be "application/json"';
	end if;
	return net._submit('POST', url, params, headers, body, timeout_milliseconds);
end
$$;
comment on function net.http_post is
	E'Sends a POST request with a JSON body after the commit.\n'
	'body: sent as application/json; another Content-Type in headers is an error (P0001).\n'
	'The other arguments, result and errors: see net.http_get().';

create function net.http_delete(url text, params jsonb default '{}', headers jsonb default '{}',
	timeout_milliseconds int default 5000, body jsonb default null) returns bigint
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
	select net._submit('DELETE', url, params, headers, body, timeout_milliseconds)
$$;
comment on function net.http_delete is
	E'Sends a DELETE request after the commit.\n'
	'body: JSON, or NULL for none. The other arguments, result and errors: see net.http_get().';

create function net.allow(role name) returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
	if not exists (select from taskq.queues q where q.queue = 'net') then
		perform taskq.create_queue('net', mode => 'push', keep_finished => '6 hours', keep_dead => '6 hours', retry => 'none');
	end if;
	perform taskq.grant_queue('net', role::text, '{submit,view}');
end
$$;
comment on function net.allow is
	E'Lets a role call the functions of schema net: gives it the privileges submit and view on the queue net. The first call '
	'makes the queue, which tries each request once and keeps what became of it for six hours.\n'
	'Needs the role taskq_admin. taskq.revoke_queue() takes the privileges back.';

-- ---- answers -----------------------------------------------------------------------------

-- The bytes of an answer may be of any encoding, and must not make a view fail.
create function net._text(content bytea) returns text
language plpgsql immutable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
begin
	return convert_from(content, 'UTF8');
exception when others then
	return encode(content, 'escape');
end
$$;
comment on function net._text is 'The body of an answer as text; bytes that are not UTF-8 as \nnn.';

create view net._http_response with (security_barrier, security_invoker) as
	select t.id, r.status as status_code, r.headers ->> 'content-type' as content_type, r.headers, net._text(r.body) as content,
		coalesce(a.class = 'timeout', false) as timed_out, case when r.status is null then t.error end as error_msg,
		t.ended_at as created
	from taskq.tasks t
		left join lateral taskq.response(t.id) r on true
		left join lateral (select a.class from taskq.attempts a where a.task_id = t.id order by a.attempt desc limit 1) a on true
	where t.queue = 'net' and t.ended_at is not null;
comment on view net._http_response is
	E'The answers to the requests of the last six hours; who may view the queue net sees them.\n'
	'error_msg: why there was no answer. headers: an object, names in lower case. content: the body as text.';

create view net.http_request_queue with (security_barrier, security_invoker) as
	select t.id, t.method, t.url, null::jsonb as headers, coalesce(convert_to(t.payload::text, 'UTF8'), t.request_body) as body,
		null::int as timeout_milliseconds
	from taskq.tasks t
	where t.queue = 'net' and t.ended_at is null;
comment on view net.http_request_queue is
	'The requests that have not ended. headers is NULL, because they may be secret; so is timeout_milliseconds.';

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
comment on type net.request_status is 'What became of a request.';

create type net.http_response as (status_code int, headers jsonb, body text);
comment on type net.http_response is 'The answer to a request.';

create type net.http_response_result as (status net.request_status, message text, response net.http_response);
comment on type net.http_response_result is 'What net._http_collect_response() returns.';

-- It asks result(), not the view: a transaction that has read the view does not see the table of
-- ended tasks that is made for a new day.
create function net._await_response(request_id bigint) returns boolean
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
	while not exists (select from taskq.result(request_id) r where r.ended_at is not null) loop
		perform pg_sleep(0.05);
	end loop;
	return true;
end
$$;
comment on function net._await_response is
	'Waits until a request has ended, looking every 50 ms. It must be called in another transaction than the request was.';

create function net._http_collect_response(request_id bigint, async boolean default true) returns net.http_response_result
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
	task record;
	answer record;
begin
	if not async then
		perform net._await_response(request_id);
	end if;
	select * into task from taskq.result(request_id) r where r.ended_at is not null;
	if not found then
		return ('ERROR', 'request matching request_id not found', null)::net.http_response_result;
	end if;
	select * into answer from taskq.response(request_id) r;
	if not found then
		return ('ERROR', task.error, null)::net.http_response_result;
	end if;
	return ('SUCCESS', 'ok', (answer.status, answer.headers, net._text(answer.body))::net.http_response)::net.http_response_result;
end
$$;
comment on function net._http_collect_response is
	E'The answer to a request.\n'
	'async: false waits until it has ended, as net._await_response() does.\n'
	'Returns status ERROR if there is no answer, or none yet; message tells why.';

-- ---- the process ---------------------------------------------------------------------------

create function net._is_up() returns boolean
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
	select s.ok from taskq.status() s where s."check" = 'executor'
$$;
comment on function net._is_up is 'Whether the process that sends the requests runs.';

create function net.check_worker_is_up() returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
	if not net._is_up() then
		raise exception using message = 'the process that sends the requests is not up',
			detail = 'The requests wait until it is; none is lost.', hint = 'select * from taskq.status() tells why.';
	end if;
end
$$;
comment on function net.check_worker_is_up is 'Fails (P0001) if the executor of taskq does not run.';

create function net.wait_until_running() returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
	while not net._is_up() loop
		perform pg_sleep(0.05);
	end loop;
end
$$;
comment on function net.wait_until_running is 'Waits until the executor of taskq runs.';

create function net.worker_restart() returns boolean
language sql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
	select taskq.stop_executor() and taskq.start_executor()
$$;
comment on function net.worker_restart is 'Stops and starts the executor of taskq. Needs the role taskq_admin.';

create function net.wake() returns void
language sql volatile parallel unsafe
as '';
comment on function net.wake is 'Does nothing: the commit of a request wakes the executor.';

grant select on net._http_response, net.http_request_queue to public;
