"""An exact sliding window: what lies in it now, and when enough of it has left."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Iterator

from aikit.limits.lease import Amounts, Lease

__all__ = ["DAY", "DayWindow", "Window"]

DAY = 86_400.0
_EDGE = 0.001
"""Seconds more than the window: servers differ on whether a request exactly one window old still counts."""
_LEAST_SLACK = 1.0
_SLACK_SHARE = 0.05


class Window:
    """Amounts in the last `length` seconds, as the server may see them.

    The server counts a request some time after it was granted here and before its answer began. So a request lies in
    the window from its grant until `length` seconds after its answer began; or, where the answer takes long, after the
    latest time at which it can have arrived: its grant plus a slack of 5 % of the window, at least one second.
    """

    __slots__ = ("_answered", "_held", "_open", "length", "next_leaves", "used")

    def __init__(self, length: float) -> None:
        self.length = length + _EDGE
        self._held = self.length + max(_LEAST_SLACK, length * _SLACK_SHARE)
        self.used = [0, 0, 0, 0]
        # Both are in the order in which they leave: neither needs sorting, and both know their first at once.
        self._open: OrderedDict[Lease, None] = OrderedDict()
        self._answered: deque[Lease] = deque()
        self.next_leaves = math.inf

    def resize(self, length: float) -> None:
        """Go on with a window of another length."""
        self.length = length + _EDGE
        self._held = self.length + max(_LEAST_SLACK, length * _SLACK_SHARE)
        self.next_leaves = -math.inf

    def take(self, lease: Lease) -> None:
        """Count a lease from now on."""
        used = self.used
        requests, tokens, input_tokens, output_tokens = lease.amounts
        used[0] += requests
        used[1] += tokens
        used[2] += input_tokens
        used[3] += output_tokens
        self._open[lease] = None  # in the order of their grants
        leaves = lease.granted + self._held
        if leaves < self.next_leaves:
            self.next_leaves = leaves

    def answered(self, lease: Lease, now: float) -> None:
        """Let the lease leave one window after now, unless it leaves sooner anyway."""
        if lease.stamp or not lease.counted or now - lease.granted >= self._held - self.length:
            return
        if lease in self._open:
            del self._open[lease]
            lease.stamp = now
            self._answered.append(lease)
            if now + self.length < self.next_leaves:
                self.next_leaves = now + self.length

    def change(self, lease: Lease, amounts: Amounts) -> None:
        """Replace a lease's amounts."""
        if lease.counted:
            used, old = self.used, lease.amounts
            used[0] += amounts[0] - old[0]
            used[1] += amounts[1] - old[1]
            used[2] += amounts[2] - old[2]
            used[3] += amounts[3] - old[3]
        lease.amounts = amounts

    def drop(self, lease: Lease) -> None:
        """Forget a lease that was never sent."""
        if lease.counted:
            self.change(lease, (0, 0, 0, 0))
            self._open.pop(lease, None)  # one in `_answered` leaves in its turn, with nothing

    def expire(self, now: float) -> None:
        """Let go of what has left the window by now."""
        if now < self.next_leaves:
            return
        while self._answered and self._answered[0].stamp + self.length <= now:
            self._leave(self._answered.popleft())
        while self._open and (first := next(iter(self._open))).granted + self._held <= now:
            del self._open[first]
            self._leave(first)
        self.next_leaves = min((when for when, _ in self._first()), default=math.inf)

    def _leave(self, lease: Lease) -> None:
        for index, amount in enumerate(lease.amounts):
            self.used[index] -= amount
        lease.counted = False

    def _first(self) -> Iterator[tuple[float, Lease]]:
        if self._answered:
            yield self._answered[0].stamp + self.length, self._answered[0]
        if self._open:
            first = next(iter(self._open))
            yield first.granted + self._held, first

    def leaving(self) -> Iterator[tuple[float, Amounts]]:
        """Yield when each lease leaves, the first to leave first, with its amounts."""
        answered = ((one.stamp + self.length, one.amounts) for one in self._answered)
        still_open = ((one.granted + self._held, one.amounts) for one in self._open)
        return heapq.merge(answered, still_open)

    def time_for(self, excess: dict[int, int]) -> float:
        """Return when at least `excess[dimension]` has left, for every dimension; infinity when it never will."""
        missing = {index: amount for index, amount in excess.items() if amount > 0}
        if not missing:
            return -math.inf
        for when, amounts in self.leaving():
            missing = {index: left - amounts[index] for index, left in missing.items() if left > amounts[index]}
            if not missing:
                return when
        return math.inf

    def recent(self, since: float) -> Amounts:
        """Return what was granted since then and is not answered yet: a server may not have counted it."""
        found = [one.amounts for one in self._recent_open(since)]
        return (sum(a[0] for a in found), sum(a[1] for a in found), sum(a[2] for a in found), sum(a[3] for a in found))

    def _recent_open(self, since: float) -> Iterator[Lease]:
        for lease in reversed(self._open):
            if lease.granted < since:
                return
            yield lease


class DayWindow:
    """Requests in the last 24 hours, counted by the second: small whatever the limit."""

    __slots__ = ("_cells", "used")

    def __init__(self) -> None:
        self._cells: deque[list[float]] = deque()
        self.used = 0

    def take(self, lease: Lease) -> None:
        """Count a lease; a second's requests leave together, with the last of them."""
        if not self._cells or lease.granted - self._cells[-1][0] >= 1.0:
            self._cells.append([lease.granted, lease.granted, 0.0])
        cell = self._cells[-1]
        cell[1] = lease.granted
        cell[2] += 1
        self.used += 1
        lease.day = cell

    def drop(self, lease: Lease) -> None:
        """Forget a lease that was never sent."""
        if lease.day is not None and lease.day[2] > 0:
            lease.day[2] -= 1
            self.used -= 1
        lease.day = None

    def expire(self, now: float) -> None:
        """Let go of what is a day old; three seconds more, for the way to the server."""
        while self._cells and self._cells[0][1] + DAY + 3.0 <= now:
            cell = self._cells.popleft()
            self.used -= int(cell[2])
            cell[2] = 0

    def time_for(self, excess: int) -> float:
        """Return when at least `excess` requests have left."""
        if excess <= 0:
            return -math.inf
        for cell in self._cells:
            excess -= int(cell[2])
            if excess <= 0:
                return cell[1] + DAY + 3.0
        return math.inf
