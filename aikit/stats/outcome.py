"""One metric of an experiment: its kind, which way is better, and what each row says, failures included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from aikit.errors import DataError, did_you_mean
from aikit.stats.clustered import fits
from aikit.stats.design import Cells, Design

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Kind", "Outcome", "is_cost_like", "numbers", "read_outcome"]

Kind = Literal["binary", "ordinal", "score", "ratio", "preference", "per_success"]

_RATIO_NAMES = ("cost", "duration", "latency", "time_to_first_token", "time_per_output_token")
_TIMES = ("duration", "latency", "time_to_first_token", "time_per_output_token")
_FAILURES = ("failure", "failed")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A metric collapsed to samples × variants."""

    name: str
    kind: Kind
    direction: str
    """"higher" or "lower" is better."""
    cells: Cells
    """Means per sample × variant; of logarithms where `log`; of the numerator for kind "per_success"."""
    log: bool = False
    divisor: Cells | None = None
    """Successes per epoch; only for kind "per_success"."""
    squares: Cells | None = None
    """Mean squares per sample × variant; only where samples were answered several times."""
    pass_fail: bool = False
    """Every value of every row is 0 or 1."""
    failures: int = 0
    """Rows that failed and were scored as the worst outcome."""
    missing: int = 0
    """Rows that were answered and not scored: left out, and warned of."""
    warnings: tuple[str, ...] = ()


def is_cost_like(name: str) -> bool:
    """Say whether a column is by its name a ratio metric: cost, a time, or a number of tokens."""
    return name in _RATIO_NAMES or name.endswith("_tokens")


def read_outcome(
    design: Design, metric: str, *, kind: str | None = None, direction: str = "higher", primary: str | None = None
) -> Outcome:
    """Read a metric off the rows of a design.

    Failures (status other than ok) are outcomes: fail for pass/fail; for an ordinal the worst value seen; for a score
    0, or the least value seen if that is below 0 (direction "lower": the largest seen); times are taken as recorded,
    or the longest seen when nothing was; money and tokens as billed. `metric` may be a column, "failure", a status
    ("timeout", "refused", …), or "X_per_success" with the successes of `primary`, else of the only pass/fail column,
    else of the status. Costs, times and tokens are better when lower, whatever `direction` says.
    """
    if direction not in ("higher", "lower"):
        raise DataError(f"direction is {direction!r}: use 'higher' or 'lower', whichever is better")
    if kind is not None and kind not in get_args(Kind):
        raise DataError(f"no kind {kind!r}; there are {', '.join(get_args(Kind))}{did_you_mean(kind, get_args(Kind))}")
    if metric not in design.frame.columns:
        if metric.endswith("_per_success"):
            return _per_success(design, metric, primary)
        return _of_status(design, metric)
    column = design.frame[metric]
    chosen = cast("Kind", kind) if kind else _kind_of(metric, column)
    if chosen == "per_success":
        raise DataError(f"{metric!r} is a column: name a ratio as '{metric}_per_success', or pass another kind")
    values = numbers(column)
    if chosen in ("binary", "preference") and bool(((values < 0) | (values > 1)).any()):
        raise DataError(f"{metric!r} has values outside 0 to 1: that is not kind={chosen!r}; try kind='score'")
    if chosen == "ratio":
        return _ratio(design, metric, values, "lower" if is_cost_like(metric) else direction)
    return _quality(design, metric, values, chosen, direction)


def _kind_of(metric: str, column: pd.Series[Any]) -> Kind:
    import pandas as pd

    if is_cost_like(metric):
        return "ratio"
    if pd.api.types.is_bool_dtype(column):
        return "binary"
    if column.dtype == object:
        seen = {type(one).__name__ for one in column.dropna()}
        if seen and seen <= {"bool", "bool_", "numpy.bool"}:
            return "binary"
    return "score"


