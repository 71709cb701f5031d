"""The rebuild: a lost or damaged log is made anew from the archive; the spool's rows follow by the next ingest."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.log.archive import archive_files, archived_rows
from aikit.log.database import BrokenLog, Database
from aikit.log.loading import SpoolRow, insert, parse
from aikit.log.migrations import migrate_log
from aikit.log.schema import QUARANTINE, TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["load", "rebuild", "set_aside", "stage"]


def set_aside(database: Database, broken: BrokenLog) -> Path:
    """Rename a damaged log, so that nothing of it is lost, and return where it is now."""
    path = database.path
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    for suffix in ("", ".wal"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    warnings.warn(f"{broken}; it is made anew from the archive and the spool, and kept as {aside.name}", stacklevel=3)
    return aside


def rebuild(home: Path, database: Database) -> None:
    """Make the log from the archive; the caller holds the ingest lock, and there is no log."""
    draft = database.path.with_suffix(".rebuilding")
    for suffix in ("", ".wal"):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)
    with database.lease(write=True, path=draft) as connection:
        migrate_log(connection, draft)
        stage(connection)
        marks: dict[str, int] = {}
        for file in archive_files(home):
            for rows in archived_rows(connection, file):
                fresh = [row for row in rows if row[0] > marks.get(file.spool_id, 0)]
                if fresh:
                    load(connection, file.spool_id, fresh)
                    marks[file.spool_id] = fresh[-1][0]
    draft.rename(database.path)


def stage(connection: DuckDBPyConnection) -> None:
    """Make empty tables in memory, in which rows are checked before they go to the file."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS staged")
    for table in (*TABLES.values(), QUARANTINE):
        connection.execute(f"CREATE OR REPLACE TABLE staged.{table.name} (_id BIGINT, {table.ddl})")


def load(connection: DuckDBPyConnection, name: str, rows: list[SpoolRow]) -> None:
    """Add rows of the spool `name` to the attached log, and set its watermark, in one transaction."""
    insert(connection, "staged", parse([row for row in rows if row[1] != "payload"]))  # texts stay in the archive
    connection.execute("BEGIN")
    for table in (*TABLES.values(), QUARANTINE):
        columns = ", ".join(f'"{column}"' for column in table.columns)
        connection.execute(
            f"INSERT INTO log.{table.name} ({columns}) SELECT {columns} FROM staged.{table.name} ORDER BY _id"
        )
    now = time.time_ns() // 1000
    values = [name, rows[-1][0], len(rows), now]
    connection.execute("INSERT INTO log.watermarks VALUES (?, ?, ?, make_timestamp(?))", values)
    connection.execute("COMMIT")
    for table in (*TABLES.values(), QUARANTINE):
        connection.execute(f"DELETE FROM staged.{table.name}")
