"""`Kit`: the same for synchronous code, one-line methods over one background loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from aikit.async_kit import AsyncKit
from aikit.background import Background
from aikit.limits import Priority
from aikit.messages import Completion, Estimate, Message, TokenCount
from aikit.routing.call import OnInterrupt
from aikit.sync_budgets import SyncBudgets
from aikit.sync_stream import Stream

if TYPE_CHECKING:
    import pandas as pd

    from aikit.config import Config
    from aikit.experiments import Experiment, Run, Variant
    from aikit.log import Log
    from aikit.prompt_library import PromptLibrary
    from aikit.prompts import PromptVersion
    from aikit.providers.base import LLMProvider
    from aikit.reports import CostReport
    from aikit.routing.routes import Route

__all__ = ["Kit", "open"]

Since = str | datetime | date | None


def open(  # noqa: A001 — `aikit.open` reads as what it does
    *, home: str | Path | None = None, config: Mapping[str, Any] | None = None
) -> Kit:
    """Open a kit: settings from `aikit.toml` and the environment, a log in `home`.

    `home` is, in this order: the argument, `AIKIT_HOME`, `[log] home`, `.aikit` beside the `aikit.toml` found upwards,
    `./.aikit`. `config` takes the same keys as the file, over it:
    `{"providers": {"openai": {"api_key": "…", "base_url": "http://127.0.0.1:8000/v1"}}}`. Opens no connection.
    Raises `ConfigError` and `LogError` when the settings or the log can't be used.
    """
    return Kit(home=home, config=config)


class Kit:
    """One API for OpenAI, Anthropic and local models: every call limited, budgeted and logged.

    Works in a script, a notebook cell, a thread and inside a running loop. Close it, or use it with `with`; the end of
    the interpreter closes it too.
    """

    def __init__(self, *, home: str | Path | None = None, config: Mapping[str, Any] | None = None) -> None:
        self._background = Background()
        self._kit = AsyncKit(home=home, config=config)
        self._run = self._background.run
        self.budgets = SyncBudgets(self._kit.budgets, self._run)

    # -- calls

    def ask(
        self,
        prompt: str | Sequence[Message] | PromptVersion,
        *,
        model: str | Route | LLMProvider | None = None,
        system: str | None = None,
        variables: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        priority: Priority = "interactive",
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "raise",
        **options: Any,
    ) -> Completion:
        """Send a prompt and return the whole answer.

        `model` is `"provider:model"`, a route (`aikit.failover(…)`) or a provider; None takes the default model.
        `variables` fill in a saved prompt. `timeout` is in seconds, waiting and retries included. `options` are those
        of `GenerationOptions`. Raises a `Refused` when it was not sent, a `ProviderError` when it failed.
        """
        return self._run(
            self._kit.ask(
                prompt,
                model=model,
                system=system,
                variables=variables,
                tags=tags,
                priority=priority,
                timeout=timeout,
                on_interrupt=on_interrupt,
                **options,
            )
        )

    def stream(
        self,
        prompt: str | Sequence[Message] | PromptVersion,
        *,
        model: str | Route | LLMProvider | None = None,
        system: str | None = None,
        variables: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        priority: Priority = "interactive",
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "raise",
        **options: Any,
    ) -> Stream:
        """Return an answer on its way: iterate it for its text; see `ask` for the arguments.

        `on_interrupt` says what follows a break in the middle of an answer: `"raise"` raises `StreamInterrupted` with
        the partial text, `"resume"` and `"continue"` go on where it broke if the provider can, `"restart"` begins a
        new answer, announced by a `Restarted` event.
        """
        stream = self._kit.stream(
            prompt,
            model=model,
            system=system,
            variables=variables,
            tags=tags,
            priority=priority,
            timeout=timeout,
            on_interrupt=on_interrupt,
            **options,
        )
        return Stream(self._background, stream)

    def estimate(
        self,
        prompt: str | Sequence[Message] | PromptVersion,
        *,
        model: str | LLMProvider | None = None,
        variables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Estimate:
        """Return what a call would cost, before it is made."""
        return self._run(self._kit.estimate(prompt, model=model, variables=variables, **options))

    def count_tokens(
        self, prompt: str | Sequence[Message] | PromptVersion, *, model: str | LLMProvider | None = None, **options: Any
    ) -> TokenCount:
        """Return how many tokens a prompt has, and how sure that is."""
        return self._run(self._kit.count_tokens(prompt, model=model, **options))

    # -- what was logged

    def calls(
        self,
        *,
        since: Since = None,
        model: str | None = None,
        tags: str | Sequence[str] | None = None,
        experiment: str | None = None,
        limit: int | None = None,
        texts: bool = False,
        wait: float = 0,
    ) -> pd.DataFrame:
        """Return the logged calls as a frame, the newest last.

        `since` is a span (`"7d"`, `"12h"`), a date or a time; `limit` keeps the newest; `texts` adds prompts and
        answers; `wait` is how many seconds to wait while another program holds the log. `frame.attrs["complete"]` is
        False when it still does: then only the newest calls are there.
        """
        return self._run(
            self._kit.calls(
                since=since, model=model, tags=tags, experiment=experiment, limit=limit, texts=texts, wait=wait
            )
        )

    def attempts(
        self,
        *,
        since: Since = None,
        model: str | None = None,
        tags: str | Sequence[str] | None = None,
        experiment: str | None = None,
        limit: int | None = None,
        texts: bool = False,
        wait: float = 0,
    ) -> pd.DataFrame:
        """Return every attempt of the logged calls as a frame: their costs add up to what was spent."""
        return self._run(
            self._kit.attempts(
                since=since, model=model, tags=tags, experiment=experiment, limit=limit, texts=texts, wait=wait
            )
        )

    def sql(self, query: str) -> pd.DataFrame:
        """Run a query on the log, read-only and without access to anything else, and return a frame."""
        return self._run(self._kit.sql(query))

    def spent(
        self,
        period: Literal["day", "week", "month", "all"] = "day",
        *,
        by: str | Sequence[str] | None = None,
        since: Since = None,
    ) -> Decimal | pd.DataFrame:
        """Return what was spent in the present period, in US dollars; a frame with `by`. Holds are not included."""
        return self._run(self._kit.spent(period, by=by, since=since))

    def costs(self, *, by: str | Sequence[str], since: Since = None, timezone: str | None = None) -> CostReport:
        """Costs by `"provider"`, `"model"`, `"tag"`, `"prompt"`, `"day"`; `.export("costs.xlsx")` writes them."""
        return self._run(self._kit.costs(by=by, since=since, timezone=timezone))

    def reprice(self) -> CostReport:
        """Return what all logged calls would have cost under the prices that hold now."""
        return self._run(self._kit.reprice())

    @property
    def log(self) -> Log:
        """The log: `check()` compares its parts, `compact()` makes it smaller."""
        return self._kit.log

    # -- settings

    def limit(
        self,
        name: str,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        input_tokens_per_minute: int | None = None,
        output_tokens_per_minute: int | None = None,
        requests_per_day: int | None = None,
        concurrent: int | None = None,
        window: float = 60.0,
        model: str | None = None,
        shared: bool = False,
    ) -> None:
        """Limit what is sent to a provider, or to one of its models beside that, from the next call on.

        A per-minute figure counts as that many in `window` seconds. `shared=True` holds for every process with the
        same home.
        """
        self._kit.limit(
            name,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            input_tokens_per_minute=input_tokens_per_minute,
            output_tokens_per_minute=output_tokens_per_minute,
            requests_per_day=requests_per_day,
            concurrent=concurrent,
            window=window,
            model=model,
            shared=shared,
        )

    def configure(self, changes: Mapping[str, Any] | None = None, **sections: Any) -> None:
        """Change settings from the next call on: `kit.configure({"defaults.model": "openai:gpt-5-mini"})`."""
        self._kit.configure(changes, **sections)

    @property
    def config(self) -> Config:
        """The settings: `.settings`, `.explain("providers.openai.timeouts.progress")`."""
        return self._kit.config

    @property
    def providers(self) -> pd.DataFrame:
        """The targets used so far: breaker, calls in flight, key id, last error, seconds to the next probe."""
        return self._kit.providers

    @property
    def queue(self) -> pd.DataFrame:
        """Who waits for a rate limit, for what, and for how long."""
        return self._kit.queue

    def check(self, *, network: bool = True) -> pd.DataFrame:
        """Check settings, keys, files, models, clock, log and disk; a row per finding, with what to do next."""
        return self._run(self._kit.check(network=network))

    # -- prompts and experiments

    @property
    def prompts(self) -> PromptLibrary:
        """The prompt library: `save(…)`, `["classify"]`, `["classify@production"]`, `["classify", 2]`."""
        return self._kit._parts.prompts  # pyright: ignore[reportPrivateUsage] — Kit and AsyncKit share their parts

    def experiment(
        self,
        name: str,
        *,
        variants: Mapping[str, PromptVersion | Variant],
        samples: Any,
        scorers: Sequence[Any],
        primary: str | None = None,
        model: str | Route | LLMProvider | None = None,
        id: str | None = None,  # noqa: A002 — a promised name
        target: str | None = None,
        cluster: str | None = None,
        epochs: int = 1,
        guardrails: Mapping[str, Any] | None = None,
        goal: Literal["better", "cheaper"] = "better",
        direction: Literal["higher", "lower"] = "higher",
        margin: Any = None,
        mde: float | None = None,
        power: float = 0.8,
        alpha: float = 0.05,
        stopping: Literal["fixed", "group", "anytime"] = "fixed",
        looks: int = 5,
        seed: int | None = None,
        budget: float | None = None,
        options: Mapping[str, Any] | None = None,
        hypothesis: str = "",
    ) -> Experiment:
        """Plan an experiment; nothing is sent before `start()`. The first variant is the control.

        `samples` is a path (CSV, JSONL, Parquet), a frame, a list of mappings or a query on the log; `target` names
        the column a scorer compares with, `cluster` the one that says what hangs together. `primary` is the score that
        decides, `guardrails` map metrics to `aikit.stats.margin(…)`. `mde` is the smallest effect worth finding, in the
        metric's unit; `margin` how much worse still counts as equal; `budget` the most a run may cost, in US dollars.
        `id` names the run: the same id goes on with the same run. Raises `DatasetError`, `PromptError` and
        `UnknownSetting`.
        """
        given = {**locals()}
        plan = {word: value for word, value in given.items() if word not in ("self", "name")}
        return self._kit._parts.experiment(name, plan, portal=self._background)  # pyright: ignore[reportPrivateUsage] — Kit and AsyncKit share their parts

    def run(self, run_id: str) -> Run:
        """Return a run by its id, as it stands in the log: read it, report it, or go on with it."""
        return self._kit._parts.run(run_id, portal=self._background)  # pyright: ignore[reportPrivateUsage] — Kit and AsyncKit share their parts

    def replay(self, home: str | Path | None = None, *, model: str | None = None) -> LLMProvider:
        """Return a provider that answers from the log, or from another home's, at no cost and without a network.

        `kit.ask(…, model=kit.replay("other/.aikit"))`: the same messages and options get the answer, the tool calls
        and the usage that they got then, `usage_source` is `replayed`. `model="openai:gpt-5-mini"` takes that model's
        answers, else any model's that was asked the same, the oldest first. Several answers to the same are dealt in
        order. What was never answered raises `ReplayMissing`.
        """
        return self._kit.replay(home, model=model)

    # -- life

    def ready(self) -> None:
        """Import and connect the configured providers now, so that the first call does not wait for it."""
        self._run(self._kit.ready())

    def flush(self) -> None:
        """Wait until every row so far is durable."""
        self._run(self._kit.flush())

    def close(self) -> None:
        """Close the connections, the log and the background thread; closing twice is harmless."""
        if not self._kit.closed:
            self._run(self._kit.close())
        self._background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return self._kit._parts.describe("Kit")  # pyright: ignore[reportPrivateUsage] — Kit and AsyncKit share their parts
