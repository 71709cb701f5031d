"""Several processes on one log: nothing lost, nothing twice, whatever is killed and whenever."""

import os
import random
import shutil
import signal
import threading
import time

import pytest

from aikit.log import Log
from tests.log import workers
from tests.log.rows import call, record


def write_together(home, processes, number):
    """Let processes log at once while this one reads, and return the ids and what reading saw."""
    started = [workers.start("write", home, number, 0) for _ in range(processes)]
    acknowledged = []
    readers = [threading.Thread(target=lambda p=p: acknowledged.extend(p.stdout.read().split())) for p in started]
    for reader in readers:
        reader.start()
    sizes = []
    with Log.open(home, ingest_seconds=0.2) as log:
        while any(process.poll() is None for process in started):
            frame = log.calls()
            assert frame.call_id.is_unique
            sizes.append(len(frame))
            time.sleep(0.05)
        for reader in readers:
            reader.join()
        for process in started:
            process.stdout.close()
        assert sizes == sorted(sizes)  # what was seen once is never gone
        assert sorted(log.calls().call_id) == sorted(acknowledged)
        log.ingest_now()
        assert sorted(log.calls().call_id) == sorted(acknowledged)
        assert len(log.attempts()) == processes * number
        assert log.check().ok, log.check()
    assert all(process.returncode == 0 for process in started)
    return acknowledged


def test_four_processes_write_at_once(home):
    assert len(set(write_together(home, 4, 500))) == 2000


@pytest.mark.slow
def test_four_processes_write_twenty_thousand(home):
    assert len(set(write_together(home, 4, 5000))) == 20_000


def kill_at_random(home, kills, seed=0):
    """Kill processes that write, ingest, archive, trim and compact, each at some instant of its life."""
    random.seed(seed)
    lines, readers, running = [], [], []

    def start():
        process = workers.start("churn", home)
        process.stdout.readline()  # its pid: it has begun
        reader = threading.Thread(target=lambda: lines.extend(process.stdout.read().splitlines(keepends=True)))
        reader.start()
        readers.append((reader, process))
        running.append(process)

    for _ in range(3):
        start()
    for _ in range(kills):
        time.sleep(random.uniform(0.05, 0.6))
        victim = running.pop(random.randrange(len(running)))
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        start()
    for process in running:
        process.kill()
        process.wait()
    for reader, process in readers:
        reader.join()
        process.stdout.close()
    return {line.strip() for line in lines if line.endswith("\n")}


def check_after_kills(home, acknowledged):
    with Log.open(home, ingest_seconds=3600) as log:
        for _ in range(2):
            frame = log.calls()
            assert frame.call_id.is_unique
            assert acknowledged <= set(frame.call_id)
            assert log.attempts().attempt_id.is_unique
            log.ingest_now()
        report = log.check()
        assert report.ok, report
        assert log.settle_dead()
        record(log, 1)
        assert len(log.calls()) == len(frame) + 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_whatever_was_acknowledged_survives_a_few_kills(home):
    acknowledged = kill_at_random(home, 4)
    assert acknowledged
    check_after_kills(home, acknowledged)


@pytest.mark.slow
def test_whatever_was_acknowledged_survives_a_hundred_kills(home):
    acknowledged = kill_at_random(home, 100, seed=1)
    print(len(acknowledged), "acknowledged")
    check_after_kills(home, acknowledged)


@pytest.mark.parametrize("durability", ["full", "os"])
def test_a_power_cut_passes_over_no_later_row(home, durability, monkeypatch):
    """The disk keeps what was synced: all up to the commit of the log's watermark, by the order of the syncs."""
    synced = {}
    from aikit.log import ingest

    with Log.open(home, durability=durability, ingest_seconds=3600) as log:
        record(log, 10)
        for _ in range(20):
            log.record(call())
        time.sleep(0.2)  # committed, not flushed: under "os" only the operating system has them

        def power_state(path):
            for part in home.glob("spool.sqlite*"):
                synced[part.name] = part.read_bytes() if part.name.endswith("-wal") else None
            real(path)

        real = ingest.sync_wal
        monkeypatch.setattr(ingest, "sync_wal", power_state)
        log.ingest_now()
        # Before the log's COMMIT the WAL must have been forced out; with "full" every commit does that by itself.
        assert ("spool.sqlite-wal" in synced) == (durability == "os")
        copies = home.parent / "after"
        shutil.copytree(home, copies)
    with Log.open(copies, ingest_seconds=3600) as log:
        record(log, 5)
        log.ingest_now()
        assert len(log.calls()) == 35
        assert log.check().ok


def test_a_reservation_of_a_killed_process_can_be_told_from_a_living_one(home):
    process = workers.start("churn", home)
    process.stdout.readline()
    with Log.open(home, ingest_seconds=3600) as log:
        asked = []
        log.on_dead.append(lambda connection, living: asked.append(living))
        assert log.settle_dead() == []
        process.kill()
        process.communicate()
        assert len(log.settle_dead()) == 1
        assert asked == [{log.spool.owner}]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_logs_and_reads_by_itself(home):
    code = """
import os, sys
from tests.log.rows import record
from aikit.log import Log
log = Log.open(sys.argv[1], ingest_seconds=3600)
record(log, 3)
log.ingest_now()
assert len(log.calls()) == 3
record(log, 2)
child = os.fork()
if child == 0:
    try:
        record(log, 4)
        assert len(log.calls()) == 9, len(log.calls())
        log.ingest_now()
        log.close()
        os._exit(0)
    except BaseException:
        import traceback; traceback.print_exc()
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
record(log, 1)
assert len(log.calls()) == 10, len(log.calls())
assert log.check().ok, log.check()
log.close()
"""
    workers.run(home, code=code)


def test_the_end_of_the_interpreter_leaves_the_calls_in_duckdb(home):
    code = """
import sys
from tests.log.rows import call
from aikit.log import Log
log = Log.open(sys.argv[1])
log.record(call())
"""
    workers.run(home, code=code)
    import duckdb

    with duckdb.connect(home / "log.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from calls").fetchone() == (1,)
    assert list((home / "owners").iterdir()) == []


def drain_after_hold(home, seconds, rate):
    """Let a stranger hold the file while calls go on; return how long the backlog takes to drain after it."""
    with Log.open(home, ingest_seconds=0.2) as log:
        record(log, 5)
        log.ingest_now()
        holder = workers.start("hold", home / "log.duckdb", seconds)
        holder.stdout.readline()
        sent = 5
        while holder.poll() is None:
            log.record(call())
            sent += 1
            time.sleep(1 / rate)
        holder.stdout.close()
        log.flush()
        begin = time.monotonic()
        while log._ingest.watermark < log.spool.read(lambda c: c.execute("SELECT max(id) FROM spool").fetchone()[0]):
            assert time.monotonic() < begin + 60
            time.sleep(0.02)
        took = time.monotonic() - begin
        frame = log.calls()
        assert (len(frame), frame.call_id.nunique()) == (sent, sent)
        return took


def test_a_backlog_drains_after_a_stranger_let_go(home):
    drain_after_hold(home, 1.5, 200)


@pytest.mark.slow
def test_a_backlog_of_a_minute_drains_within_five_seconds(home):
    assert drain_after_hold(home, 60, 200) <= 5
