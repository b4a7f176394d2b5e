#!/usr/bin/env python3
"""lint_containers.py
        Judges the recipes of the containers and the compose file, where no container can be made.

usage: lint_containers.py TASKQ

TASKQ is the program, whose --help knows the options that compose.yaml may use.
"""
import glob
import json
import os
import re
import subprocess
import sys

import yaml

PACKAGING = 'packaging'
INSTALL = re.compile(r'(?:PG_MAJOR=\d+ )?(?:/usr/src/taskq/packaging)?/install\.sh (\w+)')
KNOWN = {'ARG', 'FROM', 'COPY', 'RUN', 'USER', 'CMD', 'ENTRYPOINT', 'HEALTHCHECK'}
# Made by who starts the containers: see docs/operate.md.
MADE = {'packaging/prometheus.token'}


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


# ---- recipes -----------------------------------------------------------------------------

def instructions(path):
    text = re.sub(r'^#.*\n', '', read(path), flags=re.M).replace('\\\n', ' ')
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


def copied(words, stages):
    """What a COPY or a mount takes: from the source, or from a stage before."""
    for source in re.findall(r'--mount=type=bind,([^ ]*)', words):
        fields = dict(field.split('=') for field in source.split(','))
        if fields.get('from', 'build') not in stages:
            yield f'{fields["from"]} is no stage before'
        elif 'from' not in fields and not os.path.exists(fields['source']):
            yield f'{fields["source"]} is not there'


def wrong_instruction(name, words, stages, steps):
    if name not in KNOWN:
        yield f'{name} is unknown'
    elif name == 'COPY' and not os.path.exists(words.split()[0]):
        yield f'{words.split()[0]} is not there'
    elif name == 'RUN':
        yield from copied(words, stages)
        command = INSTALL.fullmatch(re.sub(r'--mount=\S+', '', words).strip())
        if command is None or command[1] not in steps:
            yield f'RUN does something else than a step of install.sh, so it is not tested: {words}'
    elif name in ('CMD', 'ENTRYPOINT') and not isinstance(json.loads(words), list):
        yield f'{name} is no list'


def wrong_recipe(path):
    steps = re.findall(r'^\t(\w+)\)$', read(f'{PACKAGING}/install.sh'), re.M)
    stages = set()
    for name, words in instructions(path):
        for fault in wrong_instruction(name, words, stages, steps):
            yield f'{path}: {fault}'
        if name == 'FROM' and ' AS ' in words:
            stages.add(words.split(' AS ')[1].strip())


# ---- compose.yaml ------------------------------------------------------------------------

def wrong_volumes(service, named):
    for volume in service.get('volumes', []):
        source = volume.split(':')[0]
        path = os.path.normpath(os.path.join(PACKAGING, source))
        if not source.startswith('.'):
            if source not in named:
                yield f'volume {source} is missing'
        elif path in MADE:
            if subprocess.run(['grep', '-qxF', f'/{path}', '.gitignore']).returncode:
                yield f'{path} would be committed'
        elif not os.path.isfile(path):
            yield f'{path} is not there'


def wrong_command(service, program):
    command = service.get('command', [])
    if not command or 'taskq.Dockerfile' not in str(service.get('build')):
        return
    own = command[:command.index('--')] if '--' in command else command
    usage = subprocess.run([program, command[0], '--help'], capture_output=True, text=True, check=True).stdout
    for option in own:
        if option.startswith('--') and not re.search(rf'^ .*{option}\b', usage, re.M):
            yield f'taskq {command[0]} has no option {option}'


def wrong_compose(path, program):
    compose = yaml.safe_load(read(path))
    services = compose['services']
    for name, service in services.items():
        faults = [*wrong_volumes(service, compose['volumes']), *wrong_command(service, program)]
        faults += [f'{other} is no service' for other in service.get('depends_on', []) if other not in services]
        build = service.get('build')
        if build and not os.path.isfile(os.path.join(PACKAGING, build['context'], build['dockerfile'])):
            faults.append(f'{build["dockerfile"]} is not there')
        yield from (f'{path}: {name}: {fault}' for fault in faults)


def main(program):
    faults = [fault for path in sorted(glob.glob(f'{PACKAGING}/*.Dockerfile')) for fault in wrong_recipe(path)]
    faults += wrong_compose(f'{PACKAGING}/compose.yaml', program)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


sys.exit(main(sys.argv[1]))
