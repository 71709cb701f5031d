"""The prompt library of a kit: the store, and what the logged runs say of each prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aikit.prompts import Prompts

if TYPE_CHECKING:
    import pandas as pd

    from aikit.experiments import Recommendation
    from aikit.experiments.bench import Bench
    from aikit.log.spool import Spool

__all__ = ["PromptLibrary"]


class PromptLibrary(Prompts):
    """Prompts with their history of runs: `performance("classify")`, `recommend("classify")`, `compare_split(…)`."""

    def __init__(self, spool: Spool, *, bench: Callable[[], Bench]) -> None:
        super().__init__(spool)
        self._bench = bench

    def performance(self, name: str, *, by: str | None = None) -> pd.DataFrame:
        """Return a row per version and model: runs, quality with its interval, cost, tokens, times, failure rate.

        `by="run"` has a row per run, the oldest first: the trend.
        """
        from aikit.experiments.performance import performance

        return performance(self._bench(), name, by=by)

    def recommend(self, name: str) -> tuple[Recommendation, ...]:
        """Return what the latest runs recommend for a prompt, the largest saving first; empty for nothing."""
        from aikit.experiments.performance import prompt_recommendations

        return prompt_recommendations(self._bench(), name)

    def compare_split(
        self, name: str, outcomes: pd.DataFrame, *, metric: str, unit: str = "unit", split: str | None = None
    ) -> Any:
        """Compare the versions that a live split dealt, on outcomes by unit.

        `outcomes` has a row per outcome: the unit, as it was given to `split`, and the metric. The analysis is unpaired
        and checks the dealt shares. Returns what `aikit.stats.compare` returns. Raises `DataError` without a split.
        """
        from aikit.experiments.performance import split_comparison

        return split_comparison(self._bench(), name, outcomes, metric=metric, unit=unit, split=split)
