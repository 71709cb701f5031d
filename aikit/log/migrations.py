"""The migrations: small numbered changes to the spool's and the log's tables, each run once, in order.

Append, never edit: a function that has run somewhere is history. A file that knows a migration we don't know was
written by a newer aikit, and is refused.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aikit.errors import LogTooNew
from aikit.log import ledger, prompts_store

__all__ = ["SPOOL_MIGRATIONS", "SpoolMigration", "migrate_spool"]

SpoolMigration = tuple[str, Callable[[sqlite3.Connection], None]]

# The spool's own tables (`spool`, `facts`) come with the file. A function may run twice (it must not mind), and must
# not end the transaction: `execute`, not `executescript`.
SPOOL_MIGRATIONS: list[SpoolMigration] = [
    ("prompts-1", prompts_store.create_tables),
    ("ledger-1", ledger.create_tables),
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


def refuse_newer(path: Path, unknown: set[str]) -> None:
    """Raise LogTooNew when the file has been through migrations that this aikit does not know."""
    if unknown:
        names = ", ".join(sorted(unknown))
        raise LogTooNew(
            f"{path} was written by a newer aikit (it has {names}); upgrade: python -m pip install -U aikit"
        )
