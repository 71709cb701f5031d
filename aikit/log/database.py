"""The DuckDB file, and the short leases in which it is open: one writer, or many readers, never for long."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from aikit.errors import LogBusy, LogError, LogTooNew
from aikit.log.forks import leak
from aikit.log.locks import FileLock
from aikit.log.spool_file import unwritable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["BrokenLog", "Database", "LOG_NAME", "attach", "explained", "new_instance", "wait_and_attach"]

LOG_NAME = "log.duckdb"

_HELD = re.compile(r"Conflicting lock is held|Could not set lock|used by another process|file handle conflict")
_PID = re.compile(r"\(PID (\d+)\)")
_NEWER = re.compile(r"with version number|newer version of DuckDB|storage version")
_BROKEN = re.compile(
    r"[Cc]orrupt|not a valid DuckDB|Could not read enough bytes|checksum|Serialization Error|INTERNAL|FATAL|"
    r"Failed to load metadata|read past end|file was truncated|deserializ|has been invalidated"
)
_UNWRITABLE = re.compile(r"Permission denied|Read-only file system|No space left|Could not write|Cannot open file")


class BrokenLog(LogError):  # named as the rest of the tree
    """The DuckDB file is damaged: it can be made anew from the archive and the spool."""


class Database:
    """Attach `log.duckdb` to one in-memory instance, for the length of a lease.

    Readers of all processes share `lease.lock`, a writer holds it alone; so whoever else is found in the file is no
    aikit. Leases of one process take turns.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / LOG_NAME
        self._lease = home / "lease.lock"
        self._turn = threading.RLock()
        self._instance: DuckDBPyConnection | None = None
        self.generation = 0
        """How many instances there have been; what was put into an earlier one is gone."""

    @contextlib.contextmanager
    def lease(
        self, *, write: bool = False, wait: float = 0.0, path: Path | None = None
    ) -> Generator[DuckDBPyConnection]:
        """Hold the file open as the schema `log`, for writing or reading, and give the connection.

        Waits up to `wait` seconds for a foreign process. Raises LogBusy while one holds the file, BrokenLog where it
        is damaged, LogTooNew where a newer DuckDB wrote it, FileNotFoundError for a reader when there is none.
        """
        path = path or self.path
        lease = FileLock(self._lease)
        lease.acquire(shared=not write)
        try:
            with self._turn, self._attached(path, write=write, wait=wait) as connection:
                yield connection
        finally:
            lease.release()

    @contextlib.contextmanager
    def _attached(self, path: Path, *, write: bool, wait: float) -> Generator[DuckDBPyConnection]:
        connection = self.instance()
        try:
            wait_and_attach(connection, path, write=write, wait=wait)
            try:
                with explained(path):
                    yield connection
            finally:
                self._detach(connection)
        except BrokenLog:
            self._drop()
            raise

    @contextlib.contextmanager
    def memory(self) -> Generator[DuckDBPyConnection]:
        """Give the in-memory instance alone, without the file."""
        with self._turn:
            yield self.instance()

    def instance(self) -> DuckDBPyConnection:
        """Return the in-memory instance; making one costs 20-50 ms, so it is kept."""
        if self._instance is None:
            self._instance = new_instance()
            self.generation += 1
        return self._instance

    def close(self) -> None:
        """Let the instance go."""
        with self._turn:
            self._drop()

    def forked(self) -> None:
        """Begin anew in a forked child."""
        self._turn = threading.RLock()
        if self._instance is not None:
            leak(self._instance)
        self._instance = None

    def _detach(self, connection: DuckDBPyConnection) -> None:
        import duckdb

        try:
            if connection.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = 'log'").fetchone():
                connection.execute("DETACH log")
        except duckdb.Error:
            # A failed checkpoint or a fatal error: only a new instance is sure not to hold the file.
            self._drop()

    def _drop(self) -> None:
        if self._instance is not None:
            self._instance.close()
        self._instance = None


def new_instance() -> DuckDBPyConnection:
    """Return an in-memory DuckDB that takes no Python variable for a table and no extension from the network."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    # No bar in the cell that asks, and no second guess about the machine's time zone: times are UTC.
    connection.execute("SET enable_progress_bar = false")
    return connection


def wait_and_attach(connection: DuckDBPyConnection, path: Path, *, write: bool, wait: float) -> None:
    """Attach the file, waiting up to `wait` seconds for a foreign process to let go of it. Raises LogBusy."""
    end = time.monotonic() + wait
    while True:
        try:
            attach(connection, path, write=write)
        except LogBusy:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)
        else:
            return


def attach(connection: DuckDBPyConnection, path: Path, *, write: bool) -> None:
    """Attach the file as `log`; a writer makes it where it is missing, readable by its owner alone."""
    new = not path.exists()
    if new and not write:
        raise FileNotFoundError(path)
    # v1.4.0: both majors of DuckDB that aikit supports open it.
    options = "(STORAGE_VERSION 'v1.4.0')" if write else "(READ_ONLY)"
    with explained(path):
        connection.execute(f"ATTACH '{_quoted(path)}' AS log {options}")
    if new:
        path.chmod(0o600)
    if write:
        _make_private_wal(path)


def _make_private_wal(path: Path) -> None:
    """Make DuckDB's WAL before DuckDB does, which would make it readable for everybody; it holds no locks."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(f"{path}.wal", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


@contextlib.contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn DuckDB's errors about the file into ours; DuckDB 1.5 gives lock and damage the same type."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if _HELD.search(text):
            known = _PID.search(text)
            pid = int(known[1]) if known else os.getpid() if "handle conflict" in text else None
            raise LogBusy(f"{path} is held by {_holder(pid)}; wait=seconds waits for it", pid=pid) from error
        if _BROKEN.search(text):
            raise BrokenLog(f"{path} is damaged: {text.splitlines()[0]}") from error
        if _NEWER.search(text):
            raise LogTooNew(f"{path} was written by a newer DuckDB ({text.splitlines()[0]}); upgrade duckdb") from error
        if _UNWRITABLE.search(text):
            raise unwritable(path, error) from error
        raise


def _holder(pid: int | None) -> str:
    if pid is None:
        return "another process"
    return "this process (close its other duckdb connection)" if pid == os.getpid() else f"process {pid}"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
