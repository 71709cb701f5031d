"""The execution of a run: the trials that are still to be done, concurrently and in the plan's order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aikit.errors import ReplayMissing
from aikit.experiments import outcomes
from aikit.experiments.outcomes import Failure, Halt, Wait
from aikit.experiments.plan import Plan, PlannedTrial
from aikit.experiments.progress import Counts
from aikit.experiments.purse import Hold, Purse
from aikit.experiments.scoring import ScorerError, score_answer
from aikit.experiments.trials import Trial
from aikit.messages import Completion
from aikit.requests import Request

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from aikit.experiments.bench import Bench
    from aikit.experiments.looks import Looks
    from aikit.experiments.pairs import Pairs

__all__ = ["Execution", "Known"]

MOST_WAITS = 3
"""How often one trial waits for a provider that is down before the run halts."""
ALL_FAILED = 20
"""Trials from the start of a session that, all failed alike, halt the run: what fails them is not the sample."""


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier sessions and earlier runs left behind."""

    trials: Mapping[str, Trial] = field(default_factory=dict[str, Trial])
    """Finished trials of this run, by key."""
    answers: Mapping[tuple[str, str, int], Completion] = field(default_factory=dict[tuple[str, str, int], Completion])
    """Answers of this run that were logged and not scored, by (variant, sample, epoch)."""
    unknown: Set[str] = frozenset()
    """Keys of trials whose call was sent and has no answer."""
    replayable: Mapping[tuple[str, str, int], Trial] = field(default_factory=dict[tuple[str, str, int], Trial])
    """Answered trials of any run by (fingerprint, sample, epoch)."""


