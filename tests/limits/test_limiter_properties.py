"""What holds for every mixture of requests: no window is exceeded, nobody starves, every lease ends once."""

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from aikit.limits import Limits, RateLimiter
from tests.limits.clocks import FakeClock, run

WINDOW = 10.0


@dataclass(frozen=True)
class Asked:
    at: float
    tokens: int
    output: int
    priority: str
    group: str
    to_server: float
    answer: float
    used: float
    fate: str


@dataclass(frozen=True)
class Seen:
    """A request as the server counts it."""

    granted: float
    stamp: float
    tokens: int


times = st.floats(0, 40, allow_nan=False)
requests = st.builds(
    Asked,
    at=times,
    tokens=st.integers(0, 60),
    output=st.integers(0, 40),
    priority=st.sampled_from(["interactive", "run", "background"]),
    group=st.sampled_from(["", "a", "b"]),
    to_server=st.floats(0, 0.9),
    answer=st.floats(0, 15),
    used=st.floats(0, 1),
    fate=st.sampled_from(["settle", "settle", "settle", "unsent", "gives up"]),
)


async def send(limiter: RateLimiter, asked: Asked, clock: FakeClock, seen: list[Seen]) -> bool:
    """Return whether a lease was granted; note what reaches the server."""
    await asyncio.sleep(asked.at)
    reserve = limiter.reserve(asked.tokens, output_tokens=asked.output, priority=asked.priority, group=asked.group)
    if asked.fate == "gives up":
        try:
            lease = await asyncio.wait_for(reserve, asked.answer)
        except TimeoutError:
            return False
    else:
        lease = await reserve
    granted = clock()
    if asked.fate == "unsent":
        lease.cancel()
        return True
    await asyncio.sleep(asked.to_server)
    used = int(asked.used * asked.tokens), int(asked.used * asked.output)
    seen.append(Seen(granted, clock(), sum(used)))
    await asyncio.sleep(asked.answer / 2)
    lease.answered()
    await asyncio.sleep(asked.answer / 2)
    lease.settle(*used)
    return True


def largest(pairs: list[tuple[float, int]]) -> int:
    """Return the most that lies in any window of the pairs (time, amount)."""
    pairs = sorted(pairs)
    return max((sum(amount for when, amount in pairs if end - WINDOW < when <= end) for end, _ in pairs), default=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(requests, min_size=1, max_size=60), st.integers(1, 12), st.integers(100, 400), st.integers(1, 8))
def test_no_window_is_exceeded_and_everybody_gets_a_turn(all_asked, most_requests, most_tokens, concurrent):
    clock = FakeClock()
    limits = Limits(
        requests_per_minute=most_requests, tokens_per_minute=most_tokens, concurrent=concurrent, window=WINDOW
    )
    limiter = RateLimiter(limits, clock=clock)
    seen: list[Seen] = []

    async def main():
        return await asyncio.gather(*(send(limiter, asked, clock, seen) for asked in all_asked))

    granted = run(main(), clock)
    assert all(was or asked.fate == "gives up" for was, asked in zip(granted, all_asked, strict=True))
    assert largest([(one.granted, 1) for one in seen]) <= most_requests
    assert largest([(one.stamp, 1) for one in seen]) <= most_requests
    assert largest([(one.stamp, one.tokens) for one in seen]) <= most_tokens
    assert limiter.waiting() == []
    clock.advance(2 * WINDOW)
    assert limiter.headroom == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_a_lower_priority_goes_at_least_every_tenth_time(seed, waiting):
    clock = FakeClock()

    async def main():
        limiter = RateLimiter(Limits(requests_per_minute=1, window=1.0), clock=clock)
        order: list[str] = []

        async def call(priority: str) -> None:
            lease = await limiter.reserve(1, priority=priority)
            order.append(priority)
            lease.settle(1)

        tasks = [asyncio.create_task(call("run")) for _ in range(waiting)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(call("interactive")) for _ in range(200)]
        await asyncio.gather(*tasks)
        return order

    order = run(main(), clock)[1:]
    turns = [number for number, priority in enumerate(order) if priority == "run"]
    gaps = [late - early for early, late in zip([-1, *turns], turns, strict=False)]
    assert all(gap <= 10 for gap in gaps)
