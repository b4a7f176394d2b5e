#!/usr/bin/env python3
"""submit.py
        Submits a task in the transaction that writes the data, with psycopg 3.

usage: submit.py ORDER

The order is paid, and its receipt will be written: both, or none.  The key makes a repeat
harmless: it prints the id of the task that is there.  Connection: PGHOST, PGDATABASE and so on.
"""
import sys

import psycopg
from psycopg.types.json import Jsonb

order = int(sys.argv[1])

with psycopg.connect() as db:  # commits at the end of the block, or rolls back
    db.execute("insert into orders values (%s, 'paid') on conflict (id) do nothing", (order,))
    task = db.execute('select taskq.submit(%s, %s, key => %s)',
                      ('receipts', Jsonb({'order': order}), f'receipt-{order}')).fetchone()[0]
print(task)
