"""Damage, loss and strangers: what the log does when its files are broken, gone, held, or from another time."""

import shutil
import stat
import time

import duckdb
import pytest

from aikit.errors import LogBusy, LogError, LogTooNew
from aikit.log import Log, housekeeping
from aikit.log.archive import archive_files
from aikit.log.migrations import LOG_MIGRATIONS
from tests.log import workers
from tests.log.rows import call, record


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def archived(log, number=200):
    """Log calls that end up in the file and the archive, and no longer in the spool."""
    ids = record(log, number)
    log.compact()
    assert log.spool.read(lambda c: c.execute("SELECT count(*) FROM spool").fetchone()[0]) == 0
    return ids


def test_ingested_rows_move_to_the_archive_word_for_word(log):
    ids = archived(log)
    files = archive_files(log.home)
    assert [(file.first, file.last) for file in files] == [(1, 800)]  # call, attempt, prompt, answer
    assert stat.S_IMODE(files[0].path.stat().st_mode) == 0o600
    query = f"select count(*), count(distinct body->>'call_id') from '{files[0].path}'"
    rows = duckdb.connect().execute(query).fetchone()
    assert rows == (800, 200)
    assert sorted(log.calls().call_id) == sorted(ids)
    assert log.check().ok, log.check()


def test_the_housekeeping_archives_and_trims_by_itself(home, monkeypatch):
    monkeypatch.setattr(housekeeping, "_KEPT_ROWS", 100)
    with Log.open(home, ingest_seconds=0.05) as log:
        ids = record(log, 100)
        end = time.monotonic() + 20
        while not archive_files(home) and time.monotonic() < end:
            time.sleep(0.05)
        assert archive_files(home)
        ids += record(log, 5)
        assert sorted(log.calls().call_id) == sorted(ids)
    with Log.open(home) as log:
        assert sorted(log.calls().call_id) == sorted(ids)
        assert log.check().ok, log.check()


