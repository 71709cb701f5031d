"""When a run looks at its results, and what it does about them: go on, drop a variant, or stop."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aikit.experiments.plan import Plan, PlannedTrial
from aikit.experiments.scores import Scorer
from aikit.experiments.trials import Trial

__all__ = ["Look", "Looks"]

FEWEST = 50
"""Samples before the first look of an "anytime" plan: its interval is only asymptotically valid."""
PASSING = 40
"""Looks of an "anytime" plan over its whole length: each costs up to 50 ms."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw."""

    number: int
    """Counted from 1."""
    samples: int
    result: Any
    """The comparisons, as `analysis.analyse` returns them."""
    stop: bool
    sentence: str = ""


@dataclass(slots=True)
class Looks:
    """The points at which a run looks, and the trials it may start before the next one.

    A look sees the first samples of the plan's order, all of them complete; so what it decides depends neither on
    which call was quick nor on whether the run was interrupted.
    """

    plan: Plan
    scorers: Sequence[Scorer]
    analyse: Callable[[Sequence[Trial], int], Any]
    """Returns the result over the first samples of the plan; slow, runs in a thread."""
    decide: Callable[[Any], tuple[bool, str, tuple[str, ...]]]
    """Says of a result: stop, why, and which variants to drop."""
    on_look: Callable[[Look], None]
    dropped: set[str] = field(default_factory=set[str])
    latest: Any = None
    decided: str = ""
    """Why the run stops before its plan is complete; empty while it does not."""
    number: int = 0
    _done: Counter[int] = field(default_factory=Counter[int])
    _complete: int = 0
    """Samples from the start of the order that are complete."""
    _seen: int = 0
    """Samples that the last look saw."""
    _next: PlannedTrial | None = None

    @property
    def points(self) -> tuple[int, ...]:
        """The numbers of samples at which everything is waited for: the group looks, and the end."""
        total = len(self.plan.dataset)
        if self.plan.stopping != "group":
            return (total,)
        return tuple(sorted({math.ceil(total * look / self.plan.looks) for look in range(1, self.plan.looks + 1)}))

    @property
    def horizon(self) -> int:
        """Samples that may be started before the next look at rest."""
        return next((point for point in self.points if point > self._seen), len(self.plan.dataset))

    def take(self, waiting: Iterator[PlannedTrial]) -> PlannedTrial | None:
        """Return the next trial before the horizon; None when there is none."""
        if self._next is None:
            self._next = next(waiting, None)
        if self._next is None or self._next.position >= self.horizon:
            return None
        taken, self._next = self._next, None
        return taken

    def put_back(self, planned: PlannedTrial) -> None:
        """Have a trial that was taken come next again."""
        self._next = planned

    def count(self, trial: Trial) -> None:
        """Note that a trial is done."""
        self._done[trial.position] += 1

    async def at_rest(self, trials: Mapping[str, Trial]) -> bool:
        """Look at the horizon, everything before it being done; True when the run goes on."""
        samples = self.horizon
        total = len(self.plan.dataset)
        last = samples >= total
        if self.plan.stopping == "group" or not last:
            await self._look(trials, samples)
        self._seen = samples
        if self.decided:
            return False
        return not last

    async def in_passing(self, trials: Mapping[str, Trial]) -> bool:
        """Look at the samples that are complete so far, where the plan may stop at any time; True when it looked."""
        if self.plan.stopping != "anytime":
            return False
        complete = self._advance()
        step = max(1, len(self.plan.dataset) // PASSING)
        reached = complete // step * step
        if reached < max(FEWEST, self._seen + 1) or reached >= len(self.plan.dataset):
            return False
        self._seen = reached
        await self._look(trials, reached)
        return True

    def _advance(self) -> int:
        while self._done[self._complete] >= self.plan.epochs * (len(self.plan.arms) - len(self.dropped)):
            self._complete += 1
        return self._complete

    async def _look(self, trials: Mapping[str, Trial], samples: int) -> None:
        seen = [trial for trial in trials.values() if trial.position < samples]
        result = await asyncio.to_thread(self.analyse, seen, samples)
        stop, sentence, drop = self.decide(result)
        self.number += 1
        self.latest = result
        if drop:
            self.dropped |= set(drop)
        if stop and samples < len(self.plan.dataset):
            self.decided = sentence
        self.on_look(Look(self.number, samples, result, stop, sentence))
