#!/bin/bash
# packages.sh
#		Installs the Debian packages that a purpose needs and that are missing.
#
# usage: packages.sh demo | test | all | lint | dist | bench | versions | deb
#
# What is there is found by looking for the thing, not for its package, so a
# server built from source will do, and nothing is asked of the network when
# nothing is missing.  Installing a server package would make and start a
# cluster, and start whatever of the machine's own is stopped: both are
# forbidden while, and only while, packages are being installed.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# The major version to install where no usable server is: the newest that is
# offered and supported.
offered_version()
{
	apt-cache search --names-only '^postgresql-server-dev-1[5-8]$' |
		sed 's/^postgresql-server-dev-\([0-9]*\).*/\1/' | sort -n | tail -n 1
}

has_header()
{
	printf '#include <%s>\n' "$1" | cc -E - >/dev/null 2>&1
}

has_library()
{
	pkg-config --exists "$1" 2>/dev/null
}

# clang, with the libraries of its sanitizers and of libFuzzer.
has_fuzzer()
{
	local code='int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }'
	printf '%s\n' "$code" | clang -fsanitize=fuzzer,address,undefined -x c -o /dev/null - 2>/dev/null
}

has_nginx()
{
	[ -x "$(command -v nginx)" ] || [ -x /usr/sbin/nginx ]
}

# pgaudit, of which a test shows that it logs no secrets.  A server that is not Debian's may lack
# it; then the test goes without.
want_pgaudit()
{
	if [ -z "${config:-}" ]; then
		say "postgresql-$version-pgaudit"
	elif [ "$bin" = "/usr/lib/postgresql/$version/bin" ]; then
		[ -f "$("$config" --sharedir)/extension/pgaudit.control" ] || say "postgresql-$version-pgaudit"
	fi
}

# Extension $2 of package postgresql-NN-$1, to compare with, where Debian has it for this server.
want_peer()
{
	local package=postgresql-$version-$1
	[ "$bin" = "/usr/lib/postgresql/$version/bin" ] && [ ! -f "$("$config" --sharedir)/extension/$2.control" ] &&
		apt-cache show "$package" >/dev/null 2>&1 && say "$package"
}

# node-postgres; that of Debian fits only Debian's Node.js: see node_driver in suites.sh.
want_node_driver()
{
	[ -d /usr/share/nodejs/pg ] && return
	command -v node >/dev/null || say nodejs
	apt-get install -s node-pg >/dev/null 2>&1 && say node-pg
}

