"""A score: what a scorer says about one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from aikit.experiments.samples import Sample
    from aikit.messages import Completion

__all__ = ["Score", "Scored", "Scorer", "as_score"]


@dataclass(frozen=True, slots=True)
class Score:
    """One judgement of one answer."""

    value: float | bool | None
    """True or False for pass/fail, a number for a score; None when it abstains."""
    label: str = ""
    """What was found in the answer; empty when nothing was."""
    explanation: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further plain values: a judge's cost and call, for instance."""


Scored = Score | Mapping[str, Score]
"""A score, or several by name: `""` is the scorer's own column, any other gets a column `scorer.name`."""


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores an answer; its name is a column of `run.trials`."""

    @property
    def name(self) -> str:
        """The column; different for each scorer of an experiment."""
        ...

    blocking: ClassVar[bool]
    """True when `score` may take longer than a millisecond, and so runs in a thread or an executor."""

    def score(self, answer: Completion, sample: Sample) -> Scored | Awaitable[Scored]:
        """Score an answer; whatever it raises makes the trial a failure, with the text of the exception."""
        ...

    def spec(self) -> Mapping[str, Any]:
        """Return plain values from which the same scorer can be made again; part of the plan's hash."""
        ...


def as_score(value: Any) -> Score:
    """Return what a user's function answered as a Score: a Score, a boolean, a number, or None to abstain."""
    if isinstance(value, Score):
        return value
    if hasattr(value, "item") and type(value).__module__ == "numpy":
        value = value.item()
    if value is None or isinstance(value, bool | float):
        return Score(value)
    if isinstance(value, int):
        return Score(float(value))
    raise TypeError(f"a scorer returns a Score, a boolean, a number or None, not {type(value).__name__}")
