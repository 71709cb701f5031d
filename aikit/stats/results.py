"""What an analysis answers: frozen records that go to a dict and back, show themselves and say a sentence."""

from __future__ import annotations

import html
import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeVar, cast

from aikit.errors import DataError

__all__ = [
    "Comparison",
    "Decision",
    "Estimate",
    "Interval",
    "Margin",
    "Record",
    "Result",
    "Tested",
    "Verdict",
    "Worst",
]

Decision = Literal["invalid", "keep", "ship", "equivalent", "continue"]

_PACKAGE = "aikit.stats."
_NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


class Record:
    """Base of every result: `to_dict`, `from_dict`, `_repr_html_`; fields hold plain Python values and other records.

    What does not exist is None, never NaN; what is unbounded is `math.inf`.
    """

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `type` names the class, infinities become the strings "Infinity", "-Infinity"."""
        named: dict[str, Any] = {"type": f"{type(self).__module__.removeprefix(_PACKAGE)}.{type(self).__name__}"}
        return named | {name: _encode(getattr(self, name)) for name in _names(type(self))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a record from what `to_dict` returned; keys that the class does not know are left out.

        Raises DataError when `data` describes another class.
        """
        record = _decode(data, floats=True) if cls is Record or cls is Result else _build(cls, data)
        if not isinstance(record, cls):
            raise DataError(f"this is a {data.get('type')!r}, not a {cls.__name__}: use {data.get('type')}.from_dict")
        return record

    def _repr_html_(self) -> str:
        words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(str(getattr(self, "sentence", ""))))
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(name.replace("_", " "))}</th>'
            f'<td style="text-align:left">{html.escape(shown)}</td></tr>'
            for name in _names(type(self))
            if name != "sentence" and (shown := _show(getattr(self, name)))
        )
        figures = f"<details><summary>figures</summary><table>{rows}</table></details>"
        return f'<div class="aikit-result"><p>{words}</p>{figures}</div>'


class Result(Record):
    """A record that says in one plain sentence what it found."""

    __slots__ = ()

    @property
    def sentence(self) -> str:
        """What was found, in plain words; no verdict on its own."""
        shown = ((name.replace("_", " "), _show(getattr(self, name))) for name in _names(type(self)))
        return f"{type(self).__name__}: " + ", ".join(f"{name} {value}" for name, value in shown if value) + "."


_R = TypeVar("_R", bound=Record)


def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls))


def _encode(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): _encode(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, tuple | list):
        return [_encode(one) for one in cast("tuple[Any, ...]", value)]
    if hasattr(value, "item"):  # a numpy scalar that slipped through
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _decode(value: Any, *, floats: bool) -> Any:
    if isinstance(value, Mapping):
        data = cast("Mapping[str, Any]", value)
        named = data.get("type")
        if isinstance(named, str) and "." in named:
            return _build(_class_of(named), data)
        return {key: _decode(one, floats=floats) for key, one in data.items()}
    if isinstance(value, list | tuple):
        return tuple(_decode(one, floats=floats) for one in cast("list[Any]", value))
    return _NOT_FINITE.get(value, value) if floats and isinstance(value, str) else value


def _build(cls: type[_R], data: Mapping[str, Any]) -> _R:
    named = str(data.get("type", cls.__name__)).rpartition(".")[2]
    if named != cls.__name__:
        raise DataError(f"this is a {named!r}, not a {cls.__name__}: read it with {named}.from_dict")
    # The annotation decides whether "Infinity" is a number or a variant that somebody called so.
    kinds = {one.name: str(one.type) for one in fields(cast("type[Any]", cls))}
    return cls(
        **{
            name: _decode(value, floats="float" in kinds[name] or "Any" in kinds[name] or "object" in kinds[name])
            for name, value in data.items()
            if name in kinds
        }
    )


def _class_of(named: str) -> type[Record]:
    module, _, name = named.rpartition(".")
    if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", module):
        raise DataError(f"no result class {named!r} in aikit.stats")
    try:
        found = getattr(importlib.import_module(_PACKAGE + module), name, None)
    except ModuleNotFoundError as error:
        raise DataError(f"no result class {named!r} in aikit.stats") from error
    if not (isinstance(found, type) and issubclass(found, Record)):
        raise DataError(f"no result class {named!r} in aikit.stats")
    return found


def _show(value: Any) -> str:
    if value is None or value == () or value == {} or value == "":
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "infinite" if value > 0 else "minus infinite"
    if isinstance(value, Record):
        return str(getattr(value, "sentence", value))
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return "; ".join(f"{key}: {shown}" for key, one in items if (shown := _show(one)))
    if isinstance(value, tuple):
        return ", ".join(_show(one) for one in cast("tuple[Any, ...]", value))
    return str(value)


@dataclass(frozen=True, slots=True)
class Interval(Result):
    """A confidence interval; an end may be `-inf` or `inf` where the data do not bound it."""

    low: float
    high: float
    level: float = 0.95
    """Nominal coverage, 1 − alpha."""

    @property
    def sentence(self) -> str:
        """Say the interval with its level."""
        return f"{self.level:.4g} interval {_show(self.low)} to {_show(self.high)}"


