#!/bin/bash
# lint.sh
#		Checks that need no server: layout, warnings, who may know whom, SQL.
#
# usage: lint.sh [PG_CONFIG [BUILD_LOG]]
#
# Prints TAP, and below each "not ok" what was found.  Builds in a private
# copy, so the tree is only read.  With BUILD_LOG, this tree was built just now,
# and that is what make has printed.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# Formatters of other versions disagree about details, and other analysers take other code for faults.
clang_format_version=14
cppcheck_version=2.10

number=0
failures=0

# check NAME COMMAND…: the command prints what is wrong, or nothing.
check()
{
	local name=$1 found status=0
	shift
	found=$("$@" 2>&1) || status=$?
	number=$((number + 1))
	if [ -z "$found" ] && [ "$status" -eq 0 ]; then
		say "ok $number - $name"
	else
		say "not ok $number - $name"
		failures=$((failures + 1))
		[ -z "$found" ] || printf '%s\n' "$found" | sed 's/^/# /'
	fi
}

skip()
{
	number=$((number + 1))
	say "ok $number - $1 # SKIP $2"
}

c_files()
{
	find src client worker cli test/unit test/fuzz bench -name '*.[ch]' 2>/dev/null | sort
}

find_clang_format()
{
	local name
	for name in "clang-format-$clang_format_version" clang-format; do
		if "$name" --version 2>/dev/null | grep -q "version $clang_format_version\."; then
			say "$name"
			return
		fi
	done
	return 1
}

layout()
{
	# shellcheck disable=SC2046
	"$formatter" --style=file --dry-run -Werror $(c_files)
}

line_length()
{
	# shellcheck disable=SC2046
	perl -ne '
		chomp;
		1 while s/^([^\t]*)\t/$1 . " " x (4 - length($1) % 4)/e;
		printf "%s:%d: %d columns\n", $ARGV, $., length if length > 100;
		close ARGV if eof' $(c_files)
}

# No tab or blank at the end of a line, no blanks before a tab, a newline at the end.
blanks()
{
	local text
	text=$(grep -rIlE . --exclude-dir=.git --exclude-dir=expected --exclude-dir=build --exclude-dir=corpus . 2>/dev/null)
	printf '%s\n' "$text" | xargs grep -nE '[[:blank:]]+$' | cut -c 1-120
	printf '%s\n' "$text" | xargs perl -ne 'print "$ARGV: no newline at the end\n" if eof && !/\n\z/'
}

warnings()
{
	grep -E '(error|warning):|\*\*\*|undefined reference' "$build_log" || true
}

