"""The writer: one thread per process that commits finished rows and operations together, and never loses one."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, cast

from aikit.errors import LogError
from aikit.log.locks import FileLock
from aikit.log.migrations import migrate_spool
from aikit.log.owners import Owner
from aikit.log.spool_file import SPOOL_NAME, Durability, open_or_create, restore, sync_wal, unreadable, unwritable

__all__ = ["Encoded", "Operation", "Row", "Writer"]

Row = tuple[str, Any]
"""A row as it was handed over: its kind, and the object."""
Encoded = tuple[str, bytes]
"""A row as it is stored: its kind, and its JSON."""


class Operation:
    """A function to run in the writer's next transaction, and the future that waits for it."""

    __slots__ = ("alone", "flushes", "function", "future", "patient")

    def __init__(
        self,
        function: Callable[[sqlite3.Connection], Any] | None,
        *,
        flushes: bool = False,
        alone: bool = False,
        patient: bool = False,
    ) -> None:
        self.function = function
        self.future: Future[Any] = Future()
        self.flushes = flushes
        """It waits for the disk, not for the operating system alone."""
        self.alone = alone
        """It runs after the transaction, under the write lock."""
        self.patient = patient
        """Nobody waits for it: it is grouped as rows are."""


_Done = tuple[Operation, Any, BaseException | None]


