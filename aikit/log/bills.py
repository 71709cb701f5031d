"""A bill: what calls cost, grouped in DuckDB, one row for each group, model, price and tier.

A call of one attempt is billed by its own row. One of several is billed by its attempts', which may have gone to other
providers; so only those are joined. Attempts whose process died have no call: they are there as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "bill", "models"]

Query = Callable[[str, Sequence[Any]], "pd.DataFrame"]

COLUMNS = {
    "provider": "provider",
    "model": "model",
    "tag": "tags",
    "experiment": "experiment",
    "prompt": "prompt_version_id",
    "run": "run",
    "variant": "variant",
    "session": "session",
    "processing": "processing",
    "status": "status",
    "day": "quarter",
    "week": "quarter",
    "month": "quarter",
}
"""What a bill can be grouped by → the column that says it; `quarter` counts quarters of an hour since 1970, UTC."""

_OF_THE_CALL = (
    "c.tags AS tags, c.experiment AS experiment, c.prompt_version_id AS prompt_version_id, c.run AS run,"
    " c.variant AS variant, c.session AS session, c.processing AS processing, c.status AS status,"
    " epoch(c.started_at)::BIGINT // 900 AS quarter"
)
_OF_NO_CALL = (
    "[]::VARCHAR[] AS tags, '' AS experiment, '' AS prompt_version_id, '' AS run, '' AS variant, '' AS session,"
    " 'standard' AS processing, 'unknown' AS status, epoch(a.started_at)::BIGINT // 900 AS quarter"
)
_USED = (
    "{0}.provider AS provider, {0}.model AS model, {0}.price_id AS price_id, {0}.usage_source AS usage_source,"
    " {0}.cost AS cost, {0}.input_tokens AS input_tokens, {0}.output_tokens AS output_tokens,"
    " {0}.cache_read_tokens AS cache_read_tokens, {0}.cache_write_tokens AS cache_write_tokens,"
    " {0}.reasoning_tokens AS reasoning_tokens"
)

_BILLED = f"""
WITH chosen AS (SELECT * FROM calls WHERE status <> 'refused' {{since}}),
tried AS (SELECT * FROM attempts a WHERE call_id IN (SELECT call_id FROM chosen WHERE attempts > 1)),
lost AS (
  SELECT * FROM attempts a WHERE status = 'unknown' AND usage_source = 'upper_bound' {{since}}
  AND call_id NOT IN (SELECT call_id FROM calls)
),
billed AS (
  SELECT {_OF_THE_CALL}, {_USED.format("c")}, 1 AS calls FROM chosen c WHERE c.attempts <= 1
  UNION ALL
  SELECT {_OF_THE_CALL}, {_USED.format("a")},
         (row_number() OVER (PARTITION BY a.call_id ORDER BY a.number DESC) = 1)::INTEGER AS calls
  FROM chosen c JOIN tried a USING (call_id)
  UNION ALL
  SELECT {_OF_NO_CALL}, {_USED.format("a")}, 1 AS calls FROM lost a
)"""  # nothing in it comes from outside

_SUMS = """
sum(calls)::BIGINT AS calls, count(*)::BIGINT AS attempts,
coalesce(sum(cost), 0)::DOUBLE AS cost,
coalesce(sum(cost) FILTER (usage_source NOT IN ('reported', 'replayed')), 0)::DOUBLE AS estimated,
count(*) FILTER (cost IS NULL)::BIGINT AS unpriced,
coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read_tokens,
coalesce(sum(cache_write_tokens), 0)::BIGINT AS cache_write_tokens,
coalesce(sum(reasoning_tokens), 0)::BIGINT AS reasoning_tokens"""


def models(query: Query, since: datetime | None) -> list[tuple[str, str]]:
    """Return (provider, model) of everything that was called."""
    frame = query(
        f"SELECT DISTINCT provider, model FROM calls WHERE true {_since(since)}"  # ours
        " UNION SELECT DISTINCT provider, model FROM attempts ORDER BY ALL",
        [] if since is None else [since.date(), since],
    )
    return [(str(provider), str(model)) for provider, model in frame.to_numpy().tolist()]


def bill(query: Query, groups: Sequence[str], *, since: datetime | None, thresholds: Sequence[int]) -> pd.DataFrame:
    """Return the sums by `groups` (names of `COLUMNS`), provider, model, price_id, processing, source and tier.

    `tier` is the highest of `thresholds` that the prompt's length passed, 0 below the first; `sized` is false where
    the tokens of a row are not known. Costs are in US dollars.
    """
    columns = dict.fromkeys(COLUMNS[name] for name in groups)
    for name in ("provider", "model", "price_id", "processing", "usage_source"):
        columns[name] = None
    passed = " ".join(f"WHEN input_tokens > {at:d} THEN {at:d}" for at in sorted(thresholds, reverse=True) if at > 0)
    tier = f"CASE {passed} ELSE 0 END" if passed else "0"
    keys = ", ".join(columns)
    sized = "(input_tokens IS NOT NULL AND output_tokens IS NOT NULL)"
    statement = (
        f"{_BILLED.format(since=_since(since))}"
        f" SELECT {keys}, {tier} AS tier, {sized} AS sized, {_SUMS} FROM billed"
        f" GROUP BY {keys}, tier, sized ORDER BY ALL"
    )
    return query(statement, [] if since is None else [since.date(), since] * 2)


def _since(since: datetime | None) -> str:
    # The day prunes whole row groups; the time alone is ten times slower.
    return "" if since is None else "AND day >= ? AND started_at >= ?"
