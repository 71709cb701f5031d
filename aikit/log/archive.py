"""The archive: ingested rows, word for word, in Parquet files from which a lost log is made anew."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.log.loading import SpoolRow
from aikit.log.spool import Spool
from aikit.log.spool_file import spool_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ArchiveFile", "archive", "archive_files", "archive_rows", "archived_rows", "shrink", "trim"]

_NAME = re.compile(r"([0-9a-f]{32})-(\d+)-(\d+)\.parquet")
_FILE_ROWS = 100_000
_DELETED_AT_ONCE = 5_000
_LONG_WAL = 4 << 20


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of the archive: the rows of one spool from `first` to `last`."""

    path: Path
    spool_id: str
    first: int
    last: int


def archive_files(home: Path) -> list[ArchiveFile]:
    """Return the archive's files, the oldest rows of each spool first."""
    found = [(path, _NAME.fullmatch(path.name)) for path in (home / "archive").glob("*.parquet")]
    files = [ArchiveFile(path, match[1], int(match[2]), int(match[3])) for path, match in found if match]
    return sorted(files, key=lambda file: (file.path.stat().st_mtime_ns, file.first))


def archive(spool: Spool, connection: DuckDBPyConnection, watermark: int) -> int:
    """Write the rows up to the watermark that are in no file yet to new ones, and return the id of the last.

    The caller holds the ingest lock. A row that is written twice because of a crash in between is told by its id.
    """
    name = spool.read(spool_id)
    done = max((file.last for file in archive_files(spool.home) if file.spool_id == name), default=0)
    while rows := spool.read(lambda reader, after=done: _rows(reader, after, watermark)):
        archive_rows(spool.home, connection, name, rows)
        done = int(rows[-1][0])
    return done


def archive_rows(home: Path, connection: DuckDBPyConnection, name: str, rows: list[SpoolRow]) -> None:
    """Write rows of the spool `name` to a new file."""
    folder = home / "archive"
    folder.mkdir(mode=0o700, exist_ok=True)
    _write(connection, folder / f"{name}-{rows[0][0]:012d}-{rows[-1][0]:012d}.parquet", rows)


def _rows(connection: sqlite3.Connection, after: int, to: int) -> list[SpoolRow]:
    query = "SELECT id, kind, body FROM spool WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
    return connection.execute(query, (after, to, _FILE_ROWS)).fetchall()


def _write(connection: DuckDBPyConnection, path: Path, rows: list[SpoolRow]) -> None:
    draft = path.with_suffix(".writing")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    columns = [[row[0] for row in rows], [row[1] for row in rows], [row[2].decode("utf-8", "replace") for row in rows]]
    connection.execute("CREATE OR REPLACE TEMP TABLE leaving (id BIGINT, kind VARCHAR, body VARCHAR)")
    # The hash in a column of its own: looking a text up must not read all texts.
    leaving = "SELECT *, CASE WHEN kind = 'payload' THEN body::JSON ->> 'hash' END AS hash FROM leaving"
    try:
        connection.execute(
            "INSERT INTO leaving SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[])", columns
        )
        target = str(draft).replace("'", "''")
        options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 9, ROW_GROUP_SIZE 20000"
        connection.execute(f"COPY ({leaving}) TO '{target}' ({options})")
    finally:
        connection.execute("DROP TABLE IF EXISTS leaving")
    draft.chmod(0o600)
    _sync(draft)
    draft.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Force a file or folder to the disk: what follows deletes the only other copy."""
    with contextlib.suppress(PermissionError):  # Windows opens no folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def trim(spool: Spool, to: int) -> None:
    """Delete the spool's rows up to the id `to`, a few at a time, so that no writer waits for long."""
    while spool.submit(lambda connection: _delete(connection, to)).result():
        pass
    spool.exclusively(_release_pages)


def _delete(connection: sqlite3.Connection, to: int) -> int:
    query = "DELETE FROM spool WHERE id IN (SELECT id FROM spool WHERE id <= ? ORDER BY id LIMIT ?)"
    return connection.execute(query, (to, _DELETED_AT_ONCE)).rowcount


def _release_pages(connection: sqlite3.Connection) -> None:
    # By executescript, which steps to the end: execute would stop after the first page.
    connection.executescript("PRAGMA incremental_vacuum")


def shrink(spool: Spool, *, always: bool = False) -> None:
    """Put the WAL's pages into the spool and truncate it when it has grown; readers in the way put it off."""
    if always or _wal_size(spool.path) > _LONG_WAL:
        spool.exclusively(_truncate)


def _wal_size(path: Path) -> int:
    try:
        return Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _truncate(connection: sqlite3.Connection) -> None:
    # Others wait for the write lock meanwhile: give up at once when a reader is in the way, and come back later.
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute("PRAGMA busy_timeout = 5000")


def archived_rows(connection: DuckDBPyConnection, file: ArchiveFile) -> Iterator[list[SpoolRow]]:
    """Yield a file's rows in pieces, in the order of their ids."""
    source = str(file.path).replace("'", "''")
    for low in range(file.first, file.last + 1, 20_000):
        query = f"SELECT id, kind, body FROM read_parquet('{source}') WHERE id >= ? AND id < ? ORDER BY id"
        rows = connection.execute(query, [low, low + 20_000]).fetchall()
        yield [(int(number), str(kind), str(body).encode()) for number, kind, body in rows]