class Writer:
    """Own the writing connection and its thread.

    Rows wait up to 20 ms for company; an operation is waited for by somebody, so it is committed at once, with
    whatever rows are there. When the disk refuses, rows stay in memory and are tried again; operations fail.
    """

    group_seconds = 0.02
    retry_seconds = 0.5

    def __init__(
        self,
        home: Path,
        *,
        durability: Durability,
        encode: Callable[[str, Any], Sequence[Encoded]],
        on_commit: Callable[[int], None],
    ) -> None:
        self._home = home
        self._path = home / SPOOL_NAME
        self._durability: Durability = durability
        self._encode = encode
        self._on_commit = on_commit
        self.write_lock = FileLock(home / "write.lock")
        self._items: deque[Row | Operation] = deque()
        self._signals: SimpleQueue[None] = SimpleQueue()
        self._sleeping = False
        self._closing = False
        self._unwritten: list[Encoded] = []
        self.fault: LogError | None = None
        self.orphans: list[sqlite3.Connection] = []
        """Spools that were deleted and replaced while in use: they live on as long as their connections."""
        with self.write_lock:
            self.connection = open_or_create(home, durability)
            try:
                migrate_spool(self.connection, self._path)
            except sqlite3.Error as error:
                raise unreadable(self._path, error) from error
            self._inode = self._path.stat().st_ino
        self.owner = Owner(home / "owners")
        self._thread = threading.Thread(target=self._run, name="aikit-log-writer", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> None:
        """Have the row written in the next transaction; `submit` and this keep their order."""
        self._items.append(row)
        if self._sleeping:
            self._sleeping = False
            self._signals.put(None)

    def submit(self, operation: Operation) -> None:
        """Have the operation run in the next transaction."""
        self._items.append(operation)
        if not operation.patient:
            self._signals.put(None)
        elif self._sleeping:
            self._sleeping = False
            self._signals.put(None)

    def waiting(self) -> int:
        """Return how many rows are in memory only."""
        return len(self._items) + len(self._unwritten)

    def close(self, timeout: float | None) -> None:
        """Write what is there, then end the thread and give the owner's name up."""
        self._closing = True
        self._signals.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            return
        # The last connection to leave checkpoints: under the lock, like every checkpoint.
        if self._home.exists():
            self.write_lock.acquire()
        self.connection.close()
        self.write_lock.release()
        self.owner.release()

    def abandon(self) -> None:
        """Leave everything to the parent, in a forked child."""
        self.owner.abandon()
        self.write_lock.abandon()

    def _run(self) -> None:
        while True:
            self._wait()
            batch = self._take()
            if batch or self._unwritten:
                self._write(batch)
            if self._closing and not self._items:
                break
        if self._unwritten:
            print(f"aikit: {len(self._unwritten)} rows of the log could not be written: {self.fault}", file=sys.stderr)  # noqa: T201

    def _wait(self) -> None:
        if self._unwritten:
            self._pause(self.retry_seconds)
            return
        # Order matters: whoever appends after this line sees it and signals; whoever did before is seen below.
        self._sleeping = True
        if not self._items and not self._closing:
            self._signals.get()
        self._sleeping = False
        if not self._closing and not self._is_awaited():
            self._pause(self.group_seconds)

    def _pause(self, seconds: float) -> None:
        """Sleep until the time is over or somebody waits for an operation."""
        end = time.monotonic() + seconds
        while not self._closing and (left := end - time.monotonic()) > 0:
            try:
                self._signals.get(timeout=left)
            except Empty:
                return
            if self._is_awaited():
                return

    def _is_awaited(self) -> bool:
        return any(type(item) is Operation and not item.patient for item in tuple(self._items))

    def _take(self) -> list[Row | Operation]:
        items = self._items
        return [items.popleft() for _ in range(len(items))]

    def _write(self, batch: list[Row | Operation]) -> None:
        # Encoded once and not again when the disk refuses: encoding leaves out texts that were stored already.
        items: list[Operation | Sequence[Encoded]] = [
            item if type(item) is Operation else self._encode(*cast("Row", item)) for item in batch
        ]
        done: list[_Done] = []
        written = 0
        try:
            with self.write_lock:
                self._keep_file()
                written = self._transaction(items, done)
                self._work_alone(items, done)
        except (sqlite3.Error, OSError) as error:
            self._fail(items, error)
            return
        self.fault = None
        self._unwritten.clear()
        for operation, result, error in done:
            _resolve(operation.future, result, error)
        if written:
            self._on_commit(written)

    def _transaction(self, items: list[Operation | Sequence[Encoded]], done: list[_Done]) -> int:
        connection = self.connection
        rows, written = list(self._unwritten), 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            for item in items:
                if type(item) is not Operation:
                    rows.extend(cast("Sequence[Encoded]", item))
                elif not item.alone:
                    written += self._insert(rows)
                    rows = []
                    done.append(self._operate(item))
            written += self._insert(rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if self._durability == "os" and any(type(item) is Operation and item.flushes for item in items):
            sync_wal(self._path)
        return written

    def _insert(self, rows: list[Encoded]) -> int:
        if rows:
            self.connection.executemany("INSERT INTO spool (kind, body) VALUES (?, ?)", rows)
        return len(rows)

    def _operate(self, operation: Operation) -> _Done:
        """Run an operation in its own savepoint: what it raises undoes what it did, and nothing else."""
        if operation.function is None:
            return operation, None, None
        connection = self.connection
        connection.execute("SAVEPOINT operation")
        try:
            result = operation.function(connection)
        except BaseException as error:  # it belongs to whoever waits for the future
            if not connection.in_transaction:
                raise  # SQLite itself rolled everything back: the disk is full or failing
            connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
            return operation, None, error
        connection.execute("RELEASE operation")
        return operation, result, None

    def _work_alone(self, items: list[Operation | Sequence[Encoded]], done: list[_Done]) -> None:
        """Run the operations that can't be inside a transaction, after it and still under the write lock."""
        for item in items:
            if type(item) is not Operation or not item.alone or item.function is None:
                continue
            try:
                done.append((item, item.function(self.connection), None))
            except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits for the future
                done.append((item, None, error))
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def _fail(self, items: list[Operation | Sequence[Encoded]], error: Exception) -> None:
        fault = unreadable(self._path, error) if isinstance(error, sqlite3.Error) else unwritable(self._path, error)
        fault.__cause__ = error
        self.fault = fault
        for item in items:
            if type(item) is Operation:
                _resolve(item.future, None, fault)
            else:
                self._unwritten.extend(cast("Sequence[Encoded]", item))

    def _keep_file(self) -> None:
        """Put the spool back when it was deleted under us: our connection still holds what was in it."""
        try:
            if self._path.stat().st_ino == self._inode:
                return
        except FileNotFoundError:
            self.connection = restore(self.connection, self._home, self._durability)
            self.owner.restore()
        else:
            # Somebody made a new one. What is only in the old one is left to the ingester, which knows what it has.
            self.orphans.append(self.connection)
            self.connection = open_or_create(self._home, self._durability)
            migrate_spool(self.connection, self._path)
        self._inode = self._path.stat().st_ino


def _resolve(future: Future[Any], result: Any, error: BaseException | None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
