"""A run: one execution of a plan. Watch it, stop it, go on with it, read what it says."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import DataError
from aikit.experiments.analysis import Analysis, analyse, metric_comparisons, summary_frame
from aikit.experiments.progress import Counts, RunState
from aikit.experiments.session import Order, Session
from aikit.experiments.trials import Trial, frame_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from aikit.experiments.bench import Bench
    from aikit.experiments.plan import Plan
    from aikit.experiments.recommend import Recommendation
    from aikit.experiments.rundata import RunData
    from aikit.stats import Comparison, Verdict

__all__ = ["Run"]


class Run:
    """A plan under way, or done. Every trial is in the log as soon as it is scored.

    `stop()` sends nothing more and keeps what is finished; `resume()` goes on, in another process too;
    `result()` (or `await run`) waits for the end and returns the run.
    """

    def __init__(self, plan: Plan, run_id: str, bench: Bench, *, order: Order | None = None) -> None:
        self.plan = plan
        self.id = run_id
        self._bench = bench
        self._order = order or Order()
        self._counts = self._new_counts()
        self._session: Session | None = None
        self._future: Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._inner: asyncio.Task[Any] | None = None
        self._stored: dict[str, Trial] | None = None
        self._cached: tuple[Any, Analysis | None] | None = None
        self._listeners: list[Callable[[RunState], None]] = []

    # -- life

    def start(self) -> Run:
        """Begin, or go on where an earlier session stopped; returns at once."""
        if self.is_running:
            return self
        self._bench.running[self.id] = self
        self._counts = self._new_counts()
        self._counts.status = "running"
        self._session = Session(self.plan, self.id, self._bench, self._counts, self._order)
        self._stored = self._cached = None
        work = self._work(self._session)
        if self._bench.portal is not None:
            self._future = self._bench.portal.submit(work)
        else:
            self._task = asyncio.get_running_loop().create_task(work)
        return self

    def stop(self) -> Run:
        """Send nothing more: calls under way are cancelled, finished trials are kept. Returns when that is done.

        In asynchronous code it returns at once; `await run` then waits for the end.
        """
        session = self._session
        if session is None or not self.is_running:
            return self
        if self._future is not None and self._bench.portal is not None:
            stopped = self._bench.portal.submit(_call(session.stop))
            stopped.result(5)
            _settled(self._future)
        else:
            session.stop()
        return self

    async def end(self) -> None:
        """Stop, on the run's own loop, and wait until the last rows are handed over: the kit is being closed."""
        if self._session is not None and self._inner is not None and not self._inner.done():
            self._session.stop()
            await asyncio.wait([self._inner], timeout=10)

    def resume(self, *, unknown: str = "resend", budget: float | None = None) -> Run:
        """Go on with the trials that are not finished; no finished call is made again. Returns at once.

        `unknown` says what to do with calls that were sent before a crash and have no answer: `"resend"` makes them
        again, `"skip"` counts them as failed, since they may have been billed. `budget` is in US dollars, for the run
        as a whole.
        """
        if unknown not in ("resend", "skip"):
            raise DataError(f"unknown={unknown!r}: use 'resend' or 'skip'")
        if self.is_running:
            return self
        chosen = self._order.budget if budget is None else budget
        self._order = replace(self._order, skip_unknown=unknown == "skip", budget=chosen, confirmed=True)
        return self.start()

    def result(self, timeout: float | None = None) -> Run:
        """Wait for the end and return the run; Ctrl-C stops it and keeps what is finished.

        Raises what kept the run from its first trial, and TimeoutError after `timeout` seconds.
        """
        if self._future is not None:
            try:
                self._future.result(timeout)
            except KeyboardInterrupt:
                self.stop()
                raise
        elif self._task is not None:
            if not self._task.done():
                raise RuntimeError("in asynchronous code wait with: await run")
            self._task.result()
        return self

    def __await__(self) -> Generator[Any, None, Run]:
        return self._wait().__await__()

    def with_order(self, order: Order) -> Run:
        """Set how the next session is to be run, and return the run."""
        self._order = order
        return self

    def finished(self, row: Mapping[str, Any]) -> Run:
        """Take a stored run as it ended: nothing is sent."""
        for trial in self._finished():
            self._counts.count(trial, fresh=False)
        self._counts.status, self._counts.message = str(row["status"]), str(row["message"])
        return self

    def finished_trials(self) -> list[Trial]:
        """Return the finished trials, as they were recorded."""
        return self._finished()

    @property
    def is_running(self) -> bool:
        """True from `start()` to the end of the session."""
        waiting = self._future or self._task
        return waiting is not None and not waiting.done()

    @property
    def state(self) -> RunState:
        """How the run stands now; cheap, from any thread, five times a second if you like."""
        return self._counts.snapshot()

    @property
    def status(self) -> str:
        """`waiting`, `running`, `stopped`, `halted` or `done`."""
        return self._counts.status

    def on_progress(self, listener: Callable[[RunState], None]) -> Callable[[], None]:
        """Call `listener` with the state five times a second while the run goes on, and at its end.

        It is called on the run's loop: it must return at once. Returns a function that takes it off again.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # -- what it says

    @property
    def trials(self) -> pd.DataFrame:
        """A frame with a row per finished trial.

        Columns: trial_id sample epoch variant call_id status text, a column per score, cost duration input_tokens
        output_tokens stitched; cluster where the plan declares one.
        """
        return frame_of(self._finished(), scores=self._scores, cluster=self.plan.dataset.cluster is not None)

    @property
    def details(self) -> pd.DataFrame:
        """The trials with everything that is known of them: error, models, attempts, time to first token."""
        clustered = self.plan.dataset.cluster is not None
        return frame_of(self._finished(), scores=self._scores, cluster=clustered, details=True)

    @property
    def verdict(self) -> Verdict:
        """What to do, by the primary metric and the guardrails; while the run goes on by the plan's sequential rule."""
        return self.analysis().verdict

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The primary metric: each variant against the control."""
        return self.analysis().comparisons

    def summary(self) -> pd.DataFrame:
        """Return a row per metric and variant: values, difference, interval, p; all but the plan's are exploratory."""
        return summary_frame(self.analysis(), metric_comparisons(self.plan, self._finished()))

    def aa(self, *, draws: int = 500) -> Any:
        """Return how often labels swapped within samples look different: near alpha, if the method fits these data."""
        from aikit import stats
        from aikit.experiments.analysis import analysis_frame

        frame = analysis_frame(self.plan, self._finished())
        seed = self.plan.shuffle_seed % 2**31
        return stats.false_positive_rate(
            frame, metric=self.plan.primary, control=self.plan.control, draws=draws, alpha=self.plan.alpha, seed=seed
        )

    def chart(self) -> Any:
        """Return a forest plot of every metric's difference to the control."""
        from aikit import charts
        from aikit.experiments.rundata import effects_frame

        return charts.forest(
            effects_frame(self.summary()), title=f"{self.plan.name}: difference to {self.plan.control}"
        )

    def recommend(self) -> tuple[Recommendation, ...]:
        """Return what to change, each with its evidence and its dollars per 1,000 calls; often empty."""
        from aikit.experiments.recommend import recommend

        return recommend(self.plan, self._finished(), self.comparisons, price=self._bench.price)

    def slices(self, by: str | None = None) -> pd.DataFrame:
        """Return where a variant does better or worse: by a column, or by every column, length and cluster."""
        from aikit.experiments.slices import slices

        return slices(self.plan, self._finished(), by=by)

    def worst(self, count: int = 5) -> pd.DataFrame:
        """Return the samples on which each variant lost and gained most, with both answers and their calls."""
        from aikit.experiments.slices import worst

        return worst(self.plan, self._finished(), self.analysis(), count=count)

    def data(self) -> RunData:
        """Return everything a report shows, as frames and plain values."""
        from aikit.experiments.rundata import run_data

        return run_data(self)

    def report(self, path: str | Path) -> Path:
        """Write the report, HTML or Markdown by the path's ending, and return its path."""
        from aikit import reports

        return cast("Any", reports).run_report(self.data(), path)

    def rate(self, *, count: int = 30) -> Any:
        """Return a widget that asks a person to rate answers without naming their variants."""
        from aikit import widgets

        return cast("Any", widgets).rate(self, count=count)

    @property
    def deviations(self) -> list[dict[str, Any]]:
        """Where the run did not go by its plan: kind, sentence, at."""
        return self._bench.journal.deviations(self.id)

    @property
    def looks(self) -> list[dict[str, Any]]:
        """The looks of a sequential plan: number, samples, result, at."""
        return self._bench.journal.looks(self.id)

    # -- inside

    @property
    def bench(self) -> Bench:
        """What the kit lends to the run."""
        return self._bench

    @property
    def _scores(self) -> list[str]:
        return [scorer.name for scorer in self.plan.scorers]

    def _new_counts(self) -> Counts:
        per_sample = len(self.plan.arms) * self.plan.epochs
        return Counts(self.plan.calls, len(self.plan.dataset), self._bench.clock, per_sample)

    async def _work(self, session: Session) -> None:
        self._inner = asyncio.current_task()
        ticking = asyncio.create_task(self._tick())
        try:
            await session.work()
        except asyncio.CancelledError:
            self._counts.status = "stopped" if self._counts.status == "running" else self._counts.status
            raise
        except BaseException as error:
            self._counts.status, self._counts.message = "halted", f"{type(error).__name__}: {error}"
            raise
        finally:
            ticking.cancel()
            self._bench.running.pop(self.id, None)
            self._tell()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener(self.state)

    async def _wait(self) -> Run:
        if self._future is not None:
            await asyncio.shield(asyncio.wrap_future(self._future))
        elif self._task is not None:
            try:
                await asyncio.shield(self._task)
            except asyncio.CancelledError:
                self.stop()
                raise
        return self

    def _finished(self) -> list[Trial]:
        if self._session is not None and (self.is_running or self._session.trials):
            return list(self._session.trials.values())
        if self._stored is None:
            positions = {one.key: one for one in self.plan.trials(self.id)}
            found = self._bench.journal.trials(self.id)
            self._stored = {
                key: replace(one, position=positions[key].position, cluster=positions[key].sample.cluster)
                for key, one in found.items()
                if key in positions
            }
        return list(self._stored.values())

    def analysis(self) -> Analysis:
        """Return the primary comparison and the verdict; raises DataError while two variants have no trial each."""
        trials = self._finished()
        key = (len(trials), self.status)
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, analyse(self.plan, trials, len({one.sample for one in trials})))
        found = self._cached[1]
        if found is None:
            raise DataError(f"run {self.id!r} has no trials of two variants yet ({len(trials)} finished)")
        return found

    def _sentence(self) -> str:
        try:
            return self.verdict.sentence
        except DataError as error:
            return str(error)

    def __repr__(self) -> str:
        message = f"\n{self.state.message}" if self.state.message else ""
        return f"Run {self.id} of {self.plan.name!r}: {self.state}{message}\n{self._sentence().replace('**', '')}"

    def _repr_html_(self) -> str:
        import re

        words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(self._sentence()))
        head = html.escape(f"{self.plan.name} · run {self.id} · {self.state}")
        message = f"<div>{html.escape(self.state.message)}</div>" if self.state.message else ""
        return f'<div class="aikit-run"><div style="opacity:.75">{head}</div>{message}<p>{words}</p></div>'


async def _call(function: Callable[[], None]) -> None:
    function()


def _settled(future: Future[None]) -> None:
    """Wait until a stopped session has put its last rows away; what it raised is told by `result()`."""
    try:
        future.exception(timeout=10)
    except (CancelledError, TimeoutError):
        return
