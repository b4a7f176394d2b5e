# debian.sh
#		What test_versions.sh and deb.sh share: a Debian in a directory, as the root of a process in
#		namespaces of its own.  Sourced by bash scripts, after common.sh.
#
# CACHE names a directory in which downloaded packages are kept.

# shellcheck shell=bash

mirror=http://deb.debian.org/debian

make_debian()
{
	local root=$1 suite=$2 log=$1.bootstrap
	debootstrap --variant=minbase --include=make ${CACHE:+--cache-dir="$CACHE"} "$suite" "$root" "$mirror" \
		>"$log" 2>&1 || { cat "$log"; return 1; }
	# A mirror that is not updated is good enough for tests.
	say 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/taskq"
}

# Makes the directory the root of this process.  In a chroot the kernel refuses user namespaces,
# which a test needs.
move_into()
{
	local root=$1
	mount --bind "$root" "$root" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/dev/shm" &&
		mount -t proc proc "$root/proc" || return
	[ -z "${CACHE:-}" ] || mount --bind "$CACHE" "$root/var/cache/apt/archives" || return
	cd "$root" && pivot_root . mnt && cd / && umount -l /mnt
}

# Runs this script again in namespaces: what is mounted and what is started there ends with the first
# process in them.
in_namespaces()
{
	unshare --mount --pid --ipc --fork --kill-child --mount-proc "$0" "$@" </dev/null
}

# CACHE as an absolute path of a directory that is there.
make_cache()
{
	[ -z "${CACHE:-}" ] || { mkdir -p "$CACHE" && CACHE=$(cd "$CACHE" && pwd -P) && export CACHE; }
}
