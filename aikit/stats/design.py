"""The design of an experiment, read off its rows: variants, samples, clusters, epochs, failures, what is missing.

The unit of analysis is the sample, never the call: `Design.cells` averages a column's epochs per sample and variant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["Cells", "Design", "check_frame", "read_design"]

_SORTED_SAMPLES = 50_000  # sorting more names costs more than the analysis; draws on many samples need no order
_CONTROL_NAMES = ("control", "baseline")
_PAIRED_FROM = 0.05  # share of samples seen by several variants above which the design is paired
_ONE_PER_VARIANT = ("prompt_version_id", "settings", "model")
_STRATA = ("response_model", "system_fingerprint")


@dataclass(frozen=True, slots=True)
class Cells:
    """One column averaged per sample × variant; arrays have shape (samples, variants)."""

    mean: Floats
    """NaN where the cell has no value."""
    weight: Floats
    """Epochs behind the mean (duplicate rows share one epoch's weight)."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What the rows say about who answered what, in codes."""

    frame: pd.DataFrame
    variants: tuple[str, ...]
    """Control first."""
    variant_codes: Codes
    """Per row, index into `variants`."""
    sample_codes: Codes
    """Per row, index into `samples`."""
    cell_codes: Codes
    """Per row, sample code × number of variants + variant code."""
    samples: Any
    """Sample names by code; sorted up to 50,000 of them, so that the order of the rows plays no part."""
    clusters: Codes | None
    """Per sample; None when no cluster is declared or each sample is its own."""
    failed: Flags | None
    """Per row, True where the status is not ok; None without a status column."""
    weights: Floats | None
    """Per row, 1 / how often its (sample, variant, epoch) occurs; None when nothing occurs twice."""
    rows: Codes
    """Rows per sample × variant, scored or not; shape (samples, variants)."""
    both: tuple[int, ...]
    """Per variant, samples seen by it and by the control."""
    either: tuple[int, ...]
    """Per variant, samples seen by it or by the control."""
    paired: bool
    repeated: bool
    """True when a sample × variant has several epochs."""
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """What makes the experiment invalid, such as mixed settings."""

    @property
    def size(self) -> tuple[int, int]:
        """Return (samples, variants)."""
        return len(self.samples), len(self.variants)

    def cells(self, values: Floats) -> Cells:
        """Average row values per sample × variant; NaN rows carry no weight."""
        import numpy as np

        samples, variants = self.size
        cell, weight, whole = self.cell_codes, self.weights, samples * variants
        gaps = np.isnan(values)
        if gaps.any():
            cell, values = cell[~gaps], values[~gaps]
            weight = None if weight is None else weight[~gaps]
        # Nothing missing and nothing twice: the rows themselves are the weights.
        known = weight is None and values.size == self.cell_codes.size
        total = self.rows.ravel() if known else np.bincount(cell, weights=weight, minlength=whole)
        summed = np.bincount(cell, weights=values if weight is None else weight * values, minlength=whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(total > 0, summed / total, np.nan)
        return Cells(mean.reshape(samples, variants), total.astype(np.float64).reshape(samples, variants))


def read_design(
    frame: pd.DataFrame,
    *,
    variant: str = "variant",
    sample: str = "sample",
    cluster: str | None = None,
    epoch: str | None = None,
    status: str | None = None,
    control: str | None = None,
) -> Design:
    """Read the design off a frame with one row per trial.

    `cluster`, `epoch` and `status` default to the columns of those names when the frame has them; "" means none. Rows
    whose (sample, variant, epoch) occurs twice share one epoch's weight. Raises DataError for a missing column, a row
    without variant or sample, fewer than two variants, or a sample in two clusters.
    """
    check_frame(frame)
    for name in (variant, sample):
        _require(frame, name)
    cluster, epoch, status = (
        _optional(frame, given, name) for given, name in ((cluster, "cluster"), (epoch, "epoch"), (status, "status"))
    )
    variants, variant_codes, notes = _variants(frame[variant], control)
    sample_codes, samples = _samples(frame[sample])
    clusters = None if cluster is None else _clusters(frame[cluster], sample_codes, len(samples))
    cell_codes = sample_codes * len(variants) + variant_codes
    rows = _rows_per_cell(cell_codes, len(samples), len(variants))
    seen = rows > 0
    weights = None
    if epoch is not None and rows.size and rows.max() > 1:
        weights, duplicates = _duplicate_weights(frame[epoch], sample_codes, variant_codes, len(variants))
        if duplicates:
            notes += (f"{duplicates} duplicate rows of the same sample, variant and epoch: averaged into one",)
    both = tuple(int((seen[:, 0] & one).sum()) for one in seen.T)
    shared = float((seen.sum(axis=1) > 1).mean()) if seen.size else 0.0
    if 0 < shared <= _PAIRED_FROM:
        notes += (f"{shared:.1%} of the samples were seen by several variants: read as different samples",)
    epochs = _epochs(rows, weights, cell_codes)
    if epochs[0] != epochs[1]:
        notes += (f"epochs differ between samples ({epochs[0]:g} to {epochs[1]:g}): each sample counts once",)
    return Design(
        frame=frame,
        variants=variants,
        variant_codes=variant_codes,
        sample_codes=sample_codes,
        cell_codes=cell_codes,
        samples=samples,
        clusters=clusters,
        failed=None if status is None else _failed(frame[status]),
        weights=weights,
        rows=rows,
        both=both,
        either=tuple(int((seen[:, 0] | one).sum()) for one in seen.T),
        paired=shared > _PAIRED_FROM,
        repeated=epochs[1] > 1,
        warnings=notes + _changes(frame, variant_codes, len(variants)),
        problems=_mixed_settings(frame, variants, variant_codes),
    )


def check_frame(frame: pd.DataFrame) -> None:
    """Raise DataError for what is no DataFrame, has no rows, or has two columns of one name."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):  # pyright: ignore[reportUnnecessaryIsInstance]  # people pass lists and paths
        raise DataError(f"a {type(frame).__name__} is no frame of trials: give a pandas DataFrame with a row per trial")
    if not len(frame):
        raise DataError("the frame has no rows: there is nothing to compare")
    twice = [str(one) for one in frame.columns[frame.columns.duplicated()]]
    if twice:
        raise DataError(f"the frame has column {', '.join(map(repr, twice))} twice: keep one of them")


def _require(frame: pd.DataFrame, name: str) -> None:
    if name not in frame.columns:
        known = [str(one) for one in frame.columns]
        raise DataError(f"no column {name!r} in the frame; it has {', '.join(known)}{did_you_mean(name, known)}")


def _optional(frame: pd.DataFrame, given: str | None, name: str) -> str | None:
    if given is None:
        return name if name in frame.columns and bool(frame[name].notna().any()) else None
    if given == "":
        return None
    _require(frame, given)
    return given


def _variants(column: pd.Series[Any], control: str | None) -> tuple[tuple[str, ...], Codes, tuple[str, ...]]:
    import numpy as np
    import pandas as pd

    categories = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else None
    codes, uniques = pd.factorize(column)
    if (codes < 0).any():
        raise DataError("a row has no variant: name the variant of each row")
    names = [str(one) for one in cast("Any", uniques)]
    alike = next((one for one in names if names.count(one) > 1), None)
    if alike is not None:
        raise DataError(f"two variants of different types both read {alike!r}: give them one type, or other names")
    if "" in names:
        raise DataError("a variant has an empty name: name it, a sentence has to call it something")
    ordered = sorted(names) if categories is None else [str(one) for one in categories if str(one) in names]
    notes: tuple[str, ...] = ()
    if control is None and ordered:
        named = [one for one in ordered if one.lower() in _CONTROL_NAMES]
        control = named[0] if named else ordered[0]
        if not named and categories is None:
            notes = (f"no control was named: {control!r} is taken, the first by name; pass control=",)
    if str(control) not in names:
        raise DataError(f"no rows of the control {control!r}; variants: {', '.join(ordered) or 'none'}")
    if len(names) < 2:
        raise DataError(f"only one variant, {names[0]!r}: a comparison needs two")
    final = (str(control), *(one for one in ordered if one != str(control)))
    lookup = np.array([final.index(one) for one in names], dtype=np.int64)
    return final, lookup[codes], notes


def _samples(column: pd.Series[Any]) -> tuple[Codes, Any]:
    import numpy as np
    import pandas as pd

    codes, uniques = cast("tuple[Codes, Any]", pd.factorize(column))
    if (codes < 0).any():
        raise DataError("a row has no sample id: give each row the id of its input")
    if len(uniques) > _SORTED_SAMPLES:
        return codes.astype(np.int64, copy=False), uniques
    names = np.asarray(uniques)
    try:
        order = np.argsort(names, kind="stable")
    except TypeError:  # ids of several types
        order = np.argsort(np.array([f"{type(one).__name__}:{one}" for one in names]), kind="stable")
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return rank[codes], uniques[order]


def _clusters(column: pd.Series[Any], sample_codes: Codes, samples: int) -> Codes | None:
    import numpy as np
    import pandas as pd

    codes, uniques = cast("tuple[Codes, Any]", pd.factorize(column))
    if (codes < 0).any():
        raise DataError(f"a row has no {column.name}: give each sample its cluster, its own if it stands alone")
    of_sample = np.zeros(samples, dtype=np.int64)
    of_sample[sample_codes] = codes
    if (of_sample[sample_codes] != codes).any():
        raise DataError(f"a sample lies in two clusters of {column.name!r}: a sample belongs to one")
    return None if len(uniques) == samples else of_sample


def _rows_per_cell(cell_codes: Codes, samples: int, variants: int) -> Codes:
    import numpy as np

    counted = np.bincount(cell_codes, minlength=samples * variants)
    return counted.reshape(samples, variants)


def _duplicate_weights(
    column: pd.Series[Any], sample_codes: Codes, variant_codes: Codes, variants: int
) -> tuple[Floats | None, int]:
    import numpy as np
    import pandas as pd

    epochs, uniques = cast("tuple[Codes, Any]", pd.factorize(column, use_na_sentinel=False))
    key = (sample_codes * variants + variant_codes) * max(len(uniques), 1) + epochs
    codes, found = cast("tuple[Codes, Any]", pd.factorize(key))
    duplicates = int(key.size) - len(found)
    return (1 / np.bincount(codes)[codes], duplicates) if duplicates else (None, 0)


def _epochs(rows: Codes, weights: Floats | None, cell_codes: Codes) -> tuple[float, float]:
    """Return the fewest and the most epochs of a sample × variant that has any."""
    import numpy as np

    counted: Any = rows
    if weights is not None:
        counted = np.bincount(cell_codes, weights=weights, minlength=rows.size).round(6)
    present = counted[counted > 0]
    return (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)


def _failed(column: pd.Series[Any]) -> Flags:
    import numpy as np
    import pandas as pd

    codes, uniques = cast("tuple[Codes, Any]", pd.factorize(column))
    fine = np.array([str(one).lower() == "ok" for one in uniques] + [True])  # the last: no status at all
    return ~fine[codes]


def _mixed_settings(frame: pd.DataFrame, variants: tuple[str, ...], variant_codes: Codes) -> tuple[str, ...]:
    found: list[str] = []
    for name in _ONE_PER_VARIANT:
        if name in frame.columns:
            kinds = frame[name].groupby(variant_codes).nunique()
            found += [
                f"mixed settings: {variants[cast('int', code)]!r} ran with {count} different values of {name}"
                for code, count in kinds.items()
                if count > 1
            ]
    return tuple(found)


def _changes(frame: pd.DataFrame, variant_codes: Codes, variants: int) -> tuple[str, ...]:
    found: list[str] = []
    for name in _STRATA:
        if name in frame.columns and int(frame[name].nunique()) > 1:
            per_variant = frame[name].groupby(variant_codes).nunique()
            if len(per_variant) and int(per_variant.max()) > 1:
                found.append(f"{name} changed inside the run: see details['strata']")
    return tuple(found)
