-- The life of a task: submit, acquire, heartbeat, finish, fail, release, cancel.
-- All in C; what happens in which case stands in src/submit.c, src/acquire.c
-- and src/finish.c.

create function taskq.submit(queue text, payload jsonb default null, key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep') returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit';
comment on function taskq.submit(text, jsonb, text, int, timestamptz, interval, interval, interval, text, int, text, text) is
'Puts a task into a queue, as part of the calling transaction: it is there when that commits, and leaves no trace when it rolls back. queue: a pull queue, or a push queue that has a url. payload: any JSON, at most taskq.max_payload bytes. key: at most one live task of the queue has a given key (1 to 512 bytes), and it stays taken for the queue''s keep_key after the end. on_duplicate: what to do when the key is taken: keep (return the id of the task that has it), replace (give that task, if it is pending, the new content and schedule; if it has ended make a new one), raise (TQ003). priority: -16 (first) to 15 (last). run_at or delay (0 to 36525 days): not before that time; a time gone by is now, infinity waits for ever. start_within: expires if no attempt starts within that time from now, 1 ms to 36525 days and longer than the delay. timeout: how long one attempt may take, 1 ms to 1 day; default for push taskq.http_timeout, for pull as long as heartbeats come. retry: retry policy; default the queue''s. max_attempts: default the policy''s. kind: a name for the sort of task, at most 57 bytes, for the worker''s use. Result: the id. Errors: TQ001 unknown queue, TQ003 duplicate key (raise; or replace of a running task), TQ004 bad argument, TQ005 push queue without url, TQ006 payload too large, TQ007 no such privilege on the queue.';

create function taskq.submit_many(queue text, payloads jsonb[], keys text[] default null, run_ats timestamptz[] default null,
	priority int default 0, delay interval default null, start_within interval default null, timeout interval default null,
	retry text default null, max_attempts int default null, kind text default null, on_duplicate text default 'keep')
returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_many';
comment on function taskq.submit_many(text, jsonb[], text[], timestamptz[], int, interval, interval, interval, text, int, text, text) is
'Puts many tasks into a queue: one for each of payloads, at most 100000. keys, run_ats: one element for each payload, NULL where there is none. The other arguments apply to all: see submit(). Result: the ids in the order of payloads. Either all are submitted or none. Errors: as submit().';

create function taskq.submit_http(url text default null, payload jsonb default null, method text default 'POST',
	headers jsonb default null, body bytea default null, queue text default null, key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep', endpoint text default null, path text default null) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_http';
comment on function taskq.submit_http(text, jsonb, text, jsonb, bytea, text, text, int, timestamptz, interval, interval, interval, text, int, text, text, text, text) is
'Puts an HTTP request into a push queue, as part of the calling transaction; the executor sends it after the commit and retries it until it succeeds (status 2xx) or its policy gives up. url: http or https, no user info, at most 8192 bytes; or endpoint: the name of an endpoint, to whose url it goes, with path (beginning with / or ?, without dot segments) put behind it. queue: default http; not with endpoint, which is a queue itself. payload: JSON, sent as body with Content-Type application/json; or body: bytes, sent as they are. method: at most 32 bytes. headers: an object of strings, at most 100 and 32 kB; not Host, Content-Length, Transfer-Encoding, Connection, nor those taskq adds: User-Agent, X-Task-Id, X-Task-Queue, X-Task-Attempt, Idempotency-Key (the same in every attempt), webhook-id, webhook-timestamp, webhook-signature; of a name that the endpoint has a header of, that one is sent. The other arguments: see submit(). Result: the id. Errors: TQ001 unknown queue, TQ003 duplicate key, TQ004 bad argument, TQ005 the queue is a pull queue, TQ006 too large, TQ007 no such privilege on the queue.';

create function taskq.acquire(queue text, max_tasks int default 1, lease_for interval default null, worker text default null)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_acquire';
comment on function taskq.acquire(text, int, interval, text) is
'Takes up to max_tasks (1 to 10000) due tasks of a pull queue: by priority, then run_at, then id. Each comes with a token that proves the ownership to heartbeat(), finish(), fail() and release(). lease_for: how long without a heartbeat; default the queue''s. worker: a name to be shown. Commit before you start to work. Errors: TQ001 unknown queue, TQ004 bad argument, TQ005 a push queue, TQ007 no such privilege on the queue, TQ009 in a transaction of isolation level REPEATABLE READ or SERIALIZABLE; 25006 on a standby or in a read-only transaction.';

create procedure taskq.wait_ready(queue text, timeout interval default '20 s', inout ready boolean default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_ready';
comment on procedure taskq.wait_ready(text, interval, boolean) is
'Waits until a task of a pull queue is due, at most timeout (0 to 1 day). ready: whether one is; others may take it before you do. It holds no snapshot, lock or transaction while it waits, so CALL it by itself, outside a transaction block. Preloaded, the commit of a submit wakes it; else it looks every taskq.poll_interval. Errors: TQ001 unknown queue, TQ004, TQ005 a push queue, TQ007 no such privilege on the queue, TQ009 in a transaction block, in a function, after changes, or at isolation level REPEATABLE READ or SERIALIZABLE.';

create function taskq.heartbeat(id bigint, token bigint, extend_by interval default null)
returns table (lease_until timestamptz, cancel_requested boolean)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_heartbeat';
comment on function taskq.heartbeat(bigint, bigint, interval) is
'Extends a lease to extend_by (100 ms to 30 days; default the length it was acquired with) from now, though not past the task''s timeout. Result: one row with the new end, and whether somebody has asked to cancel the task; no row: the lease is lost, stop working. Errors: TQ004, TQ007 no such privilege on the queue.';

create function taskq.finish(id bigint, token bigint, result jsonb default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish';
comment on function taskq.finish(bigint, bigint, jsonb) is
'Ends a running task as finished, with a result of at most taskq.max_payload bytes. In the transaction that also writes the task''s effects, it makes them exactly-once. Result: false when the lease was lost: then nothing changed, and that transaction should be rolled back. Errors: TQ004, TQ006, TQ007 no such privilege on the queue.';

create function taskq.fail(id bigint, token bigint, error text, detail jsonb default null, retry_in interval default null,
	retryable boolean default true) returns taskq.state
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_fail';
comment on function taskq.fail(bigint, bigint, text, jsonb, interval, boolean) is
'Ends an attempt as failed. error, detail: what went wrong; of error the first 8192 bytes are kept. retry_in: try again after that time instead of the policy''s delay (0 to 366 days). retryable: false ends the task at once. Result: pending (it will be tried again), dead, or cancelled (somebody had asked for it); NULL: the lease was lost, nothing changed. Errors: TQ004, TQ006, TQ007 no such privilege on the queue.';

create function taskq.release(id bigint, token bigint, delay interval default '0') returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_release';
comment on function taskq.release(bigint, bigint, interval) is
'Gives a task back without using up the attempt; it is due again after delay (0 to 36525 days), or ended as cancelled if somebody has asked for that. Result: false when the lease was lost. Errors: TQ004, TQ007 no such privilege on the queue.';

create function taskq.cancel(id bigint, reason text default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel';
comment on function taskq.cancel(bigint, text) is
'Cancels a task. A pending one ends at once. A running one is marked: its worker learns of it by heartbeat(), may still finish it, and any other end is cancelled; an HTTP request under way is given up. reason: kept as the error, at most 8192 bytes of it. Result: true when it ended or its worker will be told; false when it had ended before or does not exist. Errors: TQ004.';

-- Ends a live task as cancelled whatever its worker does.
create function taskq_private.cancel_task(id bigint, reason text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel_task';

create function taskq.progress(id bigint, token bigint, fraction real, message text default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_progress';
comment on function taskq.progress(bigint, bigint, real, text) is
'Tells how far a running task is, for taskq.tasks to show. fraction: 0 to 1, or NULL. message: the first 8192 bytes are kept. It extends no lease: see heartbeat(). Result: false when the lease was lost. Errors: TQ004, TQ007 no such privilege on the queue.';

create function taskq.finish_many(ids bigint[], tokens bigint[], results jsonb[] default null) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish_many';
comment on function taskq.finish_many(bigint[], bigint[], jsonb[]) is
'Ends many running tasks as finished, at most 10000. tokens and results: one element for each of ids. Result: the ids of those that were finished, in ascending order; of the others the lease was lost, and nothing changed. Errors: TQ004, TQ006, TQ007 no such privilege on the queue.';

create function taskq.heartbeat_many(ids bigint[], tokens bigint[], extend_by interval default null)
returns table (id bigint, lease_until timestamptz, cancel_requested boolean)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_heartbeat_many';
comment on function taskq.heartbeat_many(bigint[], bigint[], interval) is
'heartbeat() for many tasks, at most 10000. Result: a row for each lease that was extended, by ascending id; those without a row are lost. Errors: TQ004, TQ007 no such privilege on the queue.';

create function taskq.finish_and_acquire(queue text, ids bigint[], tokens bigint[], results jsonb[] default null,
	max_tasks int default 1, lease_for interval default null, worker text default null)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish_and_acquire';
comment on function taskq.finish_and_acquire(text, bigint[], bigint[], jsonb[], int, interval, text) is
'finish_many() and acquire() in one call and one commit. queue: to acquire from; the finished tasks may be of any queue. Result: the rows of acquire(). Those of ids whose lease was lost are passed over. Errors: as both.';

create function taskq.cancel_key(queue text, key text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel_key';
comment on function taskq.cancel_key(text, text) is
'cancel() for the live task of a queue that has the key. Result: false when none has. Errors: TQ001 unknown queue, TQ004, TQ007 no such privilege on the queue.';

-- Ends a pending task whose time to start has passed.
create function taskq_private.expire_task(id bigint) returns boolean
language c volatile strict as 'MODULE_PATHNAME', 'taskq_expire_task';

-- Ends what was not started in time.  A task that somebody has in hand at this
-- moment is left to its next claim, which looks again.
create function taskq_private.expire_starts() returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
	due record;
	expired bigint := 0;
begin
	for due in
		select l.ctid, l.id from taskq_private.start_limit l where l.start_by <= clock_timestamp() order by l.id for update skip locked
	loop
		begin
			if taskq_private.expire_task(due.id) then
				expired := expired + 1;
			end if;
		exception when others then
			raise log 'could not expire task %: SQLSTATE %', due.id, sqlstate;
		end;
		delete from taskq_private.start_limit l where l.ctid = due.ctid;
	end loop;
	return expired;
end
$$;
