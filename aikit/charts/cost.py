"""What was spent, over time and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aikit.charts.theme import INK, finished

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["spend"]


def spend(days: pd.DataFrame, *, by: str = "", limit: float | None = None, title: str = "") -> Any:
    """Draw the dollars of each day as bars, stacked by a column, with a line at the daily limit.

    `days` has a row per day and group: `day` (a date), `cost` in US dollars and, where `by` is given, that column.
    """
    import altair as alt
    import pandas as pd

    frame = days.copy()
    if frame.empty:
        return finished(alt.Chart(pd.DataFrame({"text": ["nothing spent yet"]})).mark_text().encode(text="text:N"))
    frame["day"] = pd.to_datetime(frame["day"]).dt.strftime("%Y-%m-%d")
    frame["cost"] = frame["cost"].astype(float)
    columns = ["day", "cost", *([by] if by else [])]
    bars = alt.Chart(frame[columns]).mark_bar().encode(
        x=alt.X("day:O", title="day", axis=alt.Axis(labelAngle=-40, labelOverlap=True)),
        y=alt.Y("sum(cost):Q", title="US dollars", axis=alt.Axis(format="$,.4~f")),
        tooltip=[*([by] if by else []), "day", alt.Tooltip("sum(cost)", format="$,.4~f", title="dollars")],
    )  # fmt: skip
    if by:
        bars = bars.encode(color=alt.Color(f"{by}:N", title=by, legend=alt.Legend(labelLimit=400, columns=1)))
    layers = [bars]
    if limit is not None:
        line = alt.Chart(pd.DataFrame({"limit": [limit]})).mark_rule(color=INK, strokeDash=[6, 3], strokeWidth=2)
        layers.append(line.encode(y="limit:Q"))
    return finished(alt.layer(*layers).properties(width=440, height=180, title=title))