def numbers(column: pd.Series[Any]) -> Floats:
    """Return a column as float64 with NaN for what is missing: numbers of any width, booleans and Decimals.

    Raises DataError, naming the column, for text, other objects, infinities and sizes past 1e±100.
    """
    import numpy as np
    import pandas as pd

    if pd.api.types.is_complex_dtype(column):
        raise DataError(f"{column.name!r} holds values that are not numbers on a line: complex ones")
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        texts = [one for one in column.dropna() if isinstance(one, str | bytes)]
        if texts:
            raise DataError(f"{column.name!r} holds text ({texts[0]!r}, …): score it with a scorer first")
        try:
            values = np.array([np.nan if pd.isna(one) else float(one) for one in column], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{column.name!r} holds values that are not numbers: {error}") from error
    if np.isinf(values).any():
        raise DataError(f"{column.name!r} holds an infinity: censor it, or leave the value empty with a status")
    largest = float(np.abs(values[~np.isnan(values)]).max(initial=0.0))
    if not fits(largest):
        raise DataError(f"{column.name!r} reaches {largest:.3g}, whose square has no place in a float: rescale it")
    return values


def _unscored(design: Design, values: Floats) -> tuple[int, int]:
    """Return rows that failed, and rows that were answered and have no value."""
    import numpy as np

    missing = np.isnan(values)
    if design.failed is None:
        return 0, int(missing.sum())
    return int(design.failed.sum()), int((missing & ~design.failed).sum())


def _quality(design: Design, metric: str, values: Floats, kind: Kind, direction: str) -> Outcome:
    import numpy as np

    failures, missing = _unscored(design, values)
    notes: tuple[str, ...] = ()
    if design.failed is not None and failures:
        seen = values[~design.failed & ~np.isnan(values)]
        worst = _worst(seen, kind, direction)
        values = np.where(design.failed, worst, values)
        notes = (f"{failures} failed calls count as {'fail' if kind == 'binary' else f'{worst:g}'}",)
    if missing:
        notes += (f"{missing} answers have no {metric} and are left out: score them or give them a status",)
    present = values[~np.isnan(values)]
    pass_fail = bool(((present == 0) | (present == 1)).all())
    return Outcome(
        metric, kind, direction, design.cells(values), squares=_squares(design, values), pass_fail=pass_fail,
        failures=failures, missing=missing, warnings=notes,
    )  # fmt: skip


def _worst(seen: Floats, kind: Kind, direction: str) -> float:
    if kind in ("binary", "preference"):
        return 0.0 if direction == "higher" else 1.0
    if not seen.size:
        return 0.0
    if direction == "lower":
        return float(seen.max())
    return float(seen.min()) if kind == "ordinal" else min(0.0, float(seen.min()))


def _ratio(design: Design, metric: str, values: Floats, direction: str) -> Outcome:
    import numpy as np

    failures, missing = _unscored(design, values)
    notes: tuple[str, ...] = ()
    if design.failed is not None and metric in _TIMES and bool((design.failed & np.isnan(values)).any()):
        seen = values[~np.isnan(values)]
        if seen.size:
            values = np.where(design.failed & np.isnan(values), seen.max(), values)
        notes = (f"failed calls without a time {'count as the longest seen' if seen.size else 'are all there are'}",)
    if missing:
        notes += (f"{missing} calls have no {metric} and are left out of it",)
    present = values[~np.isnan(values)]
    if (present < 0).any():
        raise DataError(f"{metric!r} has negative values: a ratio metric has none; try kind='score'")
    log = bool(present.size) and bool((present > 0).all())
    if not log and present.size:
        notes += (f"{metric} is 0 somewhere, which has no logarithm: ratio of means instead of geometric means",)
    values = np.log(values) if log else values
    return Outcome(
        metric, "ratio", direction, design.cells(values), log=log, squares=_squares(design, values),
        failures=failures, missing=missing, warnings=notes,
    )  # fmt: skip


def _squares(design: Design, values: Floats) -> Cells | None:
    return design.cells(values**2) if design.repeated else None


def _per_success(design: Design, metric: str, primary: str | None) -> Outcome:
    import numpy as np

    name = metric.removesuffix("_per_success")
    column = next((one for one in (name, f"{name}_tokens", f"output_{name}") if one in design.frame.columns), None)
    if column is None:
        raise DataError(
            f"{metric!r} needs a column {name!r}; the frame has {', '.join(map(str, design.frame.columns))}"
        )
    spent = numbers(design.frame[column])
    passed, source = _successes(design, primary)
    failures, missing = _unscored(design, spent)
    if design.failed is not None:
        spent = np.where(design.failed & np.isnan(spent), 0.0, spent)  # nothing was billed
        passed = np.where(design.failed, 0.0, passed)
    gap = np.isnan(spent) | np.isnan(passed)
    spent, passed = np.where(gap, np.nan, spent), np.where(gap, np.nan, passed)
    notes = (f"successes are {source}",) if primary is None else ()
    if missing:
        notes += (f"{missing} calls have no {column} and are left out of {metric}",)
    return Outcome(
        metric, "per_success", "lower", design.cells(spent), divisor=design.cells(passed),
        failures=failures, missing=missing, warnings=notes,
    )  # fmt: skip


def _successes(design: Design, primary: str | None) -> tuple[Floats, str]:
    import numpy as np

    if primary is not None and primary in design.frame.columns:
        values = numbers(design.frame[primary])
        if bool(((values < 0) | (values > 1)).any()):
            raise DataError(f"{primary!r} is not a share of success (0 to 1): per-success metrics need a pass/fail one")
        return values, primary
    boolean = [one for one in design.frame.columns if _kind_of(str(one), design.frame[one]) == "binary"]
    boolean = [one for one in boolean if one != "stitched"]
    if len(boolean) == 1:
        return numbers(design.frame[boolean[0]]), f"the column {boolean[0]!r}"
    if design.failed is not None and not boolean:
        return np.where(design.failed, 0.0, 1.0), "calls with status ok"
    raise DataError(
        f"which column says that an answer is a success? candidates: {boolean or 'none'}; pass it as metric"
    )


def _of_status(design: Design, metric: str) -> Outcome:
    import numpy as np

    status = next((one for one in ("status", "finish_reason", "error_type") if one in design.frame.columns), None)
    if metric in _FAILURES and design.failed is not None:
        return _indicator(design, metric, design.failed.astype(np.float64))
    if status is not None:
        hit = np.zeros(len(design.frame), dtype=bool)
        for name in ("status", "finish_reason", "error_type"):
            if name in design.frame.columns:
                hit |= (design.frame[name].astype(str) == metric).to_numpy()
        if hit.any() or metric in ("refusal", "refused", "timeout", "format", "error", "interrupted", "cancelled"):
            return _indicator(design, metric, hit.astype(np.float64))
    known = [str(one) for one in design.frame.columns]
    raise DataError(f"no metric {metric!r}; columns: {', '.join(known)}{did_you_mean(metric, known)}")


def _indicator(design: Design, metric: str, values: Floats) -> Outcome:
    return Outcome(metric, "binary", "lower", design.cells(values), pass_fail=True)
