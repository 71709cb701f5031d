"""A streamed answer for synchronous code: it is received on the background loop and handed over in groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from aikit.background import Background, Relay
from aikit.events import Event, TextDelta
from aikit.messages import Completion
from aikit.streams import AsyncStream

__all__ = ["Stream"]


class Stream:
    """An answer on its way, for synchronous code: iterate it for its text; whoever opens it closes it.

    `for text in stream` gives the text; `stream.events()` gives every event. After the end `stream.completion` holds
    the whole answer. Closing it early closes the connection at once and logs what was received.
    """

    def __init__(self, background: Background, stream: AsyncStream) -> None:
        self._stream = stream
        self._relay: Relay[Event] = Relay(background, stream.events)

    def events(self) -> Iterator[Event]:
        """Yield every event, the last of them `Finished`."""
        return iter(self._relay)

    def __iter__(self) -> Iterator[str]:
        for event in self._relay:
            if isinstance(event, TextDelta) and event.text:
                yield event.text

    @property
    def completion(self) -> Completion:
        """The whole answer; raises `RuntimeError` while the stream has not ended."""
        return self._stream.completion

    def close(self) -> None:
        """Stop here; closing twice is harmless."""
        self._relay.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
