#!/usr/bin/env python3
"""lint_meta.py
        Holds META.json to version 1.0.0 of PGXN's specification, and to the files beside it.

usage: lint_meta.py META.json [ARCHIVE]

With ARCHIVE, the files must be in it, below one directory with the name and the version.
"""
import json
import re
import sys
import zipfile

REQUIRED = {'abstract', 'license', 'maintainer', 'meta-spec', 'name', 'provides', 'version'}
OPTIONAL = {'description', 'generated_by', 'no_index', 'prereqs', 'release_status', 'resources', 'tags'}
PHASES = {'build', 'configure', 'develop', 'runtime', 'test'}
RELATIONS = {'conflicts', 'recommends', 'requires', 'suggests'}
SEMVER = re.compile(r'(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[A-Za-z][0-9A-Za-z-]*)?')
# What a user of the archive looks for.
WANTED = ['CHANGELOG.md', 'LICENSE', 'META.json', 'Makefile', 'README.md', 'exports.txt', 'taskq.control', 'cli/taskq.c', 'docs/start.md',
          'expected/roles.out', 'test/sql/roles.sql', 'worker/taskq-worker.c']


def is_text(value):
    return isinstance(value, str) and value.strip() != ''


def is_version(value):
    return isinstance(value, str) and SEMVER.fullmatch(value)


def wrong_keys(meta):
    for key in sorted(REQUIRED - meta.keys()):
        yield f'{key} is missing'
    for key in sorted(meta.keys() - REQUIRED - OPTIONAL):
        if not key.lower().startswith('x_'):
            yield f'{key} is unknown'


def wrong_values(meta):
    for key in ('abstract', 'description', 'generated_by', 'maintainer'):
        if key in meta and not is_text(meta[key]):
            yield f'{key} is no text'
    if not re.fullmatch(r'[^\s/\\\x00-\x1f]{2,}', meta['name']):
        yield 'name is no name'
    if not is_version(meta['version']):
        yield f'version {meta["version"]} has not three numbers'
    if meta['meta-spec'].get('version') != '1.0.0':
        yield 'meta-spec is not of version 1.0.0'
    if meta.get('release_status', 'stable') not in ('stable', 'testing', 'unstable'):
        yield 'release_status is unknown'
    for name, url in meta['license'].items():
        if not re.match(r'https?://', url):
            yield f'license {name} has no address'
    for tag in meta.get('tags', []):
        if not is_text(tag) or len(tag) > 255 or re.search(r'[/\\\x00-\x1f]', tag):
            yield f'tag {tag!r} is not allowed'


def wrong_prereqs(meta):
    for phase, relations in meta.get('prereqs', {}).items():
        if phase not in PHASES:
            yield f'prereqs: {phase} is no phase'
        for relation, packages in relations.items():
            if relation not in RELATIONS:
                yield f'prereqs: {relation} is no relation'
            for package, version in packages.items():
                if not is_version(version):
                    yield f'prereqs: version {version} of {package}'


def wrong_provides(meta, has):
    if meta['name'] not in meta['provides']:
        yield 'provides lacks what has the name of the distribution'
    for name, extension in meta['provides'].items():
        if extension.get('version') != meta['version']:
            yield f'{name}: another version'
        if not is_text(extension.get('file')):
            yield f'{name}: file is missing'
        for key in ('file', 'docfile'):
            if key in extension and not has(extension[key]):
                yield f'{name}: there is no {extension[key]}'


def main(path, archive=None):
    with open(path, encoding='utf-8') as file:
        meta = json.load(file)
    faults = list(wrong_keys(meta))
    if not faults:
        top = f'{meta["name"]}-{meta["version"]}/'
        names = set(zipfile.ZipFile(archive).namelist()) if archive else set()
        faults = [*wrong_values(meta), *wrong_prereqs(meta)]
        if archive:
            faults += wrong_provides(meta, lambda name: top + name in names)
            faults += [f'the archive lacks {name}' for name in WANTED if top + name not in names]
            faults += [f'the archive has {name}' for name in sorted(names) if not name.startswith(top)]
            faults += [f'the archive has {name}, which is made by make' for name in sorted(names) if re.search(r'\.(o|so|bc|pyc)$|/build/', name)]
    print(*faults, sep='\n', end='\n' if faults else '')
    return 1 if faults else 0


sys.exit(main(*sys.argv[1:]))
