#!/bin/bash
# deb.sh
#		Builds the Debian packages and tries them, each time in a Debian of its own.
#
# usage: deb.sh
#        deb.sh --build | --try | --recipes DIRECTORY SUITE (called by itself)
#
# DEBIAN names the suites of Debian, CACHE a directory in which downloaded packages are kept, OUT the
# directory in which the packages are left (build/deb).
#
# What is committed is built in a fresh Debian, judged by lintian, installed in another one that has
# nothing but what the packages want, and tried there with the tests of debian/tests.  At the end
# they are purged, and no file may be left.  In the Debian of the containers' recipes, these are tried.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=debian.sh
. "$top/scripts/debian.sh"
set -u

# ---- in the namespaces, with the Debian as root ----------------------------------------------

install_packages()
{
	apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends -y "$@" >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; return 1; }
}

build()
{
	/usr/src/taskq/packaging/install.sh build >/tmp/build.log 2>&1 || { tail -n 60 /tmp/build.log; return 1; }
	say "ok - packages are built"
	# Only an upload to Debian itself closes a bug.
	install_packages lintian && lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --allow-root /usr/src/*.changes &&
		say "ok - lintian has nothing to say"
}

# All files but those of the kernel, of the package system and of the installation's log.
files()
{
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /packages -o -path /var/lib/apt -o -path /var/cache \
		-o -path /var/log -o -path /var/lib/dpkg \) -prune -o -print | sort
}

purge_packages()
{
	# shellcheck disable=SC2046
	apt-get -qq -o Dpkg::Use-Pty=0 purge -y $(dpkg-query -W -f '${Package} ' taskq taskq-worker 'postgresql-*-taskq') >/tmp/apt.log 2>&1 ||
		{ cat /tmp/apt.log; return 1; }
}

# The packages that the tests name, but the ones under test (@).
wanted_by_tests()
{
	sed -n 's/^Depends: //p' /usr/src/taskq/debian/tests/control | tr ',' '\n' | tr -d ' ' | grep -v '^@$' | sort -u
}

# run_test NAME USER: in a network of its own, because its ports are fixed.
run_test()
{
	local name=$1 user=$2 status=0
	mkdir -p "/tmp/adt/$name" && chown -R "$user:" /tmp/adt /usr/src/taskq
	# shellcheck disable=SC2016
	unshare --net sh -c 'ip link set lo up && exec "$@"' sh setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups \
		env -C /usr/src/taskq HOME=/tmp/adt AUTOPKGTEST_TMP="/tmp/adt/$name" timeout 900 "debian/tests/$name" >"/tmp/adt/$name.log" 2>&1 || status=$?
	if [ "$status" -eq 0 ]; then say "ok - test $name, as $user"; else grep FAILED "/tmp/adt/$name.log"; tail -n 40 "/tmp/adt/$name.log"; say "not ok - test $name, as $user"; fi
	return "$status"
}

try()
{
	local failed=0 name
	apt-get -qq update || return
	# shellcheck disable=SC2046
	install_packages iproute2 $(wanted_by_tests) && install_packages /packages/*.deb || return
	say "ok - packages are installed"
	# What they depend on stays, so what is found in the end is theirs.
	purge_packages || return
	files >/tmp/before
	install_packages /packages/*.deb || return
	for name in $(sed -n 's/^Tests: //p' /usr/src/taskq/debian/tests/control); do
		run_test "$name" nobody || failed=1
	done
	# It sets up a cluster of the system, too.
	run_test cli root || failed=1
	purge_packages || return
	files | comm -13 /tmp/before - >/tmp/left
	if [ -s /tmp/left ]; then cat /tmp/left; say "not ok - nothing is left"; failed=1; else say "ok - nothing is left"; fi
	return "$failed"
}

recipes()
{
	/usr/src/taskq/scripts/recipes.sh || { say "not ok - the recipes of the containers"; return 1; }
}

# Makes a Debian in which no service is started, with what is committed, and goes on there.
enter()
{
	local root=$1 suite=$2 what=$3
	make_debian "$root" "$suite" && mkdir -p "$root/usr/src/taskq" "$root/packages" || return
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d" || return
	git -C "$top" archive HEAD | tar -C "$root/usr/src/taskq" --no-same-owner -xf - || return
	[ "$what" != try ] || cp "${OUT:?}/$suite"/*.deb "$root/packages" || return
	move_into "$root" || return
	export HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
	"$what"
}

# ---- outside ------------------------------------------------------------------------------------

package_suite()
{
	local suite=$1
	say "Debian $suite"
	in_namespaces --build "$work/$suite.build" "$suite" || return
	mkdir -p "$OUT/$suite" && rm -f "$OUT/$suite"/*.deb && cp -t "$OUT/$suite" "$work/$suite.build/packages"/*.deb || return
	rm -rf --one-file-system "${work:?}/$suite.build"
	in_namespaces --try "$work/$suite.try" "$suite" || return
	rm -rf --one-file-system "${work:?}/$suite.try"
	grep -q "^FROM debian:$suite" "$top/packaging/taskq.Dockerfile" || return 0
	in_namespaces --recipes "$work/$suite.recipes" "$suite"
}

case ${1:-} in
	--build | --try | --recipes) enter "$2" "$3" "${1#--}"; exit ;;
esac
[ "$(id -u)" -eq 0 ] || die "needs root, to make a Debian in a directory: sudo make deb"
"$top/scripts/packages.sh" deb && make_cache || exit 1
export OUT=${OUT:-$top/build/deb}
work=$(mktemp -d /var/tmp/taskq-deb.XXXXXX) || die "cannot make a directory in /var/tmp"
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0
for suite in ${DEBIAN:-bookworm trixie}; do
	package_suite "$suite" || failed=1
done
exit "$failed"
