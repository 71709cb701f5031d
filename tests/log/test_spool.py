"""The spool: rows and operations, the full disk, the deleted file, locks, forks."""

import os
import shutil
import sqlite3
import stat
import sys
import tempfile
import threading
import time

import pytest

from aikit.errors import LogError, LogTooNew, LogUnwritable
from aikit.log.locks import FileLock
from aikit.log.owners import living_owners
from aikit.log.spool import Spool
from tests.log import workers


@pytest.fixture
def spool(tmp_path):
    opened = Spool.open(tmp_path / "home")
    yield opened
    opened.close()


def count(spool):
    return spool.read(lambda connection: connection.execute("SELECT count(*) FROM spool").fetchone()[0])


def test_rows_are_there_after_a_flush_in_their_order(spool):
    for number in range(500):
        spool.put("call", {"number": number})
    spool.flush()
    rows = spool.read(lambda connection: connection.execute("SELECT body FROM spool ORDER BY id").fetchall())
    assert rows == [(b'{"number":%d}' % number,) for number in range(500)]
    assert spool.written == 500


def test_a_row_is_committed_without_a_flush(spool):
    spool.put("call", {})
    end = time.monotonic() + 5
    while count(spool) == 0 and time.monotonic() < end:
        time.sleep(0.005)
    assert count(spool) == 1


def test_an_operation_that_raises_undoes_only_itself(spool):
    spool.submit(lambda c: c.execute("CREATE TABLE t (x)")).result()

    def half(connection):
        connection.execute("INSERT INTO t VALUES (1)")
        raise RuntimeError("half done")

    good = spool.submit(lambda c: c.execute("INSERT INTO t VALUES (2)").rowcount)
    bad = spool.submit(half)
    spool.put("call", {})
    last = spool.submit(lambda c: c.execute("SELECT count(*) FROM spool").fetchone()[0])
    assert good.result() == 1
    with pytest.raises(RuntimeError, match="half done"):
        bad.result()
    assert last.result() == 1  # what was handed over before is visible to what came after
    assert spool.read(lambda c: c.execute("SELECT x FROM t").fetchall()) == [(2,)]


def test_a_reader_can_not_write(spool):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        spool.read(lambda c: c.execute("DELETE FROM spool"))
    assert count(spool) == 0


def test_many_threads_hand_over_at_once(spool):
    def work():
        for number in range(200):
            spool.put("call", {"n": number})
            if number % 50 == 0:
                spool.submit(lambda c: None).result()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool.flush()
    assert count(spool) == 1600


def test_the_pragmas_that_keep_it_whole_are_set(spool):
    def pragmas(connection):
        names = ("journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete", "busy_timeout", "auto_vacuum")
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    assert spool.exclusively(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "secure_delete": 0,
        "busy_timeout": 5000,
        "auto_vacuum": 2,
    }
    relaxed = Spool.open(spool.home, durability="os")
    assert relaxed.exclusively(pragmas)["synchronous"] == 1
    relaxed.close()


def test_ids_never_return_after_a_trim(spool):
    spool.put("call", {})
    spool.flush()
    spool.submit(lambda c: c.execute("DELETE FROM spool")).result()
    spool.put("call", {})
    spool.flush()
    assert spool.read(lambda c: c.execute("SELECT id FROM spool").fetchall()) == [(2,)]


def test_only_the_owner_may_read_the_files(spool):
    spool.put("call", {})
    spool.flush()
    files = [path for path in spool.home.rglob("*") if path.is_file()]
    assert {"spool.sqlite", "spool.sqlite-wal", "write.lock"} <= {path.name for path in files}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} <= {0o600}
    assert stat.S_IMODE(spool.home.stat().st_mode) == 0o700


def test_everything_waits_for_the_write_lock(spool):
    with FileLock(spool.home / "write.lock"):
        future = spool.submit(lambda c: 1)
        spool.put("call", {})
        time.sleep(0.15)
        assert not future.done()
        assert count(spool) == 0  # readers do not wait
    assert future.result(5) == 1


def test_a_deleted_folder_comes_back_with_what_was_in_it(spool):
    spool.put("call", {"n": 1})
    spool.submit(lambda c: c.execute("CREATE TABLE kept (x)")).result()
    name = spool.spool_id
    shutil.rmtree(spool.home)
    spool.put("call", {"n": 2})
    spool.flush()
    assert count(spool) == 2
    assert spool.spool_id == name
    assert spool.read(lambda c: c.execute("SELECT count(*) FROM kept").fetchone()) == (0,)
    assert spool.owner in living_owners(spool.home)


