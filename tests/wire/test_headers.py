"""When to come back: every spelling of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aikit.wire import headers

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def seconds(status=429, **given):
    when = headers.retry_at(status, {name.replace("_", "-"): value for name, value in given.items()}, now=NOW)
    return None if when is None else (when - NOW).total_seconds()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "86400"}, 86400.0),
        ({"retry_after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry_after": "Sun, 22 Nov 2026 12:00:30 GMT", "date": "Sun, 22 Nov 2026 12:00:10 GMT"}, 20.0),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9.0),
        ({"x_ratelimit_reset_requests": "6m0s"}, 360.0),
        ({"x_ratelimit_reset_tokens": "120ms"}, 0.12),
        ({"x_ratelimit_reset_tokens": "1h2m3.5s"}, 3723.5),
        ({"x_ratelimit_reset_requests": "1s", "x_ratelimit_reset_tokens": "6m0s"}, 360.0),
        (
            {
                "x_ratelimit_reset_requests": "1s",
                "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_tokens": "6m0s",
                "x_ratelimit_remaining_tokens": "900",
            },
            1.0,
        ),
        ({"anthropic_ratelimit_requests_reset": "2026-11-22T12:00:45Z"}, 45.0),
        ({"anthropic_ratelimit_tokens_reset": "2026-11-22T13:01:00+01:00"}, 60.0),
        ({"x_ratelimit_reset": str(int(NOW.timestamp()) + 15)}, 15.0),
        ({"x_ratelimit_reset": str(int(NOW.timestamp() * 1000) + 2500)}, 2.5),
    ],
)
def test_the_servers_word_is_read_in_every_spelling(given, expected):
    assert seconds(**given) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("word", ["-3", "inf", "nan", "1e300", "now", "", "Sun, 22 Nov 1999 12:00:00 GMT", "6x", "-1s"])
def test_garbage_negative_and_infinite_words_say_nothing(word):
    assert seconds(retry_after=word) is None
    assert seconds(x_ratelimit_reset_requests=word) is None


def test_resets_count_for_a_429_only():
    assert seconds(503, x_ratelimit_reset_requests="1s") is None
    assert seconds(503, retry_after="1") == 1.0


def test_should_retry_is_read_both_ways():
    words = [headers.should_retry({"x-should-retry": word}) for word in ("true", "FALSE", "perhaps")]
    assert words == [True, False, None]
    assert headers.should_retry({}) is None


def test_the_time_is_aware_and_utc():
    when = headers.retry_at(429, {"retry-after": "1"}, now=NOW)
    assert when is not None
    assert when.utcoffset() == timedelta(0)
