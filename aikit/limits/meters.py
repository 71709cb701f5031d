"""The meters of one limiter: windows, paces, days and calls under way, and what each allows when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from aikit.limits.bucket import Bucket
from aikit.limits.figures import Limits
from aikit.limits.learning import allowances, frozen_seconds
from aikit.limits.lease import Amounts, Lease
from aikit.limits.window import DayWindow, Window

__all__ = ["Meters"]

_SLOWEST = 1 / 16
_BACK_AFTER_SILENCE = 1.0
"""Seconds without requests after a 429 that does not say how long."""
_LEAST_GUESSED = 1.0
"""Requests a second that an unknown limit is taken to allow at least."""
_UNSEEN = 1.0
"""Seconds in which a request may not have reached the server's count yet."""


class Meters:
    """All state of a limiter but its queue; the caller holds the lock."""

    def __init__(self, limits: Limits, *, burst: float, now: float) -> None:
        self._burst = burst
        self._window = Window(limits.window)
        self._day = DayWindow()
        self._running = 0
        self._told: dict[int, Bucket] = {}
        self._told_until: dict[int, float] = {}
        self._frozen_until = -math.inf
        self._factor = 1.0
        self._raised_at = now
        self._guessed = False
        self.limits = limits
        self._figures: list[tuple[int, int]] = []
        self._buckets: list[tuple[int, Bucket]] = []
        self.configure(limits, now)

    def configure(self, limits: Limits, now: float) -> None:
        """Take over other limits."""
        self.limits = limits
        self._guessed = False
        self._figures = list(limits.in_window())
        self._window.resize(limits.window)
        levels = {index: bucket.level(now) / bucket.capacity for index, bucket in self._buckets}
        self._buckets = []
        for index, limit in self._figures:
            bucket = Bucket.paced(limit, limits.window, now=now, burst=self._burst)
            bucket.take(bucket.capacity * (1 - levels.get(index, 1.0)))
            self._buckets.append((index, bucket))
        self._pace(now)

    # -- what is allowed

    def fits(self, amounts: Amounts, now: float) -> bool:
        """Say whether a request may go now."""
        limits = self.limits
        if limits.concurrent is not None and self._running >= limits.concurrent:
            return False
        window = self._window
        if now >= window.next_leaves:
            window.expire(now)
        used = window.used
        for index, limit in self._figures:
            if used[index] + amounts[index] > limit:
                return False
        for index, bucket in self._buckets:
            if not bucket.has(amounts[index], now):
                return False
        if limits.requests_per_day is not None:
            self._day.expire(now)
            if self._day.used >= limits.requests_per_day:
                return False
        return now >= self._frozen_until and (not self._told or self._told_time(amounts, now) <= now)

    def ready(self, amounts: Amounts, now: float) -> float:
        """Return when a request may go if nobody else does; infinity while only the end of another can help."""
        if self.fits(amounts, now):
            return now
        limits = self.limits
        if limits.concurrent is not None and self._running >= limits.concurrent:
            return math.inf
        excess = {index: self._window.used[index] + amounts[index] - limit for index, limit in self._figures}
        times = [self._window.time_for(excess), self._frozen_until, self._told_time(amounts, now)]
        times += [bucket.time_for(amounts[index], now) for index, bucket in self._buckets]
        if limits.requests_per_day is not None:
            times.append(self._day.time_for(self._day.used + 1 - limits.requests_per_day))
        return max(times)

    def earliest(self, amounts: Amounts, ahead: int, now: float) -> float:
        """Return a time before which the request can't go, whatever those under way and ahead turn out to use.

        Tokens set aside may come back, so of those ahead only their number counts.
        """
        if self.limits.concurrent is not None and self._running >= self.limits.concurrent:
            return now
        times = [now, self._frozen_until]
        day = self.limits.requests_per_day
        for index, bucket in self._buckets:
            if index == 0 and not self._guessed:
                times.append(bucket.time_for(1, now) + ahead / bucket.rate)
                excess = {0: self._window.used[0] + min(ahead + 1, int(bucket.limit)) - int(bucket.limit)}
                times.append(self._window.time_for(excess))
        if day is not None:
            self._day.expire(now)
            times.append(self._day.time_for(self._day.used + 1 - day))
        return max(times)

    def oversized(self, amounts: Amounts) -> tuple[int, int] | None:
        """Return the dimension and limit that the request alone passes; None when it fits all."""
        return next(((index, limit) for index, limit in self._figures if amounts[index] > limit), None)

    def share(self, amounts: Amounts) -> float:
        """Return the part of a window that the request takes, of the limit that it strains most."""
        return max((amounts[index] / limit for index, limit in self._figures), default=1.0)

    def headroom(self, now: float) -> float:
        """Return the smallest free share of any limit, 0 to 1."""
        self._window.expire(now)
        if now < self._frozen_until:
            return 0.0
        shares = [1 - self._window.used[index] / limit for index, limit in self._figures]
        if self.limits.concurrent is not None:
            shares.append(1 - self._running / self.limits.concurrent)
        if self.limits.requests_per_day is not None:
            shares.append(1 - self._day.used / self.limits.requests_per_day)
        return max(0.0, min(shares, default=1.0))

    # -- what is taken and given back

    def take(self, lease: Lease) -> Lease:
        """Count a granted lease."""
        amounts = lease.amounts
        self._window.take(lease)
        for index, bucket in self._buckets:
            bucket.take(amounts[index])
        self._running += 1
        if self.limits.requests_per_day is not None:
            self._day.take(lease)
        if self._told:
            for index, bucket in self._told.items():
                bucket.take(amounts[index])
        return lease

    def answered(self, lease: Lease, now: float) -> None:
        """Take note that the server has counted the request by now."""
        self._window.answered(lease, now)

    def settle(self, lease: Lease, amounts: Amounts, now: float) -> None:
        """Count what was used instead of what was set aside."""
        self._running -= 1
        self._refund(lease, amounts)
        self._window.answered(lease, now)

    def cancel(self, lease: Lease) -> None:
        """Forget a request that was never sent."""
        self._running -= 1
        self._refund(lease, (0, 0, 0, 0))
        self._window.drop(lease)
        self._day.drop(lease)

    def _refund(self, lease: Lease, amounts: Amounts) -> None:
        held = lease.amounts
        for index, bucket in self._buckets:
            bucket.give(held[index] - amounts[index])
        if self._told:
            for index, bucket in self._told.items():
                bucket.give(held[index] - amounts[index])
        self._window.change(lease, amounts)

    # -- what the server says

    def observe(self, status: int, headers: Mapping[str, str], now: float, wall: datetime) -> float:
        """Take over what is left by the server's count; a 429 freezes all and halves the pace.

        Returns the seconds for which nothing is to be sent, 0 where all may go on.
        """
        if status == 429:
            self._refused(frozen_seconds(status, headers, now=wall), now)
        elif status < 400 and self._factor < 1.0:
            self._raise(now)
        found = allowances(headers, now=wall)
        unseen = self._window.recent(now - _UNSEEN) if found else (0, 0, 0, 0)
        for one in found:
            full = one.limit or math.inf
            level = one.remaining - unseen[one.dimension]
            bucket = Bucket(full, rate=one.rate, capacity=full, level=level, now=now)
            self._told[one.dimension] = bucket
            self._told_until[one.dimension] = now + one.reset
        return max(0.0, self._frozen_until - now) if status == 429 else 0.0

    def _told_time(self, amounts: Amounts, now: float) -> float:
        """Return when the server's own count allows the request; what it said holds until its reset."""
        latest = -math.inf
        for index, until in list(self._told_until.items()):
            if until <= now:
                del self._told_until[index], self._told[index]
                continue
            latest = max(latest, min(until, self._told[index].time_for(amounts[index], now)))
        return latest

    def _refused(self, seconds: float | None, now: float) -> None:
        if now >= self._frozen_until:  # of many refused at once, one halves the pace
            self._guess(now)
            self._factor = max(_SLOWEST, self._factor / 2)
            self._pace(now)
        wait = _BACK_AFTER_SILENCE if seconds is None else seconds
        self._frozen_until = max(self._frozen_until, now + wait)
        self._raised_at = self._frozen_until

    def _guess(self, now: float) -> None:
        """Without a limit on requests, pace them by what the server let through until now."""
        if any(index == 0 for index, _ in self._buckets):
            return
        self._window.expire(now)
        # What was sent until now bounds the limit from below only: one 429 to a kit that has just begun, or has idled,
        # must not make it wait minutes between two calls.
        seen = max(self._window.used[0], _LEAST_GUESSED * self.limits.window)
        self._buckets.insert(0, (0, Bucket.paced(seen, self.limits.window, now=now, burst=self._burst)))
        self._guessed = True

    def _raise(self, now: float) -> None:
        """Let success restore the pace: from a half to the whole in one window of successes."""
        gap = min(max(0.0, now - self._raised_at), self.limits.window / 10)
        self._raised_at = max(now, self._raised_at)
        self._factor = min(1.0, self._factor + 0.5 * gap / self.limits.window)
        if self._factor == 1.0 and self._guessed:
            self._buckets = [(index, bucket) for index, bucket in self._buckets if index != 0]
            self._guessed = False
        self._pace(now)

    def _pace(self, now: float) -> None:
        for _, bucket in self._buckets:
            bucket.pace(bucket.limit / self.limits.window * self._factor, now)
