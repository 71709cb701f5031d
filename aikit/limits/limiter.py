"""A rate limiter: what may be sent now, who waits, and what the server has taught it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from aikit.errors import RateLimitExceeded
from aikit.limits.bucket import BURST
from aikit.limits.figures import DIMENSIONS, Limits
from aikit.limits.lease import Amounts, Lease
from aikit.limits.meters import Meters
from aikit.limits.queue import Priority, Queue, Waiter, Waiting, rank_of
from aikit.limits.shared import LimitStore, SharedStage, Taken
from aikit.limits.wakeups import Loop, Wakeup

__all__ = ["RateLimiter"]


class RateLimiter:
    """Admits requests so that no sliding window ever holds more than the limits, paced, the most urgent first.

    Safe to use from several event loops and threads at once. Nothing polls: while all wait for the same instant there
    is one timer, and nobody is woken who can't go. With a `store` all processes that use the same `name` in it share
    the limits: then no request goes without the store's consent, and `try_reserve` never grants.
    """

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008 — frozen
        *,
        name: str = "",
        store: LimitStore | None = None,
        learns: bool = True,
        burst: float = BURST,
        longest_queue: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self._learns = learns
        self._longest_queue = longest_queue
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._meters = Meters(limits, burst=burst, now=clock())
        self._queue = Queue()
        self._wakeup = Wakeup()
        self._shared = SharedStage(store, name) if store is not None else None

    def __repr__(self) -> str:
        return f"RateLimiter({self.name!r}, {self.limits}, waiting={len(self._queue)})"

    @property
    def limits(self) -> Limits:
        """The configured figures."""
        return self._meters.limits

    @property
    def headroom(self) -> float:
        """The smallest free share of any limit, 0 to 1; 1 without limits."""
        with self._lock:
            return self._meters.headroom(self._clock())

    @property
    def timers_fired(self) -> int:
        """How often a timer went off so far: at most once for each instant at which somebody could go."""
        return self._wakeup.fired

    def try_reserve(
        self, tokens: int, *, output_tokens: int = 0, priority: Priority = "interactive", group: str = ""
    ) -> Lease | None:
        """Return a lease when the request may be sent at once, None when it has to wait; never blocks."""
        now = self._clock()
        amounts = (1, tokens + output_tokens, tokens, output_tokens)
        with self._lock:
            if self._queue or self._shared is not None or not self._meters.fits(amounts, now):
                return None
            return self._meters.take(Lease(self, amounts, now))

    async def reserve(
        self,
        tokens: int,
        *,
        output_tokens: int = 0,
        priority: Priority = "interactive",
        deadline: float | None = None,
        group: str = "",
    ) -> Lease:
        """Wait for the request's turn; `tokens` is the estimated input, `output_tokens` the most it may answer.

        `deadline` is a time on the limiter's clock. Raises `RateLimitExceeded` at once when the request is larger than
        a limit, can't be admitted before the deadline, or finds the queue full.
        """
        lease = self.try_reserve(tokens, output_tokens=output_tokens)
        if lease is not None:
            return lease
        loop = asyncio.get_running_loop()
        amounts = (1, tokens + output_tokens, tokens, output_tokens)
        now = self._clock()
        waiter = Waiter(amounts, rank_of(priority), group, now, deadline, Loop(loop), loop.create_future())
        with self._lock:
            self._admit(waiter, now)
            self._queue.join(waiter)
            self._pump(now)
        expiry = None if deadline is None else loop.call_later(deadline - now, self._late, waiter)
        try:
            return await waiter.future
        except BaseException:
            self._forget(waiter)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn what is left and when it is full again; a 429 stops all until then and halves the pace.

        `headers` have their names in lower case.
        """
        if not self._learns:
            return
        now = self._clock()
        with self._lock:
            frozen = self._meters.observe(status, headers, now, self._wall())
            if frozen and self._shared is not None:
                self._shared.store.freeze(self.name, frozen)
            self._pump(now)

    def configure(self, limits: Limits) -> None:
        """Go on with other limits; what was sent already counts against them."""
        now = self._clock()
        with self._lock:
            self._meters.configure(limits, now)
            refused = [one for one in self._queue if self._meters.oversized(one.amounts)]
            for waiter in refused:
                self._queue.leave(waiter)
            self._pump(now)
        for waiter in refused:
            waiter.refuse(self._too_large(waiter.amounts))

    def waiting(self) -> list[Waiting]:
        """Return who waits, by priority and age."""
        now = self._clock()
        with self._lock:
            return [
                Waiting(
                    self.name,
                    number,
                    one.rank,
                    one.group,
                    one.amounts[1],
                    now - one.since,
                    None if one.deadline is None else one.deadline - now,
                )
                for number, one in enumerate(self._queue, start=1)
            ]

    # -- what a lease calls

    def answered(self, lease: Lease) -> None:
        """Let the lease's window begin to end; see `Lease.answered`."""
        with self._lock:
            self._meters.answered(lease, self._clock())
            if self._shared is not None and lease.ticket is not None:
                self._shared.store.answered(lease.ticket, self.limits.window)

    def settled(self, lease: Lease, amounts: Amounts) -> None:
        """Count what was used; see `Lease.settle`."""
        now = self._clock()
        with self._lock:
            self._end(lease)
            self._meters.settle(lease, amounts, now)
            self._tell_store(lease, amounts)
            if self._queue or self._shared is not None:
                self._pump(now)

    def cancelled(self, lease: Lease) -> None:
        """Give a lease back; see `Lease.cancel`."""
        now = self._clock()
        with self._lock:
            self._end(lease)
            self._meters.cancel(lease)
            self._tell_store(lease, None)
            if self._queue or self._shared is not None:
                self._pump(now)

    def _tell_store(self, lease: Lease, amounts: Amounts | None) -> None:
        if self._shared is None:
            return
        if lease.ticket is not None:
            self._shared.store.settle(lease.ticket, amounts)
        self._shared.hurry()

    def _end(self, lease: Lease) -> None:
        if lease.ended:
            raise RuntimeError("a lease is settled or cancelled once")
        lease.ended = True

    # -- the queue; the lock is held

    def _admit(self, waiter: Waiter, now: float) -> None:
        if self._meters.oversized(waiter.amounts):
            raise self._too_large(waiter.amounts)
        if len(self._queue) >= self._longest_queue:
            raise RateLimitExceeded(f"{self._named}: {len(self._queue)} requests wait already; the queue is full")
        waiter.share = self._meters.share(waiter.amounts)
        if waiter.deadline is None:
            return
        earliest = self._meters.earliest(waiter.amounts, self._queue.ahead(waiter.rank), now)
        if earliest > waiter.deadline:
            raise RateLimitExceeded(
                f"{self._named}: free in {max(0.0, earliest - now):.1f} s at the earliest, after the deadline in"
                f" {max(0.0, waiter.deadline - now):.1f} s",
                retry_at=self._wall() + timedelta(seconds=max(0.0, min(earliest - now, 366 * 86_400))),
            )

    @property
    def _named(self) -> str:
        return f"the rate limit of {self.name}" if self.name else "the rate limit"

    def _too_large(self, amounts: Amounts) -> RateLimitExceeded:
        index, limit = self._meters.oversized(amounts) or (0, 0)
        what = DIMENSIONS[index].replace("_", " ")
        return RateLimitExceeded(
            f"{self._named} allows {limit} {what} in {self.limits.window:g} s; the request takes {amounts[index]}:"
            " shorten the prompt, lower max_tokens or raise the limit"
        )

    def _pump(self, now: float) -> None:
        """Grant to all who may go now; then set the one timer, for when the head may."""
        while (head := self._queue.head()) is not None:
            if self._shared is not None and self._shared.is_full:
                break
            ready = self._meters.ready(head.amounts, now)
            if ready > now:
                if self._wakeup.set(head, head.loop, ready, now, self._fired):
                    self._ask_store()
                    return
                self._queue.leave(head)
                continue
            self._queue.served(head)
            head.lease = self._meters.take(Lease(self, head.amounts, now))
            if self._shared is not None:
                self._shared.add(head, head.lease)
            else:
                self._hand_over(head, head.lease)
        self._wakeup.clear()
        self._ask_store()

    def _hand_over(self, waiter: Waiter, lease: Lease) -> None:
        if not waiter.grant(lease):  # its event loop is closed
            lease.ended = True
            self._meters.cancel(lease)
            self._tell_store(lease, None)

    # -- limits shared with other processes

    def _ask_store(self) -> None:
        if self._shared is None:
            return
        future = self._shared.ask(self.limits)
        if future is not None:
            future.add_done_callback(self._store_answered)

    def _store_answered(self, future: Future[Taken]) -> None:
        """Hand over what the store granted; runs in whatever thread the store answers in."""
        if self._shared is None:
            return
        error = future.exception()
        if error is not None:
            self._store_failed(error)
            return
        taken = future.result()
        with self._lock:
            for waiter, lease in self._shared.answer(taken):
                self._hand_over(waiter, lease)
            if taken.wait > 0:
                self._shared.retry(taken.wait, self._store_retry)
            self._pump(self._clock())

    def _store_failed(self, error: BaseException) -> None:
        if self._shared is None:
            return
        with self._lock:
            refused = self._shared.failed()
            for _, lease in refused:
                lease.ended = True
                self._meters.cancel(lease)
        for waiter, _ in refused:
            waiter.refuse(RateLimitExceeded(f"{self._named} is shared, and its store can't be asked: {error}"))

    def _store_retry(self) -> None:
        with self._lock:
            if self._shared is not None:
                self._shared.woke()
            self._pump(self._clock())

    # -- timers and those who stop waiting

    def _fired(self) -> None:
        with self._lock:
            self._wakeup.went_off()
            self._pump(self._clock())

    def _late(self, waiter: Waiter) -> None:
        with self._lock:
            if not self._queue.leave(waiter):
                if waiter.delivered or waiter.lease is None or waiter.lease.ended:
                    return
                waiter.lease.ended = True  # the store has not consented yet
                self._meters.cancel(waiter.lease)
                self._tell_store(waiter.lease, None)
            self._pump(self._clock())
        waited = self._clock() - waiter.since
        waiter.refuse(RateLimitExceeded(f"{self._named}: no turn came within {waited:.1f} s"))

    def _forget(self, waiter: Waiter) -> None:
        """Give back what a request held that stopped waiting: its place, or the lease it was just given."""
        with self._lock:
            if self._queue.leave(waiter):
                self._pump(self._clock())
                return
            lease = waiter.lease
            if lease is None or lease.ended:
                return
        lease.cancel()
