"""The report of one run: the sentence, the effects, what it cost, and what it takes to do it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from aikit import figures
from aikit.errors import UnknownSetting
from aikit.reports.page import Page

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["metrics_table", "run_report"]


class RunLike(Protocol):
    """What the report shows; `aikit.experiments.RunData` is one."""

    run: str
    experiment: str
    plan: Any
    state: Any
    verdict: Any
    comparisons: tuple[Any, ...]
    summary: pd.DataFrame
    effects: pd.DataFrame
    variants: pd.DataFrame
    trials: pd.DataFrame
    looks: pd.DataFrame
    failures: pd.DataFrame
    worst: pd.DataFrame
    slices: pd.DataFrame
    deviations: pd.DataFrame
    recommendations: tuple[Any, ...]
    manifest: Mapping[str, Any]


def run_report(data: RunLike, path: str | Path) -> Path:
    """Write a run's report, HTML or Markdown by the path's ending, and return its path.

    The HTML page is one file: it loads nothing, runs no script, and shows every text as text.
    """
    target = Path(path)
    match target.suffix.lower():
        case ".html" | ".htm":
            return _page(data).save(target)
        case ".md" | ".markdown":
            target.write_text(_markdown(data), "utf-8", errors="replace")
            return target
        case other:
            raise UnknownSetting(f"can't write a run's report as {other or 'a file without an ending'!r}: .html or .md")


def metrics_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a run's summary as people read it: each metric's values, their difference with its interval, and p."""
    import pandas as pd

    several = summary["variant"].nunique() > 1
    rows = [
        {
            "metric": f"{_words(one['metric'])}{': ' + str(one['variant']) if several else ''}",
            str(one["control"]): _value(one["control_value"], one["unit"], one["metric"]),
            "variant" if several else str(one["variant"]): _value(one["variant_value"], one["unit"], one["metric"]),
            "difference (interval)": _difference(one),
            "p": _p(one["p"]),
            "wins / losses / ties": _counts(one),
            "role": one["role"],
        }
        for one in summary.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _page(data: RunLike) -> Page:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = Page(data.experiment, subtitle=f"{' against '.join(reversed(data.plan.variants))} · {when} · run {data.run}")
    page.verdict(data.verdict.sentence, decision=data.verdict.decision)
    for warning in data.verdict.warnings:
        page.warning(str(warning))
    if len(data.effects):
        page.heading("Effects")
        page.chart(_forest(data), caption=f"Each metric's difference to {data.plan.control}, with its interval")
    page.table(metrics_table(data.summary))
    _sequential(page, data)
    _variants(page, data)
    _answers(page, data)
    _method(page, data)
    page.footer(
        "Made by aikit from the run's logged calls. One prompt's figures are compared with another's on the same "
        "samples; the interval says how far the difference could be off by chance."
    )
    return page


def _forest(data: RunLike) -> Any:
    from aikit import charts

    return charts.forest(data.effects)


def _sequential(page: Page, data: RunLike) -> None:
    if len(data.looks):
        page.heading("The looks")
        page.table(data.looks)


def _variants(page: Page, data: RunLike) -> None:
    page.heading("What it cost")
    page.table(_variants_table(data.variants))
    timed = data.trials[data.trials["duration"].notna()]
    if len(timed) > 1:
        from aikit import charts

        chart = charts.latency(timed, by="variant")
        page.chart(chart, caption="Share of answers that were there after so many seconds, by variant")
    state = data.state
    told = f"This run's calls cost {figures.dollars(state.spent)}."
    if state.replayed:
        told += f" {state.replayed} of {state.done} answers were replayed from the log, at no cost."
    if state.unpriced:
        told += f" The price of {state.unpriced} calls is not known; they are missing in that figure."
    page.paragraph(told, soft=True)
    if data.recommendations:
        page.heading("What to change")
        for one in data.recommendations:
            page.paragraph(f"**{one.title}** {one.evidence}" if hasattr(one, "title") else str(one))


def _answers(page: Page, data: RunLike) -> None:
    if len(data.failures):
        page.heading("Failures")
        page.table(data.failures.assign(share=data.failures["share"].map(figures.share)))
    if len(data.worst):
        page.heading("Samples that moved most")
        page.table(_moved(data.worst, data.plan.control))
    if len(data.slices):
        page.heading("Where it differs")
        page.table(data.slices)
    if len(data.deviations):
        page.heading("Deviations from the plan")
        page.table(data.deviations)


def _moved(worst: pd.DataFrame, control: str) -> pd.DataFrame:
    """Return the samples that moved most as people read them: the answers side by side, the calls' ids last."""
    import pandas as pd

    rows = [
        {
            f"{one['variant']} …": one["side"],
            "input": _fact(one["input"]),
            "target": _fact(one["target"]),
            f"{control} said": _fact(one["control_text"]),
            "it said": _fact(one["variant_text"]),
            "calls": f"{one['control_call']}\n{one['variant_call']}",
        }
        for one in worst.to_dict("records")
    ]
    return pd.DataFrame(rows).fillna("")


def _method(page: Page, data: RunLike) -> None:
    page.heading("How it was done")
    plan = data.plan
    page.paragraph(
        f"{len(plan.dataset)} samples, {plan.epochs} epoch{'s' if plan.epochs > 1 else ''}, {plan.stopping} stopping; "
        f"the order of the variants drawn anew for each sample. Primary metric: {_words(plan.primary)}; what is not a "
        "guardrail beside it is exploratory."
    )
    for one in data.comparisons:
        page.paragraph(f"{one.variant}: {one.method}", soft=True)
    page.facts([(_words(name), _fact(value)) for name, value in data.manifest.items() if name != "plan"])
    page.details(
        "The plan as it was fixed before the first call", json.dumps(data.manifest["plan"], indent=2, default=str)
    )


def _markdown(data: RunLike) -> str:
    lines = [f"# {_plain(data.experiment)}", "", data.verdict.sentence, ""]
    lines += [f"> Note: {_plain(str(warning))}\n" for warning in data.verdict.warnings]
    lines += ["## Effects", "", _markdown_table(metrics_table(data.summary)), ""]
    lines += ["## What it cost", "", _markdown_table(_variants_table(data.variants)), ""]
    moved = _moved(data.worst, data.plan.control)
    for title, frame in (("Failures", data.failures), ("Samples that moved most", moved)):
        if len(frame):
            lines += [f"## {title}", "", _markdown_table(frame), ""]
    if len(data.deviations):
        lines += ["## Deviations from the plan", "", _markdown_table(data.deviations), ""]
    lines += ["## How it was done", ""]
    lines += [f"- {_plain(one.variant)}: {_plain(one.method)}" for one in data.comparisons]
    facts = [(name, value) for name, value in data.manifest.items() if name != "plan"]
    lines += [f"- {_words(name)}: {_plain(_fact(value))}" for name, value in facts]
    return "\n".join(lines) + "\n"


def _markdown_table(frame: pd.DataFrame) -> str:
    head = [_plain(str(name)) for name in frame.columns]
    rows = [[_plain(_fact(cell)) for cell in row] for row in frame.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line: no mark-up, no HTML, no table's edge."""
    kept = "".join(one if one.isprintable() else " " for one in text)
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>#|!" else one for one in kept)


def _variants_table(variants: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            "variant": one["variant"],
            "prompt": f"{one['prompt']} v{one['version']}",
            "model": one["model"],
            "answers": one["trials"],
            "failed": one["failed"],
            "cost per 1,000 calls": figures.dollars(one["cost_per_1000_calls"]),
            "cost per success": "–" if one["cost_per_success"] is None else figures.dollars(one["cost_per_success"]),
            "input tokens": figures.count(one["input_tokens"]),
            "output tokens": figures.count(one["output_tokens"]),
            "duration p50": figures.seconds(one["duration_p50"]),
            "p95": figures.seconds(one["duration_p95"]),
        }
        for one in variants.astype(object).where(variants.notna(), None).to_dict("records")
    ]
    return pd.DataFrame(rows)


# -- words and figures


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _value(value: Any, unit: str, metric: str) -> str:
    if value is None or value != value:
        return "–"
    if unit == "points":
        return figures.share(value)
    if "cost" in metric:
        return figures.dollars(value)
    if metric in ("duration", "time_to_first_token", "queue_time"):
        return figures.seconds(value)
    return f"{value:,.3g}" if abs(value) < 1000 else figures.count(value)


def _difference(one: Mapping[Any, Any]) -> str:
    if one["estimate"] is None:
        return "–"
    scale, after = {"points": (100, " points"), "relative": (100, " %")}.get(one["unit"], (1, ""))

    def signed(value: float | None) -> str:
        if value is None or value != value:
            return "–"
        if abs(value) == float("inf"):
            return "unbounded"
        return f"{value * scale:+.1f}".replace("-", "−") if scale == 100 else f"{value:+.3g}".replace("-", "−")

    if one["low"] is None or one["high"] is None:
        return f"{signed(one['estimate'])}{after}"
    return f"{signed(one['estimate'])}{after} ({signed(one['low'])} to {signed(one['high'])})"


def _p(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _counts(one: Mapping[Any, Any]) -> str:
    numbers = [one["wins"], one["losses"], one["ties"]]
    return "–" if None in numbers else " / ".join(figures.count(number) for number in numbers)


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:,.4g}"
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact(one)}" for name, one in cast("Mapping[str, Any]", value).items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_fact, cast("Sequence[Any]", value))) or "–"
    return str(value)
