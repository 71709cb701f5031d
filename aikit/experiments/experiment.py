"""An experiment: a plan and the kit to carry it out with."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aikit.errors import ConfirmationRequired, UnknownSetting
from aikit.experiments.plan import Plan
from aikit.experiments.preview import Preview, is_free, preview
from aikit.experiments.run import Run
from aikit.experiments.session import Order

if TYPE_CHECKING:
    from aikit.experiments.bench import Bench

__all__ = ["Experiment"]


class Experiment:
    """A plan, fixed before the first call. `preview()` says what it takes, `start()` runs it."""

    def __init__(self, plan: Plan, bench: Bench, *, run_id: str | None = None) -> None:
        self.plan = plan
        self.id = run_id
        self._bench = bench
        self._spread: Any = None

    @property
    def name(self) -> str:
        """The experiment's name: its calls are logged under it."""
        return self.plan.name

    @property
    def hash(self) -> str:
        """The plan's hash: equal plans ask the same of the same samples."""
        return self.plan.hash

    def preview(self) -> Any:
        """Return samples, calls, tokens, dollars, minutes and detectable effects; no call is made.

        With `AsyncKit` it is a coroutine.
        """
        work = preview(self.plan, self._bench, spread=self._spread)
        return self._bench.portal.run(work) if self._bench.portal is not None else work

    def pilot(self, n: int = 20, *, confirm: Any = True, budget: float | None = None) -> Any:
        """Run the first `n` samples and return the preview with the spread they show; they are paid for.

        The pilot is a run of its own, and its samples are answered again by the real one. With `AsyncKit` it is a
        coroutine.
        """
        if n < 2:
            raise UnknownSetting(f"a pilot of {n}: two samples at least")
        few = self.plan.ordered_samples()[:n]
        dataset = replace(self.plan.dataset, samples=few, hash=f"{self.plan.dataset.hash}-pilot{len(few)}")
        small = replace(self.plan, name=f"{self.plan.name} (pilot)", dataset=dataset, stopping="fixed")
        run = Experiment(small, self._bench).start(confirm=confirm, budget=budget)
        if self._bench.portal is not None:
            return self._measured(run.result())
        return self._piloted(run)

    def start(
        self,
        *,
        confirm: bool | Callable[[Preview], bool] | None = None,
        budget: float | None = None,
        replay: bool | str = False,
        fresh: bool = False,
        concurrency: int | None = None,
        executor: Executor | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> Run:
        """Start the run and return it at once; an unfinished run of the same plan is gone on with.

        What costs money has to be agreed to: `confirm=True`, a function of the preview, or a `budget` in US dollars
        that the run can't pass; else a question is asked on a terminal, and `ConfirmationRequired` raised elsewhere.
        `replay=True` takes every answer from earlier runs at no cost (raises `ReplayMissing`), `"prefer"` asks the
        model for what is missing. `fresh=True` begins anew.
        """
        if replay not in (True, False, "prefer"):
            raise UnknownSetting(f"replay={replay!r}: use True, False or 'prefer'")
        fresh = fresh or bool(replay)
        active = self._active(fresh=fresh)
        if active is not None:
            return active
        run_id, row = self._run_id(fresh=fresh)
        limited = budget if budget is not None else self.plan.budget
        order = Order(replay=replay, budget=limited, concurrency=concurrency, executor=executor)
        run = Run(self.plan, run_id, self._bench, order=order)
        if on_progress is not None:
            run.on_progress(on_progress)
        if row is not None and row["status"] == "done":
            return run.finished(row)
        if limited is not None or replay is True or confirm is True:
            return run.start()
        return self._confirmed(run, order, confirm)

    def _confirmed(self, run: Run, order: Order, confirm: Any) -> Run:
        """Start the run if it is free or somebody agrees to its price."""
        if self._bench.portal is None:
            if callable(confirm):
                raise UnknownSetting("with AsyncKit: look at `await plan.preview()`, then start(confirm=True)")
            return run.with_order(replace(order, confirmed=False)).start()
        if self._bench.portal.run(is_free(self.plan, self._bench)):
            return run.start()
        shown: Preview = self.preview()
        if callable(confirm):
            if confirm(shown):
                return run.start()
        elif confirm is None and self._bench.ask is not None and self._bench.ask(shown, lambda: void(run.start())):
            return run
        elif confirm is None and _asked_on_terminal(shown):
            return run.start()
        raise ConfirmationRequired(
            f"{shown.sentence} Nobody agreed to that: start(confirm=True), or start(budget=dollars)", preview=shown
        )

    def _active(self, *, fresh: bool) -> Run | None:
        """Return the run of this plan, or of this id, that is under way in this process."""
        for run in list(self._bench.running.values()):
            same = run.id == self.id if self.id is not None else not fresh and run.plan.hash == self.plan.hash
            if same and run.is_running:
                return run
        return None

    def _run_id(self, *, fresh: bool) -> tuple[str, dict[str, Any] | None]:
        """Return the run's id, and its row when it is there already."""
        journal = self._bench.journal
        if self.id is not None:
            row = journal.find(self.id)
            if row is not None and row["plan"] != self.plan.hash:
                raise UnknownSetting(
                    f"run {self.id!r} belongs to another plan of {row['experiment']!r}: samples, prompts or settings "
                    "differ; give this one another id"
                )
            return self.id, row
        if not fresh:
            for row in journal.runs(plan=self.plan.hash):
                if row["status"] != "done" and not journal.is_foreign(row):
                    return str(row["id"]), row
        return f"{_slug(self.plan.name)}-{_new_suffix(self._bench)}", None

    async def _piloted(self, run: Run) -> Preview:
        await run
        self._measured(run, look=False)
        return await preview(self.plan, self._bench, spread=self._spread)

    def _measured(self, run: Run, *, look: bool = True) -> Any:
        from aikit import stats
        from aikit.experiments.slices import wide

        table = wide(run.plan, run.finished_trials())
        control, variant = self.plan.variants[:2]
        self._spread = stats.pilot(table[control].to_numpy(float), table[variant].to_numpy(float))
        return self.preview() if look else None

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"Experiment {plan.name!r}: {' against '.join(reversed(plan.variants))} on {len(plan.dataset)} samples"
            f"{f' × {plan.epochs} epochs' if plan.epochs > 1 else ''}, primary {plan.primary!r}, "
            f"stopping {plan.stopping!r}, {plan.calls} calls; .preview() says what they cost"
        )

    def _repr_html_(self) -> str:
        return f'<div class="aikit-experiment">{html.escape(repr(self))}</div>'


def void(_: object) -> None:
    """Drop a value, where a callback must return none."""


def _asked_on_terminal(shown: Preview) -> bool:
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return input(f"{shown}\nStart? [y/N] ").strip().lower() in ("y", "yes")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "run"


def _new_suffix(bench: Bench) -> str:
    from aikit.log.schema import new_id

    return new_id(bench.wall).replace("-", "")[4:18]
