"""The tables of experiments: plans, runs, datasets, looks, deviations, judgements. Functions on a SQLite connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

__all__ = [
    "add_deviation",
    "add_judgement",
    "add_look",
    "add_run",
    "create_tables",
    "dataset",
    "deviations",
    "find_run",
    "judgements",
    "lock_plan",
    "looks",
    "runs",
    "set_status",
]

_TABLES = """
CREATE TABLE IF NOT EXISTS experiment_plans (
    experiment TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    spec TEXT NOT NULL,
    locked_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS experiment_runs (
    id TEXT NOT NULL PRIMARY KEY,
    experiment TEXT NOT NULL,
    plan TEXT NOT NULL,
    spec TEXT NOT NULL,
    dataset TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS experiment_datasets (
    hash TEXT NOT NULL PRIMARY KEY,
    rows BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS experiment_looks (
    run TEXT NOT NULL,
    number INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    result TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (run, number)
);
CREATE TABLE IF NOT EXISTS experiment_deviations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    sentence TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS experiment_judgements (
    key TEXT NOT NULL PRIMARY KEY,
    result TEXT NOT NULL,
    at REAL NOT NULL
);
"""
_RUN = "id, experiment, plan, spec, dataset, status, message, owner, created_at, updated_at"

Row = dict[str, Any]


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is not there yet."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def lock_plan(connection: sqlite3.Connection, *, experiment: str, plan: str, spec: str, now: float) -> Row:
    """Lock an experiment's first plan, and return the locked one: this, or the one that was first."""
    connection.execute("INSERT OR IGNORE INTO experiment_plans VALUES (?, ?, ?, ?)", (experiment, plan, spec, now))
    query = "SELECT experiment, hash, spec, locked_at FROM experiment_plans WHERE experiment = ?"
    return _all(connection, query, (experiment,))[0]


def add_run(
    connection: sqlite3.Connection,
    *,
    run: str,
    experiment: str,
    plan: str,
    spec: str,
    dataset: tuple[str, bytes],
    owner: str,
    now: float,
) -> Row:
    """Store a run that begins, or take up one that is there: it is `running` now, and `owner` runs it."""
    connection.execute("INSERT OR IGNORE INTO experiment_datasets VALUES (?, ?)", dataset)
    connection.execute(
        "INSERT INTO experiment_runs VALUES (?, ?, ?, ?, ?, 'running', '', ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET status = 'running', message = '', owner = excluded.owner, "
        "updated_at = excluded.updated_at",
        (run, experiment, plan, spec, dataset[0], owner, now, now),
    )
    found = find_run(connection, run)
    assert found is not None  # noqa: S101  it was written above, in this transaction
    return found


def find_run(connection: sqlite3.Connection, run: str) -> Row | None:
    """Return a run by its id; None when there is none."""
    rows = _all(connection, f"SELECT {_RUN} FROM experiment_runs WHERE id = ?", (run,))
    return rows[0] if rows else None


def runs(connection: sqlite3.Connection, *, experiment: str | None = None, plan: str | None = None) -> list[Row]:
    """Return the runs of an experiment or a plan, of all for None, the newest first."""
    query = f"SELECT {_RUN} FROM experiment_runs WHERE (? IS NULL OR experiment = ?) AND (? IS NULL OR plan = ?) "
    return _all(connection, query + "ORDER BY created_at DESC, id", (experiment, experiment, plan, plan))


def set_status(connection: sqlite3.Connection, run: str, status: str, message: str, *, now: float) -> None:
    """Say how a run stands."""
    connection.execute(
        "UPDATE experiment_runs SET status = ?, message = ?, updated_at = ? WHERE id = ?", (status, message, now, run)
    )


def dataset(connection: sqlite3.Connection, content: str) -> bytes | None:
    """Return a dataset's stored rows by its hash; None when they are not there."""
    found = connection.execute("SELECT rows FROM experiment_datasets WHERE hash = ?", (content,)).fetchone()
    return bytes(found[0]) if found else None


def add_look(connection: sqlite3.Connection, *, run: str, number: int, samples: int, result: str, now: float) -> None:
    """Store what a look saw; a look that was stored before stands."""
    connection.execute(
        "INSERT OR IGNORE INTO experiment_looks VALUES (?, ?, ?, ?, ?)", (run, number, samples, result, now)
    )


def looks(connection: sqlite3.Connection, run: str) -> list[Row]:
    """Return a run's looks in their order."""
    return _all(
        connection, "SELECT number, samples, result, at FROM experiment_looks WHERE run = ? ORDER BY number", (run,)
    )


def add_deviation(connection: sqlite3.Connection, *, run: str, kind: str, sentence: str, now: float) -> None:
    """Store that a run did not go by its plan; the same words once."""
    connection.execute(
        "INSERT INTO experiment_deviations (run, kind, sentence, at) SELECT ?, ?, ?, ? WHERE NOT EXISTS "
        "(SELECT 1 FROM experiment_deviations WHERE run = ? AND kind = ? AND sentence = ?)",
        (run, kind, sentence, now, run, kind, sentence),
    )


def deviations(connection: sqlite3.Connection, run: str) -> list[Row]:
    """Return a run's deviations from its plan in the order they came."""
    return _all(connection, "SELECT kind, sentence, at FROM experiment_deviations WHERE run = ? ORDER BY id", (run,))


def add_judgement(connection: sqlite3.Connection, *, key: str, result: str, now: float) -> None:
    """Store a judge's answer under the hash of what it was asked."""
    connection.execute("INSERT OR IGNORE INTO experiment_judgements VALUES (?, ?, ?)", (key, result, now))


def judgements(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, str]:
    """Return the judgements that are stored under these keys."""
    found: dict[str, str] = {}
    for start in range(0, len(keys), 500):
        part = list(keys[start : start + 500])
        marks = ", ".join("?" * len(part))
        rows = connection.execute(f"SELECT key, result FROM experiment_judgements WHERE key IN ({marks})", part)
        found |= {str(key): str(result) for key, result in rows}
    return found


def _all(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[Row]:
    cursor = connection.execute(query, tuple(values))
    columns = [str(column[0]) for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]
