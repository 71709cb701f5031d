"""The local provider: a language model in this process, no key and no network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aikit.errors import ConfigError, ModelNotFound, UnknownSetting, did_you_mean
from aikit.events import Event
from aikit.messages import GenerationOptions, Message, ProviderCapabilities, TokenCount, as_messages
from aikit.providers.base import Adapter, OnResponse

if TYPE_CHECKING:
    import httpx

    from aikit.config import ProviderConfig
    from aikit.deadlines import Deadlines
    from aikit.exchange import Outgoing
    from aikit.local_server import LocalServer, Serving

__all__ = ["Local"]

_SETTINGS = ("context", "parallel", "seed", "threads")
_EMBEDDED = "smollm2"
_CONNECTIONS = 64
_LONGEST = 512
"""Output tokens of the embedded model where a call does not say: what is longer only goes round in circles."""


class Local(Adapter):
    """A GGUF model run by llama.cpp in this process: `local:smollm2`, or `local:/path/model.gguf` for any other.

    The embedded model is downloaded at its first use, see `aikit.local_model`. `options` of the configuration:
    `threads` (1), `context` in tokens of prompt and answer together (2048), `parallel` requests answered at once (4),
    `seed` for calls that name none. All kits of a process share one server per model; it ends with the process.
    """

    kind: ClassVar[str] = "local"
    needs_model: ClassVar[bool] = False

    def __init__(self, config: ProviderConfig, *, name: str, model: str = "", key: str | None = None) -> None:
        super().__init__(config, name=name, model=model or config.default_model or _EMBEDDED, key=key)
        for setting in config.options:
            if setting not in _SETTINGS:
                near = did_you_mean(setting, _SETTINGS)
                raise UnknownSetting(
                    f"the local provider has no option {setting!r}{near}; it has: {', '.join(_SETTINGS)}"
                )
        from aikit.exchange import PerLoop

        self._lines = PerLoop(_Line)
        self._servers: dict[str, LocalServer] = {}

    async def ready(self) -> None:
        """Install the embedded model where it is missing, load the model, and wait until it answers."""
        await self._server()

    async def close(self) -> None:
        """Close the connections; the server stays for the other kits of the process."""
        await self._lines.close()

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; a request waits here while all slots of the server are busy."""
        from aikit.exchange import Exchange
        from aikit.wire.chat import ChatReader, body
        from aikit.wire.sse import SSEDecoder

        server, line = await self._server(), self._lines.get()
        sent = body(as_messages(prompt), self._completed(options), model=self.model, stream=True)
        request = self._outgoing(server, "/v1/chat/completions", sent, stream=True)
        async with line.slot(server):
            exchange = Exchange(
                partial(line.send, request, on_response=self.on_response),
                decoder=SSEDecoder(),
                reader=ChatReader(provider=self.name, model=self.model),
                deadlines=self._deadlines(),
                peer=request.peer,
                connected=self._lines.get,
            )
            async with aclosing(exchange.events()) as events:
                async for event in events:
                    yield event

    async def count_tokens(self, prompt: str | Sequence[Message], options: GenerationOptions) -> TokenCount:
        """Return the exact count, the model's own template included."""
        import msgspec

        from aikit.wire.chat import body

        server = await self._server()
        sent = body(as_messages(prompt), options, model=self.model, stream=False)
        request = self._outgoing(server, "/v1/chat/completions/input_tokens", sent, stream=False)
        response = await self._lines.get().send(request, on_response=None)
        return TokenCount(msgspec.json.decode(response.content)["input_tokens"], "exact")

    def _outgoing(self, server: LocalServer, path: str, body: bytes, *, stream: bool) -> Outgoing:
        from aikit.deadlines import Peer
        from aikit.exchange import Outgoing

        peer = Peer(self.name, self.model)
        return Outgoing(server.url + path, body, peer, self.config.headers, server.key, stream=stream)

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what llama.cpp's server gives every model; tools depend on the model's template and are tried."""
        context = int(self.config.options.get("context", 2048))
        return ProviderCapabilities(
            streaming=True,
            system=True,
            images=False,
            tools=None,
            json_schema=True,
            reasoning=False if (model or self.model) == _EMBEDDED else None,
            prefill=True,
            seed=True,
            stop=True,
            temperature=True,
            resume=False,
            responses=False,
            context_window=context,
            max_output_tokens=context,
        )

    def _completed(self, options: GenerationOptions) -> GenerationOptions:
        if options.seed is None and self.config.options.get("seed") is not None:
            options = replace(options, seed=int(self.config.options["seed"]))
        if options.max_tokens is None and self.model == _EMBEDDED:
            options = replace(options, max_tokens=_LONGEST)
        return options

    def _deadlines(self) -> Deadlines:
        from aikit.deadlines import Deadlines

        given = self.config.timeouts
        # Reading a long prompt is silent work and takes minutes on a slow machine: no sign of a dead server.
        progress = given.progress if "progress" in given.model_fields_set else given.total
        total = given.total if self.time_left is None else min(given.total, self.time_left)
        return Deadlines(connect=given.connect, progress=progress, total=total)

    async def _server(self) -> LocalServer:
        server = self._servers.get(self.model)
        if server is None or server.closed:
            from aikit.local_server import SERVERS

            serving = await asyncio.to_thread(self._serving)
            server = self._servers[self.model] = await asyncio.wrap_future(SERVERS.get(serving))
        return server

    def _serving(self) -> Serving:
        from aikit.local_server import Serving

        options = self.config.options
        embedded = self.model == _EMBEDDED
        return Serving(
            path=self._file().resolve(),
            alias=self.model,
            threads=_count(options, "threads", 1),
            context=_count(options, "context", 2048),
            parallel=_count(options, "parallel", 4),
            # What the model's card recommends; llama.cpp's own defaults are for larger models.
            temperature=0.2 if embedded else None,
            top_p=0.9 if embedded else None,
        )

    def _file(self) -> Path:
        from aikit import local_model

        if self.model == _EMBEDDED:
            if (found := local_model.find()) is not None:
                return found
            with local_model.progress_line() as progress:
                return local_model.install(progress)
        if "/" in self.model or "\\" in self.model or self.model.lower().endswith(".gguf"):
            return Path(self.model).expanduser()
        near = did_you_mean(self.model, [_EMBEDDED])
        message = (
            f"no local model {self.model!r}{near}; there is {_EMBEDDED!r}, or a path such as local:/path/model.gguf"
        )
        raise ModelNotFound(message, provider=self.name, model=self.model)


class _Line:
    """The connections of one event loop to the servers of this process."""

    def __init__(self) -> None:
        import httpx

        self.faults: tuple[type[BaseException], ...] = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)
        self.background: set[asyncio.Task[None]] = set()
        # llama.cpp closes a connection after 5 idle seconds: ours go first, so that none dies under a request.
        limits = httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=2.0)
        self._client = httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(None, connect=10.0), trust_env=False)
        self._slots: dict[str, asyncio.Semaphore] = {}

    def slot(self, server: LocalServer) -> asyncio.Semaphore:
        """Return what to hold while a request is answered: who waits for a slot is not waiting for the server."""
        return self._slots.setdefault(server.url, asyncio.Semaphore(server.serving.parallel))

    async def send(self, request: Outgoing, *, on_response: OnResponse | None) -> httpx.Response:
        """Return the response, its body unread when it streams; see `aikit.exchange.Line`."""
        from aikit.wire.faults import error_of_fault
        from aikit.wire.status import error_of

        peer = request.peer
        headers = {"Authorization": f"Bearer {request.key}", "Content-Type": "application/json", **request.headers}
        built = self._client.build_request("POST", request.path, content=request.body, headers=headers)
        try:
            response = await self._client.send(built, stream=True)
            if on_response is not None:
                on_response(response.status_code, dict(response.headers))
            if response.is_success and request.stream:
                return response
            told = await response.aread()
            await response.aclose()
        except self.faults as fault:
            raise error_of_fault(fault, provider=peer.provider, model=peer.model) from None
        if response.is_success:
            return response
        raise error_of(response.status_code, dict(response.headers), told, provider=peer.provider, model=peer.model)

    async def close(self) -> None:
        """Close the connections."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        await self._client.aclose()


def _count(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"the local provider's option {name!r} is a whole number from 1, not {value!r}")
    return value