# Prints the packages that are missing for $1, one a line.
missing_packages()
{
	local purpose=$1 config version bin
	if [ "$purpose" = versions ] || [ "$purpose" = deb ]; then
		[ -x "$(command -v debootstrap)" ] || say debootstrap
		command -v git >/dev/null || say git
		return
	fi
	if config=$(find_pg_config); then
		version=$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
		bin=$("$config" --bindir)
		[ -x "$bin/postgres" ] || say "postgresql-$version"
		[ -x "$bin/psql" ] || say "postgresql-client-$version"
	elif [ "${PG_CONFIG:-pg_config}" != pg_config ]; then
		die "PG_CONFIG=$PG_CONFIG is no pg_config of PostgreSQL 15 to 18 with its server headers"
	else
		version=$(offered_version)
		printf "postgresql%s-${version:-NN}\n" '' -client -server-dev
	fi
	command -v gcc >/dev/null && command -v cc >/dev/null || say gcc
	has_header stdio.h || say libc6-dev
	command -v pkg-config >/dev/null || say pkg-config
	has_library libcurl || say libcurl4-openssl-dev
	has_library libcares || say libc-ares-dev
	has_library libidn2 || say libidn2-dev
	command -v python3 >/dev/null || say python3
	[ "$purpose" = demo ] && return
	[ -f "$("${config:-pg_config}" --includedir 2>/dev/null)/libpq-fe.h" ] || say libpq-dev
	has_library smartcols || say libsmartcols-dev
	has_library yaml-0.1 || say libyaml-dev
	has_library ncursesw || say libncurses-dev
	has_library libmicrohttpd || say libmicrohttpd-dev
	has_library libcrypto || say libssl-dev
	if [ "$purpose" = dist ]; then
		command -v git >/dev/null || say git
		command -v pgxn >/dev/null || say pgxnclient
		return
	fi
	if [ "$purpose" = bench ]; then
		has_nginx || say nginx-light
		command -v curl >/dev/null || say curl
		command -v openssl >/dev/null || say openssl
		want_peer pgq3 pgq
		want_peer cron pg_cron
		command -v redis-server >/dev/null || say redis-server
		python3 -c 'import celery' 2>/dev/null || say python3-celery
		python3 -c 'import rq' 2>/dev/null || say python3-rq
		return
	fi
	command -v clang-format >/dev/null || say clang-format
	command -v cppcheck >/dev/null || say cppcheck
	python3 -c 'import yaml' 2>/dev/null || say python3-yaml
	command -v git >/dev/null || say git
	[ "$purpose" = lint ] && return
	perl -MIPC::Run -MTest::More -e 1 2>/dev/null || say libipc-run-perl
	perl -MDBD::Pg -e 1 2>/dev/null || say libdbd-pg-perl
	[ -x "$(command -v pgbouncer)" ] || [ -x /usr/sbin/pgbouncer ] || say pgbouncer
	command -v spin >/dev/null || say spin
	command -v tmux >/dev/null || say tmux
	command -v curl >/dev/null || say curl
	command -v ruby >/dev/null || say ruby
	python3 -c 'import croniter' 2>/dev/null || say python3-croniter
	[ -f /usr/share/zoneinfo/Europe/Berlin ] || say tzdata
	[ -f /etc/ssl/certs/ca-certificates.crt ] || say ca-certificates
	want_pgaudit
	has_nginx || say nginx-light
	# The drivers of the examples in Python and JavaScript.
	python3 -c 'import psycopg' 2>/dev/null || say python3-psycopg
	want_node_driver
	# A browser for 056_dashboard.pl, with what drives it.
	command -v chromium >/dev/null || say chromium
	command -v chromedriver >/dev/null || say chromium-driver
	python3 -c 'import selenium' 2>/dev/null || say python3-selenium
	command -v openssl >/dev/null || say openssl
	[ -x "$(command -v ip)" ] || [ -x /usr/sbin/ip ] || say iproute2
	[ -x "$(command -v nft)" ] || [ -x /usr/sbin/nft ] || say nftables
	has_fuzzer || printf '%s\n' clang libclang-rt-dev
	[ "$purpose" = all ] || return
	# For promtool, which judges the metrics and the alerts; it is too large for every test.
	command -v promtool >/dev/null || say prometheus
	command -v valgrind >/dev/null || say valgrind
	command -v mkdocs >/dev/null || say mkdocs
	# The other languages of examples/.
	command -v go >/dev/null || say golang-go
	[ -d /usr/share/gocode/src/github.com/jackc/pgx ] || say golang-github-jackc-pgx-v4-dev
	command -v javac >/dev/null || say default-jdk-headless
	[ -f /usr/share/java/postgresql.jar ] || say libpostgresql-jdbc-java
	ruby -e 'require "pg"' 2>/dev/null || say ruby-pg
	php -r 'exit(function_exists("pg_connect") ? 0 : 1);' 2>/dev/null || printf '%s\n' php-cli php-pgsql
	command -v tsc >/dev/null || say node-typescript
	fc-list 2>/dev/null | grep -q '/Inter' || say fonts-inter
	fc-list 2>/dev/null | grep -q '/JetBrainsMono' || say fonts-jetbrains-mono
}

# No cluster is made, no service started.  Both files are gone afterwards, and
# an administrator's own are not touched.
forbid_services()
{
	if [ ! -e /etc/postgresql-common/createcluster.d ]; then
		made_dirs=(/etc/postgresql-common/createcluster.d)
		[ -e /etc/postgresql-common ] || made_dirs+=(/etc/postgresql-common)
	fi
	mkdir -p /etc/postgresql-common/createcluster.d
	cluster_conf=/etc/postgresql-common/createcluster.d/zz-taskq-$$.conf
	say 'create_main_cluster = false' >"$cluster_conf"
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
}

allow_services()
{
	rm -f ${cluster_conf:+"$cluster_conf"} ${policy:+"$policy"}
	[ ${#made_dirs[@]} -eq 0 ] || rmdir --ignore-fail-on-non-empty "${made_dirs[@]}"
}

apt_install()
{
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@" >"$apt_log" 2>&1
}

install_missing()
{
	local purpose=$1 packages
	# One at a time, on a directory that is there anyway; those who waited look again.
	exec 9</var/lib/dpkg && flock 9
	cluster_conf='' policy='' made_dirs=()
	apt_log=$(mktemp)
	trap 'allow_services; rm -f "$apt_log"' EXIT
	trap 'exit 1' HUP INT TERM
	case $(missing_packages "$purpose") in
		*-NN*) apt-get update -q >"$apt_log" 2>&1 ;;
	esac
	mapfile -t packages < <(missing_packages "$purpose")
	[ ${#packages[@]} -gt 0 ] || return 0
	forbid_services
	apt_install "${packages[@]}" ||
		{ apt-get update -q >"$apt_log" 2>&1 && apt_install "${packages[@]}"; } ||
		{ cat "$apt_log" >&2; die "could not install: ${packages[*]}"; }
}

purpose=${1:?}
mapfile -t packages < <(missing_packages "$purpose")
[ ${#packages[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
	die "something is missing that in Debian these packages contain: ${packages[*]}"
elif [ "$(id -u)" -eq 0 ]; then
	say "installing ${packages[*]}"
	install_missing "$purpose"
elif command -v sudo >/dev/null; then
	sudo PG_CONFIG="${PG_CONFIG:-pg_config}" "$0" "$purpose"
else
	die "missing packages; as root: apt-get install ${packages[*]}"
fi
