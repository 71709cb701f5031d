"""The housekeeping: a thread that ingests every few seconds, settles the dead, archives, trims, and can compact."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.errors import LogBusy, LogError
from aikit.log.archive import archive, archive_files, shrink, trim
from aikit.log.database import Database
from aikit.log.ingest import Ingest, last_id
from aikit.log.owners import living_owners, remove_dead_owners
from aikit.log.schema import PAYLOADS
from aikit.log.spool import Spool

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Housekeeping", "OnDead", "compact", "settle_dead"]

OnDead = Callable[[sqlite3.Connection, set[str]], object]

_INGEST_ROWS = 2_000
_KEPT_ROWS = 20_000
_KEPT_BYTES = 32 << 20


class Housekeeping:
    """Ingest every `seconds`, or as soon as this process committed 2,000 rows; one process of all does the work."""

    def __init__(
        self, spool: Spool, database: Database, ingest: Ingest, *, on_dead: list[OnDead], seconds: float
    ) -> None:
        self._spool = spool
        self._database = database
        self._ingest = ingest
        self._on_dead = on_dead
        self._seconds = seconds
        self._pending = 0
        self._closing = False
        self._wake = threading.Event()
        self.fault: LogError | None = None
        """Why the last ingest did not happen; None when it did."""
        spool.on_commit = self._committed
        self._thread: threading.Thread | None = None
        self._start()

    def close(self) -> None:
        """End the thread, then ingest what is there."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(LogError):  # the spool says so itself, and keeps the rows
            self._spool.flush(10.0)
        if self._spool.written and self._spool.home.exists():
            self._tidy()

    def forked(self) -> None:
        """Begin anew in a forked child: its thread starts with its first commit."""
        self._thread = None
        self._wake = threading.Event()
        self._pending = 0

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="aikit-log-ingest", daemon=True)
        self._thread.start()

    def _committed(self, rows: int) -> None:
        if self._thread is None and not self._closing:
            self._start()
        self._pending += rows
        if self._pending >= _INGEST_ROWS:
            self._wake.set()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._seconds)
            self._wake.clear()
            if not self._closing:
                self._tidy()

    def _tidy(self) -> None:
        try:
            self._pending = 0
            for orphan in self._spool.orphans():
                self._ingest.rescue(orphan)
                orphan.close()
            if self._spool.read(last_id) > self._ingest.watermark:
                self._ingest.run()
            settle_dead(self._spool, self._on_dead)
            self._make_room()
        except LogBusy as busy:
            self.fault = busy  # the rows wait in the spool; readers name the holder
        except LogError as error:
            if str(error) != str(self.fault):
                warnings.warn(str(error), stacklevel=1)
            self.fault = error
        except sqlite3.Error as error:
            self.fault = LogError(str(error))
        else:
            self.fault = None

    def _make_room(self) -> None:
        shrink(self._spool)
        rows, size = self._spool.read(_extent)
        ingested = self._ingest.watermark - (self._spool.read(last_id) - rows)
        if ingested < _KEPT_ROWS and (size < _KEPT_BYTES or ingested <= 0):
            return
        if self._ingest.lock.acquire(blocking=False):
            try:
                archive_and_trim(self._spool, self._database, self._ingest)
            finally:
                self._ingest.lock.release()


def archive_and_trim(spool: Spool, database: Database, ingest: Ingest) -> None:
    """Move the ingested rows from the spool to the archive; the caller holds the ingest lock.

    Texts are most of the bytes: once they are in the archive, the log lets them go.
    """
    with database.memory() as connection:
        archive(spool, connection, ingest.watermark)
    with database.lease(write=True) as connection:
        connection.execute(f"CREATE OR REPLACE TABLE log.{PAYLOADS.name} ({PAYLOADS.ddl})")
    trim(spool, ingest.watermark)
    shrink(spool)


def _extent(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many ids the spool's rows span, and the file's bytes; neither needs a scan."""
    first = connection.execute("SELECT min(id) FROM spool").fetchone()[0]
    rows = 0 if first is None else last_id(connection) - int(first) + 1
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return rows, int(pages) * int(connection.execute("PRAGMA page_size").fetchone()[0])


def settle_dead(spool: Spool, on_dead: list[OnDead]) -> list[str]:
    """Have the hooks settle what is open of owners that are gone, then forget those; return their ids."""
    gone = set(_owner_files(spool.home)) - living_owners(spool.home)
    if not gone:
        return []

    def settle(connection: sqlite3.Connection) -> None:
        # Asked again in the transaction: whoever has a row in it made its file before.
        living = living_owners(spool.home)
        for hook in on_dead:
            hook(connection, living)

    spool.submit(settle).result()
    return remove_dead_owners(spool.home)


def _owner_files(home: Path) -> list[str]:
    folder = home / "owners"
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def compact(spool: Spool, database: Database, ingest: Ingest) -> dict[str, int]:
    """Archive and trim all that is ingested, then write the log anew; return the bytes on disk before and after."""
    before = _size(spool.home)
    ingest.run(blocking=True)
    with ingest.lock:
        archive_and_trim(spool, database, ingest)
        shrink(spool, always=True)
        _rewrite(database)
    return {"before": before, "after": _size(spool.home)}


def _rewrite(database: Database) -> None:
    draft = database.path.with_suffix(".compacting")
    for suffix in ("", ".wal"):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)
    with database.lease(write=True) as connection:
        _copy_database(connection, draft)
    draft.rename(database.path)


def _copy_database(connection: DuckDBPyConnection, draft: Path) -> None:
    quoted = str(draft).replace("'", "''")
    connection.execute(f"ATTACH '{quoted}' AS fresh (STORAGE_VERSION 'v1.4.0')")
    draft.chmod(0o600)
    try:
        connection.execute("COPY FROM DATABASE log TO fresh")
    finally:
        connection.execute("DETACH fresh")


def _size(home: Path) -> int:
    names = [home / name for name in ("spool.sqlite", "spool.sqlite-wal", "log.duckdb", "log.duckdb.wal")]
    names += [file.path for file in archive_files(home)]
    return sum(path.stat().st_size for path in names if path.exists())
