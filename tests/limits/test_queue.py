"""Who goes next: priority, fairness between runs, age, a large request's place, and how seldom anybody is woken."""

import asyncio
import threading
import time

import pytest

from aikit.errors import ConfigError
from aikit.limits import Limits, RateLimiter
from tests.limits.clocks import FakeClock, run


async def order_of(limiter: RateLimiter, asked: list[dict], clock: FakeClock) -> list[str]:
    """Ask for all in turn while nothing is free; return the names in the order in which they were granted."""
    order: list[str] = []
    hold = await limiter.reserve(0)

    async def call(name: str, tokens: int = 1, **how) -> None:
        lease = await limiter.reserve(tokens, **how)
        order.append(name)
        await asyncio.sleep(0.01)
        lease.settle(tokens)

    tasks = []
    for one in asked:
        tasks.append(asyncio.create_task(call(**one)))
        await asyncio.sleep(0.001)
    hold.settle(0)
    await asyncio.gather(*tasks)
    return order


def granted(asked: list[dict], **limits) -> list[str]:
    clock = FakeClock()

    async def main():
        return await order_of(RateLimiter(Limits(**limits), clock=clock, burst=1.0), asked, clock)

    return run(main(), clock)


def test_the_more_urgent_goes_first_and_the_older_among_equals():
    asked = [
        {"name": "b1", "priority": "background"},
        {"name": "r1", "priority": "run"},
        {"name": "r2", "priority": "run"},
        {"name": "i1"},
        {"name": "n", "priority": 5},
    ]
    assert granted(asked, concurrent=1) == ["i1", "n", "r1", "r2", "b1"]


def test_runs_share_in_turn():
    asked = [{"name": f"a{n}", "group": "a", "priority": "run"} for n in range(6)]
    asked += [{"name": f"b{n}", "group": "b", "priority": "run"} for n in range(3)]
    assert granted(asked, concurrent=1)[:6] == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_run_with_large_requests_gets_fewer_of_them():
    asked = [{"name": "A", "group": "a", "tokens": 30} for _ in range(6)]
    asked += [{"name": "b", "group": "b", "tokens": 10} for _ in range(12)]
    first = granted(asked, concurrent=1, tokens_per_minute=1_000)[:8]
    assert first.count("A") == 2 and first.count("b") == 6


def test_a_large_request_at_the_head_holds_its_place():
    clock = FakeClock()

    async def main():
        limiter = RateLimiter(Limits(tokens_per_minute=100), clock=clock, burst=1.0)
        order = []

        async def call(name: str, tokens: int) -> None:
            (await limiter.reserve(tokens)).settle(tokens)
            order.append(name)

        (await limiter.reserve(60)).settle(60)
        await asyncio.gather(call("large", 90), *(call("small", 5) for _ in range(20)))
        return order

    assert run(main(), clock).index("large") == 0


def test_an_unknown_priority_is_refused():
    async def main():
        limiter = RateLimiter(Limits(concurrent=1))
        await limiter.reserve(1)
        with pytest.raises(ConfigError, match="no priority 'urgent'"):
            await limiter.reserve(1, priority="urgent")

    asyncio.run(main())


def test_the_queue_shows_who_waits_for_what_and_how_long():
    clock = FakeClock()

    async def main():
        limiter = RateLimiter(Limits(concurrent=1), clock=clock, name="openai")
        await limiter.reserve(1)
        late = asyncio.create_task(limiter.reserve(7, output_tokens=3, priority="run", group="r1"))
        await asyncio.sleep(2)
        soon = asyncio.create_task(limiter.reserve(1, deadline=clock() + 9))
        await asyncio.sleep(1)
        rows = limiter.waiting()
        late.cancel()
        soon.cancel()
        return rows

    first, second = run(main(), clock)
    assert (first.position, first.limiter, first.priority, first.waited, first.time_left) == (1, "openai", 0, 1.0, 8.0)
    assert (second.group, second.tokens, second.waited, second.time_left) == ("r1", 10, 3.0, None)


def test_ten_thousand_wait_without_being_woken_and_a_decision_is_quick():
    clock = FakeClock()

    async def main():
        limiter = RateLimiter(Limits(requests_per_minute=60), clock=clock)
        tasks = [
            asyncio.create_task(limiter.reserve(1, priority=("run", "background")[n % 2], group=f"g{n % 7}"))
            for n in range(10_006)
        ]
        await asyncio.sleep(0)
        assert len(limiter.waiting()) == 10_000
        await asyncio.sleep(10.5)
        granted, fired = sum(task.done() for task in tasks) - 6, limiter.timers_fired
        lease = tasks[0].result()
        start = time.process_time()
        lease.settle(1)
        decision = time.process_time() - start
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return granted, fired, decision, len(limiter.waiting())

    granted, fired, decision, left = run(main(), clock)
    assert granted == fired == 10  # each time the timer goes off, somebody goes
    assert decision < 0.05
    assert left == 0


def test_waiters_on_several_event_loops_and_threads_share_one_limit():
    limiter = RateLimiter(Limits(requests_per_minute=20, concurrent=3, window=0.5), burst=1.0)
    granted: list[float] = []
    lock = threading.Lock()

    async def call() -> None:
        lease = await limiter.reserve(1)
        with lock:
            granted.append(time.monotonic())
        await asyncio.sleep(0.002)
        lease.settle(1)

    async def main() -> None:
        await asyncio.gather(*(call() for _ in range(15)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    granted.sort()
    assert len(granted) == 60
    assert all(late - early > 0.5 for early, late in zip(granted, granted[20:], strict=False))


def test_a_loop_that_ends_leaves_no_one_in_the_queue():
    limiter = RateLimiter(Limits(concurrent=1))

    async def holds() -> None:
        await limiter.reserve(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limiter.reserve(1), 0.01)

    asyncio.run(holds())
    assert limiter.waiting() == []
