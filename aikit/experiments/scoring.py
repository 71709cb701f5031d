"""Scoring one answer with all the scorers of a plan."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from aikit.experiments.outcomes import HaltError
from aikit.experiments.scorers_function import Function, Ratings, call_function
from aikit.experiments.scores import Score, Scorer, as_score

if TYPE_CHECKING:
    from aikit.experiments.samples import Sample
    from aikit.experiments.trials import Value
    from aikit.messages import Completion

__all__ = ["ScorerError", "Scores", "score_answer"]


class ScorerError(Exception):
    """A scorer raised: this trial is a failure, the run goes on."""


@dataclass(slots=True)
class Scores:
    """What the scorers said of one answer, by column."""

    values: dict[str, Value] = field(default_factory=dict[str, "Value"])
    details: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    judge_cost: float = 0.0
    """US dollars."""

    def add(self, column: str, score: Score) -> None:
        """Take a score in; what it says beside its value is kept where there is any."""
        value = score.value
        self.values[column] = value if value is None or isinstance(value, bool) else float(value)
        said = {"label": score.label, "explanation": score.explanation, **score.details}
        if kept := {name: one for name, one in said.items() if one not in ("", None)}:
            self.details[column] = kept
        self.judge_cost += float(score.details.get("cost") or 0.0)


async def score_answer(
    scorers: Sequence[Scorer], answer: Completion, sample: Sample, variant: str, *, executor: Executor | None = None
) -> Scores:
    """Run every scorer; raises ScorerError with the scorer's name and what it raised.

    Functions without an executor of their own run in `executor`, in a thread for None.
    """
    scores = Scores()
    for scorer in scorers:
        try:
            found = await _score(scorer, answer, sample, variant, executor)
        except (BrokenExecutor, HaltError):
            raise  # the pool is gone, or the judge's key is wrong: every further trial would fail for it
        except Exception as error:  # a user's code raises what it likes: that is the trial's outcome
            raise ScorerError(f"the scorer {scorer.name!r} raised {type(error).__name__}: {error}") from error
        named = {"": found} if isinstance(found, Score) else found
        for part, score in named.items():
            scores.add(f"{scorer.name}.{part}" if part else scorer.name, score)
    return scores


async def _score(
    scorer: Scorer, answer: Completion, sample: Sample, variant: str, executor: Executor | None
) -> Score | Mapping[str, Score]:
    if isinstance(scorer, Function):
        return await _call(scorer, answer, sample, scorer.executor or executor)
    if isinstance(scorer, Ratings):
        return scorer.score(answer, sample, variant)
    found: Any = (
        await asyncio.to_thread(scorer.score, answer, sample) if scorer.blocking else scorer.score(answer, sample)
    )
    found = await found if inspect.isawaitable(found) else found
    return cast("Mapping[str, Score]", found) if isinstance(found, Mapping) else as_score(found)


async def _call(scorer: Function, answer: Completion, sample: Sample, executor: Executor | None) -> Score:
    if inspect.iscoroutinefunction(scorer.function):
        return as_score(await scorer.score(answer, sample))
    arguments = scorer.arguments(answer, sample)
    if executor is not None:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, call_function, scorer.function, arguments)
    return await asyncio.to_thread(call_function, scorer.function, arguments)