@dataclass(slots=True)
class Execution:
    """One session of a run: from start or resume to its end."""

    plan: Plan
    run: str
    bench: Bench
    counts: Counts
    known: Known
    looks: Looks
    pairs: Pairs
    record: Callable[[Trial], None]
    """Hands a finished trial to the log."""
    replay: bool | str = False
    """True answers from earlier runs only; `"prefer"` asks the model where there is no answer."""
    skip_unknown: bool = False
    """A call that was sent and has no answer counts as failed, and is not sent again."""
    concurrency: int = 16
    purse: Purse | None = None
    executor: Executor | None = None
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    stopping: bool = False
    halt: str = ""
    """Why no trial can go well as things are; empty while they can."""
    halt_error: Exception | None = None
    _fresh_failures: int = 0
    _fresh: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def work(self) -> None:
        """Do what is to be done; returns when the plan is done, a look decided, or `stop` or an error ended it."""
        waiting = self._pending()
        self.counts.status = "running"
        try:
            while not self._ended():
                self._fill(waiting)
                if self._ended():
                    break
                if self._tasks:
                    _, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                    await self._look_early()
                elif not await self._look():
                    break
        finally:
            await self._cancel_all()
            self.counts.in_flight = 0

    def stop(self) -> None:
        """Send nothing more: what is under way is cancelled, what is finished is kept. Call it on the loop."""
        self.stopping = True
        for task in self._tasks:
            task.cancel()

    def _ended(self) -> bool:
        return self.stopping or bool(self.halt)

    def _pending(self) -> Iterator[PlannedTrial]:
        """Take in what is known, and yield the rest in the plan's order."""
        rest: list[PlannedTrial] = []
        for planned in self.plan.trials(self.run):
            before = self.known.trials.get(planned.key)
            if before is None:
                rest.append(planned)
            else:
                self._keep(replace(before, position=planned.position, cluster=planned.sample.cluster), fresh=False)
        return iter(rest)

    def _fill(self, waiting: Iterator[PlannedTrial]) -> None:
        """Start trials up to the next look, or as many as may be under way."""
        while len(self._tasks) < self.concurrency and not self._ended():
            planned = self.looks.take(waiting)
            if planned is None:
                return
            if planned.variant in self.looks.dropped:
                continue
            if self.replay is True and not self._is_known(planned):
                self._wait_for_look(planned)
                return
            self._tasks.add(asyncio.create_task(self._guarded(planned)))
            self.counts.in_flight = len(self._tasks)

    def _is_known(self, planned: PlannedTrial) -> bool:
        cell = (self.plan.arm(planned.variant).fingerprint, planned.sample.id, planned.epoch)
        return cell in self.known.replayable or (planned.variant, *cell[1:]) in self.known.answers

    def _wait_for_look(self, planned: PlannedTrial) -> None:
        """Hold a trial back that no earlier run answered: a look at what is under way may end the run before it."""
        self.looks.put_back(planned)
        if not self._tasks:
            said = f"no logged answer of {planned.variant!r} for sample {planned.sample.id}"
            self._halt(f"the log has {said}", ReplayMissing(said))

    async def _guarded(self, planned: PlannedTrial) -> None:
        try:
            await self._trial(planned)
        except asyncio.CancelledError:
            if not self._ended():
                raise
        except Exception as error:  # noqa: BLE001  the run has to end in words, not in a task that nobody reads
            self._halt(f"{type(error).__name__}: {error}", error)
        finally:
            self.counts.in_flight = max(0, self.counts.in_flight - 1)

    async def _trial(self, planned: PlannedTrial) -> None:
        """Answer, score and record one cell."""
        arm = self.plan.arm(planned.variant)
        blank = Trial(
            planned.key,
            self.run,
            planned.variant,
            planned.sample.id,
            planned.epoch,
            "ok",
            model=arm.model_name,
            fingerprint=arm.fingerprint,
            position=planned.position,
            cluster=planned.sample.cluster,
        )
        answered = self._before(planned, blank) or await self._ask(planned, blank)
        if answered is None:
            return
        trial, answer = answered
        if trial.status == "ok" and answer is not None:
            trial = await self._scored(trial, answer, planned)
        self._finish(trial)
        await self._judge_pairs(planned)

    def _before(self, planned: PlannedTrial, blank: Trial) -> tuple[Trial, Completion | None] | None:
        """Return an answer that is there already: of this run, or of an earlier one for a replay."""
        logged = self.known.answers.get((planned.variant, planned.sample.id, planned.epoch))
        if logged is not None:
            return _answered(blank, logged), logged
        if planned.key in self.known.unknown and self.skip_unknown:
            return replace(
                blank, status="unknown", error="sent before the interruption; whether it was billed is unknown"
            ), None
        if not self.replay:
            return None
        earlier = self.known.replayable.get((blank.fingerprint, planned.sample.id, planned.epoch))
        if earlier is None:
            return None
        failed = earlier.status not in ("ok", "scorer")
        again = replace(
            earlier,
            trial_id=blank.trial_id,
            run=self.run,
            variant=blank.variant,
            status=earlier.status if failed else "ok",
            error=earlier.error if failed else "",
            scores={},
            details={},
            cost=0.0,
            judge_cost=0.0,
            replayed=True,
            position=blank.position,
            cluster=blank.cluster,
        )
        return again, again.completion()

    async def _ask(self, planned: PlannedTrial, blank: Trial) -> tuple[Trial, Completion | None] | None:
        """Make the call, waiting for a provider that is down; None when the run halts instead."""
        for _ in range(MOST_WAITS):
            try:
                answer = await self._call(planned)
            except Exception as error:  # noqa: BLE001  sorted here into what it means for the run
                answer = outcomes.answer_in(error)
                meaning = outcomes.of_error(error)
                if isinstance(meaning, Wait):
                    self.counts.message = f"waiting {meaning.seconds:.0f} s: {meaning.sentence}"
                    await asyncio.sleep(meaning.seconds)
                    continue
                if isinstance(meaning, Halt):
                    self._halt(meaning.sentence, error)
                    return None if answer is None else (_answered(blank, answer), answer)
                return replace(blank, status=meaning.status, error=meaning.sentence, text=meaning.text), None
            self.counts.message = ""
            failure = outcomes.of_completion(answer)
            return (_failed(blank, answer, failure), None) if failure else (_answered(blank, answer), answer)
        self._halt(f"gave up {self.counts.message}")
        return None

    async def _call(self, planned: PlannedTrial) -> Completion:
        arm = self.plan.arm(planned.variant)
        request = Request(
            messages=arm.prompt.messages(planned.sample.inputs),
            options=arm.options,
            model=arm.model,
            tags=arm.prompt.tags,
            priority="run",
            prompt_version_id=arm.prompt.id,
            prompt_name=arm.prompt.name,
            experiment=self.plan.name,
            run=self.run,
            variant=planned.variant,
            sample=planned.sample.id,
            epoch=planned.epoch,
            key=planned.key,
        )
        async with self._held(request) as hold:
            answer = await self.bench.call(request)
            hold.cost = None if answer.cost is None else float(answer.cost)
        return answer

    @asynccontextmanager
    async def _held(self, request: Request) -> AsyncGenerator[Hold, None]:
        if self.purse is None:
            yield Hold(0.0)
            return
        estimate = await self.bench.estimate(request)
        if estimate.upper is None:
            raise outcomes.unpriced(request)
        async with self.purse.hold(float(estimate.upper)) as hold:
            yield hold

    async def _scored(self, trial: Trial, answer: Completion, planned: PlannedTrial) -> Trial:
        try:
            scores = await score_answer(
                self.looks.scorers, answer, planned.sample, planned.variant, executor=self.executor
            )
        except ScorerError as error:
            return replace(trial, status="scorer", error=str(error))
        return replace(trial, scores=scores.values, details=scores.details, judge_cost=scores.judge_cost)

    async def _judge_pairs(self, planned: PlannedTrial) -> None:
        for trial in await self.pairs.judge(self.trials, planned):
            self.trials[trial.trial_id] = trial
            self.record(trial)

    def _finish(self, trial: Trial) -> None:
        self._fresh += 1
        self._fresh_failures += trial.status in ("error", "timeout", "interrupted")
        self._keep(trial, fresh=True)
        self.record(trial)
        if self._fresh_failures == self._fresh >= ALL_FAILED:
            self._halt(f"the first {self._fresh} trials all failed, last with: {trial.error}")

    def _keep(self, trial: Trial, *, fresh: bool) -> None:
        self.trials[trial.trial_id] = trial
        self.counts.count(trial, fresh=fresh)
        self.looks.count(trial)

    async def _look(self) -> bool:
        """Look at the plan's next point, when everything before it is done; False ends the run."""
        going = await self.looks.at_rest(self.trials)
        self.counts.look = self.looks.latest
        return going

    async def _look_early(self) -> None:
        """Look while calls are under way, where the plan allows it after any sample."""
        if await self.looks.in_passing(self.trials):
            self.counts.look = self.looks.latest
            if self.looks.decided:
                self.stopping = True

    def _halt(self, sentence: str, error: Exception | None = None) -> None:
        if not self.halt:
            self.halt, self.halt_error = sentence, error
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = set()


def _answered(blank: Trial, answer: Completion) -> Trial:
    usage = answer.usage
    return replace(
        blank,
        text=answer.text,
        call_id=answer.call_id,
        cost=None if answer.cost is None else float(answer.cost),
        duration=answer.duration,
        time_to_first_token=answer.time_to_first_token,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        model=f"{answer.provider}:{answer.model}" if answer.provider else blank.model,
        response_model=answer.response_model,
        finish_reason=answer.finish_reason,
        attempts=answer.attempts,
        stitched=answer.stitched,
    )


def _failed(blank: Trial, answer: Completion, failure: Failure) -> Trial:
    return replace(_answered(blank, answer), status=failure.status, error=failure.sentence)
