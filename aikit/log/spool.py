"""The spool: where a finished row goes first, and the only file that a call ever waits for.

    spool = Spool.open(home)
    spool.put("call", row)                                # returns at once; committed within 20 ms
    spool.submit(lambda connection: …).result()           # runs in the writer's next transaction
    spool.read(lambda connection: connection.execute("SELECT …").fetchall())

An *operation* gets a `sqlite3.Connection` inside a transaction: it executes statements and returns; it never commits,
and never calls `executescript`, which would.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from aikit.errors import LogError, LogUnwritable
from aikit.log.forks import at_exit, in_child, leak
from aikit.log.spool_file import SPOOL_NAME, Durability, connect_reader, spool_id, unwritable
from aikit.log.writer import Encoded, Operation, Writer

__all__ = ["Spool"]

T = TypeVar("T")


class Spool:
    """The process's hold on `spool.sqlite`: one writer thread, and read-only connections for anybody.

    Every method may be called from any thread. After a fork the child gets a writer, a connection and an owner file
    of its own at its first use; the parent's are left alone.
    """

    def __init__(
        self,
        home: Path,
        *,
        durability: Durability,
        clock: Callable[[], float],
        encode: Callable[[str, Any], Sequence[Encoded]] | None,
    ) -> None:
        self.home = home
        self.path = home / SPOOL_NAME
        self.durability: Durability = durability
        self.clock = clock
        self.written = 0
        """Rows that this process committed since it opened the spool."""
        self.on_commit: Callable[[int], None] | None = None
        """Called by the writer's thread after a commit, with the number of rows in it."""
        self._encode = _unfailing(encode or _as_json)
        self._readers: deque[tuple[int, sqlite3.Connection]] = deque()
        self._opening = threading.Lock()
        self._closed = False
        self._writer: Writer | None = None
        self._start()

    @classmethod
    def open(
        cls,
        home: Path | str,
        *,
        durability: Durability = "full",
        clock: Callable[[], float] = time.time,
        encode: Callable[[str, Any], Sequence[Encoded]] | None = None,
    ) -> Self:
        """Open the spool in the folder `home`, made if it is missing.

        `durability="full"` survives a power cut once `flush()` returned; `"os"` survives the death of the process, and
        a power cut too after `flush()`. `encode(kind, row)` turns a row into the rows to store, in the writer's thread.
        Raises LogUnwritable, LogTooNew, LogError. The caller closes it; otherwise the end of the interpreter does.
        """
        home = Path(home)
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            spool = cls(home, durability=durability, clock=clock, encode=encode)
        except OSError as error:
            raise unwritable(home, error) from error
        at_exit(spool, lambda alive: alive.close(timeout=10.0))
        in_child(spool, cls._forked)
        return spool

    @property
    def owner(self) -> str:
        """The id of this process's file in `owners/`, locked for its life: its reservations are filed under it."""
        return self._living().owner.id

    @property
    def fault(self) -> LogError | None:
        """Why rows can't be written at the moment; None when all is well. They are kept and tried again."""
        return self._writer.fault if self._writer is not None else None

    @property
    def waiting(self) -> int:
        """How many rows are in memory only."""
        return self._writer.waiting() if self._writer is not None else 0

    @property
    def spool_id(self) -> str:
        """The name that the file got when it was made."""
        return self.read(spool_id)

    def put(self, kind: str, row: msgspec.Struct | dict[str, Any]) -> None:
        """Hand a finished row over; it never waits, and trouble with the disk never comes back here.

        The row is encoded later, in the writer's thread: don't change it any more.
        """
        (self._writer or self._living()).put((kind, row))

    def submit(self, operation: Callable[[sqlite3.Connection], T], *, patient: bool = False) -> Future[T]:
        """Run an operation in the writer's next transaction, within a savepoint of its own.

        What it raises undoes what it did and goes to the future; the rest of the transaction stands. The future is
        done when the transaction is committed, or failed with LogUnwritable when it could not be. Operations and rows
        keep the order in which they were handed over. A `patient` one is grouped as rows are, within 20 ms.
        """
        item = Operation(operation, patient=patient)
        self._living().submit(item)
        return item.future

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation on a read-only connection, on one snapshot of the file, in the calling thread."""
        inode, connection = self._reader()
        try:
            connection.execute("BEGIN")
            try:
                result = operation(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        self._readers.append((inode, connection))
        return result

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every row handed over so far is on the disk. Raises LogUnwritable, and TimeoutError."""
        if self._closed:
            return
        item = Operation(None, flushes=True)
        self._living().submit(item)
        item.future.result(timeout)

    def exclusively(self, work: Callable[[sqlite3.Connection], T], timeout: float | None = None) -> T:
        """Run `work` in the writer's thread, under the write lock but outside any transaction: checkpoint, vacuum."""
        item = Operation(work, alone=True)
        self._living().submit(item)
        return item.future.result(timeout)

    def orphans(self) -> list[sqlite3.Connection]:
        """Hand over the connections of spools that were deleted and replaced while in use; the caller closes them."""
        if self._writer is None:
            return []
        taken = self._writer.orphans
        return [taken.pop() for _ in range(len(taken))]

    def close(self, timeout: float | None = None) -> None:
        """Write what is there and let the file go; twice does no harm."""
        with self._opening:
            writer, self._writer = self._writer, None
            self._closed = True
        # The writer's connection leaves last: a reader, which can't checkpoint, would leave the WAL behind.
        self._drop_readers()
        if writer is not None:
            writer.close(timeout)

    def _living(self) -> Writer:
        return self._writer or self._start()

    def _start(self) -> Writer:
        with self._opening:
            if self._closed:
                raise LogError(f"the log in {self.home} is closed; open another kit: aikit.open()")
            if self._writer is None:
                self._writer = Writer(
                    self.home, durability=self.durability, encode=self._encode, on_commit=self._committed
                )
                _close_with_multiprocessing(self)
            return self._writer

    def _committed(self, rows: int) -> None:
        self.written += rows
        if self.on_commit is not None:
            self.on_commit(rows)

    def _reader(self) -> tuple[int, sqlite3.Connection]:
        if self._closed:
            raise LogError(f"the log in {self.home} is closed; open another kit: aikit.open()")
        try:
            inode = self.path.stat().st_ino
            while self._readers:
                reader = self._readers.popleft()
                if reader[0] == inode:
                    return reader
                reader[1].close()  # the file was deleted and made anew
            return inode, connect_reader(self.path)
        except IndexError:  # another thread took the last one
            return self._reader()
        except (OSError, sqlite3.OperationalError) as error:
            raise LogUnwritable(f"the spool {self.path} can't be opened ({error}); was the folder deleted?") from error

    def _drop_readers(self) -> None:
        while self._readers:
            self._readers.popleft()[1].close()

    def _forked(self) -> None:
        """Begin anew in a forked child: SQLite's connections, locks and threads don't survive a fork."""
        writer, self._writer = self._writer, None
        self._opening = threading.Lock()
        readers, self._readers = self._readers, deque()
        self.written = 0
        if writer is not None:
            writer.abandon()
            leak(writer.connection)
        for _, connection in readers:
            leak(connection)


def _as_json(kind: str, row: Any) -> Sequence[Encoded]:
    return ((kind, msgspec.json.encode(row)),)


def _unfailing(encode: Callable[[str, Any], Sequence[Encoded]]) -> Callable[[str, Any], Sequence[Encoded]]:
    """Wrap an encoder so that a row it can't take is stored as what is known of it, under the kind `unreadable`."""

    def encoded(kind: str, row: Any) -> Sequence[Encoded]:
        try:
            return encode(kind, row)
        except Exception as error:  # noqa: BLE001  # whatever a row or a hook raises must not stop the others
            fact = {"kind": kind, "type": type(row).__name__, "error": f"{type(error).__name__}: {error}"}
            return (("unreadable", json.dumps(fact).encode()),)

    return encoded


def _close_with_multiprocessing(spool: Spool) -> None:
    """Have a child of multiprocessing write its last rows: it ends by os._exit, without atexit."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    reference = weakref.ref(spool)
    Finalize(None, lambda: (alive := reference()) and alive.close(timeout=10.0), exitpriority=0)
