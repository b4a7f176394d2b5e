#!/usr/bin/env python3
"""lint_docs.py
        Holds the documentation to the source: links lead somewhere, and all that a user can
        call, set or ask for has its place.

usage: lint_docs.py [--write] [TASKQ TASKQ-WORKER]

docs/commands.md has what these programs print for --help; docs/routes.md has the routes of the
gateway, from its source.  --write writes both anew.
"""
import glob
import os
import re
import subprocess
import sys

PAGES = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'src/README.md', 'src/core/README.md', *sorted(glob.glob('docs/**/*.md', recursive=True))]
README_WORDS = 1500


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def sources(*patterns):
    return '\n'.join(read(path) for pattern in patterns for path in sorted(glob.glob(pattern, recursive=True)))


# ---- links -------------------------------------------------------------------------------

def without_code(text):
    return re.sub(r'^```.*?^```$', '', text, flags=re.S | re.M)


def anchors(path):
    """The anchors of a page, as GitHub makes them."""
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
            for title in re.findall(r'^#+ (.*)$', without_code(read(path)), re.M)}


def broken_links(page):
    for target in re.findall(r'\]\((?!https?:|mailto:)([^)\s]+)\)', without_code(read(page))):
        path, _, anchor = target.partition('#')
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(path):
            yield f'{page}: {target} is not there'
        elif anchor and path.endswith('.md') and anchor not in anchors(path):
            yield f'{page}: {target} has no such heading'


def blocks_without_end(page):
    if len(re.findall(r'^```', read(page), re.M)) % 2:
        yield f'{page}: a block has no end'


# ---- what has its place ------------------------------------------------------------------

def missing(names, page, pattern='`{}`'):
    text = read(page)
    for name in sorted(set(names)):
        if not re.search(pattern.format(re.escape(name)), text):
            yield f'{page} lacks {name}'


def functions():
    sql = sources('sql/[0-9]*.sql')
    return [name for name in re.findall(r'create (?:function|procedure|view) taskq\.(\w+)', sql) if name[0] != '_']


def settings():
    return re.findall(r'DefineCustom\w+\("(taskq\.\w+)"', sources('src/base/settings.c'))


def metrics():
    return re.findall(r'"(taskq_\w+)"', sources('src/life/metrics.c'))


# ---- pages that are made -----------------------------------------------------------------

def routes():
    """The routes of the gateway, as a page."""
    found = []
    for method, path, text in re.findall(r'\{"([A-Z]+)", "(/[^"]+)",\s*((?:"[^"]*"\s*)+)', sources('cli/serve/*_routes.c')):
        found.append((path, method, ''.join(re.findall(r'"([^"]*)"', text))))
    lines = [f'| `{method}` | `{path}` | {text} |' for path, method, text in sorted(found)]
    return '\n'.join(['# All routes of the gateway', '',
                      'What [`taskq serve`](serve.md) answers. `GET /v1/openapi.json` has the same with all arguments, for programs.', '',
                      '| method | path | does |', '|---|---|---|', *lines, '',
                      '`GET /healthz`, `GET /readyz` and `GET /metrics` are for monitoring, `/ui/` is the dashboard, and all other paths are',
                      "those of [Miyamoto's API](serve.md#miyamotos-api).", ''])


def help_of(taskq, *command):
    env = {'PATH': os.environ['PATH'], 'LANG': 'C.UTF-8', 'COLUMNS': '80'}
    done = subprocess.run([taskq, *command, '--help'], stdout=subprocess.PIPE, text=True, check=True, env=env)
    return '\n'.join(line.rstrip() for line in done.stdout.rstrip().split('\n'))


def commands(taskq, worker):
    """What the programs print for --help, as a page."""
    text = help_of(taskq)
    page = ['# All commands and options', '', 'What `taskq --help` and `taskq COMMAND --help` print. [The command line](cli.md) is the guide. At the',
            'end are the options of `taskq-worker`.', '',
            '```text', text, '```', '']
    for name in re.findall(r'^  ([a-z][a-z-]*(?: [a-z][a-z-]*)*)  ', text, re.M):
        page += [f'## taskq {name}', '', '```text', help_of(taskq, *name.split()), '```', '']
    page += ['## taskq-worker', '', '```text', help_of(worker), '```', '']
    return '\n'.join(page)


def made(path, text, write):
    if write:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
    elif not os.path.exists(path) or read(path) != text:
        yield f'{path} is not up to date: run scripts/lint_docs.py --write with both programs'


def main():
    arguments = sys.argv[1:]
    write = '--write' in arguments
    programs = [argument for argument in arguments if argument != '--write']
    found = list(made('docs/routes.md', routes(), write))
    if programs:
        found += made('docs/commands.md', commands(*programs), write)
    for page in PAGES:
        found += [*broken_links(page), *blocks_without_end(page)]
    found += missing(functions(), 'docs/sql.md', r'(?m)^### {}$')
    found += missing(functions(), 'docs/calls.md', r'`[^`\n]*\b{}\b')
    found += missing(settings(), 'docs/settings.md')
    found += missing(metrics(), 'docs/monitoring.md')
    words = len(read('README.md').split())
    if words > README_WORDS:
        found.append(f'README.md has {words} words; {README_WORDS} are enough')
    print('\n'.join(found), end='\n' if found else '')


main()
