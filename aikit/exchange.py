"""One exchange with a server: the request goes out under deadlines, the body comes back as events.

Shared by every adapter that speaks HTTP: here are the three deadlines, the terminal check and the release of the
connection. What the bytes mean is the dialect's business (`aikit.wire`), how the request is sent the adapter's.
"""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar, cast

from aikit.deadlines import Deadlines, Peer, Watch
from aikit.errors import ConnectionFailed, DeadlineExceeded, ProtocolError, ProviderError, StreamInterrupted
from aikit.events import Event, Finished
from aikit.messages import Usage
from aikit.wire.faults import error_of_fault
from aikit.wire.sse import EventTooLongError, Frame
from aikit.wire.status import is_json, unexpected

__all__ = ["Decoder", "Exchange", "Line", "Outgoing", "PerLoop", "Reader", "Response", "trust"]

DRAIN = 0.25
"""Seconds that a body may stay open behind its end marker before its connection is closed."""
GRACE = 2.0
"""Seconds to wait for the usage behind a text that is complete."""
PREFIX = 2048
"""Bytes of a body's beginning that are kept for the error message."""


class Response(Protocol):
    """A response as httpx and httpx2 give it."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are matched whatever their case."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body, decoded."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Yield the body as it came."""
        ...

    @property
    def content(self) -> bytes:
        """The body, once it has been read."""
        ...

    async def aclose(self) -> None:
        """Close the response, and its connection when the body is still open."""
        ...


