#!/bin/sh
# credit.sh
#		Effects exactly once, from shell: the command finishes its task itself, in the
#		transaction of what it does.
#
# usage: taskq work QUEUE -- examples/credit.sh
#
# The payload is {"account": NAME, "amount": NUMBER}; the table is ledger (task, account, amount).
# If the lease was lost meanwhile, finish() returns false, and nothing is written.  An error of
# psql is one line (terse), because the last line becomes the error of the attempt.

read -r payload
export payload
psql -XqAt -v ON_ERROR_STOP=1 -v VERBOSITY=terse "$TASKQ_DATABASE" <<'END'
\getenv id TASKQ_TASK_ID
\getenv token TASKQ_TOKEN
\getenv payload payload
begin;
insert into ledger (task, account, amount)
	select :id, :'payload'::jsonb ->> 'account', (:'payload'::jsonb ->> 'amount')::numeric;
select taskq.finish(:id, :token) as ours \gset
\if :ours
commit;
\else
rollback;
\endif
END
