"""Wake-ups across event loops: one timer for the next grant, and the hand-over of a lease to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["Loop", "Wakeup"]

_LATE = 0.0005
"""Seconds after the wanted instant: a timer that fires early would have to fire twice."""


class Loop:
    """An event loop in which somebody waits; its methods may be called from any thread."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in this loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def call(self, function: Callable[..., Any], *arguments: Any) -> bool:
        """Call a function in the loop, at once when we are in it; False when the loop is closed."""
        if self.is_here:
            function(*arguments)
            return True
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: whoever waited there is gone
            return False
        return True

    def later(self, delay: float, function: Callable[[], None]) -> Callable[[], None] | None:
        """Call a function in so many seconds; return what cancels it, None when the loop is closed."""
        handle: list[asyncio.TimerHandle] = []
        cancelled = False

        def start() -> None:
            if not cancelled:
                handle.append(self._loop.call_later(delay, function))

        def stop() -> None:
            nonlocal cancelled
            cancelled = True
            for one in handle:
                self.call(one.cancel)

        return stop if self.call(start) else None


class Wakeup:
    """The one timer of a limiter; it runs where the head of the queue waits. Held under the limiter's lock."""

    __slots__ = ("_cancel", "_head", "_when", "fired")

    def __init__(self) -> None:
        self._cancel: Callable[[], None] | None = None
        self._head: object = None
        self._when = 0.0
        self.fired = 0
        """How often it went off."""

    def set(self, head: object, loop: Loop, when: float, now: float, function: Callable[[], None]) -> bool:
        """Go off at `when` in the head's loop, never for an infinite time; False when that loop is closed."""
        if self._head is head and self._when == when:
            return True
        self.clear()
        if when != float("inf"):
            self._cancel = loop.later(when - now + _LATE, function)
            if self._cancel is None:
                return False
        self._head, self._when = head, when
        return True

    def went_off(self) -> None:
        """Take note that the timer has fired."""
        self.fired += 1
        self._cancel = self._head = None

    def clear(self) -> None:
        """Cancel the timer."""
        if self._cancel is not None:
            self._cancel()
        self._cancel = self._head = None
