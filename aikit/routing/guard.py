"""A provider behind its breaker, keys, limits, budget and retries: one target of a call.

    breaker → a key of the ring → limiter lease → budget reservation → adapter

Every attempt, retries included, passes all of it, is settled exactly once, and leaves one `Attempt`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from typing import Any

from aikit import tokens
from aikit.credentials import Key
from aikit.errors import (
    AikitError,
    AuthenticationFailed,
    CircuitOpen,
    DeadlineExceeded,
    ModelNotFound,
    ProviderError,
    Refused,
    StreamInterrupted,
)
from aikit.events import Event, Finished, Restarted, TextDelta
from aikit.limits import CircuitBreaker, Lease, RateLimiter
from aikit.messages import (
    Completion,
    GenerationOptions,
    Message,
    ProviderCapabilities,
    TokenCount,
    as_messages,
)
from aikit.providers.base import Adapter
from aikit.retries import RetryPolicy
from aikit.routing.bills import Bill
from aikit.routing.call import Admit, Call, Check, Record
from aikit.routing.features import refuse_what_is_lacking
from aikit.routing.gate import Gate
from aikit.routing.overlap import Overlap
from aikit.routing.sequel import Sequel, continuation, hindrance
from aikit.routing.ticket import Asked, Ticket
from aikit.streams import Attempt, Transcript

__all__ = ["Guard"]

DEFAULT_OUTPUT_TOKENS = 1_024
"""Output tokens that a limiter sets aside for a request that names no maximum."""
LONGEST_PROBE_WAIT = 60.0
"""Seconds that a call without a deadline waits for the only target's breaker to let a probe through."""
MENDING_ATTEMPTS = 3
"""The most attempts at one answer after text was delivered: there no other target can take over."""
TAKING_UP = ("resume", "continue")
"""Policies under which a broken answer is taken up again where the provider can."""


