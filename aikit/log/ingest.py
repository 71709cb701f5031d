"""One ingest: the spool's rows past the watermark go into the DuckDB file, and the watermark with them."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.errors import LogError
from aikit.log.archive import archive_rows
from aikit.log.copies import copy_tables
from aikit.log.database import BrokenLog, Database
from aikit.log.locks import FileLock
from aikit.log.migrations import migrate_log
from aikit.log.rebuild import load, rebuild, set_aside, stage
from aikit.log.schema import QUARANTINE, TABLES, Table
from aikit.log.spool import Spool
from aikit.log.spool_file import spool_id, sync_wal
from aikit.log.tail import Tail

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Ingest", "last_id", "watermark"]


class Ingest:
    """Copy rows from the spool to the DuckDB file; one process at a time does, whoever gets `ingest.lock`."""

    def __init__(self, spool: Spool, database: Database, tail: Tail) -> None:
        self._spool = spool
        self._database = database
        self._tail = tail
        self.lock = FileLock(spool.home / "ingest.lock")
        self.watermark = 0
        """Id of the last row that is known to be in the DuckDB file."""

    def run(self, *, wait: float = 0.0, blocking: bool = False) -> int:
        """Ingest what is there and return how many rows it was; 0 when another process is at it.

        Raises LogBusy while a foreign process holds the file, and LogError when the spool is older than the log.
        """
        # Never taken while holding the write lock: the holder of this one waits for that one.
        if not self.lock.acquire(blocking=blocking):
            return 0
        try:
            return self._locked(wait)
        finally:
            self.lock.release()

    def _locked(self, wait: float) -> int:
        try:
            self.require_log()
            return self._pass(wait)
        except BrokenLog as broken:
            self.repair(broken)
            return self._pass(wait)

    def rescue(self, orphan: sqlite3.Connection) -> int:
        """Take in what only a spool has that was deleted and replaced while in use; return how many rows."""
        with self.lock, self._database.lease(write=True) as connection:
            migrate_log(connection, self._database.path)
            name = spool_id(orphan)
            stage(connection)
            query = "SELECT id, kind, body FROM spool WHERE id > ? ORDER BY id"
            rows = orphan.execute(query, (watermark(connection, name),)).fetchall()
            if rows:
                archive_rows(self._spool.home, connection, name, rows)
                load(connection, name, rows)
        return len(rows)

    def recover(self) -> int:
        """Take in the rows of a spool that was put back to an older state; those the log has already are left out."""
        with self.lock:
            self._spool.submit(_rename_spool).result()
            return self._pass(0.0, known=True)

    def require_log(self) -> None:
        """Make a lost log anew when there is an archive to make it from; the caller holds the ingest lock."""
        if not self._database.path.exists() and any((self._spool.home / "archive").glob("*.parquet")):
            rebuild(self._spool.home, self._database)

    def repair(self, broken: BrokenLog) -> None:
        """Put a damaged log aside and make it anew; the caller holds the ingest lock."""
        set_aside(self._database, broken)
        rebuild(self._spool.home, self._database)

    def _pass(self, wait: float, *, known: bool = False) -> int:
        path = self._database.path
        with self._database.lease(write=True, wait=wait) as connection:
            migrate_log(connection, path)
            name = self._spool.read(spool_id)
            old = watermark(connection, name)
            _refuse_older(path, self._spool.read(last_id), old)
            self._tail.refresh(connection, self._database.generation, old)
            if known:
                _leave_out_known(connection)
            rows = self._copy(connection, name, old)
            copy_tables(self._spool, connection, "log")
        self.watermark = self._tail.high
        return rows

    def _copy(self, connection: DuckDBPyConnection, name: str, old: int) -> int:
        new = self._tail.high
        if new == old:
            return 0
        rows = count_tail(connection)
        connection.execute("BEGIN")
        try:
            # Compared and set in the transaction that copies: no row is copied twice or passed over.
            _compare(self._database.path, watermark(connection, name), old)
            for table in (*TABLES.values(), QUARANTINE):
                _append(connection, table)
            now = time.time_ns() // 1000
            connection.execute("INSERT INTO log.watermarks VALUES (?, ?, ?, make_timestamp(?))", [name, new, rows, now])
            if self._spool.durability == "os":
                # Else a power cut could roll the spool back behind the watermark, and later rows would be passed over.
                sync_wal(self._spool.path)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return rows


def _compare(path: Path, mark: int, old: int) -> None:
    if mark != old:
        raise LogError(f"{path} was changed by two ingesters at once: is ingest.lock on a network drive?")


def _append(connection: DuckDBPyConnection, table: Table) -> None:
    columns = ", ".join(f'"{column}"' for column in table.columns)
    query = f"INSERT INTO log.{table.name} ({columns}) SELECT {columns} FROM tail.{table.name} ORDER BY _id"
    connection.execute(query)


_IDENTITY = {
    "calls": "call_id",
    "attempts": "attempt_id",
    "trials": "(trial_id, scored_at)",
    "events": "(happened_at, kind, subject, message)",
    "payloads": "hash",
}


def _leave_out_known(connection: DuckDBPyConnection) -> None:
    for table, identity in _IDENTITY.items():
        connection.execute(f"DELETE FROM tail.{table} WHERE {identity} IN (SELECT {identity} FROM log.{table})")


def _rename_spool(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE facts SET value = ? WHERE name = 'spool_id'", (os.urandom(16).hex(),))


def count_tail(connection: DuckDBPyConnection) -> int:
    """Return the number of rows in the tail's tables."""
    counts = " + ".join(f"(SELECT count(*) FROM tail.{t.name})" for t in (*TABLES.values(), QUARANTINE))
    found = connection.execute(f"SELECT {counts}").fetchone()
    return int(found[0]) if found else 0


def watermark(connection: DuckDBPyConnection, name: str) -> int:
    """Return the id of the last row of the spool `name` that the attached log has; 0 for none."""
    query = "SELECT coalesce(max(last_id), 0) FROM log.watermarks WHERE spool_id = ?"
    found = connection.execute(query, [name]).fetchone()
    return int(found[0]) if found else 0


def last_id(connection: sqlite3.Connection) -> int:
    """Return the highest id that the spool ever gave, its row trimmed or not; 0 for a new one."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'spool'").fetchone()
    return int(found[0]) if found else 0


def _refuse_older(path: Path, last: int, mark: int) -> None:
    if last < mark:
        raise LogError(
            f"the spool ends at row {last}, but {path} has rows up to {mark}: the spool was put back to an older state."
            " Nothing is ingested, for new rows could be taken for old ones; kit.log.recover() takes them in"
        )
