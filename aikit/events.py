"""What a stream says, one event at a time.

A stream is any number of deltas and usage updates, then exactly one `Finished`. A stream that does not reach its
`Finished` raises; it never just ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

# msgspec.Struct and not a dataclass: an event is made for every chunk, and this is ten times as quick.
import msgspec

from aikit.messages import FinishReason, Usage, UsageSource

__all__ = [
    "Event",
    "Finished",
    "ReasoningDelta",
    "Restarted",
    "TextDelta",
    "ToolDelta",
    "UsageUpdate",
    "text_of",
]


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """The next piece of the answer's text."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """The next piece of the model's visible reasoning."""

    text: str


class ToolDelta(msgspec.Struct, frozen=True, gc=False):
    """The next piece of a tool call; `id` and `name` come with the first, the arguments' JSON in pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class UsageUpdate(msgspec.Struct, frozen=True):
    """The usage so far: it replaces what was said before, it does not add to it."""

    usage: Usage


class Restarted(msgspec.Struct, frozen=True):
    """A new answer begins: drop the text delivered so far."""

    reason: str
    attempt: int
    """Number of the attempt that begins, counted from 1."""


class Finished(msgspec.Struct, frozen=True):
    """The end of the stream: nothing follows."""

    finish_reason: FinishReason
    usage: Usage = Usage()
    usage_source: UsageSource = "reported"
    response_model: str = ""
    """The model that says it answered; empty when it did not say."""
    request_id: str = ""
    """The provider's name for the request; empty when it gave none."""
    fingerprint: str = ""
    """The provider's name for the backend's state; empty when it gave none."""
    raw_finish_reason: str = ""
    """The reason in the provider's own word."""


Event = TextDelta | ReasoningDelta | ToolDelta | UsageUpdate | Restarted | Finished


async def text_of(stream: AsyncIterator[Event]) -> AsyncIterator[str]:
    """Yield only the text of a stream of events."""
    async for event in stream:
        if type(event) is TextDelta:
            yield event.text
