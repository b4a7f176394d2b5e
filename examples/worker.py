#!/usr/bin/env python3
"""worker.py
        A worker in Python: one process does all tasks.

usage: taskq work QUEUE --lines -- examples/worker.py

The payload is {"text": TEXT}; the result has the text in capitals.
"""
import json
import sys


def work(task):
    """Returns the result.  An exception fails the attempt, which the retry policy repeats."""
    return {'text': task['payload']['text'].upper()}


def answer(task, **what):
    print(json.dumps({'id': task['id'], **what}), flush=True)


for line in sys.stdin:
    task = json.loads(line).get('task')
    if task is None:
        continue  # word of a cancel: such short work is finished anyway
    try:
        answer(task, progress=0.5, message='half of it')
        answer(task, finish=work(task))
    except (KeyError, TypeError, AttributeError):
        answer(task, fail='the payload has no text', permanent=True)
    except Exception as error:
        answer(task, fail=str(error))
