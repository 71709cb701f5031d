"""The spool's file: one SQLite database that takes every row first, and how to open it without losing any."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Literal

from aikit.errors import LogError, LogUnwritable

__all__ = [
    "Durability",
    "SPOOL_NAME",
    "connect",
    "connect_reader",
    "open_or_create",
    "restore",
    "spool_id",
    "sync_wal",
    "unreadable",
    "unwritable",
]

# Python must never open() this file, its -shm or the DuckDB file: closing any descriptor of a file drops all POSIX
# locks that the process holds on it, SQLite's and DuckDB's included.
SPOOL_NAME = "spool.sqlite"

Durability = Literal["full", "os"]

_ROWS = """
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
)
"""
_FACTS = "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID"


def open_or_create(home: Path, durability: Durability) -> sqlite3.Connection:
    """Return the writer's connection, the file made if it is missing; the caller holds the write lock.

    Raises LogUnwritable where the folder or file can't be written, LogError where the file is no SQLite database.
    """
    path = home / SPOOL_NAME
    try:
        _create_private(path)
        connection = connect(path, durability)
    except OSError as error:
        raise unwritable(path, error) from error
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    return connection


def _create_private(path: Path) -> None:
    # O_EXCL: this descriptor is closed before any connection of ours can hold a lock on the file.
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    os.close(descriptor)


def connect(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open a writing connection with the pragmas that keep it whole; the tables are there afterwards."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=5.0, cached_statements=256
    )
    try:
        if _pragma(connection, "page_count") == 0:
            # Both must stand before the first page is written.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if _pragma(connection, "journal_mode") != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        # Checkpoints happen under the write lock alone: SQLite before 3.51.3 can corrupt the file when two race.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA foreign_keys = ON")
        _create_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create_tables(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone():
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_ROWS)
    connection.execute(_FACTS)
    # Without an id of its own, a new spool's rows would be taken for those of the one it replaces.
    connection.execute("INSERT OR IGNORE INTO facts VALUES ('spool_id', ?)", (os.urandom(16).hex(),))
    connection.execute("COMMIT")


def restore(old: sqlite3.Connection, home: Path, durability: Durability) -> sqlite3.Connection:
    """Write a deleted spool anew from a connection that still holds it; the caller holds the write lock."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = home / f"{SPOOL_NAME}.restoring"
    draft.unlink(missing_ok=True)
    _create_private(draft)
    copy = sqlite3.connect(draft)
    try:
        old.backup(copy)
    finally:
        copy.close()
    draft.rename(home / SPOOL_NAME)
    old.close()
    return connect(home / SPOOL_NAME, durability)


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection; it may move between threads, one at a time."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=5.0
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def spool_id(connection: sqlite3.Connection) -> str:
    """Return the name that this spool got when it was made."""
    return str(connection.execute("SELECT value FROM facts WHERE name = 'spool_id'").fetchone()[0])


def sync_wal(path: Path) -> None:
    """Force the write-ahead log to the disk; of the spool's three files it is the one that may be opened."""
    try:
        descriptor = os.open(f"{path}-wal", os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        # macOS has no fdatasync.
        getattr(os, "fdatasync", os.fsync)(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: Exception) -> LogUnwritable:
    """Return the error for a file that can't be written, with what to do."""
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    advice = "make room on the disk" if full or "full" in str(error) else "make the folder writable, or set AIKIT_HOME"
    return LogUnwritable(f"the log {path} can't be written ({error}); {advice}")


def unreadable(path: Path, error: sqlite3.Error) -> LogError:
    """Return the error for a spool that SQLite can't use: unwritable, or not a database."""
    text = str(error)
    if any(word in text for word in ("readonly", "unable to open", "full", "disk I/O")):
        return unwritable(path, error)
    return LogError(
        f"the spool {path} can't be read ({error}); move it away to begin a new one, and keep it for repair"
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int | str:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
