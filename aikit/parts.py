"""What a kit is made of, and how the parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aikit import figures, prices, tokens
from aikit.admission import Admission
from aikit.budgets import Budgets, CostTracker
from aikit.client import Client
from aikit.config import BUILT_IN, Change, Config
from aikit.errors import AikitError, LogUnwritable, did_you_mean
from aikit.log import Log
from aikit.log.limits_store import SpoolLimits
from aikit.log.schema import EventRow, new_id
from aikit.messages import Estimate, TokenCount
from aikit.prices import PriceBook
from aikit.prompt_library import PromptLibrary
from aikit.routing.routes import Route
from aikit.routing.targets import Targets
from aikit.secret import Scrubber

if TYPE_CHECKING:
    import pandas as pd

    from aikit.background import Background
    from aikit.experiments import Experiment, Run
    from aikit.experiments.bench import Bench
    from aikit.providers.base import Adapter, LLMProvider
    from aikit.reports import CostReport
    from aikit.requests import Request

__all__ = ["Parts"]

T = TypeVar("T")


@dataclass(slots=True)
class Parts:
    """The parts of one kit, shared by its synchronous and its asynchronous face."""

    config: Config
    log: Log
    tracker: CostTracker
    budgets: Budgets
    targets: Targets
    client: Client
    prompts: PromptLibrary
    runs: dict[str, Run] = field(default_factory=dict[str, "Run"])
    """The runs under way, by id; they end before the log is closed."""
    closed: bool = False
    unwatch: Callable[[], None] = lambda: None
    """Ends the masking of keys in the logs of other libraries."""

    @classmethod
    def open(cls, *, home: str | Path | None, config: Mapping[str, Any] | None) -> Parts:
        """Read the settings, open the log, and connect the parts; opens no connection."""
        settings = Config.load(home=home, overrides=config)
        said = settings.settings.log
        scrubber = Scrubber()
        # At the level DEBUG Anthropic's client logs each request's headers as they are, the key among them.
        unwatch = scrubber.watch("anthropic", "anthropic._base_client", "openai", "openai._base_client", "httpx2")
        log = Log.open(
            settings.home,
            durability=said.durability,
            store_text=said.store_text,
            redact=said.redact,
            scrub=scrubber.data,
        )
        tracker = CostTracker(log.spool)
        book = _Book(settings)
        budgets = Budgets(tracker, log, settings=settings.settings)
        targets = Targets(
            lambda: settings.settings,
            prices=book.now,
            environ=settings.environ,
            folder=settings.folder,
            scrubber=scrubber,
        )
        targets.limits.store = SpoolLimits(log.spool)
        client = Client(
            targets,
            Admission(tracker, max_tokens=lambda: settings.settings.budgets.max_tokens),
            log,
            default_model=lambda: settings.settings.defaults.model,
            longest_wait=lambda: settings.settings.defaults.wait_at_most,
            new_id=new_id,
            session=new_id(),
        )

        def changed(changes: Sequence[Change]) -> None:
            for one in changes:
                told = f"{one.path}: {one.old} → {one.new}"
                log.record_event(EventRow(happened_at=time.time(), kind="setting", subject=one.path, message=told))
                if one.path in ("log.home", "log.durability", "log.redact"):
                    warnings.warn(f"{one.path} holds from the next aikit.open() on; the open log stays", stacklevel=5)
            log.store_texts(settings.settings.log.store_text)
            targets.refresh()
            targets.reprice()
            budgets.configure(settings.settings)

        settings.on_change(changed)
        parts = cls(
            settings, log, tracker, budgets, targets, client, PromptLibrary(log.spool, bench=lambda: parts.bench())
        )
        parts.unwatch = unwatch
        return parts

    def limit(self, name: str, *, model: str | None, shared: bool, **figures: Any) -> None:
        """Limit what is sent to a provider, or to one of its models beside that."""
        known = {*self.config.settings.providers, *BUILT_IN, *(state.provider for state in self.targets.states())}
        if name not in known:
            # Not refused: a provider object that is used later may have any name.
            near = did_you_mean(name, known)
            said = f"no provider {name!r} is known here{near}; the limit holds once one of that name is used"
            warnings.warn(said, stacklevel=4)
        self.targets.limit(name, model=model, shared=shared, **figures)

    # -- before a call

    def _adapter(self, request: Request) -> Adapter:
        """Return the adapter that a request's model names; a route is answered for by its first target."""
        model: Any = request.model if request.model is not None else self.config.settings.defaults.model
        while isinstance(model, Route):
            model = model.targets[0]
        return self.targets.find(model)[0]

    async def count_tokens(self, request: Request) -> TokenCount:
        """Return the exact count where the model's tokenizer or a free endpoint tells, else an estimate."""
        adapter = self._adapter(request)
        try:
            return await adapter.count_tokens(request.messages, request.options)
        except AikitError:
            # Not to know the exact count must not stand in the way of an estimate.
            return tokens.count(request.messages, request.options, provider=adapter.name, model=adapter.model)

    async def estimate(self, request: Request) -> Estimate:
        """Return what a call would cost: a short, a likely and the longest answer."""
        adapter = self._adapter(request)
        count = await self.count_tokens(request)
        price = adapter.price
        if price is None:
            return Estimate(count, None, None, None)
        longest = prices.longest_answer(request.options.max_tokens, adapter.get_capabilities().max_output_tokens)
        upper = prices.dollars(price.upper(tokens.upper(count), longest))
        input_only = prices.dollars(price.upper(count.tokens, 0))
        likely = min(upper, prices.dollars(price.upper(count.tokens, min(longest, await self._typical(adapter)))))
        return Estimate(count, min(input_only, upper), likely, upper)

    async def _typical(self, adapter: Adapter) -> int:
        """Return the median length of this model's logged answers, in tokens; a guess where there are none."""
        query = (
            "SELECT median(output_tokens) AS typical FROM calls"
            " WHERE status = 'ok' AND provider = ? AND model = ? AND output_tokens IS NOT NULL"
        )
        frame = await asyncio.to_thread(self.log.query, query, [adapter.name, adapter.model])
        typical = frame["typical"].iloc[0] if len(frame) else None
        return 256 if typical is None or typical != typical else int(typical)

    # -- what there is to see

    async def look(self, read: Callable[..., T], *positional: Any, **named: Any) -> T:
        """Read something off the loop, with every row of this process so far in it."""

        def work() -> T:
            # What can't be written now is reported by the calls themselves; reading goes on without it.
            with contextlib.suppress(LogUnwritable, TimeoutError):
                self.tracker.flush(2.0)
                self.log.flush(2.0)
            return read(*positional, **named)

        return await asyncio.to_thread(work)

    def providers(self) -> pd.DataFrame:
        """Return a row for each target and key used so far."""
        import dataclasses

        import pandas as pd

        from aikit.routing.gate import GateState

        names = [one.name for one in dataclasses.fields(GateState)]
        return pd.DataFrame([dataclasses.asdict(state) for state in self.targets.states()], columns=names)

    def queue(self) -> pd.DataFrame:
        """Return a row for each request that waits for a limit."""
        import dataclasses

        import pandas as pd

        from aikit.limits.queue import Waiting

        names = ["provider", "model", "key", *(one.name for one in dataclasses.fields(Waiting))]
        rows = [
            {"provider": provider, "model": model or "", "key": key_id, **dataclasses.asdict(waiting)}
            for (provider, model, key_id), limiter in self.targets.limiters().items()
            for waiting in limiter.waiting()
        ]
        return pd.DataFrame(rows, columns=names)

    def check(self, network: bool) -> pd.DataFrame:
        """Return a row for each finding of `aikit doctor`."""
        import dataclasses

        import pandas as pd

        from aikit.checks import Finding, check

        findings = check(self.config, log=self.log, network=network)
        names = [one.name for one in dataclasses.fields(Finding)]
        return pd.DataFrame([dataclasses.asdict(one) for one in findings], columns=names)

    def costs(self, *, by: str | Sequence[str], since: Any, timezone: str | None) -> CostReport:
        """Return what calls cost, grouped."""
        from aikit.budgets.costs import costs

        zone = timezone or self.config.settings.budgets.timezone
        return costs(self.log, by=by, since=since, timezone=zone, book=_Book(self.config).now())

    def reprice(self) -> CostReport:
        """Return what the logged calls would have cost under the present prices."""
        from aikit.budgets.costs import reprice

        return reprice(self.log, _Book(self.config).now())

    def replay(self, home: str | Path | None, model: str | None) -> LLMProvider:
        """Return a provider that answers from this log, or from another home's."""
        from aikit.replays import home_with_a_log, replay_of

        log = self.log if home is None else Log.open(home_with_a_log(home))
        found = replay_of(log, ours=home is None, model=model)
        self.targets.find(found)  # known to the targets, it is closed with them
        return found

    def experiment(self, name: str, plan: Mapping[str, Any], *, portal: Background | None) -> Experiment:
        """Return an experiment over these parts."""
        from aikit.experiments.setup import experiment

        return experiment(name, bench=self.bench(portal), **plan)

    def run(self, run_id: str, *, portal: Background | None) -> Run:
        """Return a run out of the log."""
        from aikit.experiments.stored import stored_run

        return stored_run(self.bench(portal), run_id)

    def bench(self, portal: Background | None = None) -> Bench:
        """Return what experiments borrow of these parts."""
        from aikit.experiments.bench import Bench
        from aikit.experiments.journal import Journal

        return Bench(
            self.client.call,
            self.estimate,
            Journal(self.log),
            self.prompts,
            lambda: self.config.settings.defaults.model,
            portal=portal,
            run_sql=self.log.sql,
            price=lambda model: self.targets.find(model)[0].price,
            concurrency=_concurrency,
            running=self.runs,
        )

    # -- life

    async def ready(self) -> None:
        """Import and connect the configured providers and the default model's."""
        await self.targets.ready((self.config.settings.defaults.model.partition(":")[0],))

    async def close(self) -> None:
        """Close connections, budgets and log, in this order; closing twice is harmless."""
        if self.closed:
            return
        self.closed = True
        for run in list(self.runs.values()):
            await run.end()
        await self.targets.close()
        self.unwatch()
        await asyncio.to_thread(self.tracker.close)
        await asyncio.to_thread(self.log.close)

    def describe(self, name: str) -> str:
        """Return what the kit shows of itself: its home, default model and budgets, and what to change where."""
        settings = self.config.settings
        limits = [
            f"{figures.dollars(prices.dollars(one.amount))} a {one.period}{f' for {one.name}' if one.scope else ''}"
            for one in self.budgets.limits()
        ]
        file = self.config.file or "no aikit.toml found; `aikit init` writes one"
        return (
            f"{name}: log in {self.log.home}\n"
            f"  default model: {settings.defaults.model}   (another: kit.ask(…, model='provider:model'),"
            " or [defaults] model)\n"
            f"  budgets: {', '.join(limits) or 'none'}   (set: kit.budgets.set(daily=2.00))\n"
            f"  providers configured: {', '.join(sorted(settings.providers)) or 'none, local needs none'}\n"
            f"  settings: {file}"
        )


def _concurrency(model: Any) -> int:
    """Return how many calls a run has under way: what the local model serves at once, else as many as are useful."""
    return 4 if isinstance(model, str) and model.startswith("local:") else 16


class _Book:
    """The price book for the present settings; made anew when they change."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._settings: Any = None
        self._book = PriceBook()

    def now(self) -> PriceBook:
        """Return the book for the settings as they are."""
        settings = self._config.settings
        if settings is not self._settings:
            providers = {
                name: {
                    "kind": one.kind,
                    "base_url": one.base_url,
                    "prices": {model: table.model_dump(exclude_none=True) for model, table in one.prices.items()},
                }
                for name, one in settings.providers.items()
            }
            self._book, self._settings = PriceBook(providers), settings
        return self._book
