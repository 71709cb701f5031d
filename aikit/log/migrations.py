"""The migrations: small numbered changes to the spool's and the log's tables, each run once, in order.

Append, never edit: a function that has run somewhere is history. A file that knows a migration we don't know was
written by a newer aikit, and is refused.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.errors import LogTooNew
from aikit.log import ledger, limits_store, prompts_store, runs_store
from aikit.log.schema import QUARANTINE, TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["LOG_MIGRATIONS", "LogMigration", "SPOOL_MIGRATIONS", "SpoolMigration", "migrate_log", "migrate_spool"]

LogMigration = tuple[str, "Callable[[DuckDBPyConnection], None]"]
SpoolMigration = tuple[str, Callable[[sqlite3.Connection], None]]

# The spool's own tables (`spool`, `facts`) come with the file. A function may run twice (it must not mind), and must
# not end the transaction: `execute`, not `executescript`.
SPOOL_MIGRATIONS: list[SpoolMigration] = [
    ("prompts-1", prompts_store.create_tables),
    ("ledger-1", ledger.create_tables),
    ("experiments-1", runs_store.create_tables),
    ("limits-1", limits_store.create_tables),
]


def migrate_spool(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[SpoolMigration] = SPOOL_MIGRATIONS
) -> None:
    """Bring the spool's tables up to date; the caller holds the write lock. Raises LogTooNew."""
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY NOT NULL, at REAL NOT NULL)")
    done = {str(name) for (name,) in connection.execute("SELECT name FROM migrations")}
    refuse_newer(path, done - {name for name, _ in migrations})
    for name, change in migrations:
        if name in done:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            change(connection)
            connection.execute("INSERT OR IGNORE INTO migrations VALUES (?, ?)", (name, time.time()))
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if connection.in_transaction:
            connection.execute("COMMIT")


def _create_log(connection: DuckDBPyConnection) -> None:
    for table in (*TABLES.values(), QUARANTINE):
        connection.execute(f"CREATE TABLE log.{table.name} ({table.ddl})")
    # Appended to, never updated: the highest one counts.
    connection.execute(
        "CREATE TABLE log.watermarks (spool_id VARCHAR, last_id BIGINT, added BIGINT, made_at TIMESTAMP)"
    )
    connection.execute("CREATE TABLE log.copies (name VARCHAR, fingerprint VARCHAR)")


# A change of the log's tables adds a line here, and its columns to schema.py: `ALTER TABLE log.calls ADD COLUMN …`.
LOG_MIGRATIONS: list[LogMigration] = [
    ("log-1", _create_log),
]


def migrate_log(
    connection: DuckDBPyConnection, path: Path, migrations: Sequence[LogMigration] = LOG_MIGRATIONS
) -> None:
    """Bring the attached log's tables up to date; the caller holds the ingest lock. Raises LogTooNew."""
    done = log_migrations(connection)
    refuse_newer(path, done - {name for name, _ in migrations})
    if all(name in done for name, _ in migrations):
        return
    if not done:
        connection.execute("CREATE TABLE IF NOT EXISTS log.migrations (name VARCHAR, made_at TIMESTAMP)")
    for name, change in migrations:
        if name in done:
            continue
        connection.execute("BEGIN")
        try:
            change(connection)
            connection.execute(
                "INSERT INTO log.migrations VALUES (?, make_timestamp(?))", [name, time.time_ns() // 1000]
            )
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    # A change of tables must never be replayed from the WAL.
    connection.execute("CHECKPOINT log")


def log_migrations(connection: DuckDBPyConnection) -> set[str]:
    """Return the names of the migrations that the attached log has been through."""
    query = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'log' AND table_name = 'migrations'"
    if connection.execute(query).fetchone() is None:
        return set()
    return {str(name) for (name,) in connection.execute("SELECT name FROM log.migrations").fetchall()}


def refuse_newer(path: Path, unknown: set[str]) -> None:
    """Raise LogTooNew when the file has been through migrations that this aikit does not know."""
    if unknown:
        names = ", ".join(sorted(unknown))
        raise LogTooNew(
            f"{path} was written by a newer aikit (it has {names}); upgrade: python -m pip install -U aikit"
        )
