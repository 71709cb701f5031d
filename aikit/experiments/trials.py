"""A trial: one variant on one sample in one epoch, answered and scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aikit.messages import Completion, Usage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "DETAILS", "Trial", "frame_of"]

Value = float | bool | None

COLUMNS = ("trial_id", "sample", "epoch", "variant", "call_id", "status", "text")
"""The first columns of `run.trials`; a column per score follows, then `MEASURES`."""
MEASURES = ("cost", "duration", "input_tokens", "output_tokens", "stitched")
DETAILS = ("error", "model", "response_model", "finish_reason", "attempts", "time_to_first_token", "replayed")
"""Further columns of the frame that the analysis and the report read."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one cell of the plan."""

    trial_id: str
    run: str
    variant: str
    sample: str
    epoch: int
    status: str
    """`ok`, or how it failed: `refusal timeout error interrupted scorer unknown`."""
    text: str = ""
    """The answer; what had arrived of it where it broke off."""
    scores: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Column → value; empty for a failure."""
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Column → label, explanation and what else the scorer says."""
    error: str = ""
    """The exception in words; empty for an answer that was scored."""
    call_id: str = ""
    cost: float | None = None
    """US dollars; None when no price is known; 0 for a replayed answer."""
    duration: float | None = None
    """Seconds; None for a call that got no answer."""
    time_to_first_token: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str = ""
    response_model: str = ""
    finish_reason: str = ""
    attempts: int = 1
    stitched: bool = False
    replayed: bool = False
    """The answer was taken from an earlier run."""
    fingerprint: str = ""
    """Hash of prompt content, model and options: an answer to an equal one can be used again."""
    position: int = 0
    """The sample's place in the order of the run."""
    cluster: str | None = None
    judge_cost: float = 0.0
    """US dollars that judges took; not part of `cost`."""

    def completion(self) -> Completion:
        """Return the answer as it was before it was scored."""
        return Completion(
            text=self.text,
            finish_reason=self.finish_reason or "unknown",  # pyright: ignore[reportArgumentType]  one of ours, stored
            usage=Usage(self.input_tokens, self.output_tokens),
            usage_source="replayed",
            cost=None if self.cost is None else Decimal(str(self.cost)),
            model=self.model,
            response_model=self.response_model,
            call_id=self.call_id,
            attempts=self.attempts,
            duration=self.duration or 0.0,
            time_to_first_token=self.time_to_first_token,
            stitched=self.stitched,
        )


def frame_of(trials: Iterable[Trial], *, scores: Sequence[str], cluster: bool, details: bool = False) -> pd.DataFrame:
    """Return a frame with a row per trial, in the order of the run.

    Columns: `COLUMNS`, one per score, `MEASURES`, `cluster` where the plan declares one, and `DETAILS` on demand.
    Failures have no score; a score whose values are all True, False or missing stays a column of booleans.
    """
    import pandas as pd

    ordered = sorted(trials, key=lambda one: (one.position, one.epoch, one.variant))
    names = [*scores, *_further_scores(ordered, scores)]
    columns: dict[str, Any] = {name: [getattr(one, name) for one in ordered] for name in COLUMNS}
    for name in names:
        columns[name] = _score_column([one.scores.get(name) for one in ordered])
    for name in MEASURES:
        columns[name] = [getattr(one, name) for one in ordered]
    if cluster:
        columns["cluster"] = [one.cluster for one in ordered]
    if details:
        columns |= {name: [getattr(one, name) for one in ordered] for name in DETAILS}
    frame = pd.DataFrame(columns)
    kinds = {"cost": "float64", "duration": "float64", "input_tokens": "Int64", "output_tokens": "Int64"}
    return frame.astype({**kinds, **({"time_to_first_token": "float64"} if details else {})})


def _further_scores(trials: Sequence[Trial], known: Sequence[str]) -> list[str]:
    found = dict.fromkeys(name for one in trials for name in one.scores if name not in known)
    return list(found)


def _score_column(values: Sequence[Value]) -> Any:
    import pandas as pd

    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return pd.array(values, dtype="boolean" if len(present) < len(values) or not values else "bool")
    return pd.array([float("nan") if value is None else float(value) for value in values], dtype="float64")
