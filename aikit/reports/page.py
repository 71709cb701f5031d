"""One self-contained HTML page: headings, paragraphs, tables and charts; it runs no script and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Page"]

# No scripts at all, nothing from anywhere: charts are drawn to SVG beforehand.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --tint: #f3f6f9;
  --good: #00694d; --bad: #a33c00; --accent: #005b96; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #3a424b; --paper: #14181d;
  --tint: #1d232a; --good: #3fc29b; --bad: #f08c52; --accent: #6cb6f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { margin: .5rem 0; } .soft, figcaption, footer { color: var(--soft); font-size: .9rem; }
.verdict { border-left: .35rem solid var(--accent); background: var(--tint); padding: .9rem 1.1rem; margin: 1.2rem 0;
  font-size: 1.05rem; } .verdict.ship { border-color: var(--good); } .verdict.invalid { border-color: var(--bad); }
.warning { border-left: .35rem solid var(--bad); padding: .3rem .9rem; margin: .5rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; overflow-wrap: normal; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); } td.number, th.number { text-align: right; padding: .35rem .5rem; }
th { vertical-align: bottom; } td:first-child { min-width: 10rem; overflow-wrap: anywhere; }
tr.total td { font-weight: 600; border-bottom: 0; border-top: 2px solid var(--line); }
td { white-space: pre-wrap; } figure { margin: 1rem 0; }
figure svg { max-width: 100%; height: auto; overflow: visible; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; }
pre { white-space: pre-wrap; font-size: .85em; }
summary { cursor: pointer; margin-top: .6rem; }
 code { font-family: ui-monospace, "SF Mono", Menlo, monospace; font-size: .9em; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; }
@media print { body { max-width: none; } }
"""


class Page:
    """Collects a report's parts in order; everything given is taken for text and escaped."""

    def __init__(self, title: str, *, subtitle: str = "") -> None:
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]
        if subtitle:
            self._parts.append(f'<p class="soft">{escape(subtitle)}</p>')

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str, *, soft: bool = False) -> None:
        """Add a paragraph; `**bold**` is the only mark-up that is understood."""
        start = '<p class="soft">' if soft else "<p>"
        self._parts.append(f"{start}{_bold(text)}</p>")

    def verdict(self, sentence: str, *, decision: str) -> None:
        """Add the one sentence that the report is about."""
        self._parts.append(f'<div class="verdict {escape(decision)}">{_bold(sentence)}</div>')

    def warning(self, text: str) -> None:
        """Add something the reader must not overlook."""
        self._parts.append(f'<p class="warning">Note: {_bold(text)}</p>')

    def table(self, frame: pd.DataFrame, *, caption: str = "", total: bool = False) -> None:
        """Add a table; numbers stand right, texts left, and cells are shown as they are; `total` marks the last row."""
        names = [str(name) for name in frame.columns]
        self._parts.append(_table(names, frame.to_numpy().tolist(), caption, total=total))

    def chart(self, chart: Any, *, caption: str) -> None:
        """Add an Altair chart as a drawing; the caption says what it shows, also to who can't see it."""
        from aikit.charts.theme import as_svg

        self._parts.append(
            f'<figure role="img" aria-label="{escape(caption)}">{as_svg(chart)}'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Add names with their values, such as a manifest."""
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
        self._parts.append(f"<dl>{rows}</dl>")

    def details(self, title: str, text: str) -> None:
        """Add a longer text that is folded away until somebody wants it."""
        self._parts.append(f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>")

    def footer(self, text: str) -> None:
        """Add the closing line: where the figures come from."""
        self._parts.append(f"<footer>{escape(text)}</footer>")

    def html(self) -> str:
        """Return the whole page."""
        head = (
            f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="referrer" content="no-referrer">'
            f"<title>{escape(self._title)}</title><style>{STYLE}</style>"
        )
        body = "\n".join(self._parts)
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'

    def save(self, path: str | Path) -> Path:
        """Write the page to a file and return its path."""
        target = Path(path)
        # surrogatepass would write bytes that no browser reads; lone halves become question marks.
        target.write_bytes(self.html().encode("utf-8", "replace"))
        return target


def _bold(text: str) -> str:
    parts = escape(text).split("**")
    if len(parts) % 2 == 0:  # an odd mark: not ours
        return escape(text)
    return "".join(f"<strong>{part}</strong>" if place % 2 else part for place, part in enumerate(parts))


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, *, total: bool = False) -> str:
    numeric = [all(_is_number(row[place]) for row in rows) and bool(rows) for place in range(len(names))]
    classes = [' class="number"' if one else "" for one in numeric]
    head = "".join(f'<th scope="col"{one}>{escape(name)}</th>' for name, one in zip(names, classes, strict=True))
    body = "".join(
        ('<tr class="total">' if total and place == len(rows) - 1 else "<tr>")
        + "".join(f"<td{one}>{escape(_cell(cell))}</td>" for cell, one in zip(row, classes, strict=True))
        + "</tr>"
        for place, row in enumerate(rows)
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _is_number(cell: Any) -> bool:
    return not isinstance(cell, bool) and hasattr(cell, "__float__")


def _cell(cell: Any) -> str:
    if cell is None or cell != cell:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.4g}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
