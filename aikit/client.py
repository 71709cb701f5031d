"""The asynchronous core: one call, from the request to its rows in the log.

request → targets → Failover/Balance → Guard(retry(breaker → key → limit → budget → adapter)) → answer → rows
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from aikit.errors import LogUnwritable
from aikit.events import Event, Finished, TextDelta
from aikit.log.schema import CallRow
from aikit.messages import Completion, GenerationOptions, Message
from aikit.providers.base import Adapter, LLMProvider
from aikit.records import answer_of, attempt_row, call_row, status_of, usage_of
from aikit.requests import Request
from aikit.retries import RetryPolicy
from aikit.routing.balance import Rotation, order_for
from aikit.routing.call import Call
from aikit.routing.failover import Failover
from aikit.routing.guard import Guard
from aikit.routing.routes import Route
from aikit.streams import AsyncStream, Attempt, Transcript

if TYPE_CHECKING:
    from aikit.admission import Admission
    from aikit.routing.targets import Targets

__all__ = ["Client"]

Provider = Guard | Failover


@dataclass(slots=True)
class Underway:
    """One call between its request and its rows."""

    request: Request
    call: Call
    provider: Provider
    started_at: float
    """Seconds since the epoch."""
    transcript: Transcript
    """What the caller was given, over all attempts."""
    completion: Completion | None = None


@dataclass(slots=True)
class Client:
    """Makes calls: everything a call needs is given, and nothing is remembered here between two of them."""

    targets: Targets
    admission: Admission
    log: Any
    """Takes finished rows: `record(call)`, `record_attempt(attempt)`."""
    default_model: Callable[[], str]
    longest_wait: Callable[[], float]
    """Seconds that a server may ask to wait before the call gives up instead."""
    new_id: Callable[[], str]
    session: str
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    uniform: random.Random = field(default_factory=random.Random)
    rotations: dict[Route, Rotation] = field(default_factory=dict[Route, Rotation])

    async def call(self, request: Request) -> Completion:
        """Make one call and return its whole answer; every way it can end leaves its rows in the log."""
        underway = self._begin(request)
        try:
            answer = await underway.provider.generate_completion(request.messages, request.options)
        except BaseException as error:
            self._end(underway, error)
            raise
        underway.transcript.pieces.append(answer.text)
        return self._complete(underway, answer)

    def stream(self, request: Request) -> AsyncStream:
        """Return an answer on its way; nothing is sent before it is iterated."""
        underway: list[Underway] = []
        return AsyncStream(self._events(request, underway), lambda: underway[0].completion if underway else None)

    async def _events(self, request: Request, opened: list[Underway]) -> AsyncGenerator[Event, None]:
        underway = self._begin(request)
        opened.append(underway)
        take = underway.transcript.pieces.append
        events = underway.provider.generate_stream(request.messages, request.options)
        try:
            async for event in events:
                if isinstance(event, TextDelta):
                    take(event.text)
                elif isinstance(event, Finished):
                    underway.transcript.finished = event
                    answer = self._complete(underway, answer_of(underway.transcript, underway.call, event))
                    if answer.stitched:
                        event = msgspec.structs.replace(event, usage=answer.usage, usage_source=answer.usage_source)
                else:
                    underway.transcript.add(event, 0.0)
                yield event
        except BaseException as error:
            await events.aclose()
            if underway.completion is None:
                self._end(underway, error)
            raise

    # -- before

    def _begin(self, request: Request) -> Underway:
        now = self.clock()
        call = Call(
            self.new_id(),
            now,
            priority=request.priority,
            group=request.run,
            deadline=None if request.timeout is None else now + request.timeout,
            on_interrupt=request.on_interrupt,
            key=request.key,
        )
        provider = self._provider(request, call)
        return Underway(request, call, provider, self.wall(), Transcript(now))

    def _provider(self, request: Request, call: Call) -> Provider:
        model = request.model if request.model is not None else self.default_model()
        if not isinstance(model, Route):
            return self._guard(model, request, call, sole=True)
        targets = self._flat(model, request, call)
        # With another target at hand the next one is quicker than a wait: only the last one is asked again.
        guards = [self._guard(target, request, call, sole=False, last=target is targets[-1]) for target in targets]
        return Failover(guards, call, clock=self.clock, wall=self.wall)

    def _flat(self, route: Route, request: Request, call: Call) -> list[str | LLMProvider]:
        """Return a route's targets in the order in which this call is to ask them."""
        targets: list[str | LLMProvider] = []
        for target in route.targets:
            targets += self._flat(target, request, call) if isinstance(target, Route) else [target]
        if route.kind == "failover":
            return targets
        by_guard = {self._guard(target, request, call, sole=False): target for target in targets}
        rotation = self.rotations.setdefault(route, Rotation())
        ordered = order_for(
            route.by,
            list(by_guard),
            weights=dict(route.weights),
            rotation=rotation,
            prompt=request.messages,
            options=request.options,
            uniform=self.uniform,
        )
        return [by_guard[guard] for guard in ordered]

    def _guard(
        self, target: str | LLMProvider, request: Request, call: Call, *, sole: bool, last: bool = True
    ) -> Guard:
        adapter, gate = self.targets.find(target)

        async def admit(attempt: Attempt, adapter: Adapter, messages: tuple[Message, ...], options: GenerationOptions):
            return await self.admission.admit(request, call, attempt, adapter, messages, options)

        async def check(adapter: Adapter, messages: tuple[Message, ...], options: GenerationOptions) -> None:
            await self.admission.check(request, call, adapter, messages, options)

        return Guard(
            adapter,
            gate,
            call,
            admit=admit,
            record=lambda attempt: self.log.record_attempt(attempt_row(attempt)),
            policy=RetryPolicy(cap=self.longest_wait()) if last else RetryPolicy(attempts=1),
            check=check,
            sole=sole,
            clock=self.clock,
            wall=self.wall,
        )

    # -- after

    def _complete(self, underway: Underway, answer: Completion) -> Completion:
        """Fill in what the call knows of its answer, and record it."""
        call, request = underway.call, underway.request
        data = answer.data
        if data is None and request.options.json_schema is not None:
            data = _parsed(answer.text)
        last = call.attempts[-1]
        usage, source = usage_of(call)
        completion = replace(
            answer,
            data=data,
            usage=usage,
            usage_source=source,
            cost=total_cost(call.attempts),
            model=last.model,
            provider=last.provider,
            call_id=call.call_id,
            attempts=len(call.attempts),
            time_to_first_token=last.time_to_first_token,
            duration=self.clock() - call.started,
            stitched=call.stitched,
        )
        underway.completion = completion
        self.log.record(self._row(underway, "ok", None))
        fault = self.log.spool.fault
        if fault is not None:
            raise LogUnwritable(
                f"the answer is here, in .completion, but the log can't be written: {fault}", completion=completion
            ) from fault
        return completion

    def _end(self, underway: Underway, error: BaseException) -> None:
        """Record a call that has no answer."""
        if isinstance(error, LogUnwritable) and error.completion is not None:
            return
        self.log.record(self._row(underway, status_of(error, underway.call), error))

    def _row(self, underway: Underway, status: str, error: BaseException | None) -> CallRow:
        return call_row(
            underway.request,
            underway.call,
            status=status,
            error=error,
            text=underway.transcript.text,
            completion=underway.completion,
            started_at=underway.started_at,
            duration=self.clock() - underway.call.started,
            session=self.session,
        )


def total_cost(attempts: Sequence[Attempt]) -> Any:
    """Return what the attempts cost together, in US dollars; None when the price of one of them is not known."""
    from aikit.prices import dollars

    costs = [attempt.cost for attempt in attempts]
    return None if not costs or None in costs else dollars(sum(cost for cost in costs if cost is not None))


def _parsed(text: str) -> Any:
    """Return an answer's JSON; None where it is none, for then the text says more."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
