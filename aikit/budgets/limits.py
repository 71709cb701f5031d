"""The budgets of a log: set them, see how they stand, and what was spent under them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from aikit.budgets.alerts import OnAlert, checked_webhook
from aikit.budgets.forecast import Forecast, forecast
from aikit.budgets.tracker import CostTracker
from aikit.errors import ConfigError, UnknownSetting, did_you_mean
from aikit.log import ledger, spending
from aikit.log.ledger import Budget
from aikit.log.periods import PERIODS, Period, bounds, zone
from aikit.log.queries import Since, instant
from aikit.log.spending import Spent
from aikit.prices import dollars, nano

if TYPE_CHECKING:
    import pandas as pd

    from aikit.log import Log

__all__ = ["Budgets"]

T = TypeVar("T")

_SPANS: Mapping[str, Period] = {"daily": "day", "weekly": "week", "monthly": "month"}
_GROUPS = ("provider", "model", "tag", "experiment", "prompt", "day")


class Budgets:
    """Limits on what may be spent, kept in the log and valid for every process that uses it.

    `settings` are the whole settings: their `budgets` and each provider's `cost_limits` are set as well, and go when
    they are gone from there.
    """

    def __init__(self, tracker: CostTracker, log: Log | None = None, *, settings: Any = None) -> None:
        self._tracker = tracker
        self._spool = tracker.spool
        self._timezone = str(settings.budgets.timezone) if settings is not None else "UTC"
        if log is not None:
            log.on_dead.append(lambda connection, living: spending.give_up(connection, living, tracker.clock))
            log.audits.append(ledger.differences)
        if settings is not None:
            self.configure(settings)

    def limits(self) -> list[Budget]:
        """Return the budgets as this process last saw them; touches no disk."""
        return list(self._tracker.rules.budgets)

    def subscribe(self, callback: OnAlert) -> Callable[[], None]:
        """Call `callback` with every alert that this process notices; returns how to end that. For views."""
        return self._tracker.alerts.subscribe(callback)

    def configure(self, settings: Any) -> None:
        """Set what the settings say, and remove what they no longer say; waits for the disk where that changes."""
        self._timezone = str(settings.budgets.timezone)
        wanted = {(json.dumps(dict(one.scope)), one.period): one for one in _configured(settings)}
        for one in wanted.values():
            zone(one.timezone)

        def change(connection: sqlite3.Connection) -> list[Budget]:
            there = [one for one in ledger.budgets(connection) if one.source == "config"]
            known = {(json.dumps(dict(one.scope)), one.period): one for one in there}
            gone = [one.budget_id for key, one in known.items() if key not in wanted]
            if gone:
                ledger.remove_budgets(connection, gone)
            for key, one in wanted.items():
                if key not in known or replace(known[key], budget_id=0) != one:
                    ledger.put_budget(connection, one)
            return [one for one in ledger.budgets(connection) if one.source == "config"]

        there = [replace(one, budget_id=0) for one in self.limits() if one.source == "config"]
        if sorted(there, key=_order) == sorted(wanted.values(), key=_order):
            kept = [one for one in self.limits() if one.source == "config"]
        else:
            kept = self._spool.submit(change).result()
            self._tracker.changed()
            self._tracker.refresh()
        self._webhook(kept, settings.budgets.webhook)

    async def set(
        self,
        *,
        daily: Decimal | float | None = None,
        weekly: Decimal | float | None = None,
        monthly: Decimal | float | None = None,
        hard: bool = True,
        alert_at: Sequence[float] = (0.5, 0.8, 1.0),
        timezone: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        tag: str | None = None,
        experiment: str | None = None,
        prompt: str | None = None,
        on_alert: OnAlert | None = None,
        webhook: str | None = None,
    ) -> None:
        """Limit what may be spent, in US dollars; a period given as None keeps what it has.

        Several scopes must all match; none means every call. What a hard budget could not afford is not sent; a soft
        one only gives alerts: once per period when `alert_at` of it is spent, to `on_alert(alert)` (called in a thread
        of its own) and as JSON to `webhook` (https). `on_alert` and `webhook` hold for this process and are written
        nowhere. `timezone` None is the settings'. Raises `ConfigError`.
        """
        if hard not in (True, False):
            raise ConfigError(f"hard={hard!r}: True (what could pass the budget is not sent) or False (alerts only)")
        if on_alert is not None and not callable(on_alert):
            raise ConfigError(f"on_alert={on_alert!r}: a function that takes the alert")
        zone_name = timezone or self._timezone
        zone(zone_name)
        if webhook is not None:
            checked_webhook(webhook)
        named = {"provider": provider, "model": model, "tag": tag, "experiment": experiment, "prompt": prompt}
        scope = {name: value for name, value in named.items() if value is not None}
        amounts = {"day": daily, "week": weekly, "month": monthly}
        wanted = [
            Budget(0, scope, period, _amount(period, amounts[period]), hard, _shares(alert_at), zone_name, "user")
            for period in PERIODS
            if amounts[period] is not None
        ]
        if not wanted:
            raise ConfigError("a budget needs an amount: daily=…, weekly=… or monthly=…, in US dollars")
        now = self._tracker.clock()
        numbers = await self._change(lambda connection: [_put(connection, one, now) for one in wanted])
        for number in numbers:
            self._tracker.alerts.register(number, on_alert=on_alert, webhook=webhook)

    async def remove(self, *, period: Period | None = None, **scope: str) -> int:
        """Remove the budgets of a scope, or that of one `period`; return how many there were.

        `remove()` removes those over all calls, `remove(provider="openai")` that provider's. Those of the settings
        are changed there.
        """
        numbers = [
            one.budget_id
            for one in await self._read(ledger.budgets)
            if one.source == "user" and dict(one.scope) == scope and period in (None, one.period)
        ]
        if numbers:
            await self._change(lambda connection: ledger.remove_budgets(connection, numbers))
            self._tracker.alerts.forget(numbers)
        return len(numbers)

    async def status(self) -> pd.DataFrame:
        """Return a row per budget: scope, limit, spent, held, left, resets_at, and how it is expected to end.

        Amounts are US dollars; `forecast`, `forecast_low` and `forecast_high` are for the end of the period, the
        latter two a 90 % interval; `resets_at` is in UTC.
        """
        now = self._tracker.clock()
        await asyncio.to_thread(self._tracker.flush)
        rows = await self._read(
            lambda connection: [_status(connection, one, now) for one in ledger.budgets(connection)]
        )
        return await asyncio.to_thread(_frame, rows, _STATUS)

    async def spent(
        self, period: str = "day", *, by: str | Sequence[str] | None = None, since: Since = None
    ) -> Decimal | pd.DataFrame:
        """Return what was spent in the present `day`, `week` or `month`, or in `all`, in US dollars.

        With `by` (`provider`, `model`, `tag`, `experiment`, `prompt`, `day`, or several) a frame: the groups, `cost`,
        `attempts`, `estimated` (dollars that nobody reported) and `unpriced` (attempts without a known price); an
        attempt with several tags is in several rows. `since` replaces the period. Holds are not included.
        """
        groups = [by] if isinstance(by, str) else list(by or ())
        for name in groups:
            if name not in _GROUPS:
                raise UnknownSetting(
                    f"can't group by {name!r}{did_you_mean(name, _GROUPS)} (known: {', '.join(_GROUPS)})"
                )
        await asyncio.to_thread(self._tracker.flush)
        start = self._start(period, since)
        if by is None:
            return dollars(sum(row.cost for row in await self._read(lambda c: spending.spent(c, start))))
        now = self._tracker.clock()
        if "day" in groups:
            rows = await self._read(lambda connection: spending.days(connection, start, now, self._timezone))
        else:
            rows = [(None, row) for row in await self._read(lambda connection: spending.spent(connection, start))]
        return await asyncio.to_thread(_grouped, rows, groups)

    async def possibly_billed(self) -> pd.DataFrame:
        """Return the attempts whose process died before it knew what they cost; they count at their upper bound."""
        rows = [
            (key, datetime.fromtimestamp(at, UTC), scopes.provider, scopes.model, _float(upper))
            for key, at, upper, scopes in await self._read(spending.possibly_billed)
        ]
        return await asyncio.to_thread(_frame, rows, _POSSIBLY_BILLED)

    def _start(self, period: str, since: Since) -> float | None:
        now = self._tracker.clock()
        moment = instant(since, now)
        if moment is not None:
            return moment.replace(tzinfo=UTC).timestamp()
        if period == "all":
            return None
        if period not in PERIODS:
            raise UnknownSetting(f"no period {period!r}; known: day, week, month, all")
        return bounds(now, period, self._timezone)[0]

    async def _read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._spool.read, operation)

    async def _change(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        result = await asyncio.wrap_future(self._spool.submit(operation))
        self._tracker.changed()
        await self._tracker.reload()
        return result

    def _webhook(self, budgets: Iterable[Budget], webhook: str | None) -> None:
        if webhook is None:
            return
        checked_webhook(webhook)
        for one in budgets:
            if not one.scope:
                self._tracker.alerts.register(one.budget_id, on_alert=None, webhook=webhook)


_STATUS: dict[str, str] = {
    "scope": "",
    "limit": "float64",
    "spent": "float64",
    "held": "float64",
    "left": "float64",
    "resets_at": "datetime64[us, UTC]",
    "period": "",
    "hard": "bool",
    "forecast": "float64",
    "forecast_low": "float64",
    "forecast_high": "float64",
    "timezone": "",
}


_POSSIBLY_BILLED = {"key": "", "at": "datetime64[us, UTC]", "provider": "", "model": "", "cost": "float64"}


def _frame(rows: Sequence[tuple[Any, ...]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Make a frame; run in a thread, because importing pandas takes a second."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.astype({name: kind for name, kind in columns.items() if kind})


def _status(connection: sqlite3.Connection, budget: Budget, now: float) -> tuple[Any, ...]:
    settled, held, start, ends = spending.sums(connection, budget, now)
    expected = _forecast(spending.by_day(connection, budget, now=now), settled, now - start, ends - now)
    limit = budget.amount
    figures = [value / 1e9 for value in (limit, settled, held, limit - settled - held)]
    ahead = [value / 1e9 for value in (expected.likely, expected.low, expected.high)]
    resets_at = datetime.fromtimestamp(ends, UTC)
    return (budget.name, *figures, resets_at, budget.period, budget.hard, *ahead, budget.timezone)


def _forecast(history: Sequence[int], settled: int, elapsed: float, left: float) -> Forecast:
    return forecast(history, spent=settled, elapsed=elapsed / 86400, left=left / 86400)


def _grouped(rows: Iterable[tuple[date | None, Spent]], groups: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    found: dict[tuple[Any, ...], list[int]] = {}
    for day, row in rows:
        for key in _keys(day, row, groups):
            sums = found.setdefault(key, [0, 0, 0, 0])
            for place, value in enumerate((row.cost, row.attempts, row.estimated, row.unpriced)):
                sums[place] += value
    table = [(*key, cost / 1e9, attempts, guessed / 1e9, no) for key, (cost, attempts, guessed, no) in found.items()]
    frame = pd.DataFrame(table, columns=[*groups, "cost", "attempts", "estimated", "unpriced"])
    order = list(groups) if "day" in groups else "cost"
    return frame.sort_values(order, ascending="day" in groups, ignore_index=True)


def _keys(day: date | None, row: Spent, groups: Sequence[str]) -> list[tuple[Any, ...]]:
    keys: list[tuple[Any, ...]] = [()]
    for name in groups:
        if name == "tag":
            values: Sequence[Any] = row.scopes.tags or ("",)
        elif name == "day":
            values = (day,)
        else:
            values = (getattr(row.scopes, name),)
        keys = [(*key, value) for key in keys for value in values]
    return keys


def _put(connection: sqlite3.Connection, budget: Budget, now: float) -> int:
    number = ledger.put_budget(connection, budget)
    ledger.prepare(connection, replace(budget, budget_id=number), now)
    return number


def _configured(settings: Any) -> list[Budget]:
    said = settings.budgets
    shares = _shares(said.alert_at)
    found = [
        Budget(0, {}, period, nano(amount), bool(said.hard), shares, str(said.timezone), "config")
        for name, period in _SPANS.items()
        if (amount := getattr(said, name)) is not None
    ]
    provider_spans: tuple[tuple[str, Period], ...] = (("daily_budget", "day"), ("monthly_budget", "month"))
    for provider, one in settings.providers.items():
        for name, period in provider_spans:
            amount = getattr(one.cost_limits, name)
            if amount is not None:
                scope = {"provider": str(provider)}
                found.append(Budget(0, scope, period, nano(amount), True, shares, str(said.timezone), "config"))
    return found


def _order(budget: Budget) -> tuple[str, str]:
    return budget.name, budget.period


def _amount(period: str, amount: Any) -> int:
    number = isinstance(amount, int | float | Decimal) and not isinstance(amount, bool)
    if not number or not Decimal(str(amount)).is_finite() or amount < 0:
        raise ConfigError(f"the {period}'s budget is {amount!r}; write US dollars, 0 or more")
    if amount > 1_000_000_000:
        raise ConfigError(f"the {period}'s budget is ${amount:,}; that is no limit")
    return nano(amount)


def _shares(alert_at: Any) -> tuple[float, ...]:
    shares: tuple[Any, ...] = (alert_at,) if isinstance(alert_at, int | float) else tuple(alert_at)
    for share in shares:
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 10:
            raise ConfigError(f"alert_at has {share!r}; write shares of the budget, such as 0.8 for 80 %")
    return tuple(sorted({float(share) for share in shares}))


def _float(amount: int | None) -> float | None:
    return None if amount is None else amount / 1e9
