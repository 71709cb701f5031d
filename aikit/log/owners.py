"""The owner: a process that writes to the log, known to the others by a file that it holds locked for life."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

from aikit.log.locks import FileLock

__all__ = ["Owner", "living_owners", "remove_dead_owners"]


class Owner:
    """Hold `owners/<uuid>` until the process ends; process ids would lie across containers."""

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._path = folder / self.id
        # Locked under another name first: under its own it would look dead for a moment.
        self._lock = FileLock(folder / f".{self.id}")
        self._hold()

    def _hold(self) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._lock.acquire()
        self._lock.path.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        self._lock.path.rename(self._path)

    def restore(self) -> None:
        """Make the file anew after somebody deleted it, so that the others don't take this process for dead."""
        if self._path.exists():
            return
        self._lock.release()
        self._hold()

    def release(self) -> None:
        """Give the name up: nothing of this owner is open any more."""
        self._path.unlink(missing_ok=True)
        self._lock.release()

    def abandon(self) -> None:
        """Close a forked child's copy, so that it does not keep its parent alive in others' eyes."""
        self._lock.abandon()


def living_owners(home: Path) -> set[str]:
    """Return the ids of the processes that are alive and write to the log in `home`."""
    return {path.name for path in _files(home) if _is_held(path)}


def remove_dead_owners(home: Path) -> list[str]:
    """Delete the files of the dead and return their ids."""
    dead = [path for path in _files(home) if not _is_held(path)]
    for path in dead:
        path.unlink(missing_ok=True)
    return [path.name for path in dead]


def _files(home: Path) -> list[Path]:
    folder = home / "owners"
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False
