"""A process of its own that logs calls; it prints the ids that are acknowledged, one a line."""

import os
import sys
import time

from aikit.log import Log
from tests.log.rows import attempt, call


def write(home, number, rate=0.0):
    """Log calls, some a second, and acknowledge each 10 of them by a flush."""
    log = Log.open(home, ingest_seconds=0.2)
    start = time.monotonic()
    young = []
    for index in range(number):
        row = call()
        log.record(row)
        log.record_attempt(attempt(row))
        young.append(row.call_id)
        if index % 10 == 9 or index == number - 1:
            log.flush()
            sys.stdout.write("".join(f"{name}\n" for name in young))
            sys.stdout.flush()
            young = []
        if rate:
            time.sleep(max(0.0, start + (index + 1) / rate - time.monotonic()))
    log.close()


def hold(path, seconds):
    """Hold the DuckDB file as a foreign process would."""
    import duckdb

    connection = duckdb.connect(path)
    print("held", flush=True)
    time.sleep(seconds)
    connection.close()


def churn(home):
    """Do all that the housekeeping does, again and again, so that a kill hits every part of it."""
    from aikit.log import housekeeping

    housekeeping._KEPT_ROWS = 50
    log = Log.open(home, ingest_seconds=0.02)
    print(os.getpid(), flush=True)
    while True:
        row = call()
        log.record(row)
        log.record_attempt(attempt(row))
        log.flush()
        print(row.call_id, flush=True)
        if row.cost and int(time.time() * 10) % 7 == 0:
            log.compact()


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "write":
        write(arguments[0], int(arguments[1]), float(arguments[2]))
    elif task == "hold":
        hold(arguments[0], float(arguments[1]))
    else:
        churn(arguments[0])
