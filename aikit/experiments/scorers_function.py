"""Scorers from outside: a Python function, and human ratings."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from aikit.errors import DatasetError, UnknownSetting, did_you_mean
from aikit.experiments.scores import Score, as_score

if TYPE_CHECKING:
    from aikit.experiments.samples import Sample
    from aikit.messages import Completion

__all__ = ["Function", "Ratings", "call_function"]

_BY_POSITION = ("text", "target", "sample")


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function as a scorer: it gets what its parameters are called."""

    function: Callable[..., Any]
    name: str = ""
    version: str = ""
    """Part of the plan's hash; the hash of the function's source when empty."""
    executor: Executor | None = None
    """Where it runs: a process pool for CPU-bound work; None takes a thread."""
    blocking: ClassVar[bool] = True

    def score(self, answer: Completion, sample: Sample) -> Any:
        """Call the function; whatever it raises goes through."""
        result = self.function(*self.arguments(answer, sample))
        return result if inspect.isawaitable(result) else as_score(result)

    def arguments(self, answer: Completion, sample: Sample) -> list[Any]:
        """Return the arguments for the function's parameters: text, target, sample, inputs, completion by name."""
        known: dict[str, Any] = {
            "text": answer.text,
            "answer": answer.text,
            "output": answer.text,
            "target": sample.target,
            "expected": sample.target,
            "sample": sample,
            "inputs": sample.inputs,
            "completion": answer,
        }
        return [known[name] for name in parameters_of(self.function)]

    def spec(self) -> Mapping[str, Any]:
        """Return the import path and the version."""
        path = f"{getattr(self.function, '__module__', '')}:{getattr(self.function, '__qualname__', self.name)}"
        return {
            "scorer": "function",
            "name": self.name,
            "path": path,
            "version": self.version or _source_hash(self.function),
        }


def parameters_of(function: Callable[..., Any]) -> list[str]:
    """Return what to pass, in order: by the parameters' names, by position where a name says nothing."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature: `len`, say
        return ["text"]
    needed = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    known = {"text", "answer", "output", "target", "expected", "sample", "inputs", "completion"}
    required = [one for one in needed if one.default is one.empty or one.name in known]
    if len(required) > len(_BY_POSITION) and any(one.name not in known for one in required):
        names = ", ".join(one.name for one in required)
        raise UnknownSetting(f"a scorer takes text, target, sample, inputs or completion; this one asks for {names}")
    return [one.name if one.name in known else _BY_POSITION[at] for at, one in enumerate(required)]


def call_function(function: Callable[..., Any], arguments: list[Any]) -> Score:
    """Call a scorer's function in another process, and return its score."""
    return as_score(function(*arguments))


def _source_hash(function: Callable[..., Any]) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed into a console, or a builtin
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts)) if code is not None else repr(function)
    return hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Ratings:
    """Human ratings, read from a frame: by sample and variant, or by the answer's text."""

    table: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    by_text: bool = False
    name: str = "rating"
    blocking: ClassVar[bool] = False

    @classmethod
    def of(cls, frame: Any, *, value: str, sample: str, variant: str | None, name: str) -> Ratings:
        """Read the table; several ratings of one answer are averaged. Raises DatasetError for a missing column."""
        for column in (value, sample, *([variant] if variant else [])):
            if column not in frame.columns:
                hint = did_you_mean(column, map(str, frame.columns))
                raise DatasetError(f"the ratings have no column {column!r}{hint}", column=column)
        sums: dict[tuple[str, str], list[float]] = {}
        for row, one in enumerate(frame.to_dict("records"), start=1):
            try:
                rating = float(one[value])
            except (TypeError, ValueError) as error:
                raise DatasetError(
                    f"the ratings, row {row}: {one[value]!r} is no number", row=row, column=value
                ) from error
            if rating == rating:  # NaN: not rated
                sums.setdefault((str(one[sample]), str(one[variant]) if variant else ""), []).append(rating)
        table = {key: sum(values) / len(values) for key, values in sums.items()}
        return cls(table, by_text=sample == "text", name=name)

    def score(self, answer: Completion, sample: Sample, variant: str = "") -> Score:
        """Return the rating; None where nobody rated the answer."""
        key = answer.text if self.by_text else sample.id
        found = self.table.get((key, variant), self.table.get((key, "")))
        return Score(found)

    def spec(self) -> Mapping[str, Any]:
        """Return the number of ratings and their hash."""
        digest = hashlib.sha256(repr(sorted(self.table.items())).encode("utf-8", "replace")).hexdigest()[:12]
        return {"scorer": "ratings", "name": self.name, "ratings": len(self.table), "version": digest}
