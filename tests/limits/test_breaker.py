"""The circuit breaker: when it opens, how it probes, and what it ignores."""

import random

import pytest

from aikit.limits import CircuitBreaker
from tests.limits.clocks import FakeClock


def breaker(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker(clock=clock, random=random.Random(1))


def opened(clock: FakeClock) -> CircuitBreaker:
    one = breaker(clock)
    for _ in range(5):
        assert one.allow()
        one.record("failure")
    return one


def test_five_failures_in_a_row_open_it():
    clock = FakeClock()
    one = breaker(clock)
    for _ in range(4):
        one.record("failure")
    assert one.state == "closed"
    one.record("failure")
    assert one.state == "open" and not one.allow()
    assert 4 <= one.retry_after() <= 6


def test_half_of_ten_calls_failing_opens_it():
    clock = FakeClock()
    one = breaker(clock)
    for _ in range(4):
        one.record("failure")
        one.record("success")
    one.record("failure")
    assert one.state == "closed"  # nine calls
    one.record("success")
    assert one.state == "open"


def test_less_than_half_keeps_it_closed():
    one = breaker(FakeClock())
    for _ in range(20):
        one.record("success")
        one.record("failure")
        one.record("success")
    assert one.state == "closed"


def test_failures_older_than_thirty_seconds_are_forgotten():
    clock = FakeClock()
    one = breaker(clock)
    for _ in range(4):
        one.record("failure")
        one.record("success")
    clock.advance(31)
    one.record("failure")
    one.record("success")
    assert one.state == "closed"


def test_slow_calls_count_as_failures_of_the_share():
    one = breaker(FakeClock())
    for _ in range(10):
        one.record("success", slow=True)
    assert one.state == "open"


def test_what_says_nothing_about_the_target_is_ignored():
    one = breaker(FakeClock())
    for _ in range(4):
        one.record("failure")
    for _ in range(50):
        one.record("ignored")
    assert one.state == "closed"
    one.record("failure")
    assert one.state == "open"


def test_one_probe_is_let_through_and_success_closes_it():
    clock = FakeClock()
    one = opened(clock)
    clock.advance(one.retry_after())
    assert one.state == "half_open"
    assert [one.allow() for _ in range(3)] == [True, False, False]
    one.record("success")
    assert one.state == "closed" and one.allow()


def test_an_ignored_probe_lets_the_next_one_through():
    clock = FakeClock()
    one = opened(clock)
    clock.advance(one.retry_after())
    assert one.allow()
    one.record("ignored")
    assert one.allow()


def test_each_failed_probe_doubles_the_time_it_stays_open_up_to_five_minutes():
    clock = FakeClock()
    one = opened(clock)
    lengths = [one.retry_after()]
    for _ in range(9):
        clock.advance(one.retry_after())
        assert one.allow()
        one.record("failure")
        lengths.append(one.retry_after())
    for number, length in enumerate(lengths):
        assert length == pytest.approx(min(300, 5 * 2**number), rel=0.21)
    assert len({length % 1 for length in lengths}) > 1  # jitter


def test_a_success_resets_the_time():
    clock = FakeClock()
    one = opened(clock)
    clock.advance(one.retry_after())
    one.allow()
    one.record("failure")
    clock.advance(one.retry_after())
    one.allow()
    one.record("success")
    for _ in range(5):
        one.record("failure")
    assert one.retry_after() <= 6


def test_the_only_target_can_be_probed_at_once():
    one = opened(FakeClock())
    assert not one.allow()
    one.force_probe()
    assert one.allow() and not one.allow()


def test_a_probe_that_was_lost_does_not_shut_the_target_out():
    clock = FakeClock()
    one = opened(clock)
    clock.advance(one.retry_after())
    assert one.allow()
    clock.advance(301)
    assert one.allow()


def test_late_answers_to_requests_from_before_it_opened_change_nothing():
    clock = FakeClock()
    one = opened(clock)
    one.record("success")
    one.record("failure")
    assert one.state == "open"
