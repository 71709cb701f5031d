"""A provider behind its breaker, keys, limits, budget and retries: one target of a call.

    breaker → a key of the ring → limiter lease → budget reservation → adapter

Every attempt, retries included, passes all of it, is settled exactly once, and leaves one `Attempt`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal

from aikit import tokens
from aikit.credentials import Key
from aikit.errors import (
    AikitError,
    AuthenticationFailed,
    CircuitOpen,
    DeadlineExceeded,
    ProviderError,
    Refused,
    StreamInterrupted,
)
from aikit.events import Event, Finished, Restarted, TextDelta
from aikit.limits import CircuitBreaker, Lease
from aikit.messages import (
    Completion,
    GenerationOptions,
    Message,
    ProviderCapabilities,
    TokenCount,
    as_messages,
)
from aikit.providers.base import Adapter
from aikit.retries import RetryPolicy, counts_against
from aikit.routing.bills import Bill, bill_for_error, bill_for_finish, bill_for_stop, completed
from aikit.routing.call import Admit, Call, Check, Record, Reservation
from aikit.routing.gate import Gate
from aikit.streams import Attempt, Transcript

__all__ = ["Guard"]

DEFAULT_OUTPUT_TOKENS = 1_024
"""Output tokens that a limiter sets aside for a request that names no maximum."""
SLOW_FIRST_TOKEN = 30.0
"""Seconds to the first token beyond which a call counts as slow for the breaker."""
LONGEST_PROBE_WAIT = 60.0
"""Seconds that a call without a deadline waits for the only target's breaker to let a probe through."""


