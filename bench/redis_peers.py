"""redis_peers.py
        Runs no-op jobs through a Python job queue on Redis with its own workers.

usage: python3 redis_peers.py celery|rq SOCKET JOBS CONCURRENCY

Prints the same as usage.py.  The time begins when the first job has left the queue: a worker takes
a second to start.  The CPU time is that of the whole life of the workers.
"""
import os
import subprocess
import sys
import time

import redis

from usage import used

if __name__ == '__main__':
    peer, socket = sys.argv[1:3]
else:  # a worker has imported this
    peer, socket = os.environ['PEER'], os.environ['REDIS_SOCKET']


def celery_app():
    from celery import Celery
    app = Celery('redis_peers', broker=f'redis+socket://{socket}')
    app.conf.task_ignore_result = True
    app.conf.worker_hijack_root_logger = False
    return app


def noop(data):
    pass


if __name__ != '__main__' and peer == 'celery':
    app = celery_app()
    noop = app.task(name='noop')(noop)


def fill_celery(jobs):
    app = celery_app()
    with app.producer_or_acquire() as producer:
        for _ in range(jobs):
            app.send_task('noop', args=['x' * 191], producer=producer)


def fill_rq(jobs):
    from rq import Queue
    queue = Queue(connection=redis.Redis(unix_socket_path=socket))
    queue.enqueue_many([Queue.prepare_data('redis_peers.noop', args=['x' * 191], result_ttl=0) for _ in range(jobs)])


def workers(concurrency):
    """The commands of the workers."""
    if peer == 'celery':
        return [[sys.executable, '-m', 'celery', '-A', 'redis_peers', 'worker', '-c', str(concurrency), '-l', 'error',
                 '--without-gossip', '--without-mingle', '--without-heartbeat']]
    return [['rq', 'worker', '--burst', '-u', f'unix://{socket}', '--logging_level', 'ERROR']] * concurrency


def main():
    jobs, concurrency = int(sys.argv[3]), int(sys.argv[4])
    db = redis.Redis(unix_socket_path=socket)
    queue, running = {'celery': ('celery', lambda: db.hlen('unacked')),
                      'rq': ('rq:queue:default', lambda: db.zcard('rq:wip:default'))}[peer]
    db.flushall()
    {'celery': fill_celery, 'rq': fill_rq}[peer](jobs)
    env = {**os.environ, 'PEER': peer, 'REDIS_SOCKET': socket, 'C_FORCE_ROOT': '1'}
    started = [subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for command in workers(concurrency)]
    while db.llen(queue) == jobs:
        time.sleep(0.005)
    start = time.monotonic()
    while db.llen(queue) > 0 or running() > 0:
        time.sleep(0.02)
    seconds = time.monotonic() - start
    if peer == 'celery':
        started[0].terminate()  # workers of rq end when nothing is left
    for process in started:
        process.wait()
    print(used(jobs, seconds))


if __name__ == '__main__':
    main()