# What the core may be linked with: itself, libc, libcurl, c-ares, libidn2.
core_symbols()
{
	local objects allowed library
	mapfile -t objects < <(find src/core -name '*.o')
	[ ${#objects[@]} -gt 0 ] || { say "the core was not built"; return; }
	allowed=$(
		nm --defined-only -g "${objects[@]}" | awk 'NF == 3 { print $3 }'
		for library in libc.so.6 libm.so.6 libcurl.so libcares.so libidn2.so; do
			nm -D --defined-only "$(cc -print-file-name="$library")" | awk '{ sub(/@.*/, "", $3); print $3 }'
		done
		say _GLOBAL_OFFSET_TABLE_
	)
	nm -u -A "${objects[@]}" | awk '{ print $NF, $1 }' | sort |
		join -v 1 - <(printf '%s\n' "$allowed" | sort -u) |
		sed 's/^\([^ ]*\) \(.*\)/\2 needs \1, which neither the core nor libc, libcurl, c-ares or libidn2 defines/'
}

# One thread, and no name resolved but by c-ares: see resolve.h.
core_forbidden()
{
	find src/core -name '*.o' -exec nm -u -A {} + |
		grep -wE 'pthread_create|thrd_create|getaddrinfo|gethostby[a-z0-9_]*|fork|vfork|system|popen' || true
}

includes()
{
	grep -nE '^[[:blank:]]*#[[:blank:]]*include' -r src/core --include='*.[ch]' |
		grep -vE '"core/[a-z_]+\.h"|<[a-z0-9_/]+\.h>' | sed 's/$/: the core includes only itself and system headers/'
	grep -nE '#[[:blank:]]*include[[:blank:]]*[<"](postgres|libpq|fmgr|pg_config|c\.h|utils/|storage/)' -r src/core test/unit test/fuzz --include='*.[ch]' |
		sed 's/$/: the core knows no PostgreSQL/'
	return 0
}

exported_symbols()
{
	local library=taskq.so symbols
	[ -f "$library" ] || { say "$library was not built"; return; }
	symbols=$(nm -D --defined-only "$library" | awk '{ print $3 }')
	printf '%s\n' "$symbols" | grep -vE '^(taskq_.*|pg_finfo_taskq_.*|_PG_init|Pg_magic_func)$' |
		sed 's/$/ is exported/'
	printf '%s\n' "$symbols" | grep -qx Pg_magic_func || say "Pg_magic_func is not exported"
}

static_analysis()
{
	cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability \
		--inline-suppr --error-exitcode=1 --suppressions-list=scripts/cppcheck.txt \
		--library=posix --library=gnu -D__GNUC__ -DTASKQ_VERSION='"0"' -DPG_VERSION_NUM=150000 \
		--template='{file}:{line}: {id}: {message}' -Isrc -I. src cli 2>&1
}

# The types in comments; browsers get the files as they are.
dashboard_types()
{
	tsc --noEmit --allowJs --checkJs --target es2020 --module es2020 --lib es2021,dom,dom.iterable cli/web/app.js
}

site()
{
	scripts/docs.sh | grep -vx build/site/index.html
	return "${PIPESTATUS[0]}"
}

# The one in git is for Debian 12.
debian_control()
{
	sed 's/PGVERSION/15/g' debian/control.in | diff - debian/control
}

# The archive for PGXN, made of this copy: its META.json, what it has, and that make finds all it needs.
archive()
{
	local file directory
	git init -q && git add -A && git -c user.name=lint -c user.email=lint@localhost commit -q -m lint || return
	file=$(scripts/dist.sh --pack build/dist) && directory=build/dist/$(basename "$file" .zip) || return
	python3 -m zipfile -e "$file" build/dist && python3 scripts/lint_meta.py "$directory/META.json" "$file" || return
	make -n -C "$directory" PG_CONFIG="$config" all unit worker cli >/dev/null
}

shell_scripts()
{
	shellcheck -x --severity=warning scripts/*.sh bench/*.sh bench/scenarios/*.sh test/model/*.sh test/fuzz/*.sh packaging/*.sh .ci/run
}

cd "$top" || exit 1
build_log=${2:+$(realpath "$2")}
config=${1:-$(find_pg_config)} || die "no server headers: install postgresql-server-dev-NN, or set PG_CONFIG"
private_config=$config
copy=$(mktemp -d "${TMPDIR:-/tmp}/taskq-lint.XXXXXX")
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' HUP INT TERM
excluded=()
# Where the programs are.
built=build
[ -z "$build_log" ] || built=$top/build
[ -n "$build_log" ] || excluded=(--exclude='*.o' --exclude='*.so')
tar --exclude=./.git "${excluded[@]}" --exclude='*.bc' --exclude=./build --exclude=./tmp_check \
	--exclude=./results --exclude=./output_iso --exclude='./regression.*' -cf - . |
	tar -C "$copy" -xf -
cd "$copy" || exit 1
if [ -z "$build_log" ]; then
	build_log=build/make.log
	mkdir build
	private_make -j2 -k all unit worker cli >"$build_log" 2>&1
fi

if formatter=$(find_clang_format); then
	check "layout: clang-format -i mends it" layout
else
	skip "layout" "needs clang-format $clang_format_version"
fi
check "at most 100 columns" line_length
check "no stray blanks" blanks
check "no warning from the compiler" warnings
check "the core needs only itself, libc, libcurl, c-ares and libidn2" core_symbols
check "the core starts no thread or process and resolves no name by itself" core_forbidden
check "the core includes only itself and system headers" includes
check "floors: one header a file, no call upwards, no circle" python3 scripts/lint_floors.py
check "taskq.so exports only what the server looks for" exported_symbols
if cppcheck --version 2>/dev/null | grep -qx "Cppcheck $cppcheck_version"; then
	check "cppcheck" static_analysis
else
	skip "cppcheck" "needs cppcheck $cppcheck_version"
fi
check "sql" python3 scripts/lint_sql.py --regress "$(private_make print-REGRESS)" sql/[0-9]*.sql
# shellcheck disable=SC2046
check "dashboard: no text becomes elements or code, nothing from elsewhere" python3 scripts/lint_web.py cli/web \
	$(make -s --no-print-directory -C cli print-WEB)
if command -v tsc >/dev/null; then
	check "dashboard: types" dashboard_types
else
	skip "dashboard: types" "not installed"
fi
check "documentation: links, and a place for everything" python3 scripts/lint_docs.py "$built/cli/taskq" "$built/worker/taskq-worker"
check "documentation: the figures on top are those of the table" \
	python3 bench/report.py --again bench/notes.md docs/benchmarks.md README.md docs/images/benchmarks.svg --check
if command -v mkdocs >/dev/null; then
	check "documentation: a site can be made of it" site
else
	skip "documentation: a site can be made of it" "mkdocs is not installed"
fi
check "debian/control is made of control.in" debian_control
if python3 -c 'import yaml' 2>/dev/null; then
	check "recipes of the containers, and the compose file" python3 scripts/lint_containers.py "$built/cli/taskq"
else
	skip "recipes of the containers, and the compose file" "needs python3-yaml"
fi
if command -v git >/dev/null; then
	check "the archive for PGXN" archive
else
	skip "the archive for PGXN" "git is not installed"
fi
if command -v shellcheck >/dev/null; then
	check "shellcheck" shell_scripts
else
	skip "shellcheck" "not installed"
fi
say "1..$number"
[ "$failures" -eq 0 ]
