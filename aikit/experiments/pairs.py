"""Pairwise judgements: made when every variant has answered a sample, written into the variants' trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aikit.experiments.judge import Pairwise
from aikit.experiments.plan import Plan, PlannedTrial, trial_key
from aikit.experiments.scores import Score
from aikit.experiments.trials import Trial

__all__ = ["Pairs"]


@dataclass(slots=True)
class Pairs:
    """The pairwise judges of a run."""

    plan: Plan
    run: str
    judges: Sequence[Pairwise] = ()

    async def judge(self, trials: Mapping[str, Trial], planned: PlannedTrial) -> list[Trial]:
        """Return the trials of the cell's sample and epoch with their preferences, once all variants are done."""
        if not self.judges:
            return []
        keys = {name: trial_key(self.run, name, planned.sample.id, planned.epoch) for name in self.plan.variants}
        cell = {name: trials[key] for name, key in keys.items() if key in trials}
        control = cell.get(self.plan.control)
        if control is None or len(cell) < len(keys):
            return []
        changed: list[Trial] = []
        for trial in cell.values():
            todo = [judge for judge in self.judges if judge.name not in trial.scores]
            for judge in todo:
                score = await self._score(judge, control, trial, planned)
                trial = _with(trial, judge.name, score)
            changed += [trial] if todo else []
        return changed

    async def _score(self, judge: Pairwise, control: Trial, trial: Trial, planned: PlannedTrial) -> Score:
        if trial.variant == control.variant:
            return Score(0.5)
        if trial.status != "ok" or control.status != "ok":  # a failure loses against any answer
            return Score(0.5 if trial.status != "ok" and control.status != "ok" else float(trial.status == "ok"))
        return await judge.compare(control.text, trial.text, planned.sample)


def _with(trial: Trial, name: str, score: Score) -> Trial:
    said = {"label": score.label, "explanation": score.explanation, **score.details}
    return replace(
        trial,
        scores={**trial.scores, name: score.value},
        details={**trial.details, name: {key: one for key, one in said.items() if one not in ("", None)}},
        judge_cost=trial.judge_cost + float(score.details.get("cost") or 0.0),
    )