def test_a_file_from_a_newer_aikit_is_refused(spool):
    spool.submit(lambda c: c.execute("INSERT INTO migrations VALUES ('telepathy-1', 0)")).result()
    with pytest.raises(LogTooNew, match=r"telepathy-1.*upgrade"):
        Spool.open(spool.home)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "spool.sqlite").write_bytes(b"hello" * 1000)
    with pytest.raises(LogError, match="move it away"):
        Spool.open(tmp_path)


def test_a_folder_that_can_not_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnwritable, match="AIKIT_HOME"):
        Spool.open(tmp_path / "file" / "home")


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root to become somebody else")
def test_a_read_only_folder_says_so():
    code = """
import os, sys
from aikit.errors import LogUnwritable
from aikit.log import Log
os.setuid(65534)
try: Log.open(sys.argv[1])
except LogUnwritable as error: print(error)
"""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o555)
        assert "make the folder writable" in workers.run(folder, code=code)


def test_a_full_disk_keeps_the_rows_until_there_is_room(spool):
    spool.submit(lambda c: c.execute("CREATE TABLE filler (x)")).result()
    before = count(spool)
    pages = spool.exclusively(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    spool.exclusively(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchall())
    for number in range(50):
        spool.put("call", {"number": number, "text": "x" * 2000})
    with pytest.raises(LogUnwritable, match="make room"):
        spool.flush()
    with pytest.raises(LogUnwritable):
        spool.submit(lambda c: c.execute("INSERT INTO filler VALUES (zeroblob(20000))")).result()
    assert spool.waiting == 50
    assert "make room" in str(spool.fault)
    assert count(spool) == before
    spool._writer.connection.execute("PRAGMA max_page_count = 1000000").fetchall()
    spool.flush(10)
    assert count(spool) == before + 50
    assert spool.fault is None


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_real_write_error_loses_nothing(tmp_path):
    code = """
import resource, signal, sys
from aikit.errors import LogUnwritable
from aikit.log.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for number in range(100): spool.put("call", {"text": "x" * 5000})
try: spool.flush()
except LogUnwritable as error: print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.flush()
print(spool.read(lambda c: c.execute("SELECT count(*) FROM spool").fetchone()[0]))
"""
    assert workers.run(tmp_path / "home", code=code).split() == ["refused", "100"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_writes_by_a_connection_of_its_own(tmp_path):
    code = """
import os, sys
from aikit.log.owners import living_owners
from aikit.log.spool import Spool
spool = Spool.open(sys.argv[1])
spool.put("call", {"who": "parent"})
owner = spool.owner
child = os.fork()
if child == 0:
    spool.put("call", {"who": "child"})
    spool.flush()
    assert spool.owner != owner and {owner, spool.owner} <= living_owners(spool.home)
    spool.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
spool.put("call", {"who": "parent"})
spool.flush()
print(spool.read(lambda c: c.execute("SELECT count(*), count(DISTINCT id) FROM spool").fetchone()))
assert living_owners(spool.home) == {owner}
"""
    assert workers.run(tmp_path / "home", code=code).strip() == "(3, 3)"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_writes_its_last_rows(tmp_path, method):
    code = f"""
import multiprocessing, sys
from pathlib import Path
from aikit.log.spool import Spool
def work(home): Spool.open(home).put("call", {{}})
if __name__ == "__main__":
    child = multiprocessing.get_context("{method}").Process(target=work, args=(sys.argv[1],))
    child.start(); child.join()
    assert child.exitcode == 0, child.exitcode
    spool = Spool.open(sys.argv[1])
    print(spool.read(lambda c: c.execute("SELECT count(*) FROM spool").fetchone()[0]))
"""
    script = tmp_path / "main.py"
    script.write_text(code)
    runner = f"import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path({str(script)!r}, run_name='__main__')"
    if method == "spawn":  # the child imports its functions from a file
        runner = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {str(script)!r}, sys.argv[2]]))"
    assert workers.run(script, tmp_path / "home", code=runner).strip() == "1"


def test_the_end_of_the_interpreter_writes_the_last_rows(tmp_path):
    code = 'import sys\nfrom aikit.log.spool import Spool\nSpool.open(sys.argv[1]).put("call", {})'
    kept = 'import sys\nfrom aikit.log.spool import Spool\nspool = Spool.open(sys.argv[1])\nspool.put("call", {})'
    workers.run(tmp_path / "home", code=kept)
    spool = Spool.open(tmp_path / "home")
    assert count(spool) == 1
    spool.close()
    workers.run(tmp_path / "home", code=code)  # nobody keeps a reference: written all the same
    spool = Spool.open(tmp_path / "home")
    assert count(spool) == 2
    spool.close()


def test_a_closed_spool_says_so(spool):
    spool.close()
    with pytest.raises(LogError, match="closed"):
        spool.put("call", {})
    spool.flush()  # nothing is left to wait for
