"""What the log knows of a run: its trials with texts, answers that were never scored, calls that never ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Queried",
    "failed_calls",
    "median_durations",
    "price_ids",
    "replayable",
    "trials",
    "unknown_attempts",
    "unscored_calls",
]

_LAST = "QUALIFY row_number() OVER (PARTITION BY trial_id ORDER BY scored_at DESC) = 1"
_TEXTS = (
    "(SELECT hash, any_value(content) AS content FROM payloads WHERE hash IN (SELECT text_hash FROM chosen)"
    " GROUP BY hash)"
)
_TRIAL = (
    "SELECT c.trial_id, c.run, c.variant, c.sample, c.epoch, c.call_id, c.status, p.content AS text,"
    " c.scores::VARCHAR AS scores, c.score_details::VARCHAR AS details, c.error, c.stitched, c.extra::VARCHAR AS extra"
    f" FROM chosen AS c LEFT JOIN {_TEXTS} AS p ON p.hash = c.text_hash ORDER BY c.scored_at, c.trial_id"
)


class Queried(Protocol):
    """The part of the log that runs aikit's own SQL."""

    def query(self, sql: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the query's rows as a frame."""
        ...


def trials(log: Queried, run: str) -> pd.DataFrame:
    """Return the last row of each trial of a run; scores, details and extra as JSON text."""
    return log.query(f"WITH chosen AS (SELECT * FROM trials WHERE run = ? {_LAST}) {_TRIAL}", [run])


def replayable(log: Queried, fingerprints: Sequence[str]) -> pd.DataFrame:
    """Return the answered trials of any run whose variant had one of the fingerprints, the oldest first."""
    marks = ", ".join("?" * len(fingerprints))
    chosen = (
        f"SELECT * FROM trials WHERE json_extract_string(extra, '$.fingerprint') IN ({marks})"
        f" AND status IN ('ok', 'scorer', 'refusal') AND text_hash <> '' {_LAST}"
    )
    return log.query(f"WITH chosen AS ({chosen}) {_TRIAL}", list(fingerprints))


def unscored_calls(log: Queried, run: str) -> pd.DataFrame:
    """Return the answered calls of a run that have no trial, with their texts: the process ended between the two."""
    chosen = (
        "SELECT * FROM calls AS c WHERE run = ? AND status = 'ok' AND variant <> '' AND NOT EXISTS (SELECT 1"
        " FROM trials AS t WHERE t.run = c.run AND t.variant = c.variant AND t.sample = c.sample AND t.epoch = c.epoch)"
    )
    columns = (
        "c.call_id, c.variant, c.sample, c.epoch, c.provider, c.model, c.response_model, c.finish_reason,"
        " c.input_tokens, c.output_tokens, c.cost::DOUBLE AS cost, c.duration, c.time_to_first_token, c.attempts,"
        " c.stitched, p.content AS text"
    )
    return log.query(
        f"WITH chosen AS ({chosen}) SELECT {columns} FROM chosen AS c JOIN {_TEXTS} AS p ON p.hash = c.text_hash"
        " ORDER BY c.started_at",
        [run],
    )


def failed_calls(log: Queried, run: str) -> pd.DataFrame:
    """Return what the calls without an answer took, by variant, sample and epoch."""
    return log.query(
        "SELECT variant, sample, epoch, max(call_id) AS call_id, sum(cost)::DOUBLE AS cost, max(duration) AS duration,"
        " max(attempts) AS attempts, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens FROM calls"
        " WHERE run = ? AND variant <> '' AND status NOT IN ('ok', 'cancelled') GROUP BY variant, sample, epoch",
        [run],
    )


def unknown_attempts(log: Queried, run: str) -> list[str]:
    """Return the ids of attempts that were sent and have no answer, of no call that ended."""
    frame = log.query(
        "SELECT attempt_id FROM attempts WHERE status = 'unknown' AND call_id NOT IN (SELECT call_id FROM calls"
        " WHERE run = ? AND status <> 'unknown')",
        [run],
    )
    return [str(one) for one in frame["attempt_id"]]


def median_durations(log: Queried) -> dict[str, float]:
    """Return the median seconds of the latest answered calls, by `provider:model`."""
    frame = log.query(
        "SELECT provider || ':' || model AS name, median(duration) AS seconds FROM (SELECT provider, model, duration"
        " FROM calls WHERE status = 'ok' AND attempts = 1 AND usage_source <> 'replayed' QUALIFY row_number()"
        " OVER (PARTITION BY provider, model ORDER BY started_at DESC) <= 500) GROUP BY ALL"
    )
    return {str(name): float(seconds) for name, seconds in zip(frame["name"], frame["seconds"], strict=True)}


def price_ids(log: Queried, run: str) -> list[str]:
    """Return the ids of the prices that a run's calls were charged by."""
    frame = log.query("SELECT DISTINCT price_id FROM calls WHERE run = ? AND price_id <> '' ORDER BY 1", [run])
    return [str(one) for one in frame["price_id"]]
