"""One batch of spool rows on its way into DuckDB: checked one by one, inserted together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from aikit.log.schema import TABLES, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Batch", "SpoolRow", "insert", "parse"]

SpoolRow = tuple[int, str, bytes]
"""A row as the spool has it: id, kind, JSON."""


@dataclass(slots=True)
class Batch:
    """Rows by kind, ready for DuckDB, and the rows that can't be."""

    rows: dict[str, list[tuple[int, str]]] = field(default_factory=dict[str, list[tuple[int, str]]])
    """Kind → id and JSON with exactly the table's columns."""
    bad: list[tuple[int, str, str, str]] = field(default_factory=list[tuple[int, str, str, str]])
    """Id, kind, JSON as it was, and what is wrong with it."""


def parse(rows: Iterable[SpoolRow]) -> Batch:
    """Check each row against its type; what an aikit of another version added goes to `extra`."""
    batch = Batch()
    for number, kind, body in rows:
        table = TABLES.get(kind)
        if table is None:
            batch.bad.append((number, kind, _readable(body), f"unknown kind {kind!r}"))
            continue
        try:
            line = _line(number, table, body)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            batch.bad.append((number, kind, _readable(body), str(error)))
        else:
            batch.rows.setdefault(kind, []).append((number, line))
    return batch


def _line(number: int, table: Table, body: bytes) -> str:
    raw: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    texts, names = _fields(table)
    for name in texts:
        value = raw.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            raw[name] = str(value)  # a sample's id read from a file may be a number
    unknown = {name: raw.pop(name) for name in raw.keys() - names}
    row = msgspec.convert(raw, table.row)
    line: dict[str, Any] = {"_id": number}
    for column, kind in table.columns.items():
        if column == "day":
            continue
        value = getattr(row, column)
        if column == "extra" and unknown:
            value = {**value, **unknown}
        line[column] = _value(value, kind, column)
    return msgspec.json.encode(line).decode()


def _value(value: Any, kind: str, column: str) -> Any:
    if kind == "TIMESTAMP":
        return round(value * 1_000_000)
    if value in ("", {}) and column != "content":
        return None
    return value


@cache
def _fields(table: Table) -> tuple[tuple[str, ...], frozenset[str]]:
    fields = msgspec.structs.fields(table.row)
    texts = tuple(item.name for item in fields if item.type is str)
    return texts, frozenset(item.name for item in fields)


def _readable(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def insert(connection: DuckDBPyConnection, schema: str, batch: Batch) -> None:
    """Add a batch to the numbered tables of a schema, outside any transaction; what DuckDB refuses is quarantined."""
    bad = list(batch.bad)
    for kind, rows in batch.rows.items():
        _insert(connection, schema, kind, rows, bad)
    if bad:
        columns = [list(column) for column in zip(*bad, strict=True)]
        lists = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(("BIGINT", *["VARCHAR"] * 3), 1))
        connection.execute(f"INSERT INTO {schema}.quarantine SELECT {lists}", columns)


def _insert(
    connection: DuckDBPyConnection,
    schema: str,
    kind: str,
    rows: list[tuple[int, str]],
    bad: list[tuple[int, str, str, str]],
) -> None:
    """Insert rows of one kind; when DuckDB refuses them, halve them until the one that is refused stands alone."""
    import duckdb

    structure, columns = _transform(TABLES[kind])
    # The strict transform: the other drops unknown keys and turns numbers out of range into NULL without a word.
    lines = f"SELECT json_transform_strict(line::JSON, '{structure}') AS r FROM unnest($1::VARCHAR[]) AS t(line)"
    try:
        connection.execute(
            f"INSERT INTO {schema}.{TABLES[kind].name} SELECT {columns} FROM ({lines})", [[line for _, line in rows]]
        )
    except (duckdb.DataError, duckdb.InvalidInputException, duckdb.ProgrammingError) as error:
        if len(rows) == 1:
            bad.append((rows[0][0], kind, rows[0][1], str(error)))
            return
        middle = len(rows) // 2
        _insert(connection, schema, kind, rows[:middle], bad)
        _insert(connection, schema, kind, rows[middle:], bad)


@cache
def _transform(table: Table) -> tuple[str, str]:
    """Return the JSON structure of a table's lines, and the expressions that make its columns of them."""
    structure: dict[str, Any] = {"_id": "BIGINT"}
    expressions = ['r."_id"']
    for column, kind in table.columns.items():
        if column == "day":
            expressions.append(f"make_timestamp(r.{table.clock})::DATE")
            continue
        expression = f'r."{column}"'
        if kind == "TIMESTAMP":
            structure[column], expression = "BIGINT", f"make_timestamp({expression})"
        elif kind.startswith("DECIMAL"):
            # Exact: billionths are counted in integers until here.
            structure[column], expression = "BIGINT", f"({expression}::DECIMAL(18,0) * 0.000000001::DECIMAL(9,9))"
        else:
            structure[column] = ["VARCHAR"] if kind == "VARCHAR[]" else kind
        expressions.append(expression)
    return msgspec.json.encode(structure).decode(), ", ".join(expressions)
