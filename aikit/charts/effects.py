"""Effects: each difference with its interval, and the differences behind it sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aikit.charts.theme import INK, PALETTE, finished

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["differences", "forest"]


def forest(effects: pd.DataFrame, *, title: str = "", unit: str = "") -> Any:
    """Draw each effect as a point with its interval, against the line of no difference.

    `effects` has a row per effect: `label`, `estimate`, `low`, `high`; optional: `zero` (the value of no difference,
    else 0), `group` (a heading the rows stand under, each with an axis of its own), `unit` (of its group) and `text`
    (said beside the row). Infinite ends are drawn to the plot's edge.
    """
    import altair as alt
    import numpy as np
    import pandas as pd

    frame = effects.reset_index(drop=True).copy()
    if frame.empty:
        return finished(alt.Chart(pd.DataFrame({"text": ["nothing to compare yet"]})).mark_text().encode(text="text:N"))
    for column, default in (("zero", 0.0), ("group", ""), ("unit", unit), ("text", "")):
        if column not in frame:
            frame[column] = default
    panels: list[Any] = []
    for group, rows in frame.groupby("group", sort=False):
        part = rows.copy()
        finite = part[["estimate", "low", "high", "zero"]].replace([np.inf, -np.inf], np.nan)
        low, high = float(finite.min().min()), float(finite.max().max())
        pad = (high - low) * 0.08 or 1.0
        part["from"] = part["low"].replace(-np.inf, low - pad).fillna(low - pad)
        part["to"] = part["high"].replace(np.inf, high + pad).fillna(high + pad)
        label = " ".join(filter(None, (str(group), f"({part['unit'].iloc[0]})" if part["unit"].iloc[0] else "")))
        panels.append(_panel(part, label or "difference", (low - pad, high + pad)))
    chart = (
        panels[0]
        if len(panels) == 1
        else cast("Any", alt.vconcat(*panels)).resolve_scale(x="independent", color="shared")
    )
    return finished(chart.properties(title=title) if title else chart)


def _panel(part: Any, label: str, span: tuple[float, float]) -> Any:
    import altair as alt

    base = alt.Chart(part).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8))
    )
    ticks = alt.Axis(labelOverlap="greedy", labelSeparation=8, tickCount=7)
    x = alt.X("estimate:Q", title=label, axis=ticks, scale=alt.Scale(domain=list(span), zero=False, nice=True))
    tips = [alt.Tooltip(name, format=".3~f") for name in ("estimate", "low", "high")]
    rule = alt.Chart(part.head(1)).mark_rule(strokeDash=[4, 3], color=INK).encode(x=alt.X("zero:Q"))
    whisker = base.mark_rule(strokeWidth=3, color=PALETTE[0]).encode(
        x=alt.X("from:Q", title=label, axis=ticks, scale=alt.Scale(domain=list(span), zero=False, nice=True)),
        x2="to:Q",
        tooltip=tips,
    )
    point = base.mark_point(filled=True, size=90, color=PALETTE[0], opacity=1).encode(x=x, tooltip=tips)
    return alt.layer(rule, whisker, point).properties(width=440, height=alt.Step(34))


def differences(pairs: pd.DataFrame, *, title: str = "", unit: str = "") -> Any:
    """Draw how many samples moved by how much from the control to the variant.

    `pairs` has a row per sample with `difference` (variant − control). Drawn as counts, so that a million samples cost
    no more than a hundred.
    """
    import altair as alt
    import numpy as np
    import pandas as pd

    values = pairs["difference"].dropna().to_numpy(dtype=float)
    distinct = np.unique(values)
    if len(distinct) <= 15:
        counts = pd.DataFrame({"difference": distinct, "samples": [int((values == one).sum()) for one in distinct]})
        x = alt.X("difference:O", title=f"difference ({unit})" if unit else "difference", axis=alt.Axis(labelAngle=0))
        bars = alt.Chart(counts).mark_bar(color=PALETTE[0])
    else:
        samples, edges = np.histogram(values, bins=30)
        counts = pd.DataFrame({"difference": edges[:-1], "until": edges[1:], "samples": samples})
        x = alt.X("difference:Q", bin="binned", title=f"difference ({unit})" if unit else "difference")
        bars = alt.Chart(counts).mark_bar(color=PALETTE[0]).encode(x2="until:Q")
    chart = bars.encode(x=x, y=alt.Y("samples:Q", title="samples"), tooltip=["difference", "samples"])
    return finished(chart.properties(width=440, height=160, title=title))
