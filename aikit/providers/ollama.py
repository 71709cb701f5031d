"""Ollama: models on this machine or another, over its own API."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, ClassVar

import msgspec

from aikit.errors import ConnectionFailed, ProviderError
from aikit.events import Event
from aikit.exchange import Decoder, Line, Outgoing, trust
from aikit.messages import Completion, GenerationOptions, ProviderCapabilities, as_messages
from aikit.providers._http import HTTPAdapter
from aikit.providers.base import Prompt
from aikit.wire import families, ollama
from aikit.wire.faults import error_of_fault, is_disconnect
from aikit.wire.ndjson import NDJSONDecoder
from aikit.wire.status import error_of

__all__ = ["Ollama"]

CONNECTIONS = 100
"""Most connections at once: an Ollama server queues far fewer."""


class _Named(msgspec.Struct):
    name: str


class _Listed(msgspec.Struct):
    models: list[_Named]


class Ollama(HTTPAdapter):
    """An Ollama server.

    `config.options`: `capabilities`, the user's word on what the models can do.
    """

    kind: ClassVar[str] = "ollama"
    address = "http://127.0.0.1:11434"

    def generate_stream(self, prompt: Prompt, options: GenerationOptions) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; see `LLMProvider`."""
        reader = ollama.OllamaReader(provider=self.name, model=self.model)

        def request() -> Outgoing:
            body = ollama.body(as_messages(prompt), options, model=self.model, stream=True)
            return self._outgoing("/api/chat", body, stream=True)

        return self._events(request, reader)

    async def generate_completion(self, prompt: Prompt, options: GenerationOptions) -> Completion:
        """Return the whole answer, by one request that streams nothing."""
        body = ollama.body(as_messages(prompt), options, model=self.model, stream=False)
        data = await self._post("/api/chat", body)
        return self._whole(ollama.answer(data, provider=self.name, model=self.model), options)

    async def models(self) -> tuple[str, ...]:
        """Return the names of the models that the server has; none where it does not answer."""
        return await self._models()

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the API can do; what the model adds to that is not known."""
        known = ProviderCapabilities(
            streaming=True, system=True, json_schema=True, seed=True, stop=True, temperature=True, responses=False
        )
        model = self.model if model is None else model
        return families.overridden(known, model, self._option("capabilities"))

    def _hint(self, models: tuple[str, ...]) -> str:
        return f"{super()._hint(models) if models else ''}; fetch it with: ollama pull {self.model}"

    def _listing(self) -> tuple[str, Callable[[bytes], tuple[str, ...]]]:
        return "/api/tags", lambda body: tuple(item.name for item in msgspec.json.decode(body, type=_Listed).models)

    def _decoder(self) -> Decoder:
        return NDJSONDecoder()

    def _import(self) -> None:
        importlib.import_module("httpx")

    def _open(self) -> Line:
        return _Connection(self.config.base_url or self.address)


class _Connection:
    """An httpx client on one event loop."""

    def __init__(self, address: str) -> None:
        import httpx

        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30)
        self._client = httpx.AsyncClient(limits=limits, follow_redirects=False, verify=trust(address))
        self._address = address.rstrip("/")
        self.faults: tuple[type[BaseException], ...] = (
            httpx.HTTPError,
            httpx.StreamError,
            httpx.InvalidURL,
            OSError,
        )
        self.background: set[asyncio.Task[None]] = set()

    async def send(self, request: Outgoing, *, on_response: Callable[[int, Mapping[str, str]], None] | None) -> Any:
        """Return the response; see `aikit.exchange.Line`."""
        response, fault, fresh = await self._once(request)
        if fault is not None and not fresh and is_disconnect(fault):
            response, fault, _ = await self._once(request)
        if fault is not None:
            raise _told(error_of_fault(fault, provider=request.peer.provider, model=request.peer.model))
        headers = dict(response.headers)
        if on_response is not None:
            on_response(response.status_code, headers)
        if response.is_success:
            return response
        body, peer = await self._read(response), request.peer
        raise error_of(response.status_code, headers, body, provider=peer.provider, model=peer.model)

    async def close(self) -> None:
        """Close the client and its connections."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        await self._client.aclose()

    async def _once(self, request: Outgoing) -> tuple[Any, BaseException | None, bool]:
        """Return the response or the fault, and whether the connection was a new one."""
        import httpx

        fresh = False

        async def watch(event: str, _: Mapping[str, Any]) -> None:
            nonlocal fresh
            fresh = fresh or event.startswith("connection.connect")

        headers = {"Content-Type": "application/json", **request.headers}
        if request.key:
            headers["Authorization"] = f"Bearer {request.key}"
        built = self._client.build_request(
            request.method.upper(),
            self._address + request.path,
            content=request.body or None,
            headers=headers,
            timeout=httpx.Timeout(None, connect=request.connect, pool=None),
            extensions={"trace": watch},
        )
        try:
            return await self._client.send(built, stream=request.stream), None, fresh
        except self.faults as fault:
            return None, fault, fresh

    async def _read(self, response: Any) -> bytes:
        try:
            return await response.aread()
        except self.faults:
            return b""
        finally:
            await response.aclose()


def _told(error: ProviderError) -> ProviderError:
    if isinstance(error, ConnectionFailed) and not error.sent:
        error.args = (f"{error}: is Ollama running there? Start it with: ollama serve",)
    return error
