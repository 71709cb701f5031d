"""A run's own budget: what may still be spent, so that not one call can pass it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aikit.errors import BudgetExceeded

__all__ = ["Hold", "Purse"]


@dataclass(slots=True)
class Hold:
    """What one call may cost at most, until it is known what it did cost."""

    upper: float
    """US dollars."""
    cost: float | None = None
    """Set by whoever knows it; None is settled at `upper`."""


@dataclass(slots=True)
class Purse:
    """Holds a call's upper bound while it runs; a call that only others' holds stand in the way of waits for them."""

    limit: float
    """US dollars."""
    spent: float = 0.0
    held: float = 0.0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def hold(self, upper: float) -> AsyncGenerator[Hold, None]:
        """Hold `upper` dollars, and settle at the hold's `cost` in the end; raises BudgetExceeded."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(upper) or self.held <= 1e-12)
            if not self._fits(upper):
                raise BudgetExceeded(
                    f"the run's budget of ${self.limit:g} has ${self.limit - self.spent:.6f} left, "
                    f"and the next call could cost ${upper:.6f}"
                )
            self.held += upper
        hold = Hold(upper)
        try:
            yield hold
        finally:
            self.held -= upper
            self.spent += upper if hold.cost is None else hold.cost
            async with self._changed:
                self._changed.notify_all()

    def _fits(self, upper: float) -> bool:
        return self.spent + self.held + upper <= self.limit + 1e-12
