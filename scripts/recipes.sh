#!/bin/bash
# recipes.sh
#		Does what the recipes of the containers and compose.yaml do, in a fresh Debian instead of
#		containers.
#
# usage: recipes.sh (called by deb.sh, as root of a Debian of its own, with the source in /usr/src/taskq)
#        recipes.sh --start (called by itself)
#
# What runs there in containers of their own runs here on one host, which has all their names, and a
# network without others.  The commands, environments and files are those of compose.yaml.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set -eu

packaging=$top/packaging
export PG_MAJOR=17
PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH

# What the official image and those of nginx have, and what is used here to look.
base()
{
	mkdir -p /etc/postgresql-common
	say 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	apt-get -qq update
	apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "postgresql-$PG_MAJOR" nginx-light curl iproute2 python3-yaml >/tmp/base.log 2>&1
	printf '127.0.0.1 database gateway\n' >>/etc/hosts
}

install_all()
{
	local step
	for step in build server programs; do
		"$packaging/install.sh" "$step" >"/tmp/$step.log" 2>&1 || { tail -n 40 "/tmp/$step.log"; return 1; }
		say "ok - install.sh $step"
	done
}

# Prints the command of a service of compose.yaml, with its environment, for eval.
service()
{
	python3 - "$packaging/compose.yaml" "$1" "${2:-command}" <<'P'
import os, re, shlex, sys, yaml

service = yaml.safe_load(open(sys.argv[1]))['services'][sys.argv[2]]
words = {'command': lambda: ['taskq', *service['command']], 'test': lambda: ['sh', '-c', service['healthcheck']['test'].replace('$$', '$')],
         'none': list}[sys.argv[3]]()
fill = lambda text: re.sub(r'\$\{(\w+)[^}]*\}', lambda name: os.environ[name[1]], text)
print(shlex.join(['env', *(f'{name}={fill(value)}' for name, value in service.get('environment', {}).items()), *words]))
P
}

# as USER COMMAND…
as()
{
	setpriv --reuid="$1" --regid="$1" --init-groups -- env HOME=/nonexistent "${@:2}"
}

# As the official image does: the scripts of initdb, in their order, then the server with its command.
database()
{
	local data=/var/tmp/data file
	as postgres initdb -D "$data" --auth-local=trust --auth-host=scram-sha-256 >/tmp/initdb.log
	mapfile -t command < <(sed -n 's/^CMD //p' "$packaging/postgres.Dockerfile" | python3 -c 'import json, sys; print(*json.load(sys.stdin)[1:], sep="\n")')
	as postgres pg_ctl -D "$data" -l /var/tmp/data.log -w -o "${command[*]}" start >/dev/null
	as postgres createdb app
	for file in "$packaging"/initdb/*.sql; do as postgres psql -v ON_ERROR_STOP=1 -X -q -d app -f "$file"; done
	eval "as postgres $(service database none) sh '$packaging/compose/roles.sh'"
}

web()
{
	install -m 644 "$packaging/compose/nginx.conf" /etc/nginx/conf.d/taskq.conf
	rm -f /etc/nginx/sites-enabled/default
	nginx
}

until_ok()
{
	local tries
	for tries in $(seq 100); do
		eval "$1" 2>/dev/null && return
		sleep 0.1
	done
	say "not ok - $1 ($tries times)"
	return 1
}

export POSTGRES_PASSWORD=postgres TASKQ_PASSWORD="it's secret"
if [ $# -eq 0 ]; then
	base
	install_all
	exec unshare --net "$0" --start
fi
trap 'tail -n 20 /tmp/*.log' ERR
ip link set lo up
database
say "ok - the database is as compose.yaml makes it"
token=$(as taskq taskq token new ops taskq_admin --ui --append /etc/taskq/tokens 2>/dev/null)
cd /
eval "as taskq $(service gateway) >/tmp/gateway.log 2>&1 &"
until_ok "as taskq $(service gateway 'test')"
say "ok - the gateway is ready, and its health check says so"
web
answer=$(curl -sSf -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d '{"payload": {"hello": "world"}}' \
	http://127.0.0.1/v1/queues/default/tasks)
id=$(printf '%s' "$answer" | sed 's/.*"id":"\([0-9]*\)".*/\1/')
say "ok - a task is submitted through nginx: $answer"
eval "as taskq $(service worker) >/tmp/worker.log 2>&1 &"
curl -sSf -H "Authorization: Bearer $token" "http://127.0.0.1/v1/tasks/$id?wait=30" | grep -q '"finished"'
curl -sSf -H "Authorization: Bearer $token" "http://127.0.0.1/v1/tasks/$id/result" | grep -q '"hello"'
say "ok - the worker has done it"
eval "as taskq $(service worker none) sh -c '$(sed -n 's/^HEALTHCHECK.* CMD //p' "$packaging/taskq.Dockerfile")'"
say "ok - the worker's health check says so"
