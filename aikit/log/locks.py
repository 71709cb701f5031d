"""A lock between processes: a file that one of them holds, exclusively or shared."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLock"]


class FileLock:
    """Hold a file as a lock: one holder, or many shared ones; the kernel lets go when a process dies.

    Each acquisition opens the file anew, so that the lock also works between threads and between two stores of one
    process, and so that a lock file that somebody deleted comes back. A waiter sleeps in the kernel; it does not poll.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, blocking: bool = True) -> bool:
        """Take the lock; False when `blocking` is off and somebody else holds it. Raises OSError."""
        descriptor = self._open()
        try:
            taken = _lock(descriptor, shared=shared, blocking=blocking)
        except BaseException:
            os.close(descriptor)
            raise
        if not taken:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def release(self) -> None:
        """Let go; nothing happens when the lock is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        # Unlocked by name and not by closing alone: a child forked meanwhile has a copy of the descriptor.
        _unlock(descriptor)
        os.close(descriptor)

    def abandon(self) -> None:
        """Close a forked child's copy of the descriptor without unlocking what its parent holds."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


if sys.platform != "win32":

    def _lock(descriptor: int, *, shared: bool, blocking: bool) -> bool:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, mode if blocking else mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

else:

    def _lock(descriptor: int, *, shared: bool, blocking: bool) -> bool:
        # Windows has no shared byte locks here: readers take turns. LK_LOCK gives up after ten seconds, so repeat.
        while True:
            try:
                os.lseek(descriptor, 0, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if blocking else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not blocking:
                    return False
            else:
                return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
