"""The frames that people get: calls, attempts and trials, filtered, in time's order, with the right types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import UnknownSetting
from aikit.log.schema import ATTEMPTS, CALLS, TRIALS, Table

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

    from aikit.log.archive import ArchiveFile

__all__ = ["Filter", "Since", "attempts", "calls", "checked_limit", "contents", "instant", "trials", "typed"]

Since = str | datetime | date | timedelta | None
"""`"7d"`, `"12h"`, `"30m"`, `"2w"`, an ISO date or time, a datetime, a date, a span; without a zone it is UTC."""

_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|w)\s*")
_SPANS = (0.1, 2, 48, 1000)
"""Hours."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def instant(since: Since, now: float) -> datetime | None:
    """Return the moment that `since` means, as a naive UTC datetime; None for all time. Raises UnknownSetting."""
    if since is None:
        return None
    if isinstance(since, timedelta):
        return _utc(now) - since
    if isinstance(since, datetime):
        return since.astimezone(UTC).replace(tzinfo=None) if since.tzinfo else since
    if isinstance(since, date):
        return datetime(since.year, since.month, since.day)  # DuckDB's TIMESTAMP has no zone: UTC
    text = since if isinstance(since, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance] — a person's argument
    if span := _SPAN.fullmatch(text):
        return _utc(now) - timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
    try:
        return instant(datetime.fromisoformat(text), now)
    except ValueError:
        said = f"since={since!r} is no time; write '7d', '12h', '30m', '2026-11-01' or a datetime"
        raise UnknownSetting(said) from None


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


class Filter:
    """Which calls are meant, as SQL conditions on `calls` and their parameters."""

    def __init__(
        self,
        *,
        since: datetime | None = None,
        model: str | None = None,
        tags: str | Iterable[str] | None = None,
        experiment: str | None = None,
    ) -> None:
        self.conditions: list[str] = []
        self.parameters: list[Any] = []
        if since is not None:
            # The day prunes whole row groups; the time alone is ten times slower.
            self.add("day >= ? AND started_at >= ?", since.date(), since)
        if model is not None:
            provider, colon, name = model.partition(":")
            self.add("provider = ? AND model = ?", provider, name) if colon else self.add("model = ?", model)
        if tags is not None:
            self.add("list_has_all(tags, ?::VARCHAR[])", [tags] if isinstance(tags, str) else list(tags))
        if experiment is not None:
            self.add("experiment = ?", experiment)

    def add(self, condition: str, *parameters: Any) -> None:
        """Narrow further by one condition."""
        self.conditions.append(condition)
        self.parameters.extend(parameters)

    @property
    def where(self) -> str:
        """The WHERE clause, empty where everything is meant."""
        return f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


