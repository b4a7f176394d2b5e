-- Endpoints: push queues with a destination of their own, with headers and secrets that
-- no role may read, and with limits that protect the destination.  An endpoint is a
-- queue: it is paused, granted, purged and dropped as one, its url stands in the row
-- of the queue, and its limits are those of the queue.  endpoint.c holds back what may not be sent
-- yet, signature.c signs.

-- TQ004 for headers that a request may not have.
create function taskq_private.check_headers(headers jsonb, header_style text) returns void
language c volatile as 'MODULE_PATHNAME', 'taskq_check_headers';

-- The bytes of a secret that was given as text; TQ004 if it is none.
create function taskq_private.read_secret(secret text) returns bytea
language c volatile as 'MODULE_PATHNAME', 'taskq_read_secret';

-- Returns the url of an endpoint with its host in ASCII.  TQ004 if it cannot have it.
create function taskq_private.endpoint_url(url text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	ascii text := taskq_private.check_url(url);
begin
	if ascii ~ '[?#]' then
		raise exception using errcode = 'TQ004', message = 'invalid url',
			detail = 'The url of an endpoint has no query and no fragment.', hint = 'Pass the query as path of taskq.submit_http().';
	end if;
	return ascii;
end
$$;

-- Changes the limit of an endpoint's queue: 0 removes a part of it, NULL leaves it as it is.
create function taskq_private.set_endpoint_limit(queue_id int, max_running int, rate double precision) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	f taskq_private.flow_limit%rowtype;
begin
	if max_running is null and rate is null then
		return;
	end if;
	select l.* into f from taskq_private.flow_limit l where l.queue_id = set_endpoint_limit.queue_id and l.scope = 'q';
	if rate is not null then
		f.rate := nullif(rate, 0);
		f.per := interval '1 s';
		f.burst := greatest(rate / 10, 1);
	end if;
	perform taskq_private.set_flow_limit(queue_id, 'q', 0, null,
		case when max_running is null then f.max_running else nullif(max_running, 0) end,
		f.rate, coalesce(f.per, interval '1 s'), coalesce(f.burst, 1), 1);
end
$$;

-- Changes the settings of an endpoint; an argument that is NULL leaves its setting as it is.
create function taskq_private.set_endpoint(queue_id int, headers jsonb, timeout interval, max_running int, rate double precision,
	secret text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong constant text := coalesce(
		case when timeout <> interval '0' then taskq_private.interval_fault(timeout, 'timeout', 'timeout') end,
		case when max_running not between 0 and 1000000 then 'max_running must be between 0 and 1000000'
			when not (rate = 0 or rate between 0.001 and 1000000) then 'rate must be between 0.001 and 1000000 a second, or 0' end);
	given bytea;
begin
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong, detail = 'The endpoint was not changed.',
			hint = 'See the comment of taskq.create_endpoint().';
	end if;
	perform taskq_private.check_headers(headers, (select q.header_style from taskq_private.queue q where q.id = set_endpoint.queue_id));
	given := taskq_private.read_secret(nullif(secret, ''));
	update taskq_private.endpoint e set
		header_names = case when headers is null then e.header_names
			else array(select h from jsonb_object_keys(headers) as h order by h) end,
		signed = case when secret is null then e.signed else secret <> '' end,
		timeout = case when set_endpoint.timeout is null then e.timeout else nullif(set_endpoint.timeout, interval '0') end
		where e.queue_id = set_endpoint.queue_id;
	insert into taskq_private.endpoint_secret as s (queue_id, headers, secret)
		values (set_endpoint.queue_id, set_endpoint.headers, given)
		on conflict on constraint endpoint_secret_pkey do update set
			headers = coalesce(excluded.headers, s.headers),
			secret = case when set_endpoint.secret is null then s.secret else excluded.secret end,
			old_secret = case when set_endpoint.secret is null then s.old_secret end;
	perform taskq_private.set_endpoint_limit(queue_id, max_running, rate);
	perform taskq_private.queues_changed();
	perform taskq_private.wake_executor();
end
$$;

-- Locks the row of an endpoint's queue and returns its id; TQ005 if the queue is no endpoint.
create function taskq_private.own_endpoint(endpoint text) returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	q taskq_private.queue%rowtype := taskq_private.own_queue(endpoint);
begin
	if not exists (select from taskq_private.endpoint e where e.queue_id = q.id) then
		raise exception using errcode = 'TQ005', message = format('queue "%s" is not an endpoint', endpoint),
			detail = 'It has no destination of its own.',
			hint = 'taskq.create_endpoint() creates endpoints; taskq.endpoints shows all endpoints.';
	end if;
	return q.id;
end
$$;

-- The public functions create_endpoint(), alter_endpoint() and rotate_secret() run the
-- private ones as taskq_owner.  If one fails, they keep its statement out of the log,
-- because it may hold a secret.

create function taskq_private.create_endpoint(endpoint text, url text, headers jsonb, timeout interval, max_running int,
	rate double precision, secret text, retry text, executor text, header_style text, accept_202 boolean) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	own int;
begin
	perform taskq_private.check_name(endpoint, 'queue');
	perform taskq.create_queue(endpoint, 'push', taskq_private.endpoint_url(url), retry => retry, executor => executor,
		header_style => header_style, accept_202 => accept_202);
	select q.id into own from taskq_private.queue q where q.name = endpoint;
	insert into taskq_private.endpoint (queue_id, header_names, signed) values (own, '{}', false);
	perform taskq_private.set_endpoint(own, headers, timeout, max_running, rate, secret);
end
$$;

create function taskq.create_endpoint(endpoint text, url text, headers jsonb default null, timeout interval default null,
	max_running int default null, rate double precision default null, secret text default null, retry text default 'webhook',
	executor text default 'builtin', header_style text default 'taskq', accept_202 boolean default false)
	returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_create_endpoint';
comment on function taskq.create_endpoint is
	E'Creates an endpoint: a push queue whose tasks all go to one url, whether from submit() or from submit_http(endpoint '
	'=> ...).\n'
	'endpoint: the name of the endpoint and of the queue, 1 to 57 bytes.\n'
	'url: http or https, without user info, query or fragment.\n'
	'headers: sent with every request, an object of strings as in submit_http(). Nobody can read the values.\n'
	'timeout: of one attempt, 1 ms to 1 day. Default: taskq.http_timeout.\n'
	'max_running: the number of requests that may be under way at a time, over all senders, at most 1000000. 0 or NULL: '
	'taskq.http_max_per_host of the server.\n'
	'rate: the number of requests that may start in a second, 0.001 to 1000000; up to a tenth of a second''s worth may '
	'start at once. 0 or NULL: no limit. Both are the limit of the queue: see set_limit() and taskq.limits.\n'
	'secret: signs the requests as Standard Webhooks describe (webhook-id, webhook-timestamp, webhook-signature). It is '
	'whsec_ and 24 to 64 bytes in base64; rotate_secret() makes one.\n'
	'retry, executor, header_style, accept_202: as in create_queue(); alter_queue() changes them and the other settings of the queue.\n'
	'Circuit: after 10 failures in a row (no answer, status 5xx or 429) nothing is sent for 5 s, then one request tries. '
	'Each further failure doubles the pause, up to 5 min. resume_queue() or a new url ends it.\n'
	'A Retry-After holds back all requests of the endpoint. Status 410 pauses the queue, unless the request had a path of '
	'its own.\n'
	'Errors: TQ002 if the queue exists; TQ004 for a bad argument.';

create function taskq_private.alter_endpoint(endpoint text, url text, headers jsonb, timeout interval, max_running int,
	rate double precision, secret text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	own int := taskq_private.own_endpoint(endpoint);
begin
	if url is not null then
		update taskq_private.queue q set url = taskq_private.endpoint_url(alter_endpoint.url) where q.id = own;
		perform taskq_private.reset_endpoint(own);
	end if;
	perform taskq_private.set_endpoint(own, headers, timeout, max_running, rate, secret);
end
$$;

create function taskq.alter_endpoint(endpoint text, url text default null, headers jsonb default null,
	timeout interval default null, max_running int default null, rate double precision default null,
	secret text default null) returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_alter_endpoint';
comment on function taskq.alter_endpoint is
	E'Changes an endpoint, for all requests that are not under way yet. An argument that is NULL leaves its setting as it '
	'is.\n'
	'endpoint: its name.\n'
	'url: a new url closes the circuit.\n'
	'headers: replaces all headers; {} removes them.\n'
	'timeout, max_running, rate: 0 restores the default.\n'
	'secret: replaces the current secret at once, while rotate_secret() keeps the old one valid for a time. An empty '
	'string removes it.\n'
	'The arguments are those of create_endpoint().\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 if the queue is not an endpoint.';

create function taskq_private.rotate_secret(endpoint text, secret text, keep_old interval) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
	own int := taskq_private.own_endpoint(endpoint);
	-- 244 random bits.
	given bytea := coalesce(taskq_private.read_secret(secret), uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
	wrong constant text := taskq_private.interval_fault(keep_old, 'keep_old', 'retry');
begin
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = wrong,
			detail = 'The secret was not changed.', hint = 'See the comment of taskq.rotate_secret().';
	end if;
	insert into taskq_private.endpoint_secret as s (queue_id, secret) values (own, given)
		on conflict on constraint endpoint_secret_pkey do update set
			secret = excluded.secret, old_secret = nullif(s.secret, excluded.secret), old_until = clock_timestamp() + keep_old;
	update taskq_private.endpoint e set signed = true where e.queue_id = own;
	perform taskq_private.queues_changed();
	perform taskq_private.wake_executor();
	return 'whsec_' || replace(encode(given, 'base64'), E'\n', '');
end
$$;

create function taskq.rotate_secret(endpoint text, secret text default null, keep_old interval default '1 day') returns text
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_rotate_secret';
comment on function taskq.rotate_secret is
	E'Gives an endpoint a new secret, or its first one. Requests are signed with it from now on.\n'
	'endpoint: its name.\n'
	'secret: as in create_endpoint(). NULL: a new one of 32 bytes is made.\n'
	'keep_old: for this time requests are also signed with the former secret, 0 to 366 days.\n'
	'Returns the secret, for the receiver. It is not shown again.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 if the queue is not an endpoint.';

create function taskq.verify_signature(secret text, headers jsonb, body bytea, tolerance interval default '5 min')
returns boolean
language c stable parallel safe as 'MODULE_PATHNAME', 'taskq_verify_signature';
comment on function taskq.verify_signature is
	E'Returns whether a request was signed with a secret as Standard Webhooks describe (https://www.standardwebhooks.com). '
	'It is for receivers that are databases.\n'
	'secret: as in create_endpoint().\n'
	'headers: those of the request, an object of strings, with names in any case. webhook-id, webhook-timestamp and '
	'webhook-signature are used.\n'
	'body: as received, byte by byte; NULL if there was none.\n'
	'tolerance: the timestamp may differ this much from the current time, 0 to 36525 days.\n'
	'A valid request may still be a repeated one: webhook-id is the same in all attempts of a task.\n'
	'Errors: TQ004 for a bad secret or tolerance.';

-- Closes the circuit of an endpoint and ends a Retry-After.
create function taskq_private.reset_endpoint(queue_id int) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_reset_endpoint';

-- circuit: closed, open or half-open.  failures: the number in a row.  next_start: nothing
-- is sent before this time.
create function taskq_private.endpoint_state(queue_id int, out circuit text, out failures int, out next_start timestamptz)
language c stable strict as 'MODULE_PATHNAME', 'taskq_endpoint_state';

-- missing: which of headers and secret a dump did not restore; nothing is sent without them.
create view taskq_private.endpoint_settings as
	select e.queue_id, e.header_names, e.signed, e.timeout, f.max_running, f.rate / extract(epoch from f.per) as rate,
		case when s.old_secret is not null and s.old_until > clock_timestamp() then s.old_until end as old_secret_until,
		m.missing <> '' as secrets_missing, m.missing
	from taskq_private.endpoint e
		left join taskq_private.endpoint_secret s on s.queue_id = e.queue_id
		left join taskq_private.flow_limit f on f.queue_id = e.queue_id and f.scope = 'q',
		lateral concat_ws(' and ', case when e.header_names <> '{}' and s.headers is null then 'headers' end,
			case when e.signed and s.secret is null then 'secret' end) as m (missing);

create view taskq.endpoints with (security_barrier) as
	select q.name as endpoint, q.url, e.header_names, e.timeout, e.max_running, e.rate, e.signed, e.old_secret_until,
		e.secrets_missing, s.circuit, s.failures, s.next_start
	from taskq_private.endpoint_settings e
		join taskq_private.all_queues q on q.id = e.queue_id,
		lateral taskq_private.endpoint_state(e.queue_id) as s
	where taskq_private.visible(q.name);
comment on view taskq.endpoints is
	E'One row for each endpoint that the caller may view. Each is also a row of taskq.queues.\n'
	'header_names: the names of its headers; nobody can read the values.\n'
	'signed: whether requests are signed. old_secret_until: until then they are also signed with the former secret.\n'
	'secrets_missing: the endpoint was restored from a dump, which does not hold headers and secrets. Nothing is sent '
	'until alter_endpoint() or rotate_secret() has given them again.\n'
	'circuit: closed; open (after 10 failures in a row, nothing is sent before next_start); half-open (one request tries).\n'
	'failures: the number of failures in a row.\n'
	'next_start: nothing is sent before this time, because of the circuit or of a Retry-After.\n'
	'Without shared_preload_libraries, circuit, failures and next_start are what the current session knows.\n'
	'The other columns are the arguments of create_endpoint().';
