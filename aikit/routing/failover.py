"""A provider made of providers: the first that answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from decimal import Decimal

from aikit.errors import (
    AikitError,
    BadRequest,
    CircuitOpen,
    ContentFiltered,
    ContextTooLong,
    CredentialError,
    DataError,
    ProviderError,
    Refused,
    ReplayMissing,
    StreamInterrupted,
)
from aikit.events import Event, Restarted, UsageUpdate
from aikit.messages import Completion, GenerationOptions, Message, ProviderCapabilities, TokenCount
from aikit.routing.call import Call
from aikit.routing.guard import Guard

__all__ = ["Failover"]


class Failover:
    """Targets in order: the next one is asked when one is down, refuses, or fails before any text was delivered.

    A request that is itself at fault (400, content policy) is not sent to the next target. After text was delivered
    the next target is asked only under `on_interrupt="restart"`, and the new answer is announced by `Restarted`.
    """

    name = "failover"

    def __init__(
        self,
        targets: Sequence[Guard],
        call: Call,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not targets:
            raise ValueError("failover needs at least one target")
        self._targets = list(targets)
        self._call = call
        self._clock = clock
        self._wall = wall
        self._sleep = sleep

    def estimate_cost(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Decimal | None:
        """Return the dearest target's upper bound in US dollars; None when one of them has no price."""
        costs = [target.estimate_cost(prompt, options) for target in self._targets]
        known = [cost for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the first target can do."""
        return self._targets[0].get_capabilities(model)

    async def count_tokens(self, prompt: str | Sequence[Message], options: GenerationOptions) -> TokenCount:
        """Return the first target's count."""
        return await self._targets[0].count_tokens(prompt, options)

    async def generate_completion(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Completion:
        """Return the answer of the first target that gives one."""
        while True:
            errors: list[AikitError] = []
            for target in self._targets:
                try:
                    return await target.generate_completion(prompt, options)
                except AikitError as error:
                    errors.append(error)
                    if not self._may_move_on(error):
                        raise
            await self._wait_for_a_probe(errors)

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of the first target that answers."""
        delivered = False
        while True:
            errors: list[AikitError] = []
            for target in self._targets:
                try:
                    async with aclosing(target.generate_stream(prompt, options)) as events:
                        async for event in events:
                            delivered = delivered or not isinstance(event, UsageUpdate)
                            yield event
                    return
                except AikitError as error:
                    errors.append(error)
                    if not self._may_move_on(error) or (delivered and self._call.on_interrupt != "restart"):
                        raise
                    if delivered and target is not self._targets[-1]:
                        self._call.stitched = True
                        yield Restarted(type(error).__name__, len(self._call.attempts) + 1)
            await self._wait_for_a_probe(errors)

    def _may_move_on(self, error: AikitError) -> bool:
        """Whether another target may answer what this one did not."""
        if isinstance(error, ContextTooLong | StreamInterrupted):
            return True
        if isinstance(error, ReplayMissing):
            return True  # what was never asked before is asked now
        if isinstance(error, BadRequest | ContentFiltered | DataError):
            return False
        left = self._call.time_left(self._clock())
        return isinstance(error, ProviderError | Refused | CredentialError) and (left is None or left > 0)

    async def _wait_for_a_probe(self, errors: list[AikitError]) -> None:
        """Wait for the earliest open breaker when it alone stands in the way; else raise what the targets said."""
        probes = [error.retry_at for error in errors if isinstance(error, CircuitOpen) and error.retry_at]
        left = self._call.time_left(self._clock())
        if len(probes) == len(errors):
            wait = max(0.01, min(probes).timestamp() - self._wall())
            if wait <= (60.0 if left is None else left):
                await self._sleep(wait)
                return
        last = errors[-1]
        if len(errors) > 1:
            told = "; ".join(f"{type(error).__name__}: {error}" for error in errors[:-1])
            last.add_note(f"the targets before it failed too: {told}")
        raise last