@dataclass(frozen=True, slots=True)
class Tested(Result):
    """A test without an estimate of its own."""

    __test__ = False  # pytest takes a class of this name for tests

    p: float | None
    """Two-sided unless `method` says otherwise; None when the data can't give one."""
    statistic: float | None = None
    df: float | None = None
    """Degrees of freedom; None for exact and permutation tests."""
    n: int | None = None
    method: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate(Result):
    """One estimated quantity with its interval and, where there is one, the test of its null value."""

    estimate: float | None
    """None when there are no data."""
    low: float | None = None
    """Lower confidence limit; None when no interval is given, `-inf` when unbounded."""
    high: float | None = None
    p: float | None = None
    """Two-sided unless `method` says otherwise."""
    se: float | None = None
    df: float | None = None
    """Degrees of freedom of the reference t; None for a normal or an exact reference."""
    statistic: float | None = None
    level: float = 0.95
    n: int = 0
    """Units of analysis (samples, not calls)."""
    clusters: int = 0
    """Independent clusters; 0 where clusters play no part."""
    method: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """Return the limits as an Interval; None when there is none."""
        return None if self.low is None or self.high is None else Interval(self.low, self.high, self.level)


@dataclass(frozen=True, slots=True)
class Margin(Result):
    """How much worse still counts as good enough: a share of the control's value, or an amount in the metric's unit."""

    relative: float | None = None
    """A share: 0.20 allows 20 % of the control's value; None when `absolute` is given."""
    absolute: float | None = None
    """In the metric's own unit (pass/fail: 0.05 is five points); None when `relative` is given."""
    direction: str | None = None
    """Which way of the metric is better, "higher" or "lower"; None leaves it to the metric's name."""


@dataclass(frozen=True, slots=True)
class Worst(Result):
    """One of the samples on which two variants differ most."""

    sample: str
    control_value: float | None
    variant_value: float | None
    difference: float
    """Variant minus control, in the metric's unit; positive where the variant's value is higher."""
    calls: tuple[str, ...] = ()
    """Ids of the logged calls behind it; empty when the frame has no `call_id`."""


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """A variant against the control on one metric. The estimate is variant minus control: 0 is no difference."""

    estimate: float | None
    """Unit "points": difference of shares (0.075 is 7.5 points); "score": difference of means;
    "relative": ratio minus one (−0.18 is 18 % lower). None without data."""
    low: float | None
    """Lower limit at `level`; None when too few samples carry an interval, `-inf` when unbounded."""
    high: float | None
    p: float | None
    """Two-sided, adjusted for the number of variants where there are several; None when the data can't give one."""
    e_value: float | None
    """Evidence against equality that may be looked at after every sample (≥ 20 ≙ .05); only in stopping "anytime"."""
    unit: str
    wins: int
    """Samples on which the variant did better (by `direction`)."""
    losses: int
    ties: int
    samples: int
    """Samples compared: in a paired design those with a partner."""
    clusters: int
    """Independent clusters; equals `samples` when none are declared."""
    calls: int
    """Rows behind it, failures included."""
    method: str
    """The method and why the data's structure asked for it."""
    minimum_detectable_effect: float | None
    """Smallest true difference found with power .80 at the achieved n, in the estimate's unit; None without spread."""
    seed: int
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None
    metric: str = ""
    control: str = ""
    variant: str = ""
    kind: str = ""
    direction: str = "higher"
    level: float = 0.95
    control_value: float | None = None
    """The control's pass share, mean, geometric mean or ratio of sums, failures counted."""
    variant_value: float | None = None
    relative: Interval | None = None
    """Interval of variant/control − 1; None where a ratio has no meaning."""
    relative_estimate: float | None = None
    p_unadjusted: float | None = None
    p_check: float | None = None
    """The permutation p beside a t-based p, as a check that needs no distribution; None when not computed."""
    stopping: str = "fixed"
    planned: int | None = None
    """Samples the plan set out for; None when it had none."""
    final: bool = True
    """False while the plan is incomplete: the interval is then the one that may be looked at early."""
    winners: tuple[Worst, ...] = ()
    """The five samples on which the variant gained most."""
    losers: tuple[Worst, ...] = ()
    """The five samples on which the variant lost most."""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sentence: str = ""
    """What was measured, in plain words, absolute before relative; the verdict's sentence adds the decision."""

    @property
    def interval(self) -> Interval | None:
        """Return the limits as an Interval; None when there is none."""
        return None if self.low is None or self.high is None else Interval(self.low, self.high, self.level)


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """What to do, in words that name the variants."""

    decision: Decision
    variant: str | None
    """The variant to use now: shipped, kept, or the cheaper of two equivalent ones; None when invalid."""
    sentence: str
    """Plain words with Markdown bold around the decision; names are the user's: escape them before showing as HTML."""
    comparison: Comparison | None
    """The primary comparison (its own `verdict` is None: this is it)."""
    guardrails: Mapping[str, Comparison] = field(default_factory=dict[str, Comparison])
    """Metric → its comparison; `details["held"]` is True (shown to hold), False (shown to be broken) or None (open)."""
    warnings: tuple[str, ...] = ()
