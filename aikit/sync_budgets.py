"""Budgets for synchronous code: the methods of `Budgets` over the kit's background loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from aikit.budgets import Budgets
    from aikit.budgets.alerts import OnAlert
    from aikit.log.periods import Period

__all__ = ["SyncBudgets"]


class SyncBudgets:
    """The budgets of a kit: set them, remove them, see how they stand."""

    def __init__(self, budgets: Budgets, run: Callable[..., Any]) -> None:
        self._budgets = budgets
        self._run = run

    def set(
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
        """Set a budget in US dollars; hard unless told otherwise: a call that could pass it is not sent.

        For a `provider`, `model`, `tag`, `experiment` or `prompt`, of which all given must match, else for all calls.
        Once per period an alert is given when each share of `alert_at` is spent: to `on_alert(alert)`, in a thread of
        its own, and as JSON to `webhook` (https). `timezone` None is the settings'. A period given as None keeps what
        it has. Raises `ConfigError`.
        """
        self._run(
            self._budgets.set(
                daily=daily,
                weekly=weekly,
                monthly=monthly,
                hard=hard,
                alert_at=alert_at,
                timezone=timezone,
                provider=provider,
                model=model,
                tag=tag,
                experiment=experiment,
                prompt=prompt,
                on_alert=on_alert,
                webhook=webhook,
            )
        )

    def remove(self, *, period: Period | None = None, **scope: str) -> int:
        """Remove the budgets of a scope, or that of one `period`; return how many there were; see `Budgets.remove`."""
        return self._run(self._budgets.remove(period=period, **scope))

    def status(self) -> pd.DataFrame:
        """Return each budget: scope, limit, spent, held, left, resets_at, and its forecast with a 90 % interval."""
        return self._run(self._budgets.status())

    def possibly_billed(self) -> pd.DataFrame:
        """Return the attempts whose process died before it knew what they cost; they count at their upper bound."""
        return self._run(self._budgets.possibly_billed())

    def subscribe(self, callback: OnAlert) -> Callable[[], None]:
        """Call `callback` with every alert that this process notices; returns how to end that."""
        return self._budgets.subscribe(callback)
