-- The life of a task: submit, acquire, heartbeat, finish, fail, release, cancel.  All of
-- it is in C: see submit.c, acquire.c, lease.c and finish.c.

-- Whether taskq itself gives that class to failures; then their errors are not a worker's words.
create function taskq_private.is_own_class(class text) returns boolean
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_is_own_class';

-- Headers without those that may be secret.
create function taskq_private.shown_headers(headers jsonb) returns jsonb
language c immutable strict parallel safe as 'MODULE_PATHNAME', 'taskq_shown_headers';

create function taskq.submit(queue text, payload jsonb default null, key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep', on_finish jsonb default null, on_dead jsonb default null, group_key text default null,
	unique_for interval default null, max_wait interval default null, trace text default null, after bigint[] default null,
	after_failure text default 'cancel') returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit';
comment on function taskq.submit is
	E'Adds a task to a queue, as part of the calling transaction: the task exists once that commits, and a rollback leaves '
	'no trace.\n'
	'queue: a pull queue, or a push queue that has a url.\n'
	'payload: any JSON, at most taskq.max_payload bytes, stored and as text; a long number counts with all its digits.\n'
	'key: 1 to 512 bytes. A queue has at most one live task with a given key. After its end the key stays taken for the '
	'keep_key of the queue.\n'
	'priority: -16 (first) to 15 (last). 0 in an ordered queue.\n'
	'run_at, delay: one of them. The task is not due before that time, or not before this long after the start of the '
	'transaction (0 to 36525 days). A run_at in the past is now; infinity never comes.\n'
	'start_within: the task expires unless an attempt starts within this time after the start of the transaction; 1 ms to '
	'36525 days, and longer than the delay. Default: no limit.\n'
	'timeout: how long one attempt may take, 1 ms to 1 day. Default: taskq.http_timeout for push; for pull no limit, as '
	'long as heartbeats come.\n'
	'retry: the retry policy. Default: that of the queue.\n'
	'max_attempts: 1 or more. Default: that of the policy.\n'
	'kind: a name for the sort of task, 1 to 57 bytes, for the use of the worker.\n'
	'on_duplicate: what happens if the key is taken. keep: the id of the task that has it is returned. replace: if that '
	'task is pending, it gets the new content and schedule; if it has ended, a new task is made. raise: TQ003.\n'
	'on_finish, on_dead: follow-ups, tasks that are submitted when this one has finished, or when it is dead or expired: by the '
	'transaction that ends it, so that there is always exactly one end and its follow-ups. Each is a template as in '
	'submit_template(), or an array of at most 8. Those of the queue come after them. A cancelled task has no follow-ups. The '
	'payload of a follow-up is the outcome of this task; if the template has an object as payload, its key task is the '
	'outcome; any other payload, and body, stay as they are.\n'
	'The outcome: id, queue, kind, key, group_key, state, attempt, submitted_at, ended_at, result, error, status (of HTTP), and unless '
	'it has finished, payload. What would exceed taskq.max_payload is left out, and truncated is true.\n'
	'The current role needs the privilege submit for them now. A follow-up that cannot be submitted then becomes a dead task: '
	'see redrive().\n'
	'group_key: the group of the queue to which the task belongs, such as a tenant, 1 to 512 bytes. Default: none. The groups of a '
	'queue take turns, and each may have limits: see set_group_limit(). In an ordered queue the tasks of a group run one at a '
	'time, in the order of run_at, then id.\n'
	'unique_for: the key stays taken at least for so long after the start of this transaction, 0 to 36525 days, also when the '
	'keep_key of the queue is over. So with keep at most one task with the key is made in that time.\n'
	'max_wait: however often replace replaces the task before it starts, it is due at most so long after the first submit, 0 to '
	'36525 days. With delay => p, max_wait => p: one task in each period p, with the latest content.\n'
	'trace: a W3C traceparent, 55 characters. acquire() returns it, and the first attempt of a push task sends it as traceparent, later '
	'ones as X-Task-Trace. Its follow-ups inherit it. Default: the setting taskq.trace; an empty string: none.\n'
	'after: the task waits until each of these tasks has ended, 1 to 100000 ids of live tasks, or of ended ones that are kept. The '
	'current role needs the privilege submit or view on their queues. delay and start_within count from then, and run_at may be '
	'later. Meanwhile the task is pending, and the view dependencies shows for what it waits. Not with max_wait.\n'
	'after_failure: what happens if one of them ends dead, cancelled or expired. cancel: this task is cancelled. run: nothing, it '
	'runs when all have ended. wait: it waits until that one has been retried and has finished.\n'
	'Returns the id of the task.\n'
	'Errors: TQ001 unknown queue; TQ003 key taken (raise, or replace of a running task); TQ004 bad argument; TQ005 push '
	'queue without url; TQ006 payload too large; TQ007 no privilege submit on the queue.';