@dataclass(slots=True)
class Ticket:
    """What one attempt holds, and has to give back."""

    adapter: Adapter
    attempt: Attempt
    transcript: Transcript
    options: GenerationOptions
    key: Key | None
    breaker: CircuitBreaker
    leases: tuple[Lease, ...]
    reservation: Reservation


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
        self.target = f"{adapter.name}:{adapter.model}"
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
        messages = as_messages(prompt)
        self.gate.quota.earn()
        while True:
            ticket = await self._enter(messages, options)
            try:
                async with asyncio.timeout(self._call.time_left(self._clock())):
                    completion = await ticket.adapter.generate_completion(messages, ticket.options)
            except TimeoutError:
                wait = self._failed(ticket, messages, self._out_of_time())
            except AikitError as error:
                wait = self._failed(ticket, messages, error)
            except BaseException as stop:
                self._leave(ticket, bill_for_stop(ticket.adapter, messages, ticket.transcript), "cancelled", stop)
                raise
            else:
                return self._completed(ticket, messages, completion)
            await self._sleep(wait)

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of the first attempt that succeeds; see `Call.on_interrupt` for what follows a break."""
        messages = as_messages(prompt)
        asked = messages
        self.gate.quota.earn()
        overlap = ""
        while True:
            ticket = await self._enter(asked, options)
            ticket.attempt.continued = bool(overlap)
            try:
                async with aclosing(self._watched(ticket, asked, overlap)) as events:
                    async for event in events:
                        yield event
            except AikitError as error:
                wait = self._failed(ticket, asked, error)
            except BaseException as stop:
                self._leave(ticket, bill_for_stop(ticket.adapter, asked, ticket.transcript), "cancelled", stop)
                raise
            else:
                yield self._finished(ticket, asked)
                return
            if ticket.transcript.delivered:
                self._call.stitched = True
                if self._call.on_interrupt == "continue":
                    overlap += ticket.transcript.text
                    asked = (*messages, Message("assistant", overlap))
                else:
                    yield Restarted(ticket.attempt.error_type, len(self._call.attempts) + 1)
            await self._sleep(wait)

    async def _watched(
        self, ticket: Ticket, messages: tuple[Message, ...], overlap: str
    ) -> AsyncGenerator[Event, None]:
        """Yield an attempt's events up to, not including, its `Finished`; measure each where it arrives."""
        add, clock, deadline = ticket.transcript.add, self._clock, self._call.deadline
        trim = overlap
        stream = ticket.adapter.generate_stream(messages, ticket.options)
        async with aclosing(stream) as events:  # pyright: ignore[reportArgumentType] — adapters are async generators
            async for event in events:
                now = clock()
                if deadline is not None and now > deadline:
                    raise self._out_of_time()
                if trim and isinstance(event, TextDelta):
                    event, trim = TextDelta(without_overlap(trim, event.text)), ""
                add(event, now)
                if isinstance(event, Finished):
                    return
                yield event

    # -- into and out of an attempt

    async def _enter(self, messages: tuple[Message, ...], options: GenerationOptions) -> Ticket:
        """Pass the breaker, the limiter and the budget; whatever was taken is given back when one of them refuses."""
        call, adapter = self._call, self._adapter
        queued = self._clock()
        if self._check is not None:
            await self._check(adapter, messages, options)
        key, breaker = await self._choose()
        leases: tuple[Lease, ...] = ()
        number = len(call.attempts) + 1
        attempt = Attempt("", call.call_id, number, self._wall(), adapter.name, adapter.model)
        attempt.key_id = key.id if key else ""
        try:
            leases = await self._leases(attempt.key_id, messages, options)
            reservation = await self._admit(attempt, adapter, messages, options)
        except BaseException:
            for lease in leases:
                lease.cancel()
            breaker.record("ignored")
            raise
        bound = adapter.bound(key=key.secret if key else None)
        bound.time_left = call.time_left(self._clock())
        started = self._clock()
        attempt.queue_time = started - queued
        attempt.started_at = self._wall()
        limiters = self.gate.limiters(attempt.key_id)

        def saw_response(status: int, headers: object) -> None:
            attempt.http_status = status
            for lease in leases:
                lease.answered()
            for limiter in limiters:
                limiter.observe(status, headers)  # pyright: ignore[reportArgumentType] — headers as the adapter has them

        bound.on_response = saw_response
        call.attempts.append(attempt)
        self._number += 1
        self.gate.in_flight += 1
        return Ticket(bound, attempt, Transcript(started), reservation.options, key, breaker, leases, reservation)

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

    async def _leases(
        self, key_id: str, messages: tuple[Message, ...], options: GenerationOptions
    ) -> tuple[Lease, ...]:
        call = self._call
        taken: list[Lease] = []
        for limiter in self.gate.limiters(key_id):
            count = call.input_tokens
            if count is None:
                count = call.input_tokens = tokens.quick(messages, options)
            output = options.max_tokens or DEFAULT_OUTPUT_TOKENS
            lease = limiter.try_reserve(count, output_tokens=output, priority=call.priority, group=call.group)
            try:
                taken.append(
                    lease
                    or await limiter.reserve(
                        count,
                        output_tokens=output,
                        priority=call.priority,
                        deadline=call.deadline,
                        group=call.group,
                    )
                )
            except BaseException:
                for held in taken:
                    held.cancel()
                raise
        return tuple(taken)

    def _completed(self, ticket: Ticket, messages: tuple[Message, ...], answer: Completion) -> Completion:
        """Settle an attempt whose answer came whole."""
        transcript = ticket.transcript
        transcript.pieces.append(answer.text)
        transcript.reasoning.append(answer.reasoning)
        ticket.attempt.response_model = answer.response_model
        first = answer.time_to_first_token
        if first is not None:
            transcript.first_token = transcript.started + first
        finish = Finished(answer.finish_reason, answer.usage, answer.usage_source, answer.response_model)
        transcript.finished = finish
        bill = bill_for_finish(ticket.adapter, messages, transcript, finish)
        self._leave(ticket, bill, "ok", None)
        return completed(answer, ticket.attempt, bill)

    def _finished(self, ticket: Ticket, messages: tuple[Message, ...]) -> Finished:
        """Settle a stream that reached its end marker; return the marker with the usage that was booked."""
        finish = ticket.transcript.finished
        if finish is None:
            raise AssertionError("an adapter's stream ended without Finished and without an error")
        bill = bill_for_finish(ticket.adapter, messages, ticket.transcript, finish)
        self._leave(ticket, bill, "ok", None)
        return Finished(
            finish.finish_reason,
            bill.usage,
            bill.source,
            finish.response_model,
            finish.request_id,
            finish.fingerprint,
            finish.raw_finish_reason,
        )

    def _failed(self, ticket: Ticket, messages: tuple[Message, ...], error: AikitError) -> float:
        """Settle a failed attempt; return the seconds to wait before the next one, or raise what ends the call here."""
        transcript = ticket.transcript
        bill = bill_for_error(ticket.adapter, messages, ticket.options, transcript, error)
        self._leave(ticket, bill, "interrupted" if transcript.delivered else "error", error)
        if isinstance(error, Refused) or not isinstance(error, ProviderError):
            raise error
        final = self._interruption(ticket, error, bill) if transcript.delivered else error
        if isinstance(error, AuthenticationFailed) and ticket.key and self.gate.ring:
            self.gate.ring.quarantine(ticket.key.id, str(error))
            self._tried = (*self._tried, ticket.key.id)
            if len(self._tried) < 2 and self.gate.other_key(self._tried):
                return 0.0
        if transcript.delivered and not self._may_go_on():
            raise final from error
        wait = self._policy.wait(error, number=self._number)
        left = self._call.time_left(self._clock())
        if wait is None or (left is not None and wait >= left) or not self.gate.quota.take():
            raise final from (error if final is not error else error.__cause__)
        return wait

    def _may_go_on(self) -> bool:
        """Whether the caller allowed, and the model can do, what has to follow a break in the middle of an answer."""
        match self._call.on_interrupt:
            case "restart":
                return True
            case "continue":
                return self._adapter.get_capabilities().prefill is True
            case _:
                return False

    def _interruption(self, ticket: Ticket, error: ProviderError, bill: Bill) -> StreamInterrupted:
        text = ticket.transcript.text
        told = "" if isinstance(error, StreamInterrupted) else f"{self.target} broke off before the end of its answer: "
        return StreamInterrupted(
            f"{told}{error}; {len(text)} characters had arrived, they are in .partial",
            partial=text,
            usage=bill.usage,
            usage_source=bill.source,
            attempts=len(self._call.attempts),
            provider=self.name,
            model=self._adapter.model,
            status=error.status,
            retry_at=error.retry_at,
        )

    def _leave(self, ticket: Ticket, bill: Bill, status: str, error: BaseException | None) -> None:
        """Give back or settle all that the attempt holds, and record it."""
        attempt, transcript = ticket.attempt, ticket.transcript
        self.gate.in_flight -= 1
        attempt.status = "unknown" if bill.unknown else status  # pyright: ignore[reportAttributeAccessIssue] — a literal at every call
        attempt.duration = self._clock() - transcript.started
        attempt.usage, attempt.usage_source, attempt.cost = bill.usage, bill.source, bill.cost
        attempt.time_to_first_token = transcript.time_to_first_token
        attempt.gap_p50, attempt.gap_p95 = transcript.gap(0.5), transcript.gap(0.95)
        if ticket.adapter.price is not None:
            attempt.price_id = ticket.adapter.price.id
        if error is not None:
            attempt.error_type = type(error).__name__
        finish = transcript.finished
        if finish is not None:
            attempt.finish_reason, attempt.response_model = finish.finish_reason, finish.response_model
            attempt.request_id, attempt.fingerprint = finish.request_id, finish.fingerprint
        for lease in ticket.leases:
            if bill.billed:
                lease.settle(bill.usage.input_tokens or 0, bill.usage.output_tokens or 0)
            elif attempt.http_status is not None:
                lease.settle(0)  # a refused request is no request less in the server's window
            else:
                lease.cancel()
        if bill.billed:
            ticket.reservation.settle(bill.cost, estimated=bill.source in ("estimated", "upper_bound"))
        else:
            ticket.reservation.release()
        self._tell_breaker(ticket, status, error)
        self._record(attempt)

    def _tell_breaker(self, ticket: Ticket, status: str, error: BaseException | None) -> None:
        first = ticket.transcript.time_to_first_token
        if status == "ok":
            slow = first is not None and first > SLOW_FIRST_TOKEN
            ticket.breaker.record("success", slow=slow)
            self.gate.saw_latency(first if first is not None else ticket.attempt.duration)
            return
        if isinstance(error, AikitError):
            self.gate.last_error = f"{type(error).__name__}: {error}"
        ticket.breaker.record("failure" if counts_against(error) else "ignored")

    def _out_of_time(self) -> DeadlineExceeded:
        seconds = (self._call.deadline or 0.0) - self._call.started
        return DeadlineExceeded(
            f"{self.name}:{self._adapter.model} did not finish within the call's timeout of {seconds:g} s",
            which="total",
            provider=self.name,
            model=self._adapter.model,
        )


def without_overlap(before: str, after: str) -> str:
    """Return `after` without the beginning that repeats the end of `before`, as a continued answer may begin."""
    for size in range(min(len(before), len(after)), 3, -1):
        if before.endswith(after[:size]):
            return after[size:]
    return after