@pytest.mark.parametrize("damage", ["header", "middle", "truncated", "garbage", "deleted"])
def test_a_damaged_log_is_made_anew_from_archive_and_spool(home, damage):
    with Log.open(home) as log:
        ids = archived(log)
        ids += record(log, 30)
        log.ingest_now()
    path = home / "log.duckdb"
    size = path.stat().st_size
    match damage:
        case "header":
            flip(path, 5000), flip(path, 9000)
        case "middle":
            for at in range(20_000, size, 40_000):
                flip(path, at)
        case "truncated":
            with open(path, "r+b") as file:
                file.truncate(size // 2)
        case "garbage":
            path.write_bytes(b"not a database" * 1000)
        case "deleted":
            path.unlink()
    with Log.open(home) as log:
        if damage == "deleted":
            assert sorted(log.calls().call_id) == sorted(ids)
        else:
            with pytest.warns(UserWarning, match="made anew"):
                assert sorted(log.calls().call_id) == sorted(ids)
            assert list(home.glob("log.duckdb.broken-*"))
        ids += record(log, 3)
        log.ingest_now()
        frame = log.calls(texts=True)
        assert sorted(frame.call_id) == sorted(ids)
        assert frame.text.notna().all()
        assert log.check().ok, log.check()


def test_a_log_deleted_before_anything_was_archived_comes_back_from_the_spool(log):
    ids = record(log, 20)
    log.ingest_now()
    (log.home / "log.duckdb").unlink()
    assert sorted(log.calls().call_id) == sorted(ids)
    log.ingest_now()
    assert sorted(log.calls().call_id) == sorted(ids)
    assert log.check().ok, log.check()


def test_a_damaged_wal_of_duckdb_loses_nothing(home):
    code = """
import os, sys
from tests.log.rows import record
from aikit.log import Log
log = Log.open(sys.argv[1])
record(log, 50)
log.ingest_now()
record(log, 50)
class Killed(Exception): pass
from aikit.log.database import Database
Database._detach = lambda self, connection: os._exit(0)     # dies with the commit in the WAL, before the checkpoint
log.ingest_now()
"""
    workers.run(home, code=code)
    wal = home / "log.duckdb.wal"
    assert wal.stat().st_size > 100
    assert stat.S_IMODE(wal.stat().st_mode) == 0o600
    flip(wal, wal.stat().st_size // 2)
    with Log.open(home) as log:
        with pytest.warns(UserWarning) as warned:
            frame = log.calls()
        assert "made anew" in str(warned[0].message)
        assert (len(frame), frame.call_id.nunique()) == (100, 100)
        assert log.check().ok, log.check()


def test_a_wal_left_by_a_killed_ingester_is_taken_over(home):
    code = """
import os, sys
from tests.log.rows import record
from aikit.log import Log
from aikit.log.database import Database
log = Log.open(sys.argv[1])
record(log, 50)
Database._detach = lambda self, connection: os._exit(0)
log.ingest_now()
"""
    workers.run(home, code=code)
    with Log.open(home) as log:
        assert len(log.calls()) == 50
        record(log, 1)
        log.ingest_now()
        assert (len(log.calls()), log.check().ok) == (51, True)


def test_while_a_stranger_holds_the_file_the_spool_is_shown_with_a_warning(log):
    archived(log, 10)
    ids = record(log, 5)
    log.ingest_now()
    ids += record(log, 5)
    holder = workers.start("hold", log.home / "log.duckdb", 2.0)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.warns(UserWarning, match=f"held by process {holder.pid}"):
            frame = log.calls()
        assert frame.attrs["complete"] is False
        assert sorted(frame.call_id) == sorted(ids)  # what is ingested but not yet archived is there too
        with pytest.raises(LogBusy) as busy:
            log.ingest_now()
        assert busy.value.pid == holder.pid
        with pytest.warns(UserWarning, match="held by"):
            assert log.sql("select count(*) as n from calls").n[0] == 10
        with pytest.warns(UserWarning, match="held by"):
            assert not log.check().ok
        frame = log.calls(wait=20)
        assert (len(frame), frame.attrs["complete"]) == (20, True)
    finally:
        holder.wait()
        holder.stdout.close()
    assert log.ingest_now() > 0


def test_a_connection_in_the_same_process_is_a_stranger_too(log):
    record(log, 5)
    log.ingest_now()
    stranger = duckdb.connect(log.home / "log.duckdb")
    with pytest.warns(UserWarning, match="close its other duckdb connection"):
        assert len(log.calls()) == 5
    stranger.close()
    assert log.calls().attrs["complete"] is True


def test_anybody_can_read_the_file_between_the_leases(log):
    record(log, 5)
    log.ingest_now()
    with duckdb.connect(log.home / "log.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*), sum(cost) from calls").fetchone()[0] == 5


def test_a_spool_put_back_to_an_older_state_stops_the_ingest_and_says_so(home):
    with Log.open(home) as log:
        record(log, 10)
    shutil.copy(home / "spool.sqlite", home / "backup")
    with Log.open(home) as log:
        record(log, 10)
    for part in home.glob("spool.sqlite*"):
        part.unlink()
    shutil.move(home / "backup", home / "spool.sqlite")
    with Log.open(home) as log:
        record(log, 3)
        with pytest.raises(LogError, match="older state"):
            log.ingest_now()
        assert "recover" in str(log.check())
        log.recover()
        assert (len(log.calls()), log.calls().call_id.nunique()) == (23, 23)
        record(log, 1)
        log.ingest_now()
        assert len(log.calls()) == 24


def test_a_deleted_spool_does_not_hide_what_follows(home):
    with Log.open(home) as log:
        record(log, 10)
    for part in home.glob("spool.sqlite*"):
        part.unlink()
    with Log.open(home) as log:
        record(log, 3)
        assert len(log.calls()) == 13
        log.ingest_now()
        assert len(log.calls()) == 13
        assert log.check().ok or "missing" in str(log.check()) or "too many" in str(log.check())


def test_a_spool_replaced_while_in_use_loses_nothing(home, open_log):
    log = open_log()
    record(log, 4)
    for part in home.glob("spool.sqlite*"):
        part.unlink()
    other = open_log()
    record(other, 2)
    record(log, 3)  # notices here that the file is another one
    log._housekeeping._tidy()
    assert len(log.calls()) == 9
    assert len(other.calls()) == 9


def test_a_clock_that_jumps_back_hides_nothing(open_log):
    now = [1_800_000_000.0]
    log = open_log(clock=lambda: now[0])
    record(log, 3, started_at=now[0])
    log.ingest_now()
    now[0] -= 86_400 * 400
    record(log, 3, started_at=now[0])
    log.ingest_now()
    record(log, 1, started_at=now[0])
    assert len(log.calls()) == 7
    assert len(log.calls(since="1d")) == 7
    assert log.check().ok


def test_a_log_from_a_newer_aikit_is_refused(log):
    record(log, 2)
    log.ingest_now()
    with duckdb.connect(log.home / "log.duckdb") as connection:
        connection.execute("insert into migrations values ('log-99', now()::timestamp)")
    with pytest.raises(LogTooNew, match="log-99"):
        log.calls()
    record(log, 1)
    with pytest.raises(LogTooNew):
        log.ingest_now()
    with duckdb.connect(log.home / "log.duckdb") as connection:
        connection.execute("delete from migrations where name = 'log-99'")
    assert len(log.calls()) == 3


def test_a_log_from_an_older_aikit_is_read_and_then_migrated(log):
    record(log, 2)
    log.ingest_now()
    with duckdb.connect(log.home / "log.duckdb") as connection:
        connection.execute("alter table calls drop column gap_p95")
    record(log, 1, gap_p95=0.5)
    assert len(log.calls()) == 3
    change = ("log-2", lambda c: c.execute("ALTER TABLE log.calls ADD COLUMN gap_p95 DOUBLE"))
    LOG_MIGRATIONS.append(change)
    try:
        log.ingest_now()
        assert log.calls().gap_p95.tolist()[2] == 0.5
        log.close()
    finally:
        LOG_MIGRATIONS.remove(change)


def test_the_dead_are_settled_once_and_the_living_left_alone(log, open_log):
    other = open_log()
    seen = []
    log.on_dead.append(lambda connection, living: seen.append(living))
    assert log.settle_dead() == []
    assert seen == []
    code = "import os, sys; from aikit.log.spool import Spool; s = Spool.open(sys.argv[1]); print(s.owner); os._exit(9)"
    process = workers.start(log.home, code=code)
    dead = process.communicate()[0].strip()
    assert log.settle_dead() == [dead]
    assert seen == [{log.spool.owner, other.spool.owner}]
    assert log.settle_dead() == []


def test_the_check_counts_what_is_missing(log):
    record(log, 20)
    log.ingest_now()
    log.audits.append(lambda connection: ["the budget holds $0.10 more than its reservations"])
    with duckdb.connect(log.home / "log.duckdb") as connection:
        connection.execute("delete from calls where call_id in (select call_id from calls limit 3)")
        connection.execute("insert into attempts from attempts limit 2")
        connection.execute("update attempts set cost = cost + 0.5 where call_id = (select max(call_id) from calls)")
    found = {(finding.what, finding.expected, finding.found) for finding in log.check().findings}
    assert ("calls", 20, 17) in found
    assert ("attempts", 20, 22) in found
    assert ("budgets", None, None) in found
    assert "3 rows are missing" in str(log.check())


def test_compacting_keeps_every_row_and_gives_the_room_back(log):
    ids = []
    for _ in range(6):
        ids += record(log, 40, text="some text " * 300)
        log.ingest_now()
    sizes = log.compact()
    assert sizes["after"] < sizes["before"]
    assert sorted(log.calls().call_id) == sorted(ids)
    assert log.calls(texts=True).text.str.len().eq(3000).all()
    assert log.check().ok, log.check()


def test_a_call_recorded_after_closing_is_an_error(log):
    log.close()
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.record(call())
