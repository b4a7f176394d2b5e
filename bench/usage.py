"""usage.py
        Runs a command that does jobs and ends, and tells what it has used.

usage: python3 usage.py JOBS COMMAND...

Prints jobs a second, CPU time a job in ms, and the memory of the largest process in MB.
"""
import resource
import subprocess
import sys
import time


def used(jobs, seconds):
    """What the ended children have used, as three words."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    return f'{jobs / seconds:.1f} {1000 * cpu / jobs:.3f} {usage.ru_maxrss / 1024:.0f}'


if __name__ == '__main__':
    count = int(sys.argv[1])
    start = time.monotonic()
    subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
    print(used(count, time.monotonic() - start))
