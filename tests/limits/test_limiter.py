"""The rate limiter by a clock that moves only when told to: windows, order, deadlines, refunds, what it learns."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest

from aikit.errors import ConfigError, RateLimitExceeded
from aikit.limits import Limits, RateLimiter
from tests.limits.clocks import FakeClock, run


def limiter(clock: FakeClock, **limits):
    return RateLimiter(Limits(**limits), clock=clock, name="test", burst=1.0)


def test_a_request_within_the_limit_goes_at_once():
    lease = limiter(FakeClock(), requests_per_minute=1).try_reserve(10)
    assert lease is not None
    lease.settle(10)


def test_a_request_over_the_limit_waits_for_the_window_to_move():
    clock = FakeClock()

    async def main():
        requests = limiter(clock, requests_per_minute=2)
        start = clock()
        for _ in range(3):
            (await requests.reserve(1)).settle(1)
        return clock() - start

    assert 60 < run(main(), clock) < 60.1


def test_pacing_allows_a_tenth_at_once_and_spreads_the_rest():
    clock = FakeClock()

    async def main():
        paced = RateLimiter(Limits(requests_per_minute=60), clock=clock)
        start, times = clock(), []
        for _ in range(60):
            (await paced.reserve(1)).settle(1)
            times.append(clock() - start)
        return times

    times = run(main(), clock)
    assert times[5] == 0 and times[6] > 0.9
    assert 53.9 < times[59] < 55


def test_input_and_output_tokens_are_limited_apart():
    clock = FakeClock()
    tokens = limiter(clock, input_tokens_per_minute=100, output_tokens_per_minute=50)
    assert tokens.try_reserve(60, output_tokens=50) is not None
    assert tokens.try_reserve(40, output_tokens=1) is None
    assert tokens.try_reserve(41, output_tokens=0) is None
    assert tokens.try_reserve(40, output_tokens=0) is not None


def test_settling_gives_back_what_was_not_used():
    clock = FakeClock()
    tokens = limiter(clock, tokens_per_minute=1_000)
    lease = tokens.try_reserve(100, output_tokens=900)
    assert tokens.try_reserve(1) is None
    lease.settle(100, 10)
    assert tokens.try_reserve(890) is not None
    assert tokens.try_reserve(1) is None


def test_using_more_than_was_set_aside_counts():
    tokens = limiter(FakeClock(), tokens_per_minute=1_000)
    tokens.try_reserve(100).settle(900, 90)
    assert tokens.try_reserve(11) is None
    assert tokens.try_reserve(10) is not None


def test_cancelling_gives_back_at_once():
    clock = FakeClock()

    async def main():
        requests = limiter(clock, requests_per_minute=1, concurrent=1)
        first = await requests.reserve(1)
        second = asyncio.create_task(requests.reserve(1))
        await asyncio.sleep(1)
        assert not second.done()
        first.cancel()
        await asyncio.sleep(0)
        return second.done()

    assert run(main(), clock)


def test_a_lease_ends_once():
    lease = limiter(FakeClock(), requests_per_minute=5).try_reserve(1)
    lease.settle(1)
    with pytest.raises(RuntimeError):
        lease.cancel()
    with pytest.raises(RuntimeError):
        lease.settle(1)


def test_concurrent_calls_are_bounded_and_the_next_goes_when_one_ends():
    clock = FakeClock()

    async def main():
        calls = limiter(clock, concurrent=2)
        running = most = 0

        async def call():
            nonlocal running, most
            lease = await calls.reserve(1)
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            lease.settle(1)

        await asyncio.gather(*(call() for _ in range(10)))
        return most, calls.timers_fired

    assert run(main(), clock) == (2, 0)


def test_requests_in_a_day_are_bounded():
    clock = FakeClock()

    async def main():
        daily = limiter(clock, requests_per_day=2)
        start = clock()
        for _ in range(3):
            (await daily.reserve(1)).settle(1)
        return clock() - start

    assert 86_400 < run(main(), clock) < 86_410


def test_a_request_larger_than_the_limit_is_refused_at_once():
    with pytest.raises(RateLimitExceeded, match="allows 100 tokens in 60 s; the request takes 101"):
        asyncio.run(limiter(FakeClock(), tokens_per_minute=100).reserve(1, output_tokens=100))


def test_a_deadline_that_can_not_be_met_is_refused_at_once():
    clock = FakeClock()

    async def main():
        requests = limiter(clock, requests_per_minute=1)
        await requests.reserve(1)
        before = clock()
        with pytest.raises(RateLimitExceeded) as caught:
            await requests.reserve(1, deadline=clock() + 30)
        assert clock() == before
        assert (caught.value.retry_at - datetime.now(UTC)).total_seconds() > 50
        waiting = asyncio.create_task(requests.reserve(1))
        await asyncio.sleep(0)
        with pytest.raises(RateLimitExceeded):
            await requests.reserve(1, deadline=clock() + 90)  # one is ahead of it
        waiting.cancel()

    run(main(), clock)


def test_a_deadline_passes_while_waiting_for_a_call_to_end():
    clock = FakeClock()

    async def main():
        calls = limiter(clock, concurrent=1)
        await calls.reserve(1)
        start = clock()
        with pytest.raises(RateLimitExceeded, match="no turn came within 5"):
            await calls.reserve(1, deadline=clock() + 5)
        return clock() - start, len(calls.waiting())

    waited, waiting = run(main(), clock)
    assert 5 <= waited < 5.1 and waiting == 0


def test_a_full_queue_refuses():
    clock = FakeClock()

    async def main():
        calls = RateLimiter(Limits(concurrent=1), clock=clock, longest_queue=2)
        await calls.reserve(1)
        waiting = [asyncio.create_task(calls.reserve(1)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RateLimitExceeded, match="2 requests wait already"):
            await calls.reserve(1)
        for one in waiting:
            one.cancel()

    run(main(), clock)


def test_a_429_stops_all_until_the_reset_and_halves_the_pace():
    clock = FakeClock()

    async def main():
        calls = RateLimiter(Limits(requests_per_minute=60), clock=clock, burst=0.01)
        (await calls.reserve(1)).settle(1)
        for _ in range(5):
            calls.observe(429, {"retry-after": "10"})
        start = clock()
        times = []
        for _ in range(5):
            (await calls.reserve(1)).settle(1)
            times.append(clock() - start)
        return times

    times = run(main(), clock)
    assert 10 <= times[0] < 10.1
    assert all(1.9 < late - early < 2.1 for early, late in itertools.pairwise(times))


def test_success_restores_the_pace_after_a_429():
    clock = FakeClock()

    async def main():
        calls = RateLimiter(Limits(requests_per_minute=60), clock=clock, burst=0.01)
        calls.observe(429, {"retry-after-ms": "100"})
        for _ in range(60):
            (await calls.reserve(1)).settle(1)
            calls.observe(200, {})
        start = clock()
        for _ in range(10):
            (await calls.reserve(1)).settle(1)
        return clock() - start

    assert 9.5 < run(main(), clock) < 10.5


def test_a_429_without_a_limit_of_ours_teaches_a_pace():
    clock = FakeClock()

    async def main():
        calls = RateLimiter(clock=clock)
        for _ in range(120):
            (await calls.reserve(1)).settle(1)
        calls.observe(429, {})
        await asyncio.sleep(61)
        start = clock()
        for _ in range(30):
            (await calls.reserve(1)).settle(1)
        return clock() - start

    assert run(main(), clock) > 10


def test_a_429_to_the_first_call_does_not_slow_the_next_ones_to_a_crawl():
    clock = FakeClock()

    async def main():
        calls = RateLimiter(clock=clock)
        (await calls.reserve(1)).settle(1)
        calls.observe(429, {"retry-after": "0"})
        start = clock()
        for _ in range(20):
            (await calls.reserve(1)).settle(1)
            calls.observe(200, {})
        return clock() - start

    assert run(main(), clock) < 30


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6s"},
        {"x-ratelimit-remaining-tokens": "3", "x-ratelimit-reset-tokens": "6s"},
        {
            "anthropic-ratelimit-input-tokens-remaining": "3",
            "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:06Z",
        },
    ],
)
def test_what_the_server_says_is_left_caps_what_is_sent(headers):
    clock = FakeClock()

    async def main():
        calls = RateLimiter(clock=clock, wall=lambda: datetime(2026, 1, 1, tzinfo=UTC))
        calls.observe(200, headers)
        start = clock()
        (await calls.reserve(10)).settle(10)
        return clock() - start

    assert 6 <= run(main(), clock) < 6.1


def test_what_the_server_says_refills_evenly_where_it_tells_the_limit():
    clock = FakeClock()
    calls = RateLimiter(clock=clock)
    calls.observe(
        200,
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1m0s",
            "x-ratelimit-limit-requests": "60",
        },
    )
    assert calls.try_reserve(1) is None
    clock.advance(2.01)
    assert calls.try_reserve(1) is not None
    assert calls.try_reserve(1) is not None
    assert calls.try_reserve(1) is None


@pytest.mark.parametrize("value", ["", "-1", "inf", "nan", "soon", "9" * 400])
def test_headers_that_say_nothing_teach_nothing(value):
    calls = RateLimiter(clock=FakeClock())
    calls.observe(200, {"x-ratelimit-remaining-requests": value, "x-ratelimit-reset-requests": value})
    calls.observe(200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": value})
    assert calls.try_reserve(1) is not None


def test_limits_change_while_calls_wait():
    clock = FakeClock()

    async def main():
        calls = limiter(clock, requests_per_minute=1)
        await calls.reserve(1)
        waiting = asyncio.create_task(calls.reserve(50))
        large = asyncio.create_task(calls.reserve(500))
        await asyncio.sleep(0)
        calls.configure(Limits(requests_per_minute=10, tokens_per_minute=100))
        await asyncio.sleep(7)
        with pytest.raises(RateLimitExceeded, match="allows 100 tokens"):
            await large
        return waiting.done()

    assert run(main(), clock)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_is_no_limit_is_refused(value):
    with pytest.raises(ConfigError, match="requests_per_minute"):
        Limits(requests_per_minute=value)


def test_headroom_is_the_smallest_free_share():
    calls = limiter(FakeClock(), requests_per_minute=10, tokens_per_minute=1_000)
    assert calls.headroom == 1.0
    calls.try_reserve(900)
    assert calls.headroom == pytest.approx(0.1)
