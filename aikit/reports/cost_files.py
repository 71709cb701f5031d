"""A cost report's files, one function for each kind."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikit.reports import tables

if TYPE_CHECKING:
    import pandas as pd

    from aikit.reports.costs import CostReport

__all__ = ["WRITERS", "fragment"]


def write_csv(report: CostReport, path: Path) -> None:
    """Write the frame, and what has to be known beside it as columns: a comment would break readers of CSV."""
    tables.write_csv(_with_facts(report), path)


def write_parquet(report: CostReport, path: Path) -> None:
    """Write the frame, with currency and time zone as columns and all facts as the file's metadata."""
    tables.write_parquet(_with_facts(report), path, {f"aikit {name}": value for name, value in report.facts()})


def write_json(report: CostReport, path: Path) -> None:
    """Write an object: the facts, the rows, the total apart."""
    rows = json.loads(report.frame.to_json(orient="records", double_precision=12))
    document = {
        "currency": report.currency,
        "price_ids": list(report.price_ids),
        "timezone": report.timezone,
        "since": report.since.isoformat() if report.since else None,
        "made_at": report.made_at.isoformat(),
        "estimated_share": report.estimated_share,
        "savings": {name: str(amount) for name, amount in report.savings.items()},
        "provenance": report.provenance,
        "groups": list(report.groups),
        "rows": rows[:-1],
        "total": rows[-1],
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_markdown(report: CostReport, path: Path) -> None:
    """Write a heading, the table, and the facts as a list."""
    facts = "".join(f"- {name}: {value}\n" for name, value in report.facts())
    path.write_text(f"# Costs\n\n{tables.markdown(report.frame)}\n{facts}", encoding="utf-8", errors="replace")


def write_html(report: CostReport, path: Path) -> None:
    """Write one page that loads nothing: the chart of the days, the tables, the facts."""
    from aikit.reports.page import Page

    page = Page("Costs", subtitle=report.provenance)
    if report.days is not None and len(report.days):
        from aikit.charts.cost import spend

        page.chart(spend(report.days, by="model"), caption=f"US dollars by day ({report.timezone}) and model")
    page.heading(f"By {', '.join(report.groups)}")
    page.table(_titled(report.frame), total=True)
    for name, frame in report.sheets.items():
        page.heading(f"By {name}")
        page.table(_titled(frame), total=True)
    page.heading("About these figures")
    page.facts(report.facts())
    page.save(path)


def _titled(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame under headings that may break between their words."""
    return frame.rename(columns=lambda name: "US dollars" if name == "cost" else str(name).replace("_", " "))


def write_xlsx(report: CostReport, path: Path) -> None:
    """Write a sheet for all groups, one for each grouping, the days with a chart, and the facts."""
    xlsxwriter: Any = importlib.import_module("xlsxwriter")  # it has no types
    # Nothing that looks like a formula or an address becomes one.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        tables.write_sheet(book, "costs", report.frame)
        for name, frame in report.sheets.items():
            tables.write_sheet(book, f"by {name}", frame)
        if report.days is not None and len(report.days):
            _days(book, report.days)
        about = book.add_worksheet("about")
        about.set_column(0, 0, 24)
        about.set_column(1, 1, 100)
        for at, (name, value) in enumerate(report.facts()):
            about.write_string(at, 0, name)
            about.write_string(at, 1, value)


def fragment(report: CostReport) -> str:
    """Return the table and the provenance for a notebook's cell; everything is escaped."""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in report.frame.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_shown(value))}</td>" for value in row) + "</tr>"
        for row in report.frame.itertuples(index=False)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"{table}<p>{escape(report.provenance)}</p>"


def _shown(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _with_facts(report: CostReport) -> pd.DataFrame:
    return report.frame.assign(
        currency=report.currency,
        timezone=report.timezone,
        prices="; ".join(report.price_ids),
        provenance=report.provenance,
    )


def _days(book: Any, days: pd.DataFrame) -> None:
    """Add a sheet with a row per day and a column per model, and a stacked chart of them."""
    import pandas as pd

    wide = days.pivot_table(index="day", columns="model", values="cost", aggfunc="sum", fill_value=0.0).reset_index()
    wide["day"] = pd.to_datetime(wide["day"])
    wide.columns = pd.Index([str(name) for name in wide.columns])
    sheet = tables.write_sheet(book, "days", wide)
    dollars = book.add_format({"num_format": tables.number_format("cost", "f")})
    sheet.set_column(0, 0, 12, book.add_format({"num_format": "yyyy-mm-dd"}))
    sheet.set_column(1, len(wide.columns) - 1, 16, dollars)
    chart = book.add_chart({"type": "column", "subtype": "stacked"})
    last = len(wide)
    for place in range(1, len(wide.columns)):
        chart.add_series(
            {
                "name": ["days", 0, place],
                "categories": ["days", 1, 0, last, 0],
                "values": ["days", 1, place, last, place],
            }
        )
    chart.set_title({"name": "US dollars by day and model"})
    chart.set_x_axis({"date_axis": True, "num_format": "yyyy-mm-dd"})
    chart.set_y_axis({"num_format": '"$"#,##0.00##'})
    sheet.insert_chart(1, len(wide.columns) + 1, chart, {"x_scale": 1.6, "y_scale": 1.4})


WRITERS: Mapping[str, Callable[[CostReport, Path], None]] = {
    "csv": write_csv,
    "html": write_html,
    "json": write_json,
    "markdown": write_markdown,
    "parquet": write_parquet,
    "xlsx": write_xlsx,
}
"""Kind of file → what writes it."""
