#!/usr/bin/env python3
"""worker.py
        A worker with psycopg 3: it writes a receipt for each paid order, exactly once.

usage: worker.py QUEUE

Connection: PGHOST, PGDATABASE and so on.  SIGTERM ends it, and gives its task back.
"""
import os
import signal
import sys
import threading
import time

import psycopg
from psycopg.types.json import Jsonb

QUEUE = sys.argv[1]
ACQUIRE = """select id, token, payload, extract(epoch from lease_until - clock_timestamp())::float8
    from taskq.acquire(%s, worker => %s)"""
stopping = threading.Event()


class Stopped(Exception):
    """The work is not wanted any more."""


class Heart(threading.Thread):
    """Keeps a lease; sets stop if the task was cancelled, or if the lease is or may be lost."""

    def __init__(self, task, token, lease):
        super().__init__(daemon=True)
        self.task, self.token, self.lease = task, token, lease
        self.stop, self.done = threading.Event(), threading.Event()

    def run(self):
        if self.done.wait(self.lease / 3):
            return
        try:
            with psycopg.connect(autocommit=True) as db:
                beat = (False,)
                while beat == (False,) and not self.done.is_set():
                    beat = db.execute('select cancel_requested from taskq.heartbeat(%s, %s)',
                                      (self.task, self.token)).fetchone()
                    if beat == (False,):
                        self.done.wait(self.lease / 3)
        finally:
            self.stop.set()


def work(payload, heart):
    """The work, in steps.  Returns the receipt."""
    end = time.monotonic() + payload.get('seconds', 0)
    while time.monotonic() < end:
        if stopping.is_set() or heart.stop.is_set():
            raise Stopped
        time.sleep(0.05)
    return f"order {payload['order']} is paid"


def perform(db, task, token, payload, lease):
    heart = Heart(task, token, lease)
    heart.start()
    try:
        text = work(payload, heart)
        with db.transaction():
            if not db.execute('select taskq.finish(%s, %s, %s)', (task, token, Jsonb({'text': text}))).fetchone()[0]:
                return  # the lease is lost: no effects
            db.execute('insert into receipt values (%s, %s)', (payload['order'], text))
    except Stopped:
        db.execute('select taskq.release(%s, %s)', (task, token))
    except psycopg.OperationalError:
        raise  # no connection: the lease runs out
    except Exception as error:
        db.execute('select taskq.fail(%s, %s, %s)', (task, token, f'{type(error).__name__}: {error}'))
    finally:
        heart.done.set()
        heart.join()


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
signal.signal(signal.SIGINT, lambda *_: stopping.set())
while not stopping.is_set():
    try:
        with psycopg.connect(autocommit=True) as connection:  # each statement is a transaction
            while not stopping.is_set():
                taken = connection.execute(ACQUIRE, (QUEUE, f'python {os.getpid()}')).fetchone()
                if taken:
                    perform(connection, *taken)
                else:
                    connection.execute('call taskq.wait_ready(%s, %s)', (QUEUE, '5 s'))
    except psycopg.OperationalError as lost:
        print(lost, file=sys.stderr)
        stopping.wait(1)
