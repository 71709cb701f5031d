"""The queue of those who wait for a rate limit: who goes next, and who is waiting."""

from __future__ import annotations

from asyncio import Future
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aikit.errors import ConfigError
from aikit.limits.lease import Amounts, Lease
from aikit.limits.wakeups import Loop

__all__ = ["PRIORITIES", "Priority", "Queue", "Waiter", "Waiting", "rank_of"]

Priority = Literal["interactive", "run", "background"] | int
"""A name, or a number: the lower goes first; the names stand for 0, 10 and 20."""

PRIORITIES = {"interactive": 0, "run": 10, "background": 20}

_PASSES = 8
"""Grants by which one level of priority is ahead of the next: a level that waits gets at least every tenth."""


def rank_of(priority: Priority) -> int:
    """Return the priority as a number, the lower the more urgent."""
    if isinstance(priority, int):
        return priority
    if priority not in PRIORITIES:
        raise ConfigError(f"no priority {priority!r}: {', '.join(PRIORITIES)} or a whole number")
    return PRIORITIES[priority]


@dataclass(slots=True, eq=False)
class Waiter:
    """One request in the queue."""

    amounts: Amounts
    rank: int
    group: str
    since: float
    """When it joined, on the limiter's clock."""
    deadline: float | None
    loop: Loop
    """Where it waits."""
    future: Future[Lease]
    """Gets the lease, or the refusal; touched in its loop only."""
    lease: Lease | None = None
    """What it was granted; None while it waits."""
    share: float = 0.0
    """The part of a window that it takes."""
    gone: bool = False
    """True once it has left the queue."""
    delivered: bool = False
    """True once the lease was handed over."""

    def grant(self, lease: Lease) -> bool:
        """Hand the lease over in the waiter's loop; False when that loop is closed."""
        self.lease = lease
        self.delivered = True
        return self.loop.call(self._deliver, lease)

    def _deliver(self, lease: Lease) -> None:
        # A future that is done was cancelled between grant and delivery: its task gives the lease back.
        if not self.future.done():
            self.future.set_result(lease)

    def refuse(self, error: Exception) -> None:
        """Raise an error where it waits."""
        self.loop.call(lambda: None if self.future.done() else self.future.set_exception(error))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits, for what, for how long: a row of `kit.queue`."""

    limiter: str
    position: int
    """1 for the next to go."""
    priority: int
    group: str
    tokens: int
    """Input and output tokens asked for."""
    waited: float
    """Seconds in the queue so far."""
    time_left: float | None
    """Seconds until its deadline; None without one."""


class _Group:
    """The requests of one run, the oldest first."""

    __slots__ = ("served", "waiters")

    def __init__(self, served: float) -> None:
        self.waiters: deque[Waiter] = deque()
        self.served = served
        """The share of the limit that it has had, on its level's scale."""


class _Level:
    """All who wait at one priority, by group; the group that has had the smallest share goes first."""

    __slots__ = ("groups", "passed", "virtual")

    def __init__(self) -> None:
        self.groups: dict[str, _Group] = {}
        self.passed = 0
        """Grants to more urgent levels since this one's last."""
        self.virtual = 0.0
        """The share of the group served last: where a group that joins begins."""

    def first(self) -> _Group | None:
        for name in [name for name, group in self.groups.items() if not _trimmed(group.waiters)]:
            del self.groups[name]
        return min(self.groups.values(), key=lambda group: group.served, default=None)


def _trimmed(waiters: deque[Waiter]) -> bool:
    while waiters and waiters[0].gone:
        waiters.popleft()
    return bool(waiters)


class Queue:
    """Ordered by priority, then fair between groups, then by age; a level that is passed over moves up in time.

    The first in line holds its place: nobody behind it goes before it, however small.
    """

    __slots__ = ("_counts", "_levels")

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}
        self._counts: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def join(self, waiter: Waiter) -> None:
        """Put a request at the end of its group."""
        level = self._levels.get(waiter.rank)
        if level is None:
            level = self._levels[waiter.rank] = _Level()
        group = level.groups.get(waiter.group)
        if group is None:
            group = level.groups[waiter.group] = _Group(level.virtual)
        group.waiters.append(waiter)
        self._counts[waiter.rank] += 1

    def leave(self, waiter: Waiter) -> bool:
        """Take a request out; False when it was out already."""
        if waiter.gone:
            return False
        waiter.gone = True
        self._counts[waiter.rank] -= 1
        if not self._counts[waiter.rank]:
            del self._counts[waiter.rank]
        return True

    def head(self) -> Waiter | None:
        """Return who goes next; None when nobody waits."""
        found = self._next()
        return found[1].waiters[0] if found else None

    def _next(self) -> tuple[_Level, _Group] | None:
        best: tuple[float, _Level, _Group] | None = None
        place = 0
        for rank in sorted(self._levels):
            level = self._levels[rank]
            group = level.first()
            if group is None:
                del self._levels[rank]
                continue
            standing = place - level.passed / _PASSES
            if best is None or standing < best[0]:
                best = standing, level, group
            place += 1
        return (best[1], best[2]) if best else None

    def served(self, waiter: Waiter) -> None:
        """Take the head out because it was granted, and book its share."""
        found = self._next()
        if found is None or found[1].waiters[0] is not waiter:
            raise AssertionError("only the head of the queue is served")
        chosen, group = found
        for level in self._levels.values():
            level.passed += 1
        chosen.passed = 0
        chosen.virtual = group.served
        group.served += waiter.share
        self.leave(waiter)

    def ahead(self, rank: int) -> int:
        """Return how many wait at this priority or a more urgent one."""
        return sum(count for one, count in self._counts.items() if one <= rank)

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over those who wait by priority and age, roughly the order in which they go."""
        for rank in sorted(self._levels):
            level = self._levels[rank]
            found = [one for group in level.groups.values() for one in group.waiters if not one.gone]
            yield from sorted(found, key=lambda waiter: waiter.since)
