"""The answers that calls got, by what was asked: what a replay deals from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Queried", "answered", "answers"]

# A replayed call is logged like any other; its answer is there already, under the call that got it first.
_ANSWERED = "status = 'ok' AND request_key <> '' AND usage_source <> 'replayed'"


class Queried(Protocol):
    """The part of the log that runs aikit's own SQL."""

    def query(self, sql: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Run a query over the log's views and return a frame."""
        ...


def answered(log: Queried) -> int:
    """Return how many answers the log holds."""
    return int(log.query(f"SELECT count(*) AS n FROM calls WHERE {_ANSWERED}")["n"].iloc[0])


def answers(log: Queried, *, key: str | None = None, model: str | None = None) -> pd.DataFrame:
    """Return answered calls, the oldest first, with their texts: all, or those to one request, of one model.

    `model` is `"provider:model"`, or a model of whatever provider. Columns: request_key provider model response_model
    finish_reason, the counts of tokens, stitched, tool_calls (JSON text), text_hash, text (None where it is not kept).
    """
    conditions, parameters = [_ANSWERED], list[str]()
    if key is not None:
        conditions.append("request_key = ?")
        parameters.append(key)
    if model is not None:
        conditions.append("(model = ? OR provider || ':' || model = ?)")
        parameters += [model, model]
    chosen = f"SELECT * FROM calls WHERE {' AND '.join(conditions)}"
    texts = (
        "SELECT hash, any_value(content) AS content FROM payloads"
        " WHERE hash IN (SELECT text_hash FROM chosen) GROUP BY hash"
    )
    return log.query(
        f"WITH chosen AS ({chosen}) SELECT c.request_key, c.provider, c.model, c.response_model, c.finish_reason,"
        " c.input_tokens, c.output_tokens, c.cache_read_tokens, c.cache_write_tokens, c.reasoning_tokens, c.stitched,"
        " json_extract(c.extra, '$.tool_calls')::VARCHAR AS tool_calls, c.text_hash, p.content AS text"
        f" FROM chosen AS c LEFT JOIN ({texts}) AS p ON p.hash = c.text_hash ORDER BY c.started_at, c.call_id",
        parameters,
    )
