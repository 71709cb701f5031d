"""What a response's headers say about when to come back: every spelling of it, as one time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

__all__ = ["request_id", "reset_seconds", "retry_at", "should_retry"]

_LONGEST = 366 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|s|m|h|d)", re.ASCII)
_RESETS = (
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
)


def retry_at(status: int, headers: Mapping[str, str], *, now: datetime) -> datetime | None:
    """Return the aware UTC time before which the server asked not to come back; None when it did not say.

    Header names are in lower case. In this order: `retry-after-ms`, `retry-after` (seconds or an HTTP date), and for a
    429 the resets of the limits that are used up. What is negative, infinite or garbage says nothing.
    """
    seconds = _plain_seconds(headers.get("retry-after-ms"), scale=0.001)
    if seconds is None:
        seconds = _retry_after(headers, now)
    if seconds is None and status == 429:
        seconds = _used_up(headers, now)
    return None if seconds is None else now + timedelta(seconds=seconds)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Return what `x-should-retry` says; None when it says nothing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def request_id(headers: Mapping[str, str]) -> str:
    """Return the provider's name for the request; empty when it gave none."""
    return headers.get("x-request-id") or headers.get("request-id") or ""


def reset_seconds(value: str, *, now: datetime) -> float | None:
    """Return the seconds until a limit's reset, from `6m0s`, `120ms`, `8.5`, an RFC 3339 time or Unix time."""
    value = value.strip()
    number = _plain_seconds(value)
    if number is not None:
        return number
    if (epoch := _number(value)) is not None:
        # OpenRouter gives the reset as Unix time in milliseconds, GitHub's style is Unix time in seconds.
        return _usable(epoch / (1000 if epoch > 1e12 else 1) - now.timestamp())
    parts = _DURATION.findall(value)
    if parts and "".join(amount + unit for amount, unit in parts) == value:
        return _usable(sum(float(amount) * _UNITS[unit] for amount, unit in parts))
    return _until(_rfc3339(value), now)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if (seconds := _plain_seconds(value)) is not None:
        return seconds
    when = _http_date(value)
    # Measured by the server's own clock where it tells it: ours may be wrong.
    return _until(when, _http_date(headers.get("date", "")) or now)


def _used_up(headers: Mapping[str, str], now: datetime) -> float | None:
    waits = list(_resets(headers, now))
    empty = [seconds for seconds, used_up in waits if used_up]
    return max(empty or [seconds for seconds, _ in waits], default=None)


def _resets(headers: Mapping[str, str], now: datetime) -> Iterator[tuple[float, bool]]:
    for reset, remaining in _RESETS:
        seconds = reset_seconds(headers[reset], now=now) if reset in headers else None
        if seconds is not None:
            yield seconds, _number(headers.get(remaining, "")) == 0


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _plain_seconds(value: str | None, *, scale: float = 1.0) -> float | None:
    number = _number(value) if value else None
    return None if number is None else _usable(number * scale)


def _usable(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST else None


def _http_date(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _rfc3339(value: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def _until(when: datetime | None, now: datetime) -> float | None:
    return None if when is None else _usable((when - now).total_seconds())