class Guard:
    """One target of one call, retries included; cheap to make, and made anew for each call.

    `admit` admits an attempt to the budget, `record` takes each finished attempt. `sole` says that there is no other
    target: then an open breaker is waited for instead of refused.
    """

    def __init__(
        self,
        adapter: Adapter,
        gate: Gate,
        call: Call,
        *,
        admit: Admit,
        record: Record,
        policy: RetryPolicy,
        check: Check | None = None,
        sole: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = adapter.name
        self.gate = gate
        self._adapter = adapter
        self._call = call
        self._admit = admit
        self._record = record
        self._check = check
        self._policy = policy
        self._sole = sole
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._number = 0
        self._tried: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The target's id: `"provider:model"`."""
        return f"{self._adapter.name}:{self._adapter.model}"

    def estimate_cost(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Decimal | None:
        """Return the adapter's upper bound in US dollars, for one attempt."""
        return self._adapter.estimate_cost(prompt, options)

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the model can do."""
        return self._adapter.get_capabilities(model)

    async def count_tokens(self, prompt: str | Sequence[Message], options: GenerationOptions) -> TokenCount:
        """Return how many tokens the prompt has."""
        return await self._adapter.count_tokens(prompt, options)

    async def generate_completion(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Completion:
        """Return the whole answer of the first attempt that succeeds."""
        asked = self._begin(prompt, options)
        while True:
            ticket = await self._enter(asked)
            try:
                async with asyncio.timeout(self._call.time_left(self._clock())):
                    completion = await ticket.adapter.generate_completion(asked.messages, ticket.options)
            except TimeoutError:
                sequel = self._failed(ticket, self._out_of_time())
            except AikitError as error:
                sequel = self._failed(ticket, error)
            except BaseException as stop:
                ticket.stopped(stop)
                raise
            else:
                return ticket.completed(completion)
            await self._sleep(sequel.wait)

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of the first attempt that succeeds; see `Call.on_interrupt` for what follows a break."""
        asked = first = self._begin(prompt, options)
        ticket = await self._enter(asked)
        stream: Any = ticket.adapter.generate_stream(asked.messages, ticket.options)
        while True:
            try:
                async with aclosing(self._watched(ticket, stream)) as events:
                    async for event in events:
                        yield event
                finished = ticket.finished()
            except AikitError as error:
                sequel = self._failed(ticket, error)
            except BaseException as stop:
                ticket.stopped(stop)
                raise
            else:
                yield finished
                return
            if sequel.how == "resume":
                await self._pause(ticket, sequel.wait)
                stream = ticket.adapter.resume(sequel.token)
                continue
            if sequel.how == "restart":
                yield Restarted(ticket.attempt.error_type, len(self._call.attempts) + 1)
            if sequel.how == "continue":
                asked = continuation(ticket, first.messages, asked.options)
            await self._sleep(sequel.wait)
            ticket = await self._enter_again(asked, ticket)
            stream = ticket.adapter.generate_stream(asked.messages, ticket.options)

    async def _watched(self, ticket: Ticket, stream: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """Yield an attempt's events up to, not including, its `Finished`; measure each where it arrives."""
        add, clock, deadline, overlap = ticket.transcript.add, self._clock, self._call.deadline, ticket.overlap
        async with aclosing(stream) as events:
            async for event in events:
                now = clock()
                if deadline is not None and now > deadline:
                    raise self._out_of_time()
                add(event, now)
                if isinstance(event, Finished):
                    break
                if overlap is not None and overlap.open and isinstance(event, TextDelta):
                    event = TextDelta(overlap.feed(event.text))
                    if not event.text:
                        continue
                yield event
        if overlap is not None and overlap.open:
            yield TextDelta(overlap.end())

    # -- into an attempt

    def _begin(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Asked:
        messages = as_messages(prompt)
        refuse_what_is_lacking(self._adapter, self.gate.capabilities(self._adapter), messages, options)
        self.gate.quota.earn()
        return Asked(messages, options)

    async def _enter(self, asked: Asked) -> Ticket:
        """Pass the breaker, the limiter and the budget; whatever was taken is given back when one of them refuses."""
        call, adapter, gate = self._call, self._adapter, self.gate
        queued = self._clock()
        if self._check is not None:
            await self._check(adapter, asked.messages, asked.options)
        key, breaker = await self._choose()
        key_id = key.id if key else ""
        leases: tuple[Lease, ...] = ()
        attempt = Attempt(
            "", call.call_id, len(call.attempts) + 1, self._wall(), adapter.name, adapter.model, key_id=key_id
        )
        limiters = gate.limiters(key_id)
        try:
            leases = await self._leases(limiters, asked)
            reservation = await self._admit(attempt, adapter, asked.messages, asked.options)
        except BaseException:
            for lease in leases:
                lease.cancel()
            breaker.record("ignored")
            raise
        bound = adapter.bound(key=key.secret if key else None)
        begun = self._clock()
        bound.time_left = call.time_left(begun)
        attempt.queue_time = begun - queued
        attempt.started_at = self._wall()
        attempt.continued = bool(asked.before)
        ticket = Ticket(
            gate, bound, attempt, Transcript(begun), asked, reservation.options, key, breaker, limiters, leases,
            reservation, self._record, self._clock, Overlap(asked.before) if asked.before else None, begun,
        )  # fmt: skip
        bound.on_response = ticket.saw_response
        call.attempts.append(attempt)
        self._number += 1
        gate.in_flight += 1
        return ticket

    async def _enter_again(self, asked: Asked, broken: Ticket) -> Ticket:
        """Enter for a later attempt: where that is refused, text that was delivered is not forgotten."""
        try:
            return await self._enter(asked)
        except AikitError as refusal:
            if not asked.before:
                raise
            bill = Bill(broken.attempt.usage, broken.attempt.usage_source, broken.attempt.cost)
            raise self._interruption(asked.before, refusal, bill, "") from refusal

    async def _choose(self) -> tuple[Key | None, CircuitBreaker]:
        while True:
            try:
                return self.gate.choose(exclude=self._tried)
            except CircuitOpen as error:
                wait = self._probe_wait(error)
                if wait is None:
                    raise
                await self._sleep(wait)

    def _probe_wait(self, error: CircuitOpen) -> float | None:
        """Return the seconds to wait for a probe at the only target, None when it is too long or not the only one."""
        if not self._sole or error.retry_at is None:
            return None
        wait = max(0.01, error.retry_at.timestamp() - self._wall())
        left = self._call.time_left(self._clock())
        return wait if wait <= (LONGEST_PROBE_WAIT if left is None else left) else None

    async def _leases(self, limiters: tuple[RateLimiter, ...], asked: Asked) -> tuple[Lease, ...]:
        call = self._call
        output = asked.options.max_tokens or DEFAULT_OUTPUT_TOKENS
        taken: list[Lease] = []
        try:
            for limiter in limiters:
                count = call.input_tokens
                if count is None:
                    count = call.input_tokens = tokens.quick(asked.messages, asked.options)
                lease = limiter.try_reserve(count, output_tokens=output, priority=call.priority, group=call.group)
                if lease is None:
                    lease = await limiter.reserve(
                        count, output_tokens=output, priority=call.priority, deadline=call.deadline, group=call.group
                    )
                taken.append(lease)
        except BaseException:
            for held in taken:
                held.cancel()
            raise
        return tuple(taken)

    # -- out of an attempt that failed

    def _failed(self, ticket: Ticket, error: AikitError) -> Sequel:
        """Settle a failed attempt; return what follows it, or raise what ends the call here."""
        wanted = self._call.on_interrupt
        if isinstance(error, ProviderError) and error.resume_token and (wanted in TAKING_UP or not ticket.delivered):
            wait = self._wait(error, delivered=True)
            if wait is not None:
                self._call.stitched = self._call.stitched or ticket.delivered
                self._call.attempts.append(ticket.resumed(error, self._wall()))
                self._number += 1
                return Sequel("resume", wait, error.resume_token)
        bill = ticket.failed(error)
        if isinstance(error, Refused) or not isinstance(error, ProviderError):
            raise error
        if isinstance(error, ModelNotFound):
            self.gate.name_near_models(error)
        if isinstance(error, AuthenticationFailed) and ticket.key and self.gate.ring:
            self.gate.refuse_key(ticket.key, error)
            self._tried = (*self._tried, ticket.key.id)
            if len(self._tried) < 2 and self.gate.other_key(self._tried):
                return Sequel("again", 0.0)
        if ticket.delivered:
            return self._mended(ticket, error, bill)
        wait = self._wait(error, delivered=False)
        if wait is None:
            raise error
        return Sequel("again", wait)

    def _mended(self, ticket: Ticket, error: ProviderError, bill: Bill) -> Sequel:
        """Return how an answer goes on of which something was delivered, or raise `StreamInterrupted`."""
        wanted = self._call.on_interrupt
        known = self.gate.capabilities(self._adapter)
        advice = "" if error.resume_token else hindrance(ticket, wanted, ticket.asked.options, known, self.target)
        possible = wanted in ("restart", "continue") and not advice
        wait = self._wait(error, delivered=wanted == "continue") if possible else None
        if wait is None:
            raise self._interruption(ticket.said, error, bill, advice) from error
        self._call.stitched = True
        # Reasoning alone can't be continued: what there was of it is announced as dropped.
        return Sequel("continue" if wanted == "continue" and ticket.said else "restart", wait)

    def _wait(self, error: ProviderError, *, delivered: bool) -> float | None:
        """Return the seconds to wait before the next attempt, None where there is to be none."""
        policy = self._policy
        if delivered and policy.attempts < MENDING_ATTEMPTS:
            policy = replace(policy, attempts=MENDING_ATTEMPTS)
        wait = policy.wait(error, number=self._number)
        left = self._call.time_left(self._clock())
        if wait is None or (left is not None and wait >= left) or not self.gate.quota.take():
            return None
        return wait

    async def _pause(self, ticket: Ticket, seconds: float) -> None:
        """Wait while an attempt holds what it holds."""
        try:
            await self._sleep(seconds)
        except BaseException as stop:
            ticket.stopped(stop)
            raise

    def _interruption(self, said: str, error: AikitError, bill: Bill, advice: str) -> StreamInterrupted:
        told = "" if isinstance(error, StreamInterrupted) else f"{self.target} broke off before the end of its answer: "
        return StreamInterrupted(
            f"{told}{error}; {len(said)} characters had arrived, they are in .partial{'; ' if advice else ''}{advice}",
            partial=said,
            usage=bill.usage,
            usage_source=bill.source,
            attempts=len(self._call.attempts),
            provider=self.name,
            model=self._adapter.model,
            status=getattr(error, "status", None),
            retry_at=getattr(error, "retry_at", None),
        )

    def _out_of_time(self) -> DeadlineExceeded:
        seconds = (self._call.deadline or 0.0) - self._call.started
        return DeadlineExceeded(
            f"{self.target} did not finish within the call's timeout of {seconds:g} s",
            which="total",
            provider=self.name,
            model=self._adapter.model,
        )
