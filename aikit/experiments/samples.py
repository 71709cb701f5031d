"""A sample: one input row, and the dataset that it comes from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aikit.errors import DatasetError, did_you_mean
from aikit.experiments import sources

__all__ = ["Dataset", "Sample", "load"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One input row: the columns a prompt may use, and what the answer should be."""

    inputs: Mapping[str, Any]
    """Every column by its name, the target's apart."""
    target: Any = None
    """What a scorer compares with; None when the dataset has no target."""
    cluster: str | None = None
    """Document, conversation or user that the sample belongs to; None when none is declared."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Facts for slices that no prompt sees."""
    id: str = ""
    """Hash of the content; given when the dataset is read."""

    @property
    def content(self) -> str:
        """The hash of inputs, target and cluster: the same wherever the same row is read."""
        return content_hash([self.inputs, self.target, self.cluster])


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples with different ids, and where they come from."""

    samples: tuple[Sample, ...]
    source: str
    """A path or a word for what it was read from."""
    hash: str
    """Hash over the samples' contents in their order."""
    target: str | None = None
    """Name of the target's column."""
    cluster: str | None = None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a prompt may use, as the first sample has them."""
        return tuple(self.samples[0].inputs) if self.samples else ()

    def check_variables(self, names: Iterable[str], *, prompt: str) -> None:
        """Raise DatasetError, with row and column, unless every sample has a value for each of the variables."""
        wanted = tuple(names)
        for row, sample in enumerate(self.samples, start=1):
            for name in wanted:
                if name not in sample.inputs:
                    known = ", ".join(map(str, sample.inputs)) or "none"
                    hint = did_you_mean(name, map(str, sample.inputs))
                    where = f"{self.source}" if row == 1 else f"{self.source}, row {row},"
                    said = f"{where} has no column {name!r}, which {prompt} needs; columns: {known}{hint}"
                    raise DatasetError(said, row=None if row == 1 else row, column=name)
                if sample.inputs[name] is None:
                    raise DatasetError(
                        f"{self.source}, row {row}: column {name!r} is empty, and {prompt} needs it",
                        row=row,
                        column=name,
                    )


def load(
    samples: Any, *, target: str | None = None, cluster: str | None = None, run_sql: sources.RunSql | None = None
) -> Dataset:
    """Read samples from a path (CSV, TSV, JSONL, JSON, Parquet), a frame, a list, a DuckDB relation or a query.

    A list holds mappings or `Sample`s. A text that starts with SELECT, FROM or WITH is a query on the log, run by
    `run_sql`. Raises DatasetError: empty, malformed (row and column named), or without the target's column.
    """
    if isinstance(samples, Dataset):
        return samples
    rows, source = sources.read(samples, run_sql=run_sql)
    if not rows:
        raise DatasetError(f"{source} has no rows")
    made = [_sample(row, number, source, target, cluster) for number, row in enumerate(rows, start=1)]
    return _dataset(made, source, target, cluster)


def content_hash(value: Any) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of plain values; lone surrogates and the order of keys included."""
    written = json.dumps(
        value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=_hashed, allow_nan=True
    )
    return hashlib.sha256(written.encode("ascii")).hexdigest()[:20]


def _hashed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return str(value)


def _sample(row: Any, number: int, source: str, target: str | None, cluster: str | None) -> Sample:
    if isinstance(row, Sample):
        return row
    if not isinstance(row, Mapping):
        raise DatasetError(f"{source}, row {number} is a {type(row).__name__}, not a mapping of columns", row=number)
    values = {str(key): _plain(one) for key, one in cast("Mapping[Any, Any]", row).items()}
    answer = _taken(values, target, number, source, "target")
    group = _kept(values, cluster, number, source)
    return Sample(values, answer, group)


def _taken(values: dict[str, Any], column: str | None, number: int, source: str, what: str) -> Any:
    if column is None:
        return None
    if column not in values:
        hint = did_you_mean(column, values)
        where = source if number == 1 else f"{source}, row {number},"
        raise DatasetError(
            f"{where} has no column {column!r} for the {what}; columns: {', '.join(values) or 'none'}{hint}",
            row=None if number == 1 else number,
            column=column,
        )
    value = values.pop(column)
    if value is None or value == "":
        raise DatasetError(f"{source}, row {number}: the {what} {column!r} is empty", row=number, column=column)
    return value


def _kept(values: dict[str, Any], column: str | None, number: int, source: str) -> str | None:
    if column is None:
        return None
    value = _taken(dict(values), column, number, source, "cluster")
    return str(value)


def _plain(value: Any) -> Any:
    """Return a cell as a plain value: numpy's and pandas' scalars as Python's, missing ones as None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in cast("Sequence[Any]", value)]
    if type(value).__module__.split(".")[0] == "numpy":
        return _plain(value.tolist())
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bool | int | float):
        return value
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else str(value) if not isinstance(value, bytes) else value.hex()


def _dataset(samples: Sequence[Sample], source: str, target: str | None, cluster: str | None) -> Dataset:
    seen: dict[str, int] = {}
    identified: list[Sample] = []
    for sample in samples:
        content = sample.content
        seen[content] = seen.get(content, 0) + 1
        # A row that is there twice is asked twice; its id says which of them it is.
        sample_id = content if seen[content] == 1 else f"{content}-{seen[content]}"
        identified.append(Sample(sample.inputs, sample.target, sample.cluster, sample.metadata, sample_id))
    repeated = len(samples) - len(seen)
    warnings = (
        (f"{repeated} of {len(samples)} rows of {source} repeat an earlier row: they are no independent samples",)
        if repeated
        else ()
    )
    total = content_hash([sample.id for sample in identified])
    return Dataset(tuple(identified), source, total, target, cluster, warnings)