create function taskq.submit_many(queue text, payloads jsonb[], keys text[] default null, run_ats timestamptz[] default null,
	priority int default 0, delay interval default null, start_within interval default null, timeout interval default null,
	retry text default null, max_attempts int default null, kind text default null, on_duplicate text default 'keep',
	on_finish jsonb default null, on_dead jsonb default null, group_keys text[] default null, trace text default null,
	after bigint[] default null, after_failure text default 'cancel') returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_many';
comment on function taskq.submit_many is
	E'Adds many tasks to a queue: one for each element of payloads, at most 100000. Either all are added or none.\n'
	'keys, run_ats, group_keys: one element for each payload; NULL where a task has none.\n'
	'The other arguments apply to all tasks: see submit(). Their number times that of the tasks in after is at most 1000000.\n'
	'Returns the ids, in the order of payloads.\n'
	'Errors: TQ001 unknown queue; TQ003 key taken; TQ004 bad argument; TQ005 push queue without url; TQ006 payload too '
	'large; TQ007 no privilege submit on the queue.';

create function taskq.submit_http(url text default null, payload jsonb default null, method text default 'POST',
	headers jsonb default null, body bytea default null, queue text default null, key text default null, priority int default 0,
	run_at timestamptz default null, delay interval default null, start_within interval default null,
	timeout interval default null, retry text default null, max_attempts int default null, kind text default null,
	on_duplicate text default 'keep', endpoint text default null, path text default null, on_finish jsonb default null,
	on_dead jsonb default null, group_key text default null,
	unique_for interval default null, max_wait interval default null, trace text default null, after bigint[] default null,
	after_failure text default 'cancel') returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_http';
comment on function taskq.submit_http is
	E'Adds an HTTP request to a push queue, as part of the calling transaction. It is sent after the commit, and again '
	'after each failure, until it succeeds (status 2xx) or its retry policy gives up.\n'
	'url: http or https, without user info, at most 8192 bytes.\n'
	'endpoint, path: instead of url, the name of an endpoint, and what is appended to its url. path begins with / or ? and '
	'has no dot segments.\n'
	'payload: JSON, sent as the body with Content-Type application/json; at most taskq.max_payload bytes, stored and as '
	'text.\n'
	'body: instead of payload, bytes that are sent unchanged.\n'
	'method: at most 32 bytes; not TRACE or CONNECT.\n'
	'headers: an object of strings, at most 100 and together 32 kB. Not allowed are Host, Content-Length, '
	'Transfer-Encoding and Connection, and those that taskq adds: User-Agent, X-Task-Id, X-Task-Queue, X-Task-Attempt, X-Task-Key, '
	'X-Task-Trace, X-Task-Token, Idempotency-Key (the same in every attempt), webhook-id, webhook-timestamp and webhook-signature. A '
	'header of the endpoint replaces one of the same name. A traceparent is sent in every attempt, in place of that of trace.\n'
	'queue: a push queue. Default: http. Not together with endpoint, which is a queue itself.\n'
	'The other arguments: see submit().\n'
	'Returns the id of the task.\n'
	'Errors: TQ001 unknown queue; TQ003 key taken; TQ004 bad argument; TQ005 pull queue, or an endpoint that is not one; '
	'TQ006 too large; TQ007 no privilege submit on the queue.';

create function taskq.acquire(queue text, max_tasks int default 1, lease_for interval default null, worker text default null,
	group_key text default null)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int, group_key text, trace text)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_acquire';
