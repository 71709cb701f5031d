"""The copies: small tables that live in SQLite for good, copied to DuckDB so that one query can join them."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from aikit.log.spool import Spool

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["COPIED", "copy_tables"]

COPIED = (
    "prompt_versions",
    "prompt_labels",
    "prompt_splits",
    "budgets",
    "budget_periods",
    "prices",
    "plans",
    "runs",
    "samples",
)
"""Tables worth joining, each small; whichever are not there are left out."""

_KINDS = {"INTEGER": "BIGINT", "REAL": "DOUBLE", "INT": "BIGINT"}

_Rows = tuple[str, list[tuple[Any, ...]]]


def copy_tables(spool: Spool, connection: DuckDBPyConnection, schema: str) -> None:
    """Copy the tables that changed since they were last copied to the schema."""
    done = _fingerprints(connection) if schema == "log" else {}
    for name, (columns, rows) in spool.read(_tables).items():
        fingerprint = hashlib.blake2b(msgspec.msgpack.encode([columns, rows]), digest_size=16).hexdigest()
        if done.get(name) == fingerprint:
            continue
        _replace(connection, f"{schema}.{name}", columns, rows)
        if schema == "log":
            connection.execute("DELETE FROM log.copies WHERE name = ?", [name])
            connection.execute("INSERT INTO log.copies VALUES (?, ?)", [name, fingerprint])


def _fingerprints(connection: DuckDBPyConnection) -> dict[str, str]:
    return {
        str(name): str(value)
        for name, value in connection.execute("SELECT name, fingerprint FROM log.copies").fetchall()
    }


def _tables(connection: sqlite3.Connection) -> dict[str, _Rows]:
    names = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {name: _content(connection, name) for name in COPIED if name in names}


def _content(connection: sqlite3.Connection, name: str) -> _Rows:
    described = connection.execute(f"PRAGMA table_info({name})").fetchall()
    columns = ", ".join(f'"{row[1]}" {_KINDS.get(str(row[2]).upper(), "VARCHAR")}' for row in described)
    return columns, connection.execute(f"SELECT * FROM {name}").fetchall()


def _replace(connection: DuckDBPyConnection, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    connection.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
    if not rows:
        return
    kinds = [column.rsplit(" ", 1)[1] for column in columns.split(", ")]
    lists = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(kinds, 1))
    connection.execute(f"INSERT INTO {table} SELECT {lists}", [list(column) for column in zip(*rows, strict=True)])
