"""A cost report: what was spent, by whom, under which prices, and how sure that is; saved as any kind of file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikit.errors import UnknownSetting

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CostReport"]

_NAMES = {"csv": "csv", "parquet": "parquet", "xlsx": "xlsx", "html": "html", "htm": "html", "md": "markdown",
          "markdown": "markdown", "json": "json"}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class CostReport:
    """What calls cost, in groups; the last row is the total, in which every call counts once."""

    frame: pd.DataFrame
    """The groups, then `calls attempts input_tokens output_tokens cache_read_tokens cost estimated unpriced saved`."""
    currency: str
    price_ids: tuple[str, ...]
    """The prices that the costs rest on, each with its snapshot."""
    timezone: str
    """Whose days are meant."""
    estimated_share: float
    """Share of the cost, 0 to 1, that no provider reported."""
    savings: Mapping[str, Decimal]
    """US dollars that were not spent, by `caches` and by `replays`, at today's prices."""
    groups: tuple[str, ...] = ()
    """The columns that name a group."""
    days: pd.DataFrame | None = None
    """`day model cost`, for a chart; None where there is none."""
    sheets: Mapping[str, pd.DataFrame] = field(default_factory=dict[str, Any])
    """A table for each grouping alone, where there are several."""
    since: datetime | None = None
    """Aware UTC time from which calls count; None: from the first."""
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def total(self) -> Decimal:
        """US dollars, every call once."""
        return Decimal(str(self.frame["cost"].iloc[-1]))

    @property
    def provenance(self) -> str:
        """Where the figures come from, in a sentence or two."""
        from aikit import figures

        estimated = self.total * Decimal(str(self.estimated_share))
        said = f"Of {figures.dollars(self.total)}, {figures.dollars(estimated)} is estimated"
        unpriced = int(self.frame["unpriced"].iloc[-1]) if "unpriced" in self.frame else 0
        if unpriced:
            said += f"; {unpriced:,} attempts without a known price are not in it"
        saved = [f"{name} {figures.dollars(amount)}" for name, amount in self.savings.items() if amount]
        return said + (f"; saved by {' and '.join(saved)}." if saved else ".")

    def facts(self) -> list[tuple[str, str]]:
        """Return what a reader has to know beside the figures."""
        since = f"{self.since:%Y-%m-%d %H:%M} UTC" if self.since else "the first call"
        return [
            ("currency", self.currency),
            ("since", since),
            ("made at", f"{self.made_at:%Y-%m-%d %H:%M} UTC"),
            ("time zone of the days", self.timezone),
            ("prices", ", ".join(self.price_ids) or "none"),
            ("provenance", self.provenance),
        ]

    def export(self, path: str | Path) -> Path:
        """Write the report and return its path: csv, parquet, xlsx, html, md or json, by the path's ending.

        Each carries currency, prices, time zone and provenance. Raises `UnknownSetting` for another ending.
        """
        import importlib

        target = Path(path)
        name = _NAMES.get(target.suffix.lower().lstrip("."))
        if name is None:
            raise UnknownSetting(f"can't write {target.name!r}; known endings: {', '.join(sorted(_NAMES))}")
        target.parent.mkdir(parents=True, exist_ok=True)
        importlib.import_module("aikit.reports.cost_files").WRITERS[name](self, target)
        return target

    def __repr__(self) -> str:
        return f"{self.frame.to_string(index=False, max_rows=40)}\n{self.provenance}"

    def _repr_html_(self) -> str:
        from aikit.reports.cost_files import fragment

        return fragment(self)
