#!/bin/sh
# roles.sh
#		The roles of compose.yaml, made once, when the data directory is new.
#
# The gateway may do nothing itself, but becomes the role of a token: see docs/serve.md.

set -eu

psql -v ON_ERROR_STOP=1 -A -t -v password="${TASKQ_PASSWORD:?}" -X -q -U "${POSTGRES_USER:-postgres}" "$POSTGRES_DB" <<'SQL'
create role taskq_gateway login noinherit password :'password';
grant taskq_admin, taskq_submitter, taskq_reader to taskq_gateway;
create role app_worker login password :'password';
select taskq.grant_queue('default', 'app_worker', '{work,view}');
SQL
