"""Scorers that read the answer as JSON: against a schema, and field by field against the target."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from aikit.errors import DatasetError
from aikit.experiments.json_check import check_schema, faults
from aikit.experiments.scorers_text import TextScorer, target_of
from aikit.experiments.scores import Score, Scored

if TYPE_CHECKING:
    from aikit.experiments.samples import Sample
    from aikit.messages import Completion

__all__ = ["JsonFields", "JsonSchema", "read_json"]

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def read_json(answer: Completion, *, strict: bool) -> Any:
    """Return the answer's JSON value; raises ValueError.

    Not strict: the text may hold it in a code fence, or with words around one object or list.
    """
    if answer.data is not None:
        return answer.data
    text = answer.text.strip()
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        if strict:
            raise
    fenced = _FENCE.search(text)
    inner = fenced.group(1) if fenced else text
    start = min((at for at in (inner.find("{"), inner.find("[")) if at >= 0), default=-1)
    if start < 0:
        raise ValueError("no JSON in the answer")
    try:
        return json.JSONDecoder(parse_constant=_no_constant).raw_decode(inner[start:])[0]
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


@dataclass(frozen=True, slots=True)
class JsonSchema(TextScorer):
    """Pass when the answer is JSON that fulfils a schema."""

    kind: ClassVar[str] = "json_schema"
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    strict: bool = True
    """The answer is nothing but the JSON; else a fence or words around it are allowed."""
    name: str = "json_schema"

    def __post_init__(self) -> None:
        check_schema(self.schema)

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Parse and check; the explanation says what does not fit, and where."""
        try:
            value = read_json(answer, strict=self.strict)
        except ValueError as error:
            return Score(False, label="no JSON", explanation=str(error))
        found = faults(value, self.schema)
        return Score(not found, label="" if not found else "schema", explanation="; ".join(found[:5]))


@dataclass(frozen=True, slots=True)
class JsonFields(TextScorer):
    """The share of the target's fields that the answer has right, and a column for each field."""

    kind: ClassVar[str] = "json_fields"
    fields: tuple[str, ...] | None = None
    """None takes every field of the sample's target."""
    tolerance: float = 1e-9
    """Relative, for numbers."""
    strict: bool = False
    name: str = "json_fields"

    def score(self, answer: Completion, sample: Sample) -> Scored:
        """Compare field by field; text is compared without case and outer spaces."""
        target = self._target(sample)
        names = self.fields if self.fields is not None else tuple(target)
        try:
            value = read_json(answer, strict=self.strict)
        except ValueError as error:
            value, said = {}, f"no JSON: {error}"
        else:
            said = "" if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object"
        given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        right = {name: name in given and self._same(given[name], target.get(name)) for name in names}
        wrong = [name for name, correct in right.items() if not correct]
        share = sum(right.values()) / len(right) if right else 0.0
        said = said or (f"wrong: {', '.join(wrong)}" if wrong else "")
        return {"": Score(share, explanation=said)} | {name: Score(correct) for name, correct in right.items()}

    def _target(self, sample: Sample) -> dict[str, Any]:
        target = target_of(sample, self.name)
        if isinstance(target, str):
            try:
                target = json.loads(target)
            except ValueError as error:
                raise DatasetError(f"sample {sample.id}: the target is no JSON: {error}") from error
        if not isinstance(target, dict):
            raise DatasetError(
                f"sample {sample.id}: the target is a {type(target).__name__}, not an object with fields"
            )
        return cast("dict[str, Any]", target)

    def _same(self, given: Any, wanted: Any) -> bool:
        if isinstance(given, bool) or isinstance(wanted, bool):
            return given is wanted
        if isinstance(given, int | float) and isinstance(wanted, int | float):
            return math.isclose(given, wanted, rel_tol=self.tolerance, abs_tol=1e-12)
        if isinstance(given, str) and isinstance(wanted, str):
            return given.strip().casefold() == wanted.strip().casefold()
        return given == wanted
