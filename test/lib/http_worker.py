#!/usr/bin/env python3
"""http_worker.py
    A worker that needs nothing but outgoing requests to taskq serve.

usage: http_worker.py URL TOKEN QUEUE NAME LEDGER

Acquires tasks, writes the id of each to LEDGER when it has done it, and ends it with the request that acquires the next
ones.  A task whose payload is not a number takes until its lease was extended.  Ends when it is killed.
"""
import http.client
import json
import sys
import urllib.parse

url, token, queue, name, ledger = sys.argv[1:]
address = urllib.parse.urlsplit(url).netloc


def connect():
    return http.client.HTTPConnection(address, timeout=20)


def ask(path, body):
    """The status and the answer; again, over a new connection, if there is none."""
    global connection
    while True:
        try:
            connection.request('POST', path, json.dumps(body), {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = connect()


connection = connect()
wanted = {'max_tasks': 5, 'lease_for': 3, 'worker': name}
tasks = []
with open(ledger, 'a', encoding='utf-8') as done:
    while True:
        ended = []
        for task in tasks:
            if not isinstance(task['payload'], int) and ask(f'/v1/tasks/{task["id"]}/heartbeat', {'token': task['token']})[0] != 200:
                continue
            done.write(task['id'] + '\n')
            done.flush()
            ended.append({'id': task['id'], 'token': task['token'], 'result': name})
        status, answer = ask(f'/v1/queues/{queue}/turn', {'finish': ended, 'acquire': wanted})
        tasks = answer.get('tasks', []) if status == 200 else []
        if not tasks:
            status, answer = ask(f'/v1/queues/{queue}/acquire?wait=10', wanted)
            tasks = answer['tasks'] if status == 200 else []
