"""A calibration: how the providers' own counts compare with our estimates, model by model."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from aikit.messages import TokenCount

__all__ = ["Calibration", "CalibrationRow"]

_ENOUGH = 5
_SLOWEST = 0.02  # an old observation's weight halves in 35 calls: prompts change
_LEAST_ERROR = 0.01


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """What is known of one model."""

    provider: str
    model: str
    observations: int
    ratio: float
    """Reported tokens divided by what we count without calibration."""
    variance: float
    """Of that ratio."""


class Calibration:
    """Learns from reported usage; may be used from any thread."""

    def __init__(self, rows: Iterable[CalibrationRow] = ()) -> None:
        self._rows = {(row.provider, row.model): row for row in rows}
        self._lock = threading.Lock()

    def ratio(self, provider: str, model: str) -> tuple[float, float] | None:
        """Return (ratio, relative error of two standard deviations); None before five observations."""
        row = self._rows.get((provider, model))
        if row is None or row.observations < _ENOUGH:
            return None
        return row.ratio, max(2 * math.sqrt(row.variance) / row.ratio, _LEAST_ERROR)

    def observe(self, provider: str, model: str, counted: TokenCount, reported: int | None) -> None:
        """Compare what `tokens.count` gave, with this calibration, to the input tokens that the provider reported."""
        if counted.source == "exact" or not reported or counted.tokens <= 0:
            return
        with self._lock:
            known = self.ratio(provider, model)
            seen = reported / counted.tokens * (known[0] if known else 1.0)
            self._rows[provider, model] = _with(self._rows.get((provider, model)), provider, model, seen)

    def rows(self) -> list[CalibrationRow]:
        """Return everything learnt, to be kept in the log."""
        with self._lock:
            return list(self._rows.values())


def _with(row: CalibrationRow | None, provider: str, model: str, seen: float) -> CalibrationRow:
    if row is None:
        return CalibrationRow(provider, model, 1, seen, 0.0)
    weight = max(1 / (row.observations + 1), _SLOWEST)
    step = seen - row.ratio
    # West (1979): the exponentially weighted mean and variance, updated in one pass.
    variance = (1 - weight) * (row.variance + weight * step * step)
    return CalibrationRow(provider, model, row.observations + 1, row.ratio + weight * step, variance)
