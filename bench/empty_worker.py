"""empty_worker.py
        Does nothing with each task: for `taskq work --lines`.
"""
import json
import sys

for line in sys.stdin:
    task = json.loads(line).get('task')
    if task is not None:
        print(json.dumps({'id': task['id'], 'finish': None}), flush=True)
