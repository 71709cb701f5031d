"""An answer as every dialect tells it: whole, or read from a stream event by event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from aikit.events import Event, Finished, ReasoningDelta, TextDelta, ToolDelta, UsageUpdate
from aikit.messages import FinishReason, Usage, UsageSource
from aikit.wire.status import error_in_body, unexpected
from aikit.wire.surrogates import SurrogateJoiner, without_surrogates

__all__ = ["Answer", "AnswerReader", "decode", "encode", "known_usage", "usage_source"]

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    text: str
    finish_reason: FinishReason
    raw_finish_reason: str = ""
    reasoning: str = ""
    tool_calls: tuple[tuple[str, str, str], ...] = ()
    """Id, name and the arguments' JSON of each call."""
    usage: Usage = Usage()
    response_model: str = ""
    request_id: str = ""
    fingerprint: str = ""


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a request's body as JSON; lone surrogates, which UTF-8 can't hold, become U+FFFD."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(body))


def decode(decoder: Callable[[bytes], T], data: bytes, kind: type[T], *, provider: str, model: str, what: str) -> T:
    """Return `data` decoded into the struct `kind`; raise the error it tells of, or a `ProtocolError`."""
    try:
        return decoder(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        # Python's own decoder takes lone surrogates, which are legal JSON; msgspec's does not.
        return msgspec.convert(json.loads(data), kind, strict=False)
    except (ValueError, msgspec.ValidationError):
        pass
    raise unexpected(what, data, provider=provider, model=model)


def known_usage(
    given: int | None,
    made: int | None,
    *,
    text: bool,
    read: int | None = None,
    written: int | None = None,
    reasoning: int | None = None,
) -> Usage:
    """Return the usage a server reported; zeros that can't be true mean that it does not know."""
    return Usage(
        input_tokens=given or None,
        output_tokens=made if made or (made == 0 and not text) else None,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


def usage_source(usage: Usage) -> UsageSource:
    """Return `reported` where the server told both totals, else `estimated`: what is missing must be estimated."""
    return "estimated" if usage.input_tokens is None or usage.output_tokens is None else "reported"


class AnswerReader:
    """What the readers of all dialects share: the text so far, its end, the usage."""

    def __init__(self, *, provider: str = "", model: str = "") -> None:
        self.provider = provider
        self.model = model
        self.parts: list[str] = []
        self.delivered = False
        self.ended = False
        self.complete = False
        self.understood = False
        self.finish_reason: FinishReason = "unknown"
        self.raw_finish_reason = ""
        self.refused = False
        self.usage: Usage | None = None
        self.response_model = ""
        self.request_id = ""
        self.fingerprint = ""
        self._joiner = SurrogateJoiner()

    def text(self, text: str) -> Sequence[Event]:
        """Return the next piece of text as events; none while half of a character is all there is."""
        joiner = self._joiner
        if (joiner.half or not text.isascii()) and not (text := joiner.feed(text)):
            return ()
        self.delivered = True
        self.parts.append(text)
        return (TextDelta(text),)

    def reasoning(self, text: str) -> Sequence[Event]:
        """Return the next piece of reasoning as events."""
        self.delivered = True
        return (ReasoningDelta(without_surrogates(text)),)

    def tool(self, index: int, id_: str, name: str, arguments: str) -> Event:
        """Return the next piece of a tool call as an event."""
        self.delivered = True
        return ToolDelta(index, id_, name, without_surrogates(arguments))

    def flush(self) -> Sequence[Event]:
        """Return what was still held back: half a character that never found the other half."""
        half = self._joiner.end()
        if not half:
            return ()
        self.parts.append(half)
        return (TextDelta(half),)

    def told(self, usage: Usage) -> Event:
        """Take in the usage so far and return it as an event."""
        self.usage = usage
        return UsageUpdate(usage)

    def usage_so_far(self) -> Usage | None:
        """Return what is known of the usage of an answer that broke off."""
        return self.usage

    def resume_token(self) -> str:
        """Return what it takes to go on where the stream broke; empty where that is not possible."""
        return ""

    def end(self) -> Finished | None:
        """Return the answer's end; None as long as its end marker has not been seen."""
        if not self.complete:
            return None
        usage = self.usage or Usage()
        return Finished(
            finish_reason="refusal" if self.refused else self.finish_reason,
            usage=usage,
            usage_source=usage_source(usage),
            response_model=self.response_model,
            request_id=self.request_id,
            fingerprint=self.fingerprint,
            raw_finish_reason=self.raw_finish_reason,
        )

    def take(self, answer: Answer) -> Sequence[Event]:
        """Take in a whole answer, as a server gives one that knows no streams, and return its events."""
        self.complete = self.ended = self.understood = True
        self.finish_reason, self.raw_finish_reason = answer.finish_reason, answer.raw_finish_reason
        self.response_model, self.fingerprint = answer.response_model, answer.fingerprint
        self.request_id = answer.request_id
        events: list[Event] = []
        if answer.reasoning:
            events += self.reasoning(answer.reasoning)
        if answer.text:
            events += self.text(answer.text)
        events += [self.tool(i, *call) for i, call in enumerate(answer.tool_calls)]
        events.append(self.told(answer.usage))
        return events

    def fail(self, data: bytes) -> None:
        """Raise the error that an event tells of, if it tells of one."""
        if (error := error_in_body(data, provider=self.provider, model=self.model)) is not None:
            raise error


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_clean(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
