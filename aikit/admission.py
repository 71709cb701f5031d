"""Admission of an attempt to the budgets: how much it may cost, and whether that can be afforded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from aikit import prices, tokens
from aikit.budgets import CostTracker, Reservation, Scopes, Seen
from aikit.messages import GenerationOptions, Message, TokenCount
from aikit.providers.base import Adapter
from aikit.routing.call import Call
from aikit.streams import Attempt

if TYPE_CHECKING:
    from aikit.requests import Request

__all__ = ["Admission"]


class Admission:
    """Admits attempts: holds the most that each can cost, on the disk before it is sent where a budget is hard."""

    def __init__(self, tracker: CostTracker, *, max_tokens: Callable[[], int]) -> None:
        self._tracker = tracker
        self._max_tokens = max_tokens

    async def check(
        self,
        request: Request,
        call: Call,
        adapter: Adapter,
        messages: tuple[Message, ...],
        options: GenerationOptions,
    ) -> None:
        """Refuse at once what settled spend alone forbids, before a key, a limit or a connection is asked for."""
        scopes = _scopes(request, adapter)
        if await self._tracker.is_hard(scopes):
            options = self._capped(adapter, options)
            await self._tracker.check(await self._upper(call, adapter, messages, options, exact=True), scopes)

    def _capped(self, adapter: Adapter, options: GenerationOptions) -> GenerationOptions:
        """Return options that name a maximum: under a hard budget one is always sent, unless it can't cost anything."""
        if adapter.price is not None and adapter.price.free:
            return options
        return options if options.max_tokens is not None else replace(options, max_tokens=self._max_tokens())

    async def admit(
        self,
        request: Request,
        call: Call,
        attempt: Attempt,
        adapter: Adapter,
        messages: tuple[Message, ...],
        options: GenerationOptions,
    ) -> Reservation:
        """Return the attempt's reservation, with the options to send.

        Raises `BudgetExceeded`, `UnknownPrice` and `LogUnwritable`.
        """
        scopes = _scopes(request, adapter)
        hard = await self._tracker.is_hard(scopes)
        if hard:
            options = self._capped(adapter, options)
        upper = await self._upper(call, adapter, messages, options, exact=hard)
        deadline = call.deadline
        once = bool(call.key)
        while True:
            attempt.attempt_id = f"{call.key or call.call_id}-{attempt.number}"
            intent = {"attempt_id": attempt.attempt_id, "call_id": call.call_id, "number": attempt.number}
            held = await self._tracker.reserve(
                attempt.attempt_id, upper, scopes, deadline=deadline, once=once, intent=intent
            )
            if isinstance(held, Seen):
                # A trial that is sent again on purpose: its earlier attempt keeps its number and its row.
                attempt.number += 1
                continue
            held.options = options
            return held

    async def _upper(
        self, call: Call, adapter: Adapter, messages: tuple[Message, ...], options: GenerationOptions, *, exact: bool
    ) -> int | None:
        """Return the most the attempt can cost in nano-dollars; None without a price."""
        price = adapter.price
        if price is None:
            return None
        if price.free:
            return 0
        self._tracker.remember(price)
        longest = prices.longest_answer(options.max_tokens, adapter.capabilities.max_output_tokens)
        if exact:
            return price.upper(tokens.upper(self._counted(call, adapter, messages, options)), longest)
        return price.upper(tokens.quick(messages, options), longest)

    def _counted(
        self, call: Call, adapter: Adapter, messages: tuple[Message, ...], options: GenerationOptions
    ) -> TokenCount:
        """Return the prompt's count; the check and the reservation of an attempt share one."""
        target = f"{adapter.name}:{adapter.model}"
        if call.counted is None or call.counted[0] is not messages or call.counted[1] != target:
            known = self._tracker.calibration
            count = tokens.count(messages, options, provider=adapter.name, model=adapter.model, calibration=known)
            call.counted = (messages, target, count)
        return call.counted[2]


def _scopes(request: Request, adapter: Adapter) -> Scopes:
    return Scopes(adapter.name, adapter.model, tuple(sorted(request.tags)), request.experiment, request.prompt_name)
