"""A finished call as rows for the log, and as the answer that its caller gets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from aikit.errors import AikitError, Refused, StreamInterrupted
from aikit.events import Finished
from aikit.log.schema import AttemptRow, CallRow
from aikit.messages import Completion, Usage, UsageSource
from aikit.request_key import request_key
from aikit.routing.call import Call
from aikit.streams import Attempt, Transcript

if TYPE_CHECKING:
    from aikit.requests import Request

__all__ = ["answer_of", "attempt_row", "call_row", "status_of", "usage_of"]

SOURCES: tuple[UsageSource, ...] = ("reported", "replayed", "estimated", "upper_bound")
"""From the surest to the least sure."""


def usage_of(call: Call) -> tuple[Usage, UsageSource]:
    """Return what a call used: the last attempt's figures, or the sum of all where they made the answer together."""
    if not call.stitched:
        last = call.attempts[-1]
        return last.usage, last.usage_source
    counted = [attempt for attempt in call.attempts if attempt.charged_with is None]
    source = SOURCES[max(SOURCES.index(attempt.usage_source) for attempt in counted)]
    return Usage(*(_sum(getattr(one.usage, field.name) for one in counted) for field in fields(Usage))), source


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def answer_of(transcript: Transcript, call: Call, finish: Finished) -> Completion:
    """Return a streamed answer whole; the call fills in what it alone knows."""
    last = call.attempts[-1]
    return Completion(
        transcript.text,
        tool_calls=transcript.tool_calls(),
        reasoning="".join(transcript.reasoning),
        finish_reason=finish.finish_reason,
        usage=finish.usage,
        usage_source=finish.usage_source,
        response_model=finish.response_model,
        time_to_first_token=last.time_to_first_token,
    )


def status_of(error: BaseException, call: Call) -> str:
    """Return the log's word for how a call without an answer ended."""
    if isinstance(error, StreamInterrupted):
        return "interrupted"
    if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
        return "cancelled"
    if isinstance(error, Refused) and not call.attempts:
        return "refused"
    if call.attempts and call.attempts[-1].status == "unknown":
        return "unknown"
    return "error" if call.attempts or not isinstance(error, AikitError) else "refused"


def call_row(
    request: Request,
    call: Call,
    *,
    status: str,
    error: BaseException | None,
    text: str,
    completion: Completion | None,
    started_at: float,
    duration: float,
    session: str,
) -> CallRow:
    """Return the row of a call: the last attempt's figures, and the cost of all attempts."""
    last = call.attempts[-1] if call.attempts else None
    usage, source = usage_of(call) if last else (Usage(), "")
    costs = [attempt.cost for attempt in call.attempts]
    model = request.model if isinstance(request.model, str) else ""
    provider, _, asked = model.partition(":")
    return CallRow(
        call_id=call.call_id,
        started_at=started_at,
        provider=last.provider if last else provider,
        model=last.model if last else asked,
        response_model=last.response_model if last else "",
        status=status,
        finish_reason=(last.finish_reason or "") if last else "",
        error_type=type(error).__name__ if error is not None else "",
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=source,
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        price_id=last.price_id if last else "",
        processing=last.processing if last else "standard",
        queue_time=sum(attempt.queue_time for attempt in call.attempts),
        time_to_first_token=last.time_to_first_token if last else None,
        duration=duration,
        gap_p50=last.gap_p50 if last else None,
        gap_p95=last.gap_p95 if last else None,
        attempts=len(call.attempts),
        stitched=call.stitched,
        prompt_version_id=request.prompt_version_id,
        experiment=request.experiment,
        run=request.run,
        variant=request.variant,
        sample=request.sample,
        epoch=request.epoch,
        tags=request.tags,
        session=session,
        host=_host(),
        pid=os.getpid(),
        extra=_extra(request, call, error, completion),
        request_key=request_key(request.messages, request.options) if status == "ok" else "",
        prompt=request.messages,
        text=text or None,
    )


def _extra(
    request: Request, call: Call, error: BaseException | None, completion: Completion | None
) -> dict[str, object]:
    """Return what has no column: only what is there, so that most rows carry nothing."""
    extra: dict[str, object] = {}
    if error is not None:
        extra["error"] = str(error)[:500]
    if call.attempts and call.attempts[-1].fingerprint:
        extra["fingerprint"] = call.attempts[-1].fingerprint
    if completion is not None and completion.tool_calls:
        extra["tool_calls"] = [
            {"id": one.id, "name": one.name, "arguments": dict(one.arguments)} for one in completion.tool_calls
        ]
    options = {name: value for name, value in _options(request) if value not in (None, {}, ())}
    if options:
        extra["options"] = options
    return extra


def _options(request: Request) -> list[tuple[str, object]]:
    options = request.options
    return [
        ("max_tokens", options.max_tokens),
        ("temperature", options.temperature),
        ("top_p", options.top_p),
        ("seed", options.seed),
        ("stop", options.stop),
        ("json_schema", options.json_schema),
        ("tools", options.tools),
        ("tool_choice", options.tool_choice),
        ("reasoning_effort", options.reasoning_effort),
        ("extra", dict(options.extra)),
    ]


def attempt_row(attempt: Attempt) -> AttemptRow:
    """Return the row of an attempt."""
    usage = attempt.usage
    return AttemptRow(
        attempt_id=attempt.attempt_id,
        call_id=attempt.call_id,
        number=attempt.number,
        started_at=attempt.started_at,
        provider=attempt.provider,
        model=attempt.model,
        key_id=attempt.key_id,
        status=attempt.status,
        http_status=attempt.http_status,
        error_type=attempt.error_type,
        finish_reason=attempt.finish_reason or "",
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=attempt.usage_source,
        cost=attempt.cost,
        price_id=attempt.price_id,
        queue_time=attempt.queue_time,
        time_to_first_token=attempt.time_to_first_token,
        duration=attempt.duration,
        bytes=attempt.bytes,
        request_id=attempt.request_id,
        extra=_attempt_extra(attempt),
    )


def _attempt_extra(attempt: Attempt) -> dict[str, object]:
    extra: dict[str, object] = {"continued": True} if attempt.continued else {}
    return extra if attempt.charged_with is None else {**extra, "charged_with": attempt.charged_with}


@cache
def _host() -> str:
    return socket.gethostname()
