"""One session of a run: gather what is known, execute, and say how it ended."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aikit.errors import ConfirmationRequired, ReplayMissing, UnknownSetting
from aikit.experiments.analysis import Analysis, analyse
from aikit.experiments.execution import Execution, Known
from aikit.experiments.journal import with_call
from aikit.experiments.judge import Court, Judge, Pairwise
from aikit.experiments.looks import Look, Looks
from aikit.experiments.pairs import Pairs
from aikit.experiments.purse import Purse
from aikit.experiments.trials import Trial

if TYPE_CHECKING:
    from aikit.experiments.bench import Bench
    from aikit.experiments.plan import Plan
    from aikit.experiments.progress import Counts
    from aikit.experiments.scores import Scorer

__all__ = ["Order", "Session"]


@dataclass(frozen=True, slots=True)
class Order:
    """How a session is to be run."""

    replay: bool | str = False
    skip_unknown: bool = False
    budget: float | None = None
    """US dollars for this run; None leaves it to the budgets."""
    concurrency: int | None = None
    """None takes the bench's figure for the models."""
    executor: Executor | None = None
    """Where functions without an executor of their own run; None takes threads."""
    confirmed: bool = True
    """False asks nobody, and refuses to spend: the likely cost has to be 0."""


class Session:
    """Runs a plan under a run's id until it is done, stopped or halted."""

    def __init__(self, plan: Plan, run: str, bench: Bench, counts: Counts, order: Order) -> None:
        self.plan = plan
        self.run = run
        self.bench = bench
        self.counts = counts
        self.order = order
        self.execution: Execution | None = None
        self.looks: list[Look] = []
        self._stopped = False

    @property
    def trials(self) -> dict[str, Trial]:
        """The finished trials so far, by key."""
        return self.execution.trials if self.execution is not None else {}

    def stop(self) -> None:
        """Send nothing more; call it on the session's loop."""
        self._stopped = True
        if self.execution is not None:
            self.execution.stop()

    async def work(self) -> None:
        """Run; raises what stands in the way before the first trial, and returns in every other case."""
        known = await asyncio.to_thread(self._begin)
        if not self.order.confirmed:
            await self._refuse_to_spend(len(known.trials))
        execution = self.execution = self._execution(known)
        if self._stopped:
            execution.stopping = True
        try:
            await execution.work()
        finally:
            await asyncio.shield(asyncio.to_thread(self._end, execution))
        if execution.halt_error is not None and not execution.trials:
            raise execution.halt_error

    def _begin(self) -> Known:
        journal = self.bench.journal
        before = journal.find(self.run)
        if before is not None and journal.is_foreign(before):
            raise UnknownSetting(
                f"run {self.run!r} is being executed by another process; wait for it, or stop it there"
            )
        locked = journal.begin(self.run, self.plan)
        if locked["hash"] != self.plan.hash:
            self._note_changes(locked)
        resumed = before is not None
        known = Known(
            trials=journal.trials(self.run) if resumed else {},
            answers=journal.answers(self.run) if resumed else {},
            unknown=journal.unknown(self.run) if resumed else frozenset(),
            replayable=journal.replayable([arm.fingerprint for arm in self.plan.arms]) if self.order.replay else {},
        )
        if self.order.replay is True:
            self._check_replay(known)
        return known

    def _check_replay(self, known: Known) -> None:
        wanted = [one for one in self.plan.trials(self.run) if one.key not in known.trials]
        missing = [
            one
            for one in wanted
            if (self.plan.arm(one.variant).fingerprint, one.sample.id, one.epoch) not in known.replayable
        ]
        # A sequential plan may have stopped before its end: what was never asked is not missed until it is needed.
        if missing and (self.plan.stopping == "fixed" or len(missing) == len(wanted)):
            first = missing[0]
            raise ReplayMissing(
                f"{len(missing)} of {len(wanted)} answers are not in the log (first: {first.variant!r} on sample "
                f"{first.sample.id}); run it once without replay, or pass replay='prefer' to ask for these"
            )

    async def _refuse_to_spend(self, done: int) -> None:
        from aikit.experiments.preview import is_free, preview

        if done >= self.plan.calls or await is_free(self.plan, self.bench):
            return
        shown = await preview(self.plan, self.bench)
        raise ConfirmationRequired(
            f"{shown.sentence} Nobody agreed to that yet: start(confirm=True), or start(budget=dollars)", preview=shown
        )

    def _execution(self, known: Known) -> Execution:
        court = Court(self.bench.call, self.bench.journal, self.bench.default_model(), self.plan.name, self.run)
        bound = [_bound(one, court) for one in self.plan.scorers]
        budget = self.order.budget if self.order.budget is not None else self.plan.budget
        looks = Looks(
            self.plan,
            [one for one in bound if not isinstance(one, Pairwise)],
            analyse=lambda trials, samples: analyse(self.plan, trials, samples),
            decide=self._decide,
            on_look=self._note_look,
        )
        return Execution(
            self.plan,
            self.run,
            self.bench,
            self.counts,
            known,
            looks,
            Pairs(self.plan, self.run, [one for one in bound if isinstance(one, Pairwise)]),
            record=lambda trial: self.bench.journal.record(trial, experiment=self.plan.name),
            replay=self.order.replay,
            skip_unknown=self.order.skip_unknown,
            concurrency=self.order.concurrency or max(self.bench.concurrency(arm.model) for arm in self.plan.arms),
            purse=None if budget is None else Purse(budget, spent=_spent(known.trials.values())),
            executor=self.order.executor,
        )

    def _decide(self, result: Analysis | None) -> tuple[bool, str, tuple[str, ...]]:
        """Go by the plan's rule: stop on a decision, drop variants that are surely worse than the leader."""
        if result is None:
            return False, "", ()
        verdict = result.verdict
        if verdict.decision != "continue":
            return True, f"stopped after {result.samples} of {len(self.plan.dataset)} samples: {verdict.decision}", ()
        if len(self.plan.arms) < 3:
            return False, "", ()
        from aikit.experiments.elimination import losers

        gone = losers(self.plan, [one for one in self.trials.values() if one.position < result.samples])
        return False, "", tuple(name for name in gone if name != self.plan.control)

    def _note_look(self, look: Look) -> None:
        self.looks.append(look)
        written: dict[str, Any] = {} if look.result is None else look.result.to_dict()
        self.bench.journal.note_look(self.run, number=look.number, samples=look.samples, result=written)

    def _note_changes(self, locked: dict[str, Any]) -> None:
        import json

        before = json.loads(locked["spec"])
        for name, now in self.plan.spec().items():
            if name in ("hash", "seed") or before.get(name) == json.loads(json.dumps(now, default=str)):
                continue
            self.bench.journal.note_deviation(
                self.run,
                "plan",
                f"{name} differs from the plan that was locked first: {_short(before.get(name))} → {_short(now)}",
            )

    def _end(self, execution: Execution) -> None:
        """Say in the counters and in the store how the session ended; runs in a thread."""
        journal, counts = self.bench.journal, self.counts
        self._fill_in_failures(execution)
        status, message = self._outcome(execution)
        if execution.looks.decided or execution.looks.dropped:
            counts.total = counts.done
        self._note_ways(execution, status, message)
        counts.status, counts.message = status, message
        journal.note_status(self.run, status, message)
        journal.flush()

    def _outcome(self, execution: Execution) -> tuple[str, str]:
        if execution.looks.decided:
            return "done", _saved(execution.looks.decided, self.plan, execution.trials)
        if execution.halt:
            return "halted", execution.halt
        dropped = execution.looks.dropped
        expected = (len(self.plan.arms) - len(dropped)) * len(self.plan.dataset) * self.plan.epochs
        kept = sum(one.variant not in dropped for one in execution.trials.values())
        if kept >= expected:
            return "done", f"dropped on the way: {', '.join(sorted(dropped))}" if dropped else ""
        return "stopped", f"stopped by hand after {len(execution.trials)} of {self.plan.calls} trials"

    def _note_ways(self, execution: Execution, status: str, message: str) -> None:
        journal = self.bench.journal
        if status in ("stopped", "halted"):
            journal.note_deviation(self.run, status, message)
        if execution.looks.dropped:
            names = ", ".join(sorted(execution.looks.dropped))
            journal.note_deviation(
                self.run, "dropped", f"dropped by the plan's rule, surely worse than the leader: {names}"
            )
        unknown = sum(one.status == "unknown" for one in execution.trials.values())
        if unknown:
            journal.note_deviation(
                self.run, "unknown", f"{unknown} calls that may have been billed were not sent again"
            )
        for sentence in drift(execution.trials.values()):
            journal.note_deviation(self.run, "drift", sentence)

    def _fill_in_failures(self, execution: Execution) -> None:
        blank = [
            one for one in execution.trials.values() if one.status != "ok" and not one.call_id and not one.replayed
        ]
        if not blank:
            return
        costs = self.bench.journal.failed_calls(self.run)
        for trial in blank:
            filled = with_call(trial, costs.get((trial.variant, trial.sample, trial.epoch)))
            execution.trials[trial.trial_id] = filled
            if filled.cost is not None and trial.cost is None:
                self.counts.spent += filled.cost
                self.counts.unpriced -= 1


def drift(trials: Any) -> list[str]:
    """Say of each variant whether another model began to answer inside the run."""
    seen: dict[str, list[str]] = {}
    for trial in sorted(trials, key=lambda one: one.position):
        models = seen.setdefault(trial.variant, [])
        if trial.response_model and trial.response_model not in models:
            models.append(trial.response_model)
    return [f"{name} was answered by {' and then '.join(models)}" for name, models in seen.items() if len(models) > 1]


def _bound(scorer: Scorer, court: Court) -> Scorer:
    return scorer.within(court) if isinstance(scorer, Judge | Pairwise) else scorer


def _spent(trials: Any) -> float:
    return sum((one.cost or 0.0) + one.judge_cost for one in trials)


def _saved(sentence: str, plan: Plan, trials: dict[str, Trial]) -> str:
    known = [one.cost for one in trials.values() if one.cost is not None and not one.replayed]
    per_call = sum(known) / len(known) if known else 0.0
    saved = per_call * (plan.calls - len(trials))
    return f"{sentence}; saved {plan.calls - len(trials)} calls" + (f", about ${saved:,.2f}" if saved >= 0.005 else "")


def _short(value: Any) -> str:
    written = str(value)
    return written if len(written) <= 60 else written[:60] + "…"
