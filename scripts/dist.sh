#!/bin/bash
# dist.sh
#		Makes the archive for PGXN of what is committed, and installs the extension from it.
#
# usage: dist.sh
#        dist.sh --pack DIRECTORY (also called by lint.sh)
#        dist.sh --try DIRECTORY PG_CONFIG ARCHIVE (called by itself)
#
# The archive is left in build/dist.  It is tried in a private server tree.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
set -u

# Makes taskq-X.Y.Z.zip in a directory, and prints its name.
pack()
{
	local directory=$1 plain version
	plain=$(mktemp -d) || return
	git -C "$top" archive HEAD | tar -C "$plain" -xf - && make -s --no-print-directory -C "$plain" META.json || return
	version=$(make -s --no-print-directory -C "$plain" print-PGXN_VERSION)
	mkdir -p "$directory" &&
		git -C "$top" archive --format=zip --prefix="taskq-$version/" --add-file="$plain/META.json" \
			--output="$directory/taskq-$version.zip" HEAD &&
		say "$directory/taskq-$version.zip"
	rm -rf "${plain:?}"
}

# ---- as an ordinary user, in a private directory ------------------------------------------------

# What its clients do with an archive, and then what the README does with the extension.
try()
{
	local config=$2 archive=$3 version
	work=$1
	private_config=$(make_server_tree "$work/pg" "$config")
	# It wants to be root, because the directory of the libraries is a link to the system's own.
	MAKEFLAGS=-j2 pgxn install --sudo env --make make --pg_config "$private_config" --yes "$archive" >"$work/pgxn.log" 2>&1 ||
		{ tail -n 30 "$work/pgxn.log"; return 1; }
	say "ok - pgxn has installed it"
	export PGHOST=$work/socket PGUSER=postgres PGDATABASE=postgres
	start_server "$work/data" "$PGHOST" || return
	version=$("$(dirname "$private_config")/psql" -XAtq -v ON_ERROR_STOP=1 -c 'create extension taskq' -c 'create extension taskq_net' \
		-c "select distinct extversion from pg_extension where extname like 'taskq%'") || return
	stop_server "$work/data"
	[[ $archive == */taskq-$version*.zip ]] || { say "not ok - the version is $version"; return 1; }
	say "ok - the extensions can be created"
	python3 -m zipfile -e "$archive" "$work/unpacked" && make -s -j2 -C "$work"/unpacked/taskq-* PG_CONFIG="$config" worker cli || return
	say "ok - the programs can be built"
}

# ---- outside ------------------------------------------------------------------------------------

case ${1:-} in
	--pack) pack "$2"; exit ;;
	--try) try "$2" "$3" "$4"; exit ;;
esac
"$top/scripts/packages.sh" dist || exit 1
config=$(find_pg_config) || die "no server headers: install postgresql-server-dev-NN, or set PG_CONFIG"
archive=$(pack "$top/build/dist") || exit 1
make_work dist
as_user cp "$archive" "$work/"
run_in_work bash scripts/dist.sh --try "$work" "$config" "$work/${archive##*/}" || die "$archive cannot be installed"
say "$archive"
