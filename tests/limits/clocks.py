"""A clock that moves only when told to, and an event loop that lives by it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class FakeClock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class _InstantSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the clock by the time it would have waited."""

    clock: FakeClock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout:
            self.clock.advance(timeout)
        return super().select(0)


class FakeLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        selector = _InstantSelector()
        selector.clock = clock
        super().__init__(selector)

    def time(self) -> float:
        return self._clock()


def run(main: Coroutine[Any, Any, Any], clock: FakeClock) -> Any:
    """Run a coroutine to its end in no real time: every sleep moves the clock."""
    with asyncio.Runner(loop_factory=lambda: FakeLoop(clock)) as runner:
        return runner.run(main)
