"""How long answers take: the share of calls that were done after so many seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aikit.charts.theme import INK, finished

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["latency"]

POINTS = 200
"""Points of each curve; more could not be seen."""


def latency(calls: pd.DataFrame, *, value: str = "duration", by: str = "model", title: str = "") -> Any:
    """Draw the cumulative distribution of a duration on a log axis, a curve per group, with its p50 and p95.

    `calls` has a row per call with `value` in seconds and the grouping column `by`, as `kit.calls()` gives it.
    """
    import altair as alt
    import numpy as np
    import pandas as pd

    curves: list[Any] = []
    marks: list[Any] = []
    for group, rows in calls.dropna(subset=[value]).groupby(by, sort=False):
        seconds = np.sort(rows[value].to_numpy(dtype=float))
        seconds = np.maximum(seconds, 1e-4)  # a log axis has no zero
        shares = np.linspace(0, 1, min(POINTS, max(2, len(seconds))))
        curves.append(pd.DataFrame({"group": str(group), "seconds": np.quantile(seconds, shares), "share": shares}))
        marks += [
            {"group": str(group), "seconds": float(np.quantile(seconds, q)), "share": q, "name": f"p{q * 100:.0f}"}
            for q in (0.5, 0.95)
        ]
    if not curves:
        return finished(alt.Chart(pd.DataFrame({"text": ["no finished calls yet"]})).mark_text().encode(text="text:N"))
    x = alt.X(
        "seconds:Q", scale=alt.Scale(type="log", nice=True), title=f"{value.replace('_', ' ')} (seconds, log scale)"
    )
    y = alt.Y("share:Q", title="share of calls", axis=alt.Axis(format="%"))
    colour = alt.Color("group:N", title=by, sort=None)
    dash = alt.StrokeDash("group:N", title=by, sort=None)  # never by colour alone
    line = (
        alt.Chart(pd.concat(curves)).mark_line(interpolate="step-after").encode(x=x, y=y, color=colour, strokeDash=dash)
    )
    points = alt.Chart(pd.DataFrame(marks)).mark_point(filled=True, size=60, opacity=1)
    points = points.encode(
        x=x, y=y, color=colour, strokeDash=dash, tooltip=["group", "name", alt.Tooltip("seconds", format=".3~s")]
    )
    levels = alt.Chart(pd.DataFrame({"share": [0.5, 0.95], "name": ["p50", "p95"]}))
    rules = levels.mark_rule(color=INK, strokeDash=[2, 3], opacity=0.5).encode(y=y)
    return finished(alt.layer(rules, line, points).properties(width=440, height=200, title=title))
