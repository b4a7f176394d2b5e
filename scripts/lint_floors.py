#!/usr/bin/env python3
"""lint_floors.py
        Holds the rules of src/README.md about who may know whom.

usage: lint_floors.py, in a tree that was built (it reads the object files)

A unit is a .c file with its header.  Prints what breaks a rule, one line each.
"""
import collections
import os
import re
import subprocess
import sys

FLOORS = ['core', 'base', 'tables', 'hints', 'life', 'push', 'process']
# Each folder outside src, and the folders whose headers its files may include.
PROGRAMS = {'client': ['client', 'core'], 'worker': ['worker', 'client', 'core'], 'cli': ['cli', 'client', 'core']}
STATIC_LIMIT = 2


def sources(*tops):
    for top in tops:
        for folder, _, names in sorted(os.walk(top)):
            for name in sorted(names):
                if name.endswith(('.c', '.h')):
                    yield os.path.join(folder, name)


def unit_of(path):
    return os.path.splitext(os.path.relpath(path, 'src'))[0]


def text_of(path):
    with open(path) as file:
        return file.read()


def code_of(path):
    """The file without its comments and strings."""
    text = re.sub(r'/\*.*?\*/', '', text_of(path), flags=re.S)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


def includes_of(path):
    return re.findall(r'^#include "([a-z_]+/[a-z_]+\.h)"', text_of(path), flags=re.M)


def own(header):
    return header.split('/')[0] in FLOORS


def allowed(floor, other):
    if floor == 'core':
        return other == 'core'
    if {floor, other} == {'push', 'process'}:
        return False
    return floor == '' or FLOORS.index(other) <= FLOORS.index(floor)


def check_floors():
    for path in sources('src'):
        floor = os.path.dirname(os.path.relpath(path, 'src'))
        for header in filter(own, includes_of(path)):
            if not allowed(floor, header.split('/')[0]):
                yield f'{path}: {floor} must not include {header}'
            if floor != '' and not os.path.exists('src/' + header):
                yield f'{path}: there is no {header}'


def check_programs():
    for program, may in PROGRAMS.items():
        for path in sources(program):
            for header in re.findall(r'^#include ["<]([^">]+)', text_of(path), flags=re.M):
                folder = header.split('/')[0]
                if header in ('postgres.h', 'fmgr.h') or (folder in FLOORS + list(PROGRAMS) and folder not in may):
                    yield f'{path}: {program} must not include {header}'


def symbols():
    """For each unit of src the names that its object defines and those that it needs."""
    defined, needed = {}, {}
    for path in sources('src'):
        if path.endswith('.c'):
            listing = subprocess.run(['nm', '-g', path[:-1] + 'o'], capture_output=True, text=True, check=True).stdout
            rows = [line.split() for line in listing.splitlines()]
            defined[unit_of(path)] = {row[2] for row in rows if len(row) == 3}
            needed[unit_of(path)] = {row[1] for row in rows if len(row) == 2}
    return defined, needed


def declared_in(path):
    """The functions and variables that a header declares."""
    code = code_of(path)
    for declaration in re.findall(r'^extern\s[^;{]*;', code, flags=re.M):
        name = re.search(r'(\w+)\s*(?:\(|;|\[)', re.sub(r'\(\*(\w+)\)\([^)]*\)', r'\1', declaration))
        if name:
            yield name.group(1)


def check_headers(defined):
    """Each header declares what its own object defines, and all of it that others need."""
    for path in sources('src'):
        unit = unit_of(path)
        if not path.endswith('.h') or unit not in defined:
            continue
        for name in declared_in(path):
            if name not in defined[unit]:
                yield f'{path}: {name} is not defined in {unit}.c'
    for unit, names in defined.items():
        header = f'src/{unit}.h'
        known = set(declared_in(header)) if os.path.exists(header) else set()
        for name in sorted(names - known):
            if not re.match(r'(taskq_|pg_finfo_taskq_|Pg_magic_func|_PG_init)', name):
                yield f'src/{unit}.c: {name} is external and not declared in its header'


def check_prefix(defined):
    """taskq_ is for what SQL calls, and for the main functions of our processes."""
    for unit, names in defined.items():
        for name in sorted(names):
            if name.startswith('taskq_') and 'pg_finfo_' + name not in names and not name.endswith('_main'):
                yield f'src/{unit}.c: {name} is not called by SQL, so it must not begin with taskq_'


def arrows(defined, needed):
    home = {name: unit for unit, names in defined.items() for name in names}
    graph = collections.defaultdict(set)
    for unit, names in needed.items():
        graph[unit] |= {home[name] for name in names if name in home and home[name] != unit}
    for path in sources('src'):
        for header in filter(own, includes_of(path)):
            other = header[:-2]
            if other != unit_of(path):
                graph[unit_of(path)].add(other)
    return graph


def circles(graph):
    """Tarjan's strongly connected components, those of more than one unit."""
    index, low, stack, found = {}, {}, [], []

    def visit(unit):
        index[unit] = low[unit] = len(index)
        stack.append(unit)
        for other in sorted(graph.get(unit, ())):
            if other not in index:
                visit(other)
                low[unit] = min(low[unit], low[other])
            elif other in stack:
                low[unit] = min(low[unit], index[other])
        if low[unit] == index[unit]:
            part = stack[stack.index(unit):]
            del stack[stack.index(unit):]
            if len(part) > 1:
                found.append(sorted(part))

    for unit in sorted(graph):
        if unit not in index:
            visit(unit)
    return found


def check_circles(graph):
    for circle in circles(graph):
        yield 'a circle of calls and includes: ' + ', '.join(circle)
    for unit, others in sorted(graph.items()):
        for other in sorted(others):
            if not allowed(os.path.dirname(unit), os.path.dirname(other)):
                yield f'src/{unit}.c uses {other}, which is not below it'


def check_statics():
    """A name in a profile should say where it is."""
    places = collections.defaultdict(list)
    for path in sources('src', *PROGRAMS):
        for name in re.findall(r'^static [^;=({]*?\b(\w+)\([^;{]*\)\s*\{', code_of(path), flags=re.M):
            places[name].append(path)
    for name, paths in sorted(places.items()):
        if len(set(paths)) > STATIC_LIMIT:
            yield f'static {name}() is in {len(paths)} files: ' + ', '.join(paths)


def check_single_places():
    """What stands in one file alone."""
    for word, home in (('RegisterXactCallback', 'src/base/xact.c'), ('RegisterSubXactCallback', 'src/base/xact.c'),
                       ('PG_VERSION_NUM', 'src/base/compat.h'), ('CATALOG_VERSION_NO', 'src/base/compat.h'),
                       ('clock_gettime', 'src/core/clock.c')):
        for path in sources('src', *PROGRAMS):
            if path != home and re.search(rf'\b{word}\b', code_of(path)):
                yield f'{path}: {word} belongs into {home} alone'


def main():
    defined, needed = symbols()
    graph = arrows(defined, needed)
    found = [*check_floors(), *check_programs(), *check_headers(defined), *check_prefix(defined),
             *check_circles(graph), *check_statics(), *check_single_places()]
    print('\n'.join(found), end='\n' if found else '')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
