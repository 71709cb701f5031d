"""One attempt under way: what it holds, and how all of it is settled exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aikit.credentials import Key
from aikit.errors import AikitError
from aikit.events import Finished
from aikit.limits import CircuitBreaker, Lease, RateLimiter
from aikit.messages import Completion, GenerationOptions, Message
from aikit.providers.base import Adapter
from aikit.retries import counts_against
from aikit.routing.bills import Bill, bill_for_error, bill_for_finish, bill_for_stop
from aikit.routing.call import Record, Reservation
from aikit.routing.gate import Gate
from aikit.routing.overlap import Overlap
from aikit.streams import Attempt, AttemptStatus, Transcript

__all__ = ["Asked", "Ticket"]

SLOW_FIRST_TOKEN = 30.0
"""Seconds to the first token beyond which a call counts as slow for the breaker."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an attempt is asked."""

    messages: tuple[Message, ...]
    options: GenerationOptions
    before: str = ""
    """The text that earlier attempts delivered and this one goes on with."""


@dataclass(slots=True)
class Ticket:
    """What one attempt holds, and has to give back."""

    gate: Gate
    adapter: Adapter
    attempt: Attempt
    transcript: Transcript
    asked: Asked
    options: GenerationOptions
    """The options that are sent: a hard budget adds `max_tokens`."""
    key: Key | None
    breaker: CircuitBreaker
    limiters: tuple[RateLimiter, ...]
    leases: tuple[Lease, ...]
    reservation: Reservation
    record: Record
    clock: Callable[[], float]
    overlap: Overlap | None = None
    """Takes away what a continuation says twice; None where nothing is continued."""
    begun: float = 0.0
    """The clock's time at which the attempt that is under way began."""
    open: bool = True
    """False once all is settled."""

    def saw_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of a response's status and headers, as soon as they are there."""
        self.attempt.http_status = status
        for lease in self.leases:
            lease.answered()
        for limiter in self.limiters:
            limiter.observe(status, headers)

    @property
    def said(self) -> str:
        """What the caller has been given of the answer, earlier attempts' text included."""
        overlap = self.overlap
        if overlap is None:
            return self.transcript.text
        return overlap.before if overlap.open else overlap.before + self.transcript.text[overlap.dropped :]

    @property
    def delivered(self) -> bool:
        """Whether the caller has been given anything of the answer."""
        return self.transcript.delivered or bool(self.asked.before)

    # -- ends

    def finished(self) -> Finished:
        """Settle a stream that reached its end marker; return the marker with the usage that was booked."""
        finish = self.transcript.finished
        if finish is None:
            raise AssertionError("an adapter's stream ended without Finished and without an error")
        bill = bill_for_finish(self.adapter, self.asked.messages, self.options, self.transcript, finish)
        self._leave(bill, "ok", None)
        return Finished(
            finish.finish_reason,
            bill.usage,
            bill.source,
            finish.response_model,
            finish.request_id,
            finish.fingerprint,
            finish.raw_finish_reason,
        )

    def completed(self, answer: Completion) -> Completion:
        """Settle an attempt whose answer came whole; usage, cost and times as booked stand in the attempt."""
        transcript = self.transcript
        transcript.pieces.append(answer.text)
        transcript.reasoning.append(answer.reasoning)
        first = answer.time_to_first_token
        if first is not None:
            transcript.first_token = transcript.started + first
        finish = Finished(answer.finish_reason, answer.usage, answer.usage_source, answer.response_model)
        transcript.finished = finish
        bill = bill_for_finish(self.adapter, self.asked.messages, self.options, transcript, finish)
        self._leave(bill, "ok", None)
        return answer

    def failed(self, error: AikitError) -> Bill:
        """Settle an attempt that failed."""
        bill = bill_for_error(self.adapter, self.asked.messages, self.options, self.transcript, error)
        self._leave(bill, "interrupted" if self.delivered else "error", error)
        return bill

    def stopped(self, stop: BaseException) -> None:
        """Settle an attempt that was cut by whoever wanted it; nothing happens where it is settled already."""
        if self.open:
            bill = bill_for_stop(self.adapter, self.asked.messages, self.options, self.transcript)
            self._leave(bill, "cancelled", stop)

    def resumed(self, error: AikitError, started_at: float) -> Attempt:
        """Record the attempt that broke off and return the one that takes up the same answer.

        It is one answer at the provider, billed once: the new attempt keeps the reservation, the leases and the text,
        and carries the usage and the cost of the whole.
        """
        broken = self.attempt
        broken.status = "interrupted" if self.delivered else "error"
        broken.charged_with = broken.number + 1
        broken.cost = None if self.adapter.price is None else 0
        self._describe(broken, error)
        self.record(broken)
        again = Attempt("", broken.call_id, broken.number + 1, started_at, broken.provider, broken.model, broken.key_id)
        again.attempt_id = f"{broken.attempt_id.removesuffix(f'-{broken.number}')}-{again.number}"
        again.continued = self.delivered
        self.attempt, self.begun = again, self.clock()
        return again

    def _leave(self, bill: Bill, status: AttemptStatus, error: BaseException | None) -> None:
        """Give back or settle all that the attempt holds, and record it."""
        attempt = self.attempt
        self.open = False
        self.gate.in_flight -= 1
        attempt.status = "unknown" if bill.unknown else status
        attempt.usage, attempt.usage_source, attempt.cost = bill.usage, bill.source, bill.cost
        self._describe(attempt, error)
        for lease in self.leases:
            if bill.billed:
                lease.settle(bill.usage.input_tokens or 0, bill.usage.output_tokens or 0)
            elif attempt.http_status is not None:
                lease.settle(0)  # a refused request is no request less in the server's window
            else:
                lease.cancel()
        if bill.billed:
            self.reservation.settle(bill.cost, estimated=bill.source in ("estimated", "upper_bound"))
        else:
            self.reservation.release()
        self._tell_breaker(status, error)
        self.record(attempt)

    def _describe(self, attempt: Attempt, error: BaseException | None) -> None:
        """Fill in what was measured."""
        transcript = self.transcript
        attempt.duration = self.clock() - self.begun
        attempt.time_to_first_token = transcript.time_to_first_token
        if transcript.gaps:
            attempt.gap_p50, attempt.gap_p95 = transcript.gap(0.5, 0.95)
        attempt.bytes = transcript.size
        if self.adapter.price is not None:
            attempt.price_id = self.adapter.price.id
        if error is not None:
            attempt.error_type = type(error).__name__
        finish = transcript.finished
        if finish is not None:
            attempt.finish_reason, attempt.response_model = finish.finish_reason, finish.response_model
            attempt.request_id, attempt.fingerprint = finish.request_id, finish.fingerprint

    def _tell_breaker(self, status: AttemptStatus, error: BaseException | None) -> None:
        first = self.transcript.time_to_first_token
        if status == "ok":
            slow = first is not None and first > SLOW_FIRST_TOKEN
            self.breaker.record("success", slow=slow)
            self.gate.saw_latency(first if first is not None else self.attempt.duration)
            return
        if isinstance(error, AikitError):
            self.gate.saw_error(error)
        self.breaker.record("failure" if counts_against(error) else "ignored")
