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
    message = json.loads(line)
    task = isinstance(message, dict) and message.get('task')
    if not task:
        if isinstance(message, dict) and 'cancel' in message:
            continue  # such short work is finished anyway
        sys.exit('this is a worker for taskq work --lines')
    try:
        answer(task, progress=0.5, message='half of it')
        answer(task, finish=work(task))
    except (KeyError, TypeError, AttributeError):
        answer(task, fail='the payload has no text', permanent=True)
    except Exception as error:
        answer(task, fail=str(error))
