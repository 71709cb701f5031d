"""A fork: what a child must begin anew, and what of its parent's it must never close."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from typing import TypeVar

__all__ = ["at_exit", "in_child", "leak"]

T = TypeVar("T")


def in_child(thing: T, begin_anew: Callable[[T], object]) -> None:
    """Have `begin_anew(thing)` run in every forked child, as long as the thing lives."""
    reference = weakref.ref(thing)

    def fork() -> None:
        if (alive := reference()) is not None:
            begin_anew(alive)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=fork)


def at_exit(thing: T, close: Callable[[T], object]) -> None:
    """Have `close(thing)` run at the interpreter's end, as long as the thing lives; what came last is closed first."""
    reference = weakref.ref(thing)

    def end() -> None:
        if (alive := reference()) is not None:
            close(alive)

    atexit.register(end)


def leak(thing: object) -> None:
    """Keep a parent's database connection from ever being closed in a child.

    Closing SQLite's would checkpoint without a lock; closing DuckDB's would wait for threads that are not there.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
