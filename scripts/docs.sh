#!/bin/bash
# docs.sh
#		Makes a site of the documentation: build/site, of the pages in build/pages.
#
# usage: docs.sh
#
# The pages are those of the tree.  README.md becomes the first one, so links between it and
# docs/ are rewritten.  Needs mkdocs, in Debian the package mkdocs.  Readers fetch nothing from elsewhere.

# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# Copies a page, with its links as they are seen from where it goes.
page()
{
	sed "$3" "$1" >"build/pages/$2" || exit 1
}

cd "$top" || exit 1
command -v mkdocs >/dev/null || die "mkdocs is missing; in Debian: apt-get install mkdocs"
rm -rf build/pages build/site
mkdir -p build/pages/src/core build/pages/migrate
cp -R examples docs/images build/pages/
for file in docs/*.md docs/migrate/*.md; do
	page "$file" "${file#docs/}" 's,](\(\.\./\)\?\.\./examples/,](\1examples/,g; s,](\.\./README\.md,](index.md,g; s,](\.\./\(src/\),](\1,g'
done
page README.md index.md 's,](docs/,](,g; s,](CONTRIBUTING\.md),](contributing.md),g; s,](CHANGELOG\.md),](changelog.md),g; s,](LICENSE),](license.txt),g'
page CONTRIBUTING.md contributing.md 's,](docs/,](,g; s,](CHANGELOG\.md),](changelog.md),g'
page CHANGELOG.md changelog.md 's,](docs/,](,g'
page src/README.md src/README.md 's,](\.\./README\.md,](../index.md,g; s,](\.\./docs/,](../,g'
page src/core/README.md src/core/README.md 's,](\.\./\.\./docs/,](../../,g'
cp LICENSE build/pages/license.txt
mkdocs build --strict >build/site.log 2>&1 || { grep -v INFO build/site.log; exit 1; }
found=$(grep -rlE '(src|href)="https?://[^"]*\.(js|css|woff2?)"|url\(.?https?:' build/site --include='*.html' --include='*.css')
[ -z "$found" ] || die "these pages fetch something from elsewhere: $found"
say "build/site/index.html"