comment on function taskq.acquire is
	E'Takes due tasks of a pull queue: by priority, then run_at, then id; groups take turns. It does not wait: if no task is due, '
	'or limits keep those that are due from starting, it returns no row. Commit before the work starts; until then no other session '
	'sees the lease.\n'
	'queue: the name of the queue.\n'
	'max_tasks: 1 to 10000.\n'
	'lease_for: how long an attempt owns its task without a heartbeat, 100 ms to 30 days. Default: that of the queue.\n'
	'worker: a name that the views show, 1 to 57 bytes.\n'
	'group_key: only tasks of this group. Default: of any, and those without a group.\n'
	'Returns one row for each task. token proves to heartbeat(), finish(), fail(), release() and progress() that the '
	'caller owns the task; attempt counts from 1.\n'
	'A task that no client can be given, because its payload cannot be read or has more than 512 MB as text, ends as dead. '
	'Use a client_encoding that has all characters of the database: the server converts the rows after this call, and if it '
	'cannot, the call fails with 22P05 and takes no task.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 push queue; TQ007 no privilege work on the queue; TQ009 at '
	'isolation level REPEATABLE READ or SERIALIZABLE; 25006 on a standby or in a read-only transaction.';

create procedure taskq.wait_ready(queue text, timeout interval default '20 s', inout ready boolean default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_ready';
comment on procedure taskq.wait_ready is
	E'Waits until a task of a pull queue is due. It holds no snapshot, lock or transaction while it waits, so CALL it by '
	'itself, outside a transaction block. It takes no task: call acquire() next; another worker may be faster.\n'
	'queue: the name of the queue.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'ready: returns whether a task is due.\n'
	'It returns before statement_timeout would end it. Through a transaction pooler it occupies a connection of the pool while '
	'it waits.\n'
	'With the library preloaded, the commit of a submit wakes it; it also looks every taskq.poll_interval.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ005 push queue; TQ007 no privilege work on the queue; TQ009 in a '
	'transaction block, in a function, after changes, or at isolation level REPEATABLE READ or SERIALIZABLE; 25006 on a '
	'standby or in a read-only transaction.';

create procedure taskq.wait_ready_any(queues text[], timeout interval default '20 s', inout queue text default null)
language c as 'MODULE_PATHNAME', 'taskq_wait_ready_any';
comment on procedure taskq.wait_ready_any is
	E'wait_ready() for several queues: waits until a task of one of them is due.\n'
	'queues: the names of 1 to 64 pull queues.\n'
	'timeout: how long to wait at most, 0 to 1 day.\n'
	'queue: returns the name of the queue from which to acquire: the first one of queues that has a due task. NULL: the time '
	'is up.\n'
	'Errors: those of wait_ready(): TQ001, TQ004, TQ005, TQ007, TQ009, 25006.';

create function taskq.heartbeat(id bigint, token bigint, extend_by interval default null)
returns table (lease_until timestamptz, cancel_requested boolean)
language c volatile parallel unsafe rows 1 as 'MODULE_PATHNAME', 'taskq_heartbeat';
comment on function taskq.heartbeat is
	E'Extends the lease of a running task.\n'
	'id, token: as acquire() returned them.\n'
	'extend_by: the lease ends this long from now, 100 ms to 30 days, but not after the timeout of the task. Default: the '
	'length with which it was acquired.\n'
	'Returns one row: the new end of the lease, and whether somebody asked to cancel the task. No row: the lease is lost, '
	'stop working.\n'
	'Errors: TQ004 bad argument; TQ007 no privilege work on the queue; 25006 on a standby or in a read-only transaction.';

create function taskq.finish(id bigint, token bigint, result jsonb default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish';
comment on function taskq.finish is
	E'Ends a running task as finished. If the same transaction writes the effects of the task, they happen exactly once.\n'
	'id, token: as acquire() returned them.\n'
	'result: any JSON, at most taskq.max_payload bytes, stored and as text.\n'
	'Returns false if the lease is lost. Then nothing was changed; roll the transaction back.\n'
	'Errors: TQ004 bad argument; TQ006 result too large; TQ007 no privilege work on the queue; 25006 on a standby or in a '
	'read-only transaction.';

create function taskq.fail(id bigint, token bigint, error text, detail jsonb default null, retry_in interval default null,
	retryable boolean default true, class text default null) returns taskq.state
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_fail';
comment on function taskq.fail is
	E'Ends an attempt as failed. The retry policy decides whether and when the task is tried again.\n'
	'id, token: as acquire() returned them.\n'
	'error: what went wrong; the first 8192 bytes are kept.\n'
	'detail: any JSON, at most taskq.max_payload bytes, stored and as text.\n'
	'retry_in: the delay to use instead of that of the policy, 0 to 366 days.\n'
	'retryable: false ends the task at once.\n'
	'class: a short name for the sort of failure, 1 to 57 bytes, for the view attempts. Not one that taskq itself gives, such '
	'as lease_lost or timeout.\n'
	'Returns the new state: pending (the task will be tried again), dead, or cancelled (somebody had asked for that). '
	'NULL: the lease is lost, nothing was changed.\n'
	'Errors: TQ004 bad argument; TQ006 detail too large; TQ007 no privilege work on the queue; 25006 on a standby or in a '
	'read-only transaction.';

create function taskq.release(id bigint, token bigint, delay interval default '0', after bigint[] default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_release';
comment on function taskq.release is
	E'Gives a running task back. The attempt is not counted. If somebody has asked to cancel the task, it ends as cancelled.\n'
	'id, token: as acquire() returned them.\n'
	'delay: the task is due again after this time, 0 to 36525 days. In an ordered queue it holds its group until then.\n'
	'after: the task waits until each of these tasks has ended, however they do, as in submit(); the delay counts from then. So a '
	'worker can submit tasks, release its own after them, and read results() when it gets it again. In an ordered queue it does not '
	'hold its group meanwhile.\n'
	'Returns false if the lease is lost.\n'
	'Errors: TQ004 bad argument, or tasks could wait for each other in a circle; TQ007 no privilege work on the queue; 25006 on a '
	'standby or in a read-only transaction.';

create function taskq.decline(id bigint, token bigint, delay interval default '1 min', times int default 10, error text default null)
returns taskq.state
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_decline';
comment on function taskq.decline is
	E'Gives back a running task that this worker cannot do, so that another worker may do it. The attempt is not counted.\n'
	'id, token: as acquire() returned them.\n'
	'delay: the task is due again after this time, 0 to 36525 days. In an ordered queue it holds its group until then.\n'
	'times: a task that was declined so often before is dead now, with class no_route, 0 (at once) to 1000. retry() counts '
	'from zero.\n'
	'error: the error of a task that is dead now; the first 8192 bytes are kept.\n'
	'Returns the new state: pending, dead, or cancelled if somebody had asked for that. NULL: the lease is lost.\n'
	'Errors: TQ004 bad argument; TQ007 no privilege work on the queue; 25006 on a standby or in a read-only transaction.';

-- The row of a session that serves these queues; rows of sessions that have ended are removed.
create function taskq_private.serve(number int, queue_ids int[], kinds text[]) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
	delete from taskq_private.serving s
	where s.number = serve.number or s.number not in (select l.number from taskq_private.serving_locks l);
	insert into taskq_private.serving values (serve.number, serve.queue_ids, serve.kinds)
$$;

create function taskq.serve(queues text[], kinds text[] default '{*}') returns void
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_serve';
comment on function taskq.serve is
	E'Tells which kinds of tasks this session does, for unserved(), until the session ends or calls it again. It changes nothing '
	'about which tasks acquire() returns.\n'
	'queues: the queues from which it acquires, at most 100.\n'
	'kinds: patterns of kinds, at most 1000, in which * stands for any characters. Only * also means tasks without a kind.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 no privilege work on a queue; 25006 on a standby or in a read-only '
	'transaction.';

create function taskq.cancel(id bigint, reason text default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel';
comment on function taskq.cancel is
	E'Cancels a task. A pending task ends at once. A running task is marked: heartbeat() tells its worker, which may still '
	'finish it; any other end of the attempt cancels the task. An HTTP request under way is given up.\n'
	'id: the id of the task.\n'
	'reason: kept as the error of the task; the first 8192 bytes are kept.\n'
	'Returns true if the task has ended or its worker will be told; false if the task had ended before, is not known, or '
	'is of a queue on which the caller has neither the privilege submit nor control.\n'
	'Errors: TQ004 bad argument; 25006 on a standby or in a read-only transaction.';

create function taskq.cancel_many(ids bigint[], reason text default null) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel_many';
comment on function taskq.cancel_many is
	E'cancel() for many tasks.\n'
	'ids: the ids of the tasks, at most 100000.\n'
	'reason: as in cancel().\n'
	'Returns the ids for which cancel() would return true, in ascending order, each once.\n'
	'Errors: TQ004 bad argument; 25006 on a standby or in a read-only transaction.';

create function taskq.add_prerequisites(id bigint, after bigint[]) returns int
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_add_prerequisites';
comment on function taskq.add_prerequisites is
	E'Lets a task that waits for others wait for more. A task that is one of them can so add others while it runs.\n'
	'id: the id of the task that waits, since submit() or release() with after. after_failure stays.\n'
	'after: tasks for which it waits, too, as in submit().\n'
	'Returns how many were added: not those for which it waited already, nor those that have ended and need not be waited for.\n'
	'Errors: TQ004 bad argument, or a task of after that waits itself; TQ009 the task does not wait, or does not wait any more, or '
	'is not known, or is of a queue on which the caller has neither the privilege submit nor control; 25006 on a standby or in a '
	'read-only transaction.';

create function taskq.reschedule(id bigint, run_at timestamptz default null, priority int default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_reschedule';
comment on function taskq.reschedule is
	E'Changes when a pending task is due, also one that waits for its next attempt. Its id, key, attempts, age and '
	'Idempotency-Key stay. A pause of the queue and limits of an endpoint still hold. A task that waits for others goes on waiting.\n'
	'id: the id of the task.\n'
	'run_at: the task is not due before this time. A time in the past is now. Default: now.\n'
	'priority: -16 (first) to 15 (last), 0 in an ordered queue. Default: as it was.\n'
	'Returns false if the task is not pending, is not known, or is of a queue on which the caller has neither the privilege '
	'submit nor control.\n'
	'Errors: TQ004 bad argument, or the start_within of the task ends before run_at; 25006 on a standby or in a read-only '
	'transaction.';

create function taskq.progress(id bigint, token bigint, fraction double precision, message text default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_progress';
comment on function taskq.progress is
	E'Tells how far a running task is, for the view taskq.tasks. It does not extend the lease: see heartbeat().\n'
	'id, token: as acquire() returned them.\n'
	'fraction: 0 to 1, or NULL.\n'
	'message: the first 8192 bytes are kept.\n'
	'Returns false if the lease is lost.\n'
	'Errors: TQ004 bad argument; TQ007 no privilege work on the queue; 25006 on a standby or in a read-only transaction.';

create function taskq.finish_many(ids bigint[], tokens bigint[], results jsonb[] default null) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish_many';
comment on function taskq.finish_many is
	E'finish() for many tasks, at most 10000.\n'
	'ids: the tasks. tokens, results: one element for each of ids; an element of results may be NULL.\n'
	'Returns the ids of the tasks that were finished, in ascending order. The leases of the others are lost, nothing was '
	'changed for them.\n'
	'Errors: TQ004 bad argument; TQ006 result too large; TQ007 no privilege work on the queue; 25006 on a standby or in a '
	'read-only transaction.';

create function taskq.heartbeat_many(ids bigint[], tokens bigint[], extend_by interval default null)
returns table (id bigint, lease_until timestamptz, cancel_requested boolean)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_heartbeat_many';
comment on function taskq.heartbeat_many is
	E'heartbeat() for many tasks, at most 10000.\n'
	'ids: the tasks. tokens: one element for each of ids. extend_by: as in heartbeat().\n'
	'Returns one row for each lease that was extended, in ascending order of id. Tasks without a row are lost.\n'
	'Errors: TQ004 bad argument; TQ007 no privilege work on the queue; 25006 on a standby or in a read-only transaction.';

create function taskq.finish_and_acquire(queue text, ids bigint[], tokens bigint[], results jsonb[] default null,
	max_tasks int default 1, lease_for interval default null, worker text default null)
returns table (id bigint, token bigint, kind text, payload jsonb, attempt int, max_attempts int, lease_until timestamptz,
	submitted_at timestamptz, key text, priority int, group_key text, trace text)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_finish_and_acquire';
comment on function taskq.finish_and_acquire is
	E'finish_many() and acquire() in one call and one commit. Tasks whose lease is lost are skipped.\n'
	'queue: to acquire from. The tasks to finish may be of any queue.\n'
	'ids, tokens, results: as in finish_many().\n'
	'max_tasks, lease_for, worker: as in acquire().\n'
	'Returns the rows of acquire().\n'
	'Errors: those of finish_many() and of acquire().';

create function taskq.cancel_key(queue text, key text) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_cancel_key';
comment on function taskq.cancel_key is
	E'cancel() for the live task of a queue that has a key.\n'
	'queue: the name of the queue.\n'
	'key: the key of the task.\n'
	'Returns false if no live task has the key.\n'
	'Errors: TQ001 unknown queue; TQ004 bad argument; TQ007 neither privilege submit nor control on the queue; 25006 on a '
	'standby or in a read-only transaction.';
