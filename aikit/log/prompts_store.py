"""The prompt library's tables: every function is one read or one transaction on a SQLite connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "add_assignment",
    "add_version",
    "assignments",
    "create_tables",
    "find_version",
    "history",
    "label_moves",
    "labels",
    "move_label",
    "names",
    "search",
    "splits",
    "version_by_hash",
]

_TABLES = """
CREATE TABLE IF NOT EXISTS prompt_versions (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    parent INTEGER,
    message TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (name, number),
    UNIQUE (name, hash)
) STRICT;
CREATE TABLE IF NOT EXISTS prompt_labels (
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    number INTEGER NOT NULL,
    moved_at REAL NOT NULL,
    PRIMARY KEY (name, label)
) STRICT;
CREATE TABLE IF NOT EXISTS prompt_label_moves (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    before INTEGER,
    after INTEGER,
    moved_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS prompt_splits (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    weights TEXT NOT NULL,
    salt TEXT NOT NULL,
    started_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS prompt_assignments (
    split TEXT NOT NULL,
    unit TEXT NOT NULL,
    number INTEGER NOT NULL,
    assigned_at REAL NOT NULL,
    PRIMARY KEY (split, unit)
) STRICT, WITHOUT ROWID;
"""
_VERSION = "name, number, hash, parent, message, body, created_at"

Row = dict[str, Any]


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is not there yet."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def add_version(
    connection: sqlite3.Connection,
    *,
    version_id: str,
    name: str,
    content: str,
    parent: int | None,
    message: str,
    body: str,
    now: float,
) -> Row:
    """Store a version under the next number, or return the one that has the same name and content.

    The parent defaults to the newest version.
    """
    before = version_by_hash(connection, name, content)
    if before is not None:
        return before
    newest = connection.execute("SELECT max(number) FROM prompt_versions WHERE name = ?", (name,)).fetchone()[0]
    connection.execute(
        "INSERT INTO prompt_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (version_id, name, (newest or 0) + 1, content, newest if parent is None else parent, message, body, now),
    )
    stored = version_by_hash(connection, name, content)
    assert stored is not None  # noqa: S101  it was inserted above, in this transaction
    return stored


def version_by_hash(connection: sqlite3.Connection, name: str, content: str) -> Row | None:
    """Return the version of that name and content; None when there is none."""
    return _one(connection, f"SELECT {_VERSION} FROM prompt_versions WHERE name = ? AND hash = ?", (name, content))


def find_version(connection: sqlite3.Connection, name: str, which: str | int | None) -> Row | None:
    """Return a version by its number, its label, or the newest for None; None when there is none."""
    if isinstance(which, int):
        return _one(connection, f"SELECT {_VERSION} FROM prompt_versions WHERE name = ? AND number = ?", (name, which))
    if which is None:
        newest = f"SELECT {_VERSION} FROM prompt_versions WHERE name = ? ORDER BY number DESC LIMIT 1"
        return _one(connection, newest, (name,))
    found = connection.execute(
        "SELECT number FROM prompt_labels WHERE name = ? AND label = ?", (name, which)
    ).fetchone()
    return find_version(connection, name, int(found[0])) if found else None


def history(connection: sqlite3.Connection, name: str) -> list[Row]:
    """Return all versions of a prompt, the oldest first."""
    return _all(connection, f"SELECT {_VERSION} FROM prompt_versions WHERE name = ? ORDER BY number", (name,))


def names(connection: sqlite3.Connection) -> list[str]:
    """Return the prompts' names in order."""
    return [str(row[0]) for row in connection.execute("SELECT DISTINCT name FROM prompt_versions ORDER BY name")]


def search(connection: sqlite3.Connection) -> list[Row]:
    """Return every version; what matches is decided on the decoded text, which SQL can't see inside the JSON."""
    return _all(connection, f"SELECT {_VERSION} FROM prompt_versions ORDER BY name, number DESC")


def labels(connection: sqlite3.Connection, name: str) -> dict[str, int]:
    """Return the labels of a prompt with the numbers they stand at."""
    rows = connection.execute("SELECT label, number FROM prompt_labels WHERE name = ? ORDER BY label", (name,))
    return {str(label): int(number) for label, number in rows}


def move_label(connection: sqlite3.Connection, name: str, label: str, number: int | None, *, now: float) -> int | None:
    """Put a label on a version, or take it away for None; return where it stood before."""
    before = labels(connection, name).get(label)
    if before == number:
        return before
    connection.execute("DELETE FROM prompt_labels WHERE name = ? AND label = ?", (name, label))
    if number is not None:
        connection.execute("INSERT INTO prompt_labels VALUES (?, ?, ?, ?)", (name, label, number, now))
    connection.execute(
        "INSERT INTO prompt_label_moves (name, label, before, after, moved_at) VALUES (?, ?, ?, ?, ?)",
        (name, label, before, number, now),
    )
    return before


def label_moves(connection: sqlite3.Connection, name: str) -> list[Row]:
    """Return every move of a prompt's labels, the oldest first."""
    query = "SELECT label, before, after, moved_at FROM prompt_label_moves WHERE name = ? ORDER BY id"
    return _all(connection, query, (name,))


def add_assignment(
    connection: sqlite3.Connection, *, split: Mapping[str, Any], unit: str, number: int, now: float
) -> None:
    """Log that a unit was dealt a version of a split, the first time it is."""
    connection.execute(
        "INSERT OR IGNORE INTO prompt_splits VALUES (?, ?, ?, ?, ?)",
        (split["id"], split["name"], split["weights"], split["salt"], now),
    )
    connection.execute("INSERT OR IGNORE INTO prompt_assignments VALUES (?, ?, ?, ?)", (split["id"], unit, number, now))


def splits(connection: sqlite3.Connection, name: str) -> list[Row]:
    """Return a prompt's live splits, the oldest first."""
    query = "SELECT id, name, weights, salt, started_at FROM prompt_splits WHERE name = ? ORDER BY started_at, id"
    return _all(connection, query, (name,))


def assignments(connection: sqlite3.Connection, split: str) -> list[Row]:
    """Return who was dealt which version of a split, in the order they came."""
    query = "SELECT split, unit, number, assigned_at FROM prompt_assignments WHERE split = ? ORDER BY assigned_at, unit"
    return _all(connection, query, (split,))


def _all(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[Row]:
    cursor = connection.execute(query, tuple(values))
    columns = [str(column[0]) for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]


def _one(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> Row | None:
    rows = _all(connection, query, values)
    return rows[0] if rows else None