def checked_limit(limit: Any) -> int | None:
    """Return the number of rows that a person asks for. Raises UnknownSetting."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise UnknownSetting(f"limit={limit!r}: a whole number of rows, or None for all of them")
    return limit


def calls(
    connection: DuckDBPyConnection,
    filter: Filter,  # noqa: A002
    *,
    limit: int | None,
    archive: Sequence[ArchiveFile] | None = None,
) -> pd.DataFrame:
    """Return the calls that are meant, oldest first; with a limit, the latest ones; with an archive, their texts."""
    latest = narrowed(connection, "calls", filter, limit)
    chosen = f"SELECT * FROM calls{latest.where} ORDER BY started_at DESC{_limit(limit)}"
    return _frame(connection, CALLS, chosen, latest.parameters, archive)


def attempts(
    connection: DuckDBPyConnection,
    filter: Filter,  # noqa: A002
    *,
    limit: int | None,
    archive: Sequence[ArchiveFile] | None = None,
) -> pd.DataFrame:
    """Return the attempts of the calls that are meant, oldest first; with a limit, the latest ones."""
    within = Filter()
    if filter.conditions:
        within.add(f"call_id IN (SELECT call_id FROM calls{filter.where})", *filter.parameters)
    latest = narrowed(connection, "attempts", within, limit)
    chosen = f"SELECT * FROM attempts{latest.where} ORDER BY started_at DESC{_limit(limit)}"
    if archive is not None:
        hashes = "SELECT call_id, any_value(prompt_hash) AS prompt_hash, any_value(text_hash) AS text_hash FROM calls"
        wanted = "WHERE call_id IN (SELECT call_id FROM wanted) GROUP BY call_id"
        chosen = f"WITH wanted AS ({chosen}) SELECT * FROM wanted LEFT JOIN ({hashes} {wanted}) USING (call_id)"
    return _frame(connection, ATTEMPTS, chosen, latest.parameters, archive)


def narrowed(connection: DuckDBPyConnection, table: str, filter: Filter, limit: int | None) -> Filter:  # noqa: A002
    """Return a filter that leaves little more than the latest `limit` rows, found by ever longer spans of time.

    Sorting all columns of millions of rows for the last hundred takes a second; a span that ends in the file's last
    row groups takes milliseconds.
    """
    if limit is None:
        return filter
    found = connection.execute(f"SELECT max(started_at) FROM {table}").fetchone()
    if found is None or found[0] is None:
        return filter
    for hours in _SPANS:
        moment = found[0] - timedelta(hours=hours)
        latest = Filter()
        latest.conditions, latest.parameters = list(filter.conditions), list(filter.parameters)
        latest.add("day >= ? AND started_at >= ?", moment.date(), moment)
        count = connection.execute(f"SELECT count(*) FROM {table}{latest.where}", latest.parameters).fetchone()
        if count and count[0] >= limit:
            return latest
    return filter


def trials(
    connection: DuckDBPyConnection,
    *,
    run: str | None,
    experiment: str | None,
    archive: Sequence[ArchiveFile] | None = None,
) -> pd.DataFrame:
    """Return the last row of each trial, in the order of their first ones."""
    wanted = {"run": run, "experiment": experiment}
    conditions = [f"{name} = ?" for name, value in wanted.items() if value is not None]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    newest = "QUALIFY row_number() OVER (PARTITION BY trial_id ORDER BY scored_at DESC) = 1"
    parameters = [value for value in wanted.values() if value is not None]
    chosen = f"SELECT * FROM trials{where} {newest}"
    return _frame(connection, TRIALS, chosen, parameters, archive)


def _limit(limit: int | None) -> str:
    return "" if limit is None else f" LIMIT {limit}"


def _frame(
    connection: DuckDBPyConnection,
    table: Table,
    chosen: str,
    parameters: Sequence[Any],
    archive: Sequence[ArchiveFile] | None,
) -> pd.DataFrame:
    columns = [f'"{name}"::DOUBLE AS "{name}"' if name == "cost" else f'"{name}"' for name in table.shown]
    sides = () if archive is None else ("text",) if table is TRIALS else ("prompt", "text")
    columns += [f'{side}_hash AS "{side}"' for side in sides]
    query = f"SELECT {', '.join(columns)} FROM ({chosen}) ORDER BY {table.clock}, {table.shown[0]}"
    frame = typed(connection.execute(query, parameters).fetchnumpy(), table)
    if archive is not None:
        found = contents(connection, {str(name) for side in sides for name in frame[side].dropna()}, archive)
        for side in sides:
            frame[side] = _column([found.get(name) for name in frame[side]], "VARCHAR")
    return frame


def contents(connection: DuckDBPyConnection, hashes: set[str], archive: Sequence[ArchiveFile]) -> dict[str, str]:
    """Return hash → text: from the log and its tail, then from the archive, its latest files first."""
    found: dict[str, str] = {}
    files = [str(file.path) for file in reversed(archive)]
    recent = "SELECT hash, content FROM recent_payloads WHERE hash IN (SELECT unnest($1::VARCHAR[]))"
    found.update(connection.execute(recent, [list(hashes)]).fetchall())
    size = 2
    while files and len(found) < len(hashes):
        query = (
            "SELECT hash, body::JSON ->> 'content' FROM read_parquet($1::VARCHAR[])"
            " WHERE hash IN (SELECT unnest($2::VARCHAR[]))"
        )
        found.update(connection.execute(query, [files[:size], list(hashes - found.keys())]).fetchall())
        files, size = files[size:], size * 4
    return found


def typed(columns: Mapping[str, Any], table: Table) -> pd.DataFrame:
    """Make a frame of DuckDB's arrays; its types do not depend on the rows: UTC times, Int64 counts, float money."""
    import pandas as pd

    # prompt and text come from the payloads: VARCHAR
    kinds = {name: table.columns.get(name, "VARCHAR") for name in columns}
    return pd.DataFrame({name: _column(values, kinds[name]) for name, values in columns.items()}, copy=False)


def _column(values: Any, kind: str) -> Any:
    """Return one column; `values` is a NumPy array, masked where there are NULLs."""
    import numpy as np
    import pandas as pd

    # Where a column has no value at all, DuckDB gives an array of another type.
    mask = np.ma.getmaskarray(values)
    plain: Any = np.ma.getdata(values)
    if kind in ("BIGINT", "INTEGER"):
        return pd.arrays.IntegerArray(np.where(mask, 0, plain).astype("int64"), mask)
    if kind == "DOUBLE" or kind.startswith("DECIMAL"):
        return np.where(mask, np.nan, plain).astype("float64")
    if kind == "BOOLEAN":
        return np.where(mask, False, plain).astype(bool)
    if kind == "TIMESTAMP":
        return pd.DatetimeIndex(np.where(mask, np.datetime64("NaT"), plain).astype("datetime64[us]"), tz="UTC")
    if kind == "DATE":
        return np.where(mask, np.datetime64("NaT"), plain).astype("datetime64[s]")
    items: list[Any] = cast("Any", np.where(mask, None, plain)).tolist()
    if kind == "VARCHAR":
        return cast("Any", pd).array(items, dtype=_text_dtype())
    return _objects([_list(item) if kind == "VARCHAR[]" else json.loads(item or "{}") for item in items])


def _list(value: Any) -> list[str]:
    return [] if value is None else [str(item) for item in value]


def _objects(values: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _text_dtype() -> str:
    """Return the type of pandas' own text columns, which changed with pandas 3."""
    import pandas as pd

    return "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"