class Decoder(Protocol):
    """Bytes in, frames out."""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes."""
        ...

    def end(self) -> Frame | None:
        """Return the last frame when the body ended in the middle of it."""
        ...


class Reader(Protocol):
    """A dialect's reader of one streamed answer."""

    parts: list[str]
    """The text delivered so far."""
    delivered: bool
    """Whether anything of an answer was delivered."""
    ended: bool
    """The end marker was seen: nothing that matters follows."""

    complete: bool
    """The text is complete; usage may still follow."""
    understood: bool
    """At least one event was one of the dialect's."""

    def feed(self, name: str, data: bytes) -> Sequence[Event]:
        """Return the events that one frame holds."""
        ...

    def flush(self) -> Sequence[Event]:
        """Return what was held back."""
        ...

    def whole(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole."""
        ...

    def end(self) -> Finished | None:
        """Return the end of a whole answer; None for one that is not."""
        ...

    def usage_so_far(self) -> Usage | None:
        """Return what is known of the usage of an answer that broke off."""
        ...

    def resume_token(self) -> str:
        """Return what it takes to go on where the stream broke; empty where that is not possible."""
        ...


class Line(Protocol):
    """The client that a response comes over."""

    @property
    def faults(self) -> tuple[type[BaseException], ...]:
        """The exceptions by which it reports trouble while a body is read."""
        ...

    @property
    def background(self) -> set[asyncio.Task[None]]:
        """The tasks that see a finished body off."""
        ...

    async def send(
        self, request: Outgoing, *, on_response: Callable[[int, Mapping[str, str]], None] | None
    ) -> Response:
        """Return the response; raise a `ProviderError` for any but a 2xx."""
        ...

    async def close(self) -> None:
        """Close the client and its connections."""
        ...


L = TypeVar("L", bound=Line)


@dataclass(slots=True)
class Outgoing:
    """One request for a client to send."""

    path: str
    body: bytes
    peer: Peer
    headers: Mapping[str, str] = field(repr=False)
    """The user's own headers."""
    key: str = field(default="", repr=False)
    """The provider's key; empty for none."""
    connect: float = 10.0
    """Seconds until the connection is there."""
    stream: bool = False
    """Leave the body unread."""
    method: str = "post"
    query: Mapping[str, str | int] | None = None


class PerLoop(Generic[L]):
    """One thing per running event loop: notebooks run several, and a connection belongs to the loop it was made on."""

    def __init__(self, make: Callable[[], L]) -> None:
        self._make = make
        self._made: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, L] = weakref.WeakKeyDictionary()

    def get(self) -> L:
        """Return the running loop's own."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            made = self._made[loop] = self._make()
        return made

    async def close(self) -> None:
        """Close them all, each on its own loop; those whose loop has ended are dropped."""
        here = asyncio.get_running_loop()
        made = list(self._made.items())
        self._made.clear()
        for loop, connection in made:
            if loop is here:
                await connection.close()
            elif loop.is_running():
                with suppress(RuntimeError):
                    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(connection.close(), loop))


def trust(address: str) -> ssl.SSLContext | Literal[True]:
    """Return what an HTTP client is to verify certificates by; a bare context, trusting nobody, for a plain address.

    Loading the machine's certificates costs 30 ms and more, which a server on this machine has no use for.
    """
    return True if address.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Exchange:
    """One streamed answer on its way in.

    `send` opens the response and raises our errors; `connected` gives what it goes over.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[Response]],
        *,
        decoder: Decoder,
        reader: Reader,
        deadlines: Deadlines,
        peer: Peer,
        connected: Callable[[], Line],
    ) -> None:
        self._send = send
        self._decoder = decoder
        self._reader = reader
        self._deadlines = deadlines
        self._peer = peer
        self._connected = connected
        self._watch: Watch
        self._faults: tuple[type[BaseException], ...] = ()
        self._response: Response | None = None
        self._body: AsyncGenerator[bytes, None] | None = None
        self._error: ProviderError | None = None
        self._over = False
        self._progress = True
        self._seen = b""

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the answer's events, the last of them `Finished`; raise a `ProviderError` where there is none.

        Closing the generator closes the response at once.
        """
        self._watch = Watch(self._deadlines)
        line = self._connected()
        self._faults = line.faults
        try:
            while (batch := await self._next()) is not None:
                for event in batch:
                    yield event
        finally:
            self._watch.stop()
            await self._release(line)
        yield self._finished()

    async def _next(self) -> Sequence[Event] | None:
        """Return the events of the next read; None when there is nothing more to read."""
        if self._over:
            return None
        self._watch.wait(progress=self._progress)
        try:
            if self._body is None:
                return await self._open()
            data = await anext(self._body)
        except StopAsyncIteration:
            return self._at_the_end()
        except asyncio.CancelledError:
            if not self._watch.claims():
                raise
            self._error = self._watch.error(self._peer)
        except ProviderError as told:
            self._error = told
        except self._faults as fault:
            begun = self._response is not None
            self._error = error_of_fault(fault, provider=self._peer.provider, model=self._peer.model, delivered=begun)
        else:
            self._watch.pause()
            return self._read(data)
        self._over = True
        return self._reader.flush()

    async def _open(self) -> Sequence[Event]:
        self._response = response = await self._send()
        kind = response.headers.get("content-type", "").lower()
        encoded = response.headers.get("content-encoding", "identity").lower() not in ("", "identity")
        body = response.aiter_bytes() if encoded else response.aiter_raw()
        self._body = cast("AsyncGenerator[bytes, None]", body)
        if "html" not in kind and not kind.startswith("application/json"):
            return ()
        whole = b"".join([data async for data in body])
        self._over = True
        if "html" in kind:
            raise unexpected("answered with a web page", whole, provider=self._peer.provider, model=self._peer.model)
        return self._reader.whole(whole)

    def _read(self, data: bytes) -> Sequence[Event]:
        if len(self._seen) < PREFIX:
            self._seen += data[:PREFIX]
        events: list[Event] = []
        reader = self._reader
        try:
            for name, payload in self._decoder.feed(data):
                events += reader.feed(name, payload)
        except ProviderError as told:
            self._error = told
        except EventTooLongError as long:
            self._error = ProtocolError(
                f"{self._peer} sent {long}", provider=self._peer.provider, model=self._peer.model
            )
        self._progress = bool(events)
        if reader.ended or self._error is not None:
            self._over = True
            events += reader.flush()
        elif reader.complete:
            self._watch.shorten(GRACE)
        return events

    def _at_the_end(self) -> Sequence[Event]:
        """Read the last event, should the body have ended without the blank line behind it."""
        self._over = True
        events: list[Event] = []
        last = self._decoder.end()
        # A last event that is no whole JSON was cut: the terminal check says so, it is no malformed one.
        if last is not None and is_json(last[1]):
            try:
                events += self._reader.feed(*last)
            except ProviderError as told:
                self._error = told
        events += self._reader.flush()
        return events

    def _finished(self) -> Finished:
        """Return the end of a whole answer; raise for one that is not."""
        reader, peer, error = self._reader, self._peer, self._error
        if (finished := reader.end()) is not None:
            return finished
        if error is None:
            error = self._cut()
        if isinstance(error, DeadlineExceeded):
            error.partial = "".join(reader.parts)
        elif reader.delivered:
            cause, error = (
                error,
                StreamInterrupted(
                    f"{peer} broke off before the end of its answer: {error}",
                    partial="".join(reader.parts),
                    usage=reader.usage_so_far(),
                    provider=peer.provider,
                    model=peer.model,
                    status=error.status,
                    retry_at=error.retry_at,
                ),
            )
            error.__cause__ = cause
        error.resume_token = reader.resume_token()
        raise error

    def _cut(self) -> ProviderError:
        peer, seen = self._peer, self._seen.strip()
        if seen and not self._reader.understood:
            return unexpected("sent no stream of events", seen, provider=peer.provider, model=peer.model)
        text = f"{peer} ended its answer without an end marker"
        return ConnectionFailed(text, provider=peer.provider, model=peer.model, sent=True)

    async def _release(self, line: Line) -> None:
        """Give the connection back, or close it when the body is still open."""
        response, self._response = self._response, None
        if response is None:
            return
        body, ended = self._body, self._reader.ended
        work = (
            _see_off(response, body, self._faults)
            if ended and body is not None
            else _close(response, body, self._faults)
        )
        task = asyncio.get_running_loop().create_task(work)
        line.background.add(task)
        task.add_done_callback(line.background.discard)
        if not ended or body is None:
            # Whoever is cancelled while it closes a stream must not leave the connection open behind it.
            await asyncio.shield(task)


async def _see_off(
    response: Response, body: AsyncGenerator[bytes, None], faults: tuple[type[BaseException], ...]
) -> None:
    """Read on behind the end marker for a moment, so that the connection can serve again; then close it."""
    try:
        with suppress(TimeoutError, *faults):
            async with asyncio.timeout(DRAIN):
                async for _ in body:
                    pass
    finally:
        await _close(response, body, faults)


async def _close(
    response: Response, body: AsyncGenerator[bytes, None] | None, faults: tuple[type[BaseException], ...]
) -> None:
    with suppress(*faults):
        await response.aclose()
    if body is not None:
        with suppress(*faults):
            await body.aclose()
