"""A table as a file: CSV, Parquet, Markdown and sheets of XLSX, from which no cell ever runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["guarded", "markdown", "number_format", "write_csv", "write_parquet", "write_sheet"]

# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_DOLLARS = ("cost", "estimated", "saved", "repriced", "difference", "spent", "limit", "held", "left")


def guarded(value: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula: one that could be gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write UTF-8 with the formula guard on; texts are as they are otherwise."""
    plain = frame.rename(columns=guarded)
    for name in plain.columns:
        if plain[name].dtype.kind not in "biufcM":
            plain[name] = plain[name].map(guarded)
    plain.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", errors="replace")


def write_parquet(frame: pd.DataFrame, path: Path, about: Mapping[str, str]) -> None:
    """Write Parquet by DuckDB, with `about` as the file's key-value metadata."""
    import duckdb

    partial = path.with_name(f".{path.name}.part")
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", frame)
        pairs = ", ".join(f"{_quoted(name)}: {_quoted(value)}" for name, value in about.items())
        connection.execute(
            f"COPY (SELECT * FROM rows) TO {_quoted(str(partial))} (FORMAT parquet, KV_METADATA {{{pairs}}})"  # noqa: S608
        )
    partial.replace(path)


def markdown(frame: pd.DataFrame) -> str:
    """Return the frame as a table of Markdown: numbers to the right, nothing in a cell is mark-up."""
    numeric = [frame[name].dtype.kind in "biuf" for name in frame.columns]
    lines = [
        _line([_escaped(str(name)) for name in frame.columns]),
        _line(["---:" if one else "---" for one in numeric]),
    ]
    for row in frame.itertuples(index=False):
        lines.append(_line([_cell(value) for value in row]))
    return "\n".join(lines) + "\n"


def write_sheet(book: Any, name: str, frame: pd.DataFrame) -> Any:
    """Add a sheet with a header that stays, a filter, and native numbers and dates; return the sheet."""
    sheet = book.add_worksheet(_sheet_name(name, [one.get_name() for one in book.worksheets()]))
    bold = book.add_format({"bold": True, "bottom": 1})
    for place, column in enumerate(map(str, frame.columns)):
        sheet.write_string(0, place, column, bold)
        shown = number_format(column, frame[column].dtype.kind)
        sheet.set_column(place, place, _width(column, frame), book.add_format({"num_format": shown}) if shown else None)
    for at, row in enumerate(frame.itertuples(index=False), start=1):
        for place, value in enumerate(row):
            _write(sheet, at, place, value)
    sheet.freeze_panes(1, 0)
    if len(frame):
        sheet.autofilter(0, 0, len(frame), len(frame.columns) - 1)
    return sheet


def number_format(column: str, kind: str) -> str:
    """Return the spreadsheet's format of a column; empty for texts."""
    if column in _DOLLARS:
        return '"$"#,##0.00####'
    return {"i": "#,##0", "u": "#,##0", "f": "#,##0.00####", "M": "yyyy-mm-dd hh:mm"}.get(kind, "")


def _write(sheet: Any, at: int, place: int, value: Any) -> None:
    if value is None or value != value:
        sheet.write_blank(at, place, None)
    elif isinstance(value, bool):
        sheet.write_boolean(at, place, value)
    elif hasattr(value, "__float__"):
        sheet.write_number(at, place, float(value))
    elif isinstance(value, datetime):
        sheet.write_datetime(at, place, value.replace(tzinfo=None))
    else:
        sheet.write_string(at, place, str(value))  # never write(): that would look for formulas and addresses


def _width(column: str, frame: pd.DataFrame) -> int:
    longest = max((len(str(value)) for value in frame[column].head(500)), default=0)
    return min(max(len(column), longest, 8) + 2, 60)


def _sheet_name(name: str, taken: Sequence[str]) -> str:
    plain = "".join("-" if letter in "[]:*?/\\" else letter for letter in name)[:28].strip("'") or "sheet"
    return plain if plain not in taken else f"{plain}-{len(taken)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _escaped(str(value))


def _escaped(text: str) -> str:
    """Return the text so that Markdown shows it as it is, in one line."""
    marks = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#!~"} | {"\n": " ", "\r": " ", "&": "&amp;"})
    return text.translate(marks)
