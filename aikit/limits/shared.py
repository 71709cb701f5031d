"""Limits that several processes share: the store they agree on, and the stage at which a request waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from aikit.limits.figures import Limits
from aikit.limits.lease import Amounts, Lease
from aikit.limits.queue import Waiter

__all__ = ["LimitStore", "SharedStage", "Taken"]

_BATCH = 16
"""Requests asked for at once: as many as may overtake nobody for one round trip."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a store granted."""

    tickets: tuple[int, ...]
    """One for each request granted, the first ones of those asked for."""
    wait: float = 0.0
    """Seconds after which asking for the next one may help; 0 when all were granted."""


class LimitStore(Protocol):
    """Where processes agree on what they send; SQLite now, another database behind the same four methods later."""

    def take(self, name: str, limits: Limits, wanted: Sequence[Amounts]) -> Future[Taken]:
        """Grant as many as fit, in order, against what all processes sent under this name."""
        ...

    def answered(self, ticket: int, window: float) -> None:
        """Let the request leave the window one window after now."""
        ...

    def settle(self, ticket: int, amounts: Amounts | None) -> None:
        """Replace what was set aside by what was used; None for a request that was never sent."""
        ...

    def freeze(self, name: str, seconds: float) -> None:
        """Let nobody send under this name for so long."""
        ...


class SharedStage:
    """Requests that this process would send and that wait for the other processes' consent, in their order.

    Every method but the answer's callback is called under the limiter's lock.
    """

    def __init__(self, store: LimitStore, name: str) -> None:
        self.store = store
        self._name = name
        self._pending: deque[tuple[Waiter, Lease]] = deque()
        self._asked: list[tuple[Waiter, Lease]] = []
        self._cancel_timer: Callable[[], None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether no further request should come here yet: in the queue a more urgent one can still pass it."""
        return len(self._pending) + len(self._asked) >= _BATCH

    def add(self, waiter: Waiter, lease: Lease) -> None:
        """Take a request in that this process's own limits admit."""
        self._pending.append((waiter, lease))

    def ask(self, limits: Limits) -> Future[Taken] | None:
        """Ask the store for all who wait here; None when it is being asked already or nobody waits."""
        self._pending = deque(pair for pair in self._pending if not pair[1].ended)
        if self._asked or self._cancel_timer is not None or not self._pending:
            return None
        self._asked = list(self._pending)
        self._pending.clear()
        return self.store.take(self._name, limits, [lease.amounts for _, lease in self._asked])

    def answer(self, taken: Taken) -> list[tuple[Waiter, Lease]]:
        """Return the pairs that were granted and are still wanted; the others wait on, the first first."""
        granted, rest = self._asked[: len(taken.tickets)], self._asked[len(taken.tickets) :]
        self._asked = []
        self._pending.extendleft(reversed(rest))
        wanted: list[tuple[Waiter, Lease]] = []
        for (waiter, lease), ticket in zip(granted, taken.tickets, strict=True):
            if lease.ended:
                self.store.settle(ticket, None)
                continue
            lease.ticket = ticket
            wanted.append((waiter, lease))
        return wanted

    def failed(self) -> list[tuple[Waiter, Lease]]:
        """Return all who asked, because the store can't answer."""
        asked, self._asked = self._asked, []
        return [pair for pair in asked if not pair[1].ended]

    def retry(self, wait: float, again: Callable[[], None]) -> None:
        """Ask again in `wait` seconds, where the first in line waits."""
        while self._pending and self._cancel_timer is None:
            self._cancel_timer = self._pending[0][0].loop.later(wait, again)
            if self._cancel_timer is None:
                self._pending.popleft()

    def hurry(self) -> None:
        """Ask again at once instead of in a while: something was given back here."""
        if self._cancel_timer is not None:
            self._cancel_timer()
        self._cancel_timer = None

    def woke(self) -> None:
        """Take note that the timer has fired."""
        self._cancel_timer = None
