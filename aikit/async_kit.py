"""`AsyncKit`: everything a kit can do, for asynchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aikit.limits import Priority
from aikit.messages import Completion, Estimate, Message, TokenCount
from aikit.parts import Parts
from aikit.requests import Request
from aikit.routing.call import OnInterrupt
from aikit.streams import AsyncStream

if TYPE_CHECKING:
    import pandas as pd

    from aikit.experiments import Experiment
    from aikit.prompts import PromptVersion
    from aikit.providers.base import LLMProvider
    from aikit.reports import CostReport
    from aikit.routing.routes import Route

__all__ = ["AsyncKit"]

Since = str | datetime | date | None


class AsyncKit:
    """A kit for asynchronous code: whatever touches disk or network is a coroutine.

    `home` and `config` are as in `aikit.open`. It opens its log when it is made; close it, or use it with `async with`.
    Raises `ConfigError` and `LogError` when the settings or the log can't be used.
    """

    def __init__(self, *, home: str | Path | None = None, config: Mapping[str, Any] | None = None) -> None:
        self._parts = Parts.open(home=home, config=config)
        self.config = self._parts.config
        """The settings: `.settings`, `.explain("providers.openai.timeouts.progress")`."""
        self.budgets = self._parts.budgets
        """Budgets: coroutines `set` and `status`."""
        self.log = self._parts.log
        """The log: `check()`, `compact()`."""

    # -- calls

    async def ask(
        self,
        prompt: str | Sequence[Message] | PromptVersion,
        *,
        model: str | Route | LLMProvider | None = None,
        system: str | None = None,
        variables: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        priority: Priority = "interactive",
        timeout: float | None = None,  # noqa: ASYNC109 — a promised name; the call is ended by its own deadline
        on_interrupt: OnInterrupt = "raise",
        **options: Any,
    ) -> Completion:
        """Send a prompt and return the whole answer; see `Kit.ask`."""
        request = Request.of(
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
        return await self._parts.client.call(request)

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
    ) -> AsyncStream:
        """Return an answer on its way, at once: `async for text in kit.stream(…)`; see `Kit.stream`."""
        request = Request.of(
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
        return self._parts.client.stream(request)

    async def call(self, request: Request) -> Completion:
        """Make one call from a complete request."""
        return await self._parts.client.call(request)

    async def estimate(
        self,
        prompt: str | Sequence[Message] | PromptVersion,
        *,
        model: str | LLMProvider | None = None,
        variables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Estimate:
        """Return what a call would cost, before it is made; nothing is sent to be answered."""
        return await self._parts.estimate(Request.of(prompt, model=model, variables=variables, **options))

    async def count_tokens(
        self, prompt: str | Sequence[Message] | PromptVersion, *, model: str | LLMProvider | None = None, **options: Any
    ) -> TokenCount:
        """Return how many tokens a prompt has, exactly where the model's tokenizer or a free endpoint tells."""
        return await self._parts.count_tokens(Request.of(prompt, model=model, **options))

    # -- what was logged

    async def calls(
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
        """Return the logged calls as a frame, the newest last; see `Kit.calls`."""
        return await self._parts.look(
            self.log.calls,
            since=since,
            model=model,
            tags=tags,
            experiment=experiment,
            limit=limit,
            texts=texts,
            wait=wait,
        )

    async def attempts(
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
        return await self._parts.look(
            self.log.attempts,
            since=since,
            model=model,
            tags=tags,
            experiment=experiment,
            limit=limit,
            texts=texts,
            wait=wait,
        )

    async def sql(self, query: str) -> pd.DataFrame:
        """Run a query on the log, read-only and without access to anything else, and return a frame."""
        return await self._parts.look(self.log.sql, query)

    async def spent(
        self, period: str = "day", *, by: str | Sequence[str] | None = None, since: Since = None
    ) -> Decimal | pd.DataFrame:
        """Return what was spent in the present day, week or month, or in all, in US dollars; holds not included."""
        await self._parts.look(lambda: None)
        return await self.budgets.spent(period, by=by, since=since)

    async def costs(self, *, by: str | Sequence[str], since: Since = None, timezone: str | None = None) -> CostReport:
        """Return costs grouped by columns or tags, to look at or to export."""
        return await self._parts.look(self._parts.costs, by=by, since=since, timezone=timezone)

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
        """Limit what is sent to a provider, or to one of its models beside that; see `Kit.limit`."""
        self._parts.limit(
            name,
            model=model,
            shared=shared,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            input_tokens_per_minute=input_tokens_per_minute,
            output_tokens_per_minute=output_tokens_per_minute,
            requests_per_day=requests_per_day,
            concurrent=concurrent,
            window=window,
        )

    def configure(self, changes: Mapping[str, Any] | None = None, **sections: Any) -> None:
        """Change settings from the next call on: `kit.configure({"defaults.model": "openai:gpt-5-mini"})`."""
        self.config.configure({**(changes or {}), **sections})

    @property
    def providers(self) -> pd.DataFrame:
        """The targets used so far: breaker, calls in flight, key id, last error, seconds to the next probe."""
        return self._parts.providers()

    @property
    def queue(self) -> pd.DataFrame:
        """Who waits for a rate limit, for what, and for how long."""
        return self._parts.queue()

    @property
    def prompts(self) -> AsyncPrompts:
        """The prompt library: coroutines `get` and `save`."""
        return AsyncPrompts(self._parts.prompts)

    async def reprice(self) -> CostReport:
        """Return what all logged calls would have cost under the prices that hold now."""
        return await self._parts.look(self._parts.reprice)

    def replay(self, home: str | Path | None = None, *, model: str | None = None) -> LLMProvider:
        """Return a provider that answers from the log, or from another one's; see `Kit.replay`."""
        return self._parts.replay(home, model)

    async def check(self, *, network: bool = True) -> pd.DataFrame:
        """Check settings, keys, files, models, clock, log and disk; a row per finding, with what to do next.

        `network=False` asks no provider whether it takes its key.
        """
        return await self._parts.look(self._parts.check, network)

    # -- experiments

    def experiment(self, name: str, **plan: Any) -> Experiment:
        """Plan an experiment; see `Kit.experiment`."""
        return self._parts.experiment(name, plan, portal=None)

    # -- life

    async def ready(self) -> None:
        """Import and connect the configured providers now, so that the first call does not wait for it."""
        await self._parts.ready()

    async def flush(self) -> None:
        """Wait until every row so far is durable."""
        await asyncio.to_thread(self.log.flush)

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._parts.closed

    async def close(self) -> None:
        """Close the connections and the log; closing twice is harmless."""
        await self._parts.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return self._parts.describe("AsyncKit")


class AsyncPrompts:
    """The prompt library for asynchronous code."""

    def __init__(self, prompts: Any) -> None:
        self._prompts = prompts

    async def get(self, reference: str, number: int | str | None = None) -> PromptVersion:
        """Return a version: `get("classify")`, `get("classify@production")`, `get("classify", 2)`."""
        return await asyncio.to_thread(self._prompts.get, reference, number)

    async def save(self, name: str, template: Any, **details: Any) -> PromptVersion:
        """Save a template as a new version and return it; the same content again returns the version there is."""
        return await asyncio.to_thread(self._prompts.save, name, template, **details)
