"""The three deadlines of an attempt: to connect, to make progress, and in total."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from aikit.errors import DeadlineExceeded

__all__ = ["Deadlines", "Peer", "Watch", "within"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is spoken to, for the errors' sake."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" if self.model else self.provider


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that an attempt may take."""

    connect: float = 10.0
    progress: float = 60.0
    """Since the last content or usage event; a ping does not count."""
    total: float = 600.0


class Watch:
    """The progress and total deadlines of one attempt, kept by one timer however many chunks arrive.

    Only time spent waiting for the server counts as lack of progress: a slow consumer is no slow provider.
    """

    __slots__ = ("_already", "_deadlines", "_loop", "_patience", "_task", "_timer", "expired", "last", "until")

    def __init__(self, deadlines: Deadlines) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._task: asyncio.Task[Any] | None = None
        self._already = 0
        self._timer: asyncio.TimerHandle | None = None
        self._patience = deadlines.progress
        self.expired = ""
        self.last = self._loop.time()
        self.until = self.last + deadlines.total

    def wait(self, *, progress: bool) -> None:
        """Begin to wait for the server; `progress` tells that content came since the last wait."""
        if progress:
            self.last = self._loop.time()
        self._task = task = asyncio.current_task()
        self._already = task.cancelling() if task is not None else 0
        if self._timer is None:
            self._timer = self._loop.call_at(self._limit(), self._look)

    def pause(self) -> None:
        """Stop waiting: what happens now is the consumer's time."""
        self._task = None

    def shorten(self, seconds: float) -> None:
        """Wait from now on no longer than `seconds` for progress: the text is complete, only its usage may follow."""
        if seconds < self._patience:
            self._patience = seconds
            self.stop()

    def stop(self) -> None:
        """Take the timer down."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def claims(self) -> bool:
        """Tell whether a cancellation just caught was this watch's own, and no other came with it."""
        task = asyncio.current_task()
        return bool(self.expired) and task is not None and task.uncancel() <= self._already

    def error(self, peer: Peer) -> DeadlineExceeded:
        """Return the error for the deadline that passed."""
        which = "total" if self.expired == "total" else "progress"
        seconds = self._deadlines.total if which == "total" else self._deadlines.progress
        what = "did not finish" if which == "total" else "made no progress"
        text = f"{peer} {what} within {seconds:g} s"
        return DeadlineExceeded(text, which=which, provider=peer.provider, model=peer.model)

    def _limit(self) -> float:
        return min(self.last + self._patience, self.until)

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        limit = self._limit()
        if self._loop.time() < limit:
            self._timer = self._loop.call_at(limit, self._look)
            return
        self.expired = "total" if limit == self.until else "progress"
        self._task.cancel()


async def within(seconds: float, work: Awaitable[Any], *, peer: Peer) -> Any:
    """Return what `work` gives; raise `DeadlineExceeded("total")` when it takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        pass
    text = f"{peer} did not finish within {seconds:g} s"
    raise DeadlineExceeded(text, which="total", provider=peer.provider, model=peer.model)
