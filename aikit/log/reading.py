"""A read: the DuckDB file first, then the spool's rows past that file's watermark, as one consistent whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aikit.errors import LogBusy, LogError
from aikit.log.archive import ArchiveFile, archive_files
from aikit.log.copies import copy_tables
from aikit.log.database import BrokenLog, Database, new_instance
from aikit.log.ingest import Ingest, watermark
from aikit.log.locks import FileLock
from aikit.log.migrations import LOG_MIGRATIONS, log_migrations, refuse_newer
from aikit.log.schema import PAYLOADS, QUARANTINE, TABLES
from aikit.log.spool import Spool
from aikit.log.spool_file import spool_id
from aikit.log.tail import Tail

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Reading"]

T = TypeVar("T")


class Reading:
    """Run queries over the views `calls`, `attempts`, `trials`, `events`, `payloads` and `quarantine`."""

    def __init__(self, spool: Spool, database: Database, tail: Tail, ingest: Ingest) -> None:
        self._spool = spool
        self._database = database
        self._tail = tail
        self._ingest = ingest
        self._views: tuple[object, ...] = ()

    def run(self, work: Callable[[DuckDBPyConnection], T], *, wait: float = 0.0) -> tuple[T, bool]:
        """Run `work` over the views; return what it returns, and whether the history was there.

        While a foreign process holds the file beyond `wait` seconds, the views have the spool's rows only and a
        warning names the process. A damaged or lost file is made anew first.
        """
        try:
            return self._whole(work, wait), True
        except FileNotFoundError:
            return self._without_log(work, wait)
        except BrokenLog as broken:
            with self._ingest.lock:
                self._ingest.repair(broken)
            return self._whole(work, wait), True
        except LogBusy as busy:
            message = f"{busy}. Until then only rows that are still in the spool are shown"
            warnings.warn(message, stacklevel=4)
            return self._part(work), False

    def _whole(self, work: Callable[[DuckDBPyConnection], T], wait: float) -> T:
        with self._database.lease(wait=wait) as connection:
            refuse_newer(self._database.path, log_migrations(connection) - {name for name, _ in LOG_MIGRATIONS})
            mark = watermark(connection, self._spool.read(spool_id))
            self._tail.refresh(connection, self._database.generation, mark)
            self._make_views(connection, attached=True)
            return work(connection)

    def _without_log(self, work: Callable[[DuckDBPyConnection], T], wait: float) -> tuple[T, bool]:
        with self._ingest.lock:
            self._ingest.require_log()
        if self._database.path.exists():
            return self._whole(work, wait), True
        return self._part(work), True

    def _part(self, work: Callable[[DuckDBPyConnection], T]) -> T:
        with self._database.memory() as connection:
            self._tail.refresh(connection, self._database.generation, 0)
            self._make_views(connection, attached=False)
            return work(connection)

    def _make_views(self, connection: DuckDBPyConnection, *, attached: bool) -> None:
        # Listed within the lease: a text leaves the log after its file is there.
        files = archive_files(self._spool.home)
        wanted = (self._database.generation, attached, files)
        if self._views != wanted:
            make_views(connection, attached=attached, archive=files)
            self._views = wanted

    def sql(self, query: str, parameters: Sequence[Any] | None = None, *, wait: float = 0.0) -> tuple[Any, bool]:
        """Run a person's SELECT in an instance of its own that can't write, reach a file, or change its settings."""
        connection = new_instance()
        lease = FileLock(self._spool.home / "lease.lock")
        lease.acquire(shared=True)
        try:
            attached, complete = self._attach(connection, wait)
            name = self._spool.read(spool_id)
            tail = Tail(self._spool)
            tail.refresh(connection, 0, watermark(connection, name) if attached else 0)
            make_views(connection, attached=attached, archive=archive_files(self._spool.home))
            copy_tables(self._spool, connection, "main")
            lock_down(connection, self._spool.home / "archive")
            return select(connection, query, parameters), complete
        finally:
            connection.close()
            lease.release()

    def _attach(self, connection: DuckDBPyConnection, wait: float) -> tuple[bool, bool]:
        from aikit.log.database import wait_and_attach

        try:
            wait_and_attach(connection, self._database.path, write=False, wait=wait)
        except FileNotFoundError:
            return False, True
        except LogBusy as busy:
            warnings.warn(f"{busy}. Until then only rows that are still in the spool are shown", stacklevel=5)
            return False, False
        return True, True


def make_views(connection: DuckDBPyConnection, *, attached: bool, archive: Sequence[ArchiveFile]) -> None:
    """Make the views that people query: the file's tables, where it is attached, and the tail's."""
    for table in (*TABLES.values(), QUARANTINE):
        tail = f"SELECT * EXCLUDE (_id) FROM tail.{table.name}"
        # By name: a file that an older aikit made lacks columns until the next ingest.
        whole = f"SELECT * FROM log.{table.name} UNION ALL BY NAME {tail}" if attached else tail
        name = "recent_payloads" if table is PAYLOADS else table.name
        connection.execute(f"CREATE OR REPLACE VIEW main.{name} AS {whole}")
    payloads = "SELECT hash, content, extra FROM recent_payloads"
    if archive:
        files = ", ".join("'" + str(file.path).replace("'", "''") + "'" for file in archive)
        payloads += (
            " UNION ALL SELECT hash, body::JSON ->> 'content', NULL"
            f" FROM read_parquet([{files}]) WHERE kind = 'payload'"
        )
    connection.execute(f"CREATE OR REPLACE VIEW main.payloads AS {payloads}")


def lock_down(connection: DuckDBPyConnection, archive: Path) -> None:
    """Take away the network, the settings, and all of the file system but the archive's texts, for good."""
    folder = str(archive.absolute()).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{folder}/']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def select(connection: DuckDBPyConnection, query: str, parameters: Sequence[Any] | None) -> Any:
    """Run one SELECT and return its frame. Raises LogError for any other statement, and for SQL that is wrong."""
    import duckdb

    try:
        statements = connection.extract_statements(query)
        kinds = [statement.type for statement in statements]
        if kinds not in ([duckdb.StatementType.SELECT], [duckdb.StatementType.EXPLAIN]):
            raise LogError("kit.sql() reads: give it one SELECT")
        return connection.execute(query, parameters).df()
    except duckdb.Error as error:
        raise LogError(f"the query failed: {error}") from error
