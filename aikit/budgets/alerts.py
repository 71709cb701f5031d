"""An alert: a budget has reached a share of its limit; told once per threshold and period."""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from aikit.errors import ConfigError
from aikit.log import ledger
from aikit.log.ledger import Budget
from aikit.prices import dollars

__all__ = ["Alert", "Alerts", "OnAlert", "checked_webhook"]


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told; it holds no key and no text of a call."""

    budget: str
    """The scope in words: `all`, `provider=openai`."""
    period: str
    threshold: float
    """Share of the limit, 0.8 for 80 %."""
    spent: Decimal
    """US dollars settled in the period."""
    limit: Decimal
    hard: bool
    resets_at: datetime
    """Aware UTC time at which the next period begins."""

    @classmethod
    def of(cls, budget: Budget, threshold: float, spent: int, start: int) -> Alert:
        """Return the alert of a budget's period that began at `start` (Unix seconds)."""
        _, ends = ledger.current(budget, start)
        resets_at = datetime.fromtimestamp(ends, UTC)
        limit = dollars(budget.amount)
        return cls(budget.name, budget.period, threshold, dollars(spent), limit, budget.hard, resets_at)

    @property
    def sentence(self) -> str:
        """The alert in words."""
        return (
            f"{self.threshold:.0%} of the {self.period}'s {'hard' if self.hard else 'soft'} budget for {self.budget}"
            f" is spent: ${self.spent:.4f} of ${self.limit:.2f}; it starts anew at {self.resets_at:%Y-%m-%d %H:%M} UTC"
        )

    def as_data(self) -> dict[str, Any]:
        """Return the alert as JSON-ready values."""
        return {
            "budget": self.budget,
            "period": self.period,
            "threshold": self.threshold,
            "spent": str(self.spent),
            "limit": str(self.limit),
            "currency": "USD",
            "hard": self.hard,
            "resets_at": self.resets_at.isoformat(),
        }


OnAlert = Callable[[Alert], None]


def checked_webhook(url: str) -> str:
    """Return the address if alerts may be sent there: https, or http on this very machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return url
    raise ConfigError(
        f"alerts are sent to https addresses only, not to {parts.scheme or 'no scheme'}://{parts.hostname}"
    )


class Alerts:
    """Who in this process wants to be told, and the thread that tells them; quick to call from anywhere.

    Callbacks run in that thread, one after the other: what they raise is logged and stops nothing.
    """

    def __init__(self, *, sleep: Callable[[float], None] = time.sleep, attempts: int = 4) -> None:
        self._sleep = sleep
        self._attempts = attempts
        self._callbacks: dict[int, list[OnAlert]] = {}
        self._webhooks: dict[int, list[str]] = {}
        self._subscribers: list[OnAlert] = []
        self._failures: deque[str] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def register(self, number: int, *, on_alert: OnAlert | None, webhook: str | None) -> None:
        """Tell these of a budget's alerts, whichever process notices them first; known ones are not added twice."""
        for known, new in ((self._callbacks, on_alert), (self._webhooks, webhook)):
            wanted: list[Any] = known.setdefault(number, [])  # type: ignore[assignment]
            if new is not None and new not in wanted:
                wanted.append(new)

    def forget(self, numbers: Sequence[int]) -> None:
        """Tell nobody of these budgets any more."""
        for number in numbers:
            self._callbacks.pop(number, None)
            self._webhooks.pop(number, None)

    def subscribe(self, callback: OnAlert) -> Callable[[], None]:
        """Call `callback` with every alert that this process notices; returns how to end that. For views."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    def claims(self) -> list[int]:
        """Return the budgets whose alerts this process wants to deliver."""
        return [number for number in {*self._callbacks, *self._webhooks} if self._wanted(number)]

    def announce(self, alert: Alert) -> None:
        """Tell the subscribers."""
        for callback in tuple(self._subscribers):
            self._submit(callback, alert)

    def deliver(self, number: int, alert: Alert) -> None:
        """Tell whoever registered for the budget."""
        for callback in self._callbacks.get(number, ()):
            self._submit(callback, alert)
        for url in self._webhooks.get(number, ()):
            self._submit(lambda told, url=url: self._post(url, told), alert)

    def failures(self) -> list[str]:
        """Return, once, what could not be delivered."""
        return [self._failures.popleft() for _ in range(len(self._failures))]

    def close(self) -> None:
        """Finish what is under way."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def _wanted(self, number: int) -> bool:
        return bool(self._callbacks.get(number) or self._webhooks.get(number))

    def _submit(self, callback: OnAlert, alert: Alert) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aikit-alerts")
        self._pool.submit(self._tell, callback, alert)

    def _tell(self, callback: OnAlert, alert: Alert) -> None:
        try:
            callback(alert)
        except Exception as error:  # noqa: BLE001  # a user's code; what it raises is theirs to see, not ours to die of
            self._failures.append(f"an alert ({alert.sentence}) was not delivered: {type(error).__name__}: {error}")

    def _post(self, url: str, alert: Alert) -> None:
        """Send the alert; the address itself may be a secret, so no message ever holds more than its host."""
        import httpx

        host = urlsplit(url).hostname
        body = {"text": alert.sentence, **alert.as_data()}
        reason = ""
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(2.0 ** (attempt - 1))
            try:
                status = httpx.post(url, json=body, timeout=5.0, follow_redirects=False).status_code
            except httpx.HTTPError as error:
                reason = type(error).__name__
                continue
            if status < 300:
                return
            reason = f"status {status}"
            if status < 500 and status not in (408, 429):
                break
        raise ConnectionError(f"the webhook at {host} did not take it ({reason})")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
