-- The protocol between the executor (or any other dispatcher of push tasks)
-- and the database.  Private: for role taskq_bgw.

create function taskq._push_claim(max_tasks int)
returns table (id bigint, token bigint, lease_ms bigint, timeout_ms bigint, method text, url text, headers text[], body bytea)
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_claim';

create function taskq._push_next_due() returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_next_due';

create function taskq._push_report(id bigint, token bigint, verdict text, class text, status int, headers bytea, body bytea,
	truncated boolean, elapsed interval, error text, retry_after interval) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_report';

create function taskq._push_extend(ids bigint[], tokens bigint[]) returns setof bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_extend';

create function taskq._push_release(ids bigint[], tokens bigint[]) returns int
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_release';

create function taskq._push_recover() returns int
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_push_recover';

create function taskq._expire_leases() returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_expire_leases';
