"""Where samples are read from: files, frames, lists, queries. Faults are named by row and column."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from aikit.errors import DatasetError

__all__ = ["RunSql", "read"]

RunSql = Callable[[str], Any]
"""Runs a read-only query on the log and returns a frame."""

Rows = list[Any]
_QUERY = re.compile(r"\s*(select|from|with)\s", re.IGNORECASE)
_LONGEST_CELL = 50_000_000  # characters; csv's own limit of 131,072 is shorter than many a document


def read(samples: Any, *, run_sql: RunSql | None = None) -> tuple[Rows, str]:
    """Return rows (mappings, or what a list held) and a word for where they come from. Raises DatasetError."""
    if isinstance(samples, str) and _QUERY.match(samples) and not Path(samples).is_file():
        if run_sql is None:
            raise DatasetError("a query needs the log to run on; give a frame or a path")
        return _frame_rows(run_sql(samples), "the query"), "the query"
    if isinstance(samples, str | Path):
        return _file_rows(Path(samples)), str(samples)
    if callable(getattr(samples, "df", None)) and hasattr(samples, "columns"):  # a DuckDB relation
        return _frame_rows(samples.df(), "the relation"), "the relation"
    if hasattr(samples, "to_dict") and hasattr(samples, "columns"):
        return _frame_rows(samples, "the frame"), "the frame"
    if isinstance(samples, Mapping):
        return _columns_rows(cast("Mapping[Any, Any]", samples)), "the mapping"
    if isinstance(samples, Iterable):
        return list(cast("Iterable[Any]", samples)), "the list"
    raise DatasetError(f"samples are a path, a frame, a list or a query, not {type(samples).__name__}")


def _frame_rows(frame: Any, source: str) -> Rows:
    names = [str(name) for name in frame.columns]
    _check_names(names, source)
    return [dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _columns_rows(columns: Mapping[Any, Any]) -> Rows:
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"the mapping's columns differ in length: {lengths}")
    return [dict(zip(lengths, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _file_rows(path: Path) -> Rows:
    readers: dict[str, Callable[[Path], Rows]] = {
        ".csv": lambda file: _delimited(file, ","),
        ".tsv": lambda file: _delimited(file, "\t"),
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_array,
        ".parquet": _parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: unknown kind of file; known: {', '.join(sorted(readers))}")
    if not path.is_file():
        near = [one.name for one in path.parent.glob("*") if one.suffix in readers] if path.parent.is_dir() else []
        raise DatasetError(f"no file {path}" + (f"; beside it: {', '.join(sorted(near)[:5])}" if near else ""))
    return reader(path)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise DatasetError(f"{path}, line {row}: not UTF-8 (byte {error.start}); save it as UTF-8", row=row) from error


def _delimited(path: Path, delimiter: str) -> Rows:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        names = next(reader, None)
        if not names or not any(name.strip() for name in names):
            raise DatasetError(f"{path} is empty: the first line names the columns")
        names = [name.strip() for name in names]
        _check_names(names, str(path))
        return [_cells(path, names, cells, row) for row, cells in enumerate((c for c in reader if c), start=1)]
    except csv.Error as error:
        said = f"{path}, line {reader.line_num}: {error}; a quote that is never closed?"
        raise DatasetError(said, row=max(1, reader.line_num - 1)) from error


def _cells(path: Path, names: Sequence[str], cells: Sequence[str], row: int) -> dict[str, str]:
    if len(cells) > len(names):
        extra = cells[len(names)]
        raise DatasetError(
            f"{path}, row {row}: {len(cells)} cells for {len(names)} columns; the cell {extra[:40]!r} has no column: "
            "put text that holds the delimiter in quotes",
            row=row,
            column=names[-1],
        )
    if len(cells) < len(names):
        missing = names[len(cells)]
        said = f"{path}, row {row}: {len(cells)} cells for {len(names)} columns; {missing!r} has none"
        raise DatasetError(said, row=row, column=missing)
    return dict(zip(names, cells, strict=True))


def _json_lines(path: Path) -> Rows:
    rows: Rows = []
    # Only line feeds end a line: a JSON string may hold U+2028, where splitlines() would cut.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            rows.append(_object(path, _parsed(path, line, number), number))
    return rows


def _json_array(path: Path) -> Rows:
    found = _parsed(path, _text(path), 1)
    if not isinstance(found, list):
        raise DatasetError(f"{path} holds a {type(found).__name__}, not a list of rows")
    return [_object(path, row, number) for number, row in enumerate(cast("list[Any]", found), start=1)]


def _parsed(path: Path, text: str, number: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row = number + error.lineno - 1
        raise DatasetError(f"{path}, line {row}: not JSON ({error.msg} at character {error.colno})", row=row) from error
    except RecursionError as error:
        raise DatasetError(f"{path}, line {number}: nested too deeply", row=number) from error


def _object(path: Path, row: Any, number: int) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DatasetError(f"{path}, row {number} is a {type(row).__name__}, not an object with columns", row=number)
    return cast("dict[str, Any]", row)


def _parquet(path: Path) -> Rows:
    from aikit.log.datasets import read_parquet

    return _frame_rows(read_parquet(path), str(path))


def _check_names(names: Sequence[str], source: str) -> None:
    for position, name in enumerate(names, start=1):
        if not name:
            raise DatasetError(f"{source}: column {position} has no name", column="")
        if name in names[: position - 1]:
            raise DatasetError(f"{source}: two columns are called {name!r}", column=name)
