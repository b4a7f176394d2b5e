#!/bin/sh
# install.sh
#		What the recipes of the containers do in their RUN lines, in a Debian that has nothing yet.
#		make deb does the same, so it is tried where no container can be built.
#
# usage: install.sh build      makes packages of the source in /usr/src/taskq, and puts them into /packages
#        install.sh server     installs the extension from there
#        install.sh programs   installs the programs from there, and makes their user
#
# PG_MAJOR is the version of PostgreSQL.  Without it "build" makes the packages for all that this
# Debian has.

set -eu

install_packages()
{
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
	rm -rf /var/lib/apt/lists/*
}

build_packages()
{
	cd /usr/src/taskq
	# postgresql-server-dev-all would bring all versions.
	if [ -n "${PG_MAJOR:-}" ]; then
		sed -i "s/postgresql-server-dev-all/postgresql-common-dev,\n postgresql-server-dev-$PG_MAJOR/" debian/control.in debian/control
		export PG_SUPPORTED_VERSIONS="$PG_MAJOR"
	fi
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends dpkg-dev
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 build-dep -y --no-install-recommends ./
	pg_buildext updatecontrol
	dpkg-buildpackage -b -us -uc
	mkdir -p /packages
	find .. -maxdepth 1 -name '*.deb' ! -name '*dbgsym*' -exec cp -t /packages {} +
}

case $1 in
	build)
		build_packages
		;;
	server)
		install_packages "/packages/postgresql-${PG_MAJOR:?}-taskq"_*.deb
		;;
	programs)
		install_packages ca-certificates /packages/taskq_*.deb /packages/taskq-worker_*.deb
		useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin taskq
		install -d -o taskq -g taskq -m 755 /etc/taskq
		;;
esac
