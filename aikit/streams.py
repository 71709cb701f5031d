"""One streamed completion: iterate it, then read what it measured."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import msgspec

from aikit.events import Event, Finished, ReasoningDelta, TextDelta, ToolDelta, UsageUpdate
from aikit.messages import Completion, FinishReason, ToolCall, Usage, UsageSource

__all__ = ["AsyncStream", "Attempt", "AttemptStatus", "Transcript", "parsed_tool_calls"]

AttemptStatus = Literal["ok", "error", "interrupted", "cancelled", "refused", "unknown"]
"""`refused`: not sent; `unknown`: sent, and no answer came."""


@dataclass(slots=True)
class Attempt:
    """One attempt of a call, each of which may be billed."""

    attempt_id: str
    call_id: str
    number: int
    """Counted from 1 over all targets of the call."""
    started_at: float
    """Seconds since the epoch."""
    provider: str
    model: str
    key_id: str = ""
    status: AttemptStatus = "unknown"
    http_status: int | None = None
    error_type: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage = Usage()
    usage_source: UsageSource = "estimated"
    cost: int | None = None
    """Nano-dollars; None when no price is known."""
    price_id: str = ""
    processing: str = "standard"
    queue_time: float = 0.0
    """Seconds waited for the breaker, the limiter and the budget."""
    time_to_first_token: float | None = None
    """Seconds from the start of the request to the first text; None without text."""
    duration: float = 0.0
    """Seconds from the start of the request to its end."""
    gap_p50: float | None = None
    gap_p95: float | None = None
    """Seconds between chunks of text, as percentiles; None with fewer than two."""
    bytes: int | None = None
    """Bytes of text and reasoning received; None where they were not counted."""
    request_id: str = ""
    response_model: str = ""
    fingerprint: str = ""
    continued: bool = False
    """True when this attempt went on with the text of an earlier one."""
    charged_with: int | None = None
    """Number of the attempt that took up the same answer and carries the usage and cost of both; else None."""


@dataclass(slots=True)
class Transcript:
    """What a stream has said so far, and when: feed it each event as it arrives."""

    started: float
    """The clock's time at the start of the request."""
    pieces: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    tools: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    """Index of a tool call → id, name and the pieces of its arguments."""
    usage: Usage | None = None
    finished: Finished | None = None
    first_token: float | None = None
    last_token: float | None = None
    gaps: array[float] = field(default_factory=lambda: array("d"))

    def add(self, event: Event, now: float) -> None:
        """Take in one event that arrived at `now`."""
        if isinstance(event, TextDelta):
            self._text(event.text, now)
        elif isinstance(event, ReasoningDelta):
            self.reasoning.append(event.text)
        elif isinstance(event, ToolDelta):
            self._tool(event)
        elif isinstance(event, UsageUpdate):
            self.usage = event.usage
        elif isinstance(event, Finished):
            self.finished = event
        else:  # Restarted
            self.pieces.clear()
            self.reasoning.clear()
            self.tools.clear()
            self.usage = None

    def _text(self, text: str, now: float) -> None:
        if not text:
            return
        self.pieces.append(text)
        if self.last_token is None:
            self.first_token = now
        else:
            self.gaps.append(now - self.last_token)
        self.last_token = now

    def _tool(self, delta: ToolDelta) -> None:
        call = self.tools.setdefault(delta.index, ["", ""])
        call[0] = call[0] or delta.id
        call[1] = call[1] or delta.name
        if delta.arguments:
            call.append(delta.arguments)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.pieces)

    @property
    def delivered(self) -> bool:
        """Whether anything of an answer has arrived: text, reasoning or a tool call."""
        return bool(self.pieces or self.reasoning or self.tools)

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the start of the request to the first text; None without text."""
        return None if self.first_token is None else self.first_token - self.started

    def gap(self, *shares: float) -> list[float]:
        """Return percentiles, by shares from 0 to 1, of the seconds between chunks of text; nothing without a gap."""
        ordered = sorted(self.gaps)
        return [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares] if ordered else []

    @property
    def size(self) -> int:
        """Bytes of text and reasoning received."""
        received = "".join((*self.reasoning, *self.pieces))
        return len(received) if received.isascii() else len(received.encode("utf-8", "replace"))

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls, their arguments parsed."""
        return parsed_tool_calls((call[0], call[1], "".join(call[2:])) for _, call in sorted(self.tools.items()))


def parsed_tool_calls(calls: Any) -> tuple[ToolCall, ...]:
    """Return tool calls from (id, name, arguments as JSON); arguments that are no JSON object stay under `"_raw"`."""
    return tuple(ToolCall(id_, name, _arguments(text)) for id_, name, text in calls)


def _arguments(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"_raw": text}


class AsyncStream:
    """An answer on its way: iterate it for its text; whoever opens it closes it.

    `async for text in stream` gives the text; `stream.events()` gives every event. After the end, `stream.completion`
    holds the whole answer and its figures. Closing it early closes the connection at once and logs what was received.
    """

    def __init__(self, events: AsyncGenerator[Event, None], result: Callable[[], Completion | None]) -> None:
        self._events = events
        self._result = result

    def events(self) -> AsyncGenerator[Event, None]:
        """Yield every event, the last of them `Finished`."""
        return self._events

    def __aiter__(self) -> AsyncIterator[str]:
        return self._text()

    async def _text(self) -> AsyncIterator[str]:
        async for event in self._events:
            if type(event) is TextDelta and event.text:
                yield event.text

    @property
    def completion(self) -> Completion:
        """The whole answer; raises `RuntimeError` while the stream has not ended."""
        result = self._result()
        if result is None:
            raise RuntimeError("the stream has not ended: iterate it to its end first")
        return result

    async def close(self) -> None:
        """Stop here: close the connection and log what was received; closing twice is harmless."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
