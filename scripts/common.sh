# common.sh
#		What test.sh, lint.sh and demo.sh share: finding a server, a private
#		directory and its end, a private copy of the server's installation.
#
# Everything a run makes lies in one directory under /tmp, every process it
# starts has its program or its working directory there.  So two runs share
# nothing, and the end of a run can find what is left by looking at that
# directory alone.  Sourced by bash scripts.

# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=
child=
# Of the private server tree; set by those who make one.
private_config=

# A make that called us must not reach into the makes that we call.
unset MAKEFLAGS MAKELEVEL MFLAGS

# Root's PATH may name programs that the user postgres cannot reach.
[ "$(id -u)" -ne 0 ] || PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Prints the pg_config of a server of a supported version whose headers are
# installed: the one PG_CONFIG names, else the newest.  Fails if there is none.
find_pg_config()
{
	local candidate
	if [ "${PG_CONFIG:-pg_config}" != pg_config ]; then
		usable_pg_config "$PG_CONFIG" && say "$PG_CONFIG"
		return
	fi
	for candidate in "$(command -v pg_config)" \
		$(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -rV); do
		usable_pg_config "$candidate" && say "$candidate" && return
	done
	return 1
}

usable_pg_config()
{
	local major
	[ -x "$(command -v "$1")" ] && [ -f "$("$1" --pgxs)" ] &&
		[ -f "$("$1" --includedir-server)/postgres.h" ] || return 1
	major=$("$1" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	[ "$major" -ge 15 ] && [ "$major" -le 18 ]
}

# The user as whom servers and tests run: they refuse to run as root.
unprivileged_user()
{
	if [ "$(id -u)" -ne 0 ]; then
		id -un
	elif id postgres >/dev/null 2>&1; then
		say postgres
	else
		say nobody
	fi
}

# Runs a command as that user, with nothing of our environment but PATH: no
# proxy, no PG* variable, no locale.
as_user()
{
	local user env
	user=$(unprivileged_user)
	env=(env -i PATH="$PATH" HOME="$work" USER="$user" LOGNAME="$user" LANG=C.UTF-8 TMPDIR="$work/tmp")
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --inh-caps=-all -- "${env[@]}" "$@"
	else
		"${env[@]}" "$@"
	fi
}

# Makes $work, owned by the unprivileged user and closed to others, with a
# copy of the source tree in $work/tree; removes it, and every process that
# lives in it, when the script ends.
make_work()
{
	work=$(mktemp -d "/tmp/taskq-$1.XXXXXX") || die "cannot make a directory in /tmp"
	trap end_work EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	[ "$(id -u)" -ne 0 ] || chown "$(unprivileged_user):" "$work"
	as_user mkdir "$work/tmp" "$work/tree"
	pack_tree | as_user tar -C "$work/tree" -xf -
}

# Prints an archive of the source tree without what was built in it.
pack_tree()
{
	tar -C "$top" --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' --exclude=./build -cf - .
}

# Runs a command as the unprivileged user such that a signal ends the whole of
# it at once: in a process group of its own, waited for, not in the foreground.
# Answers with its exit status.
run_in_work()
{
	local status=0
	set -m
	(cd "$work/tree" && as_user "$@") </dev/null &
	child=$!
	set +m
	wait "$child" || status=$?
	child=
	return "$status"
}

processes_in_work()
{
	find /proc/[0-9]*/cwd /proc/[0-9]*/exe -maxdepth 0 -lname "$work/*" -printf '%h\n' 2>/dev/null |
		sed 's,/proc/,,' | sort -u
}

end_work()
{
	local tries
	trap '' HUP INT TERM
	trap - EXIT
	cd /
	[ -z "$child" ] || kill -TERM -- "-$child" 2>/dev/null
	# An immediate shutdown gives shared memory back; kill -9 does not.
	lock_files | while read -r file; do kill -QUIT "$(sed -n 1p "$file")" 2>/dev/null; done
	for tries in $(seq 50); do
		[ -n "$(processes_in_work)" ] || break
		# shellcheck disable=SC2046
		[ "$tries" -lt 30 ] || kill -KILL $(processes_in_work) 2>/dev/null
		sleep 0.1
	done
	# What a killed server held for its interlock: "key id" in line 7.
	lock_files | while read -r file; do ipcrm -m "$(sed -n '7s/.* //p' "$file")" 2>/dev/null; done
	rm -rf "$work"
}

# Lock files of the servers in $work that run, or did not end properly.
lock_files()
{
	find "$work" -name postmaster.pid 2>/dev/null
}

# Makes a private installation tree of the server under $1, in which the
# extension can be installed, and prints its pg_config.  PostgreSQL finds its
# files from where its program lies, so the programs are copied, and all else
# is links in real directories.
make_server_tree()
{
	local root=$1 config=$2 bin lib share
	bin=$("$config" --bindir)
	lib=$("$config" --pkglibdir)
	share=$("$config" --sharedir)
	mkdir -p "$root$bin" "$root$lib" "$root$share"
	cp -L "$bin"/* "$root$bin/"
	cp -as "$lib/." "$root$lib/"
	cp -as "$share/." "$root$share/"
	rm -rf "$root$lib"/taskq* "$root$lib"/bitcode/taskq* "$root$share"/extension/taskq*
	link_dir "$root" "$("$config" --includedir)"
	link_dir "$root" "$("$config" --includedir-server)"
	link_dir "$root" "$("$config" --libdir)"
	say "$root$bin/pg_config"
}

link_dir()
{
	[ -e "$1$2" ] || { mkdir -p "$(dirname "$1$2")" && ln -s "$2" "$1$2"; }
}

# make against the private server tree.  Bitcode is for inlining by the JIT
# compiler and doubles the time to build.
private_make()
{
	make -s --no-print-directory PG_CONFIG="$private_config" with_llvm=no "$@"
}

# Starts a server of the private tree: its data in $1, its socket in $2, no
# TCP.  Further arguments are lines for postgresql.conf.
start_server()
{
	local data=$1 socket=$2 bin
	shift 2
	bin=$(dirname "$private_config")
	mkdir -m 700 "$socket"
	"$bin/initdb" -D "$data" -U postgres -A trust -N --encoding=UTF8 --locale=C >"$data.initdb" 2>&1 || {
		cat "$data.initdb"
		return 1
	}
	{
		say "listen_addresses = ''"
		say "unix_socket_directories = '$socket'"
		say "shared_preload_libraries = 'taskq'"
		say "fsync = off"
		# In files of the data directory, so that nothing outlives it.
		say "dynamic_shared_memory_type = mmap"
		printf '%s\n' "$@"
	} >>"$data/postgresql.conf"
	"$bin/pg_ctl" -D "$data" -l "$data.log" -w -t 60 start >/dev/null || {
		cat "$data.log"
		return 1
	}
}

stop_server()
{
	"$(dirname "$private_config")/pg_ctl" -D "$1" -m fast -w -t 60 stop >/dev/null
}
