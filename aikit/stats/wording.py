"""What a comparison says in plain words: absolute before relative, counts beside shares, never more than was shown."""

from __future__ import annotations

import math

from aikit.stats.results import Comparison

__all__ = ["amount", "change", "frequency", "level", "measured", "metric_name", "size", "value"]

_WILD = 10_000.0  # ratios past it are not read by anybody
_TIMES = ("duration", "latency", "time_to_first_token", "time_per_output_token")


def metric_name(metric: str) -> str:
    """Return a column's name as words: `cost_per_success` is "cost per success"."""
    return metric.replace("_", " ")


def value(x: float | None, comparison: Comparison) -> str:
    """Return one variant's value in the metric's unit."""
    if x is None:
        return "no value"
    if math.isinf(x):
        return "infinite"
    if comparison.kind in ("binary", "preference"):
        return f"{100 * x:.1f} %"
    if comparison.metric == "cost" or comparison.metric.startswith("cost_"):
        return f"${x:,.2f}" if x >= 10 else f"${x:.3g}"
    if comparison.metric in _TIMES or comparison.metric.startswith("duration_"):
        return f"{x:.3g} s"
    return f"{x:,.0f}" if "tokens" in comparison.metric and x >= 100 else f"{x:.3g}"


def amount(x: float, unit: str) -> str:
    """Return a difference with its sign, in the unit of an estimate."""
    if math.isinf(x):
        return "no bound" if unit == "relative" and x > 0 else f"{'+' if x > 0 else '−'}infinite"
    if unit == "relative":
        return f"{_percent(abs(x))} {'higher' if x > 0 else 'lower'}" if abs(x) >= 0.0005 else "0 %"
    sign = "+" if x > 0 else "−" if x < 0 else "±"
    return f"{sign}{abs(100 * x):.1f}" if unit in ("points", "net wins") else f"{sign}{abs(x):.3g}"


def _percent(x: float) -> str:
    return f"{100 * x:.0f} %" if x < _WILD else "more than 1,000,000 %"


def change(comparison: Comparison, *, brief: bool = False) -> str:
    """Return the estimate with its interval: "+7.5 points (95 % interval +2.0 to +13.4)", in brief without
    the interval's name: "18 % lower (9-26 %)".
    """
    if comparison.estimate is None:
        return "not measured"
    unit = {"points": " points", "net wins": " points of net wins"}.get(comparison.unit, "")
    words = amount(comparison.estimate, comparison.unit) + unit
    if comparison.unit == "relative" and math.isinf(comparison.estimate):
        words = "infinite against finite"
    if comparison.low is None or comparison.high is None:
        return words
    low, high = comparison.low, comparison.high
    named = "" if brief else f"{level(comparison)} "
    if comparison.unit == "relative" and low * high > 0 and math.isfinite(high):
        near, far = sorted((abs(low), abs(high)))
        if far < _WILD:
            return f"{words} ({named}{100 * near:.0f}-{100 * far:.0f} %)"
    return f"{words} ({named}{amount(low, comparison.unit)} to {amount(high, comparison.unit)})"


def size(x: float, unit: str) -> str:
    """Return an amount without direction: "5.2 points", "17 %", "0.3"."""
    if unit == "relative":
        return _percent(x)
    return f"{100 * x:.1f} points" if unit in ("points", "net wins") else f"{x:.3g}"


def level(comparison: Comparison) -> str:
    """Name the interval: "95 % interval", "95 % always-valid interval"."""
    kind = str(comparison.details.get("interval", "interval"))
    return f"{100 * comparison.level:.4g} % {kind}"


def frequency(p: float) -> str:
    """Return a probability as a frequency: .009 is "about 9 times in 1,000"."""
    if p >= 0.995:
        return "almost every time"
    for base in (100, 1_000, 1_000_000):
        times = round(p * base)
        if times >= 10 or (times >= 1 and base == 1_000) or (times >= 1 and base == 1_000_000):
            return f"about {'once' if times == 1 else f'{times:,} times'} in {base:,}"
    return "less than once in 1,000,000"


def measured(comparison: Comparison) -> str:
    """Say what was measured; no decision."""
    if comparison.estimate is None:
        name = metric_name(comparison.metric)
        return f"{comparison.variant} and {comparison.control} have nothing to compare on {name}."
    parts = [f"{_levels(comparison)}: {change(comparison)}."]
    if comparison.p is not None and comparison.estimate != 0:
        equal = "equally good" if comparison.unit != "relative" else "equal in this"
        parts.append(f"If the prompts were {equal}, a gap this large would show up {frequency(comparison.p)}.")
    if comparison.e_value is not None:
        parts.append(
            f"Evidence against equality, valid at any time: e = {_evidence(comparison.e_value)} (20 asks for 1 in 20)."
        )
    if comparison.wins + comparison.losses + comparison.ties:
        parts.append(
            f"{comparison.variant} wins {_inputs(comparison.wins)}, loses {comparison.losses:,}, "
            f"ties {comparison.ties:,}."
        )
    return " ".join(parts)


def _inputs(n: int) -> str:
    return f"{n:,} input{'' if n == 1 else 's'}"


def _evidence(e: float) -> str:
    if e > 1_000_000:
        return "more than 1,000,000"
    return f"{e:,.0f}" if e >= 1_000 else f"{e:.3g}"


def _levels(comparison: Comparison) -> str:
    mine, other = value(comparison.variant_value, comparison), value(comparison.control_value, comparison)
    n_variant, n_control = (comparison.details.get(name) for name in ("n_variant", "n_control"))
    answers = "answers to " if comparison.details.get("repeated") else ""
    here = f"{answers}{_inputs(comparison.samples if n_variant is None else n_variant)}"
    there = f" of {answers}{n_control:,}" if n_control is not None else ""
    if comparison.kind == "binary":
        name = metric_name(comparison.metric)
        article = {"error": "an ", "failure": "a ", "refusal": "a ", "timeout": "a "}.get(name, "")
        verb = "passed" if comparison.direction == "higher" else f"had {article}{name} on"
        return f"{comparison.variant} {verb} {mine} of {here}, {comparison.control} {other}{there}"
    if comparison.kind == "preference":
        return (
            f"{comparison.variant} was preferred in {mine} of {here} (ties count half), {comparison.control} in {other}"
        )
    name, over = metric_name(comparison.metric), here.replace("answers to ", "")
    kind = {"ratio": "typical ", "per_success": ""}.get(comparison.kind, "mean ")
    return f"{comparison.variant}'s {kind}{name} was {mine} over {over}, {comparison.control}'s {other}"
