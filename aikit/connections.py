"""The official clients as transport: their connections, their authentication, raw bytes out of them.

Importing this costs aiohttp and httpx2, so adapters do it at their first call. `client.post(path, content=…,
cast_to=httpx2.Response)` keeps an SDK's authentication, addresses and timeouts and leaves out its objects, which are
most of its cost; the header `X-Stainless-Raw-Response: stream` leaves the body unread.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import httpx2

from aikit.deadlines import Peer
from aikit.errors import ProtocolError, ProviderError
from aikit.exchange import Outgoing
from aikit.wire.faults import error_of_fault, is_disconnect
from aikit.wire.status import error_of

__all__ = ["Connector", "SDKConnection"]

FAULTS: tuple[type[BaseException], ...] = (
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    aiohttp.ClientError,
    OSError,
)
KEEP_ALIVE = 30.0
"""Seconds that an idle connection is kept."""
HOPS = 3
"""Redirects followed within the origin."""
PLACEHOLDER = "set-by-each-request"
"""The key that an SDK's client is made with; each request brings its own."""


@dataclass(slots=True)
class _Use:
    """How a request came by its connection."""

    fresh: bool = False
    """Only a new connection will do."""
    reused: bool = False
    """It was given one that had served before."""


_USE: ContextVar[_Use | None] = ContextVar("aikit_connection_use", default=None)


class Connector(aiohttp.TCPConnector):
    """A connector that tells whether a request got a used connection, and can be asked for a new one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]  # aiohttp's own annotation is partial
        self._served: weakref.WeakSet[Any] = weakref.WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109
        """Return a connection, as `TCPConnector` does."""
        connection = await super().connect(req, traces, timeout)
        use = _USE.get()
        if use is not None:
            while use.fresh and connection.protocol in self._served:
                connection.close()
                connection = await super().connect(req, traces, timeout)
            use.reused = connection.protocol in self._served
        self._served.add(connection.protocol)
        return connection


class SDKConnection:
    """One SDK client on one event loop: its pool of connections, shared by all models and keys."""

    def __init__(self, client: Any, *, sdk: Any) -> None:
        self.client = client
        sdk_error: type[BaseException] = getattr(sdk, "OpenAIError", None) or sdk.AnthropicError
        self.faults = (sdk_error, *FAULTS)
        """What the client raises when a request does not go through."""
        self.background: set[asyncio.Task[None]] = set()
        self._status_error: type[Exception] = sdk.APIStatusError
        self._omit = sdk.Omit()
        # Where the key goes is the SDK's knowledge: its own headers are the pattern for ours.
        self._pattern: dict[str, str] = dict(client.auth_headers)
        _observe(client)

    async def send(
        self, request: Outgoing, *, on_response: Callable[[int, Mapping[str, str]], None] | None
    ) -> httpx2.Response:
        """Return the response, its body unread when `request.stream`; raise a `ProviderError` for any but a 2xx.

        A connection that the server had closed while it was idle is replaced once, at once, by a new one. Redirects
        are followed within the origin only.
        """
        error: ProviderError | None = None
        for _ in range(HOPS):
            response, error = await self._once_fresh(request)
            if response is None:
                break
            if on_response is None and response.is_success:
                return response
            # Made from the raw pairs: httpx2's own mapping works out its encoding once per header.
            headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers.raw}
            if on_response is not None:
                on_response(response.status_code, headers)
            if response.is_success:
                return response
            if not (target := _next_hop(response)):
                body = response.content
                if request.key:
                    body = body.replace(request.key.encode(), b"[key]")
                peer = request.peer
                error = error_of(response.status_code, headers, body, provider=peer.provider, model=peer.model)
                break
            request.path = target
        raise error or _lost(request.peer)

    async def close(self) -> None:
        """Close the client and its connections."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        await self.client.close()

    def _credentials(self, key: str) -> dict[str, Any]:
        pattern = self._pattern.items()
        return {name: value.replace(PLACEHOLDER, key) if key else self._omit for name, value in pattern}

    async def _once_fresh(self, request: Outgoing) -> tuple[httpx2.Response | None, ProviderError | None]:
        use = _Use()
        token = _USE.set(use)
        try:
            response, fault = await self._once(request)
            if fault is not None and use.reused and is_disconnect(fault):
                use.fresh = True
                response, fault = await self._once(request)
        finally:
            _USE.reset(token)
        if fault is None:
            return response, None
        return None, error_of_fault(fault, provider=request.peer.provider, model=request.peer.model)

    async def _once(self, request: Outgoing) -> tuple[httpx2.Response | None, BaseException | None]:
        headers = {**request.headers, **self._credentials(request.key)}
        if request.stream:
            headers["X-Stainless-Raw-Response"] = "stream"
        options: dict[str, Any] = {
            "headers": headers,
            "follow_redirects": False,
            "timeout": httpx2.Timeout(None, connect=request.connect, pool=request.connect),
        }
        if request.query is not None:
            options["params"] = request.query
        try:
            if request.method == "get":
                return await self.client.get(request.path, cast_to=httpx2.Response, options=options), None
            send = self.client.post(request.path, content=request.body, cast_to=httpx2.Response, options=options)
            return await send, None
        except self._status_error as refused:
            return cast(Any, refused).response, None
        except self.faults as fault:
            return None, fault


def _next_hop(response: httpx2.Response) -> str:
    """Return where a redirect within the origin leads, to be asked by the same method; else nothing."""
    location = response.headers.get("location", "")
    if response.status_code not in (307, 308) or not location:
        return ""
    here = str(response.request.url)
    target = urljoin(here, location)
    return target if urlsplit(target)[:2] == urlsplit(here)[:2] else ""


def _lost(peer: Peer) -> ProtocolError:
    error = ProtocolError(f"{peer} redirects in a circle", provider=peer.provider, model=peer.model)
    error.should_retry = False
    return error


def _observe(client: Any) -> None:
    """Give an SDK's aiohttp transport a session on our connector; leave one that looks otherwise as it is."""
    # The only way in: the SDK's vendored transport makes its session itself, from its public attribute `client`.
    transport: Any = getattr(getattr(client, "_client", None), "_transport", None)
    if transport is None or not hasattr(transport, "client") or not hasattr(transport, "ssl_context"):
        return

    def session() -> aiohttp.ClientSession:
        # limit=0: aikit's own limiter says how many calls run at once; a second queue here would hide behind it.
        connector = Connector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=transport.ssl_context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    transport.client = session
