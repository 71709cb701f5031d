"""What the adapters on an official SDK's client share: everything but the dialect."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from aikit.errors import CredentialError, ModelNotFound, ProviderError, did_you_mean
from aikit.events import Event
from aikit.exchange import Deadlines, Exchange, Peer, Reader, Response, within
from aikit.messages import Completion, GenerationOptions
from aikit.providers.base import Adapter, json_data
from aikit.streams import parsed_tool_calls
from aikit.wire.answers import Answer, usage_source
from aikit.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from aikit.config import ProviderConfig
    from aikit.connections import PerLoop, SDKConnection, SDKRequest

__all__ = ["SDKAdapter"]

LISTING = 5.0
"""Seconds that a list of models may take."""


class _Named(msgspec.Struct):
    id: str


class _Listed(msgspec.Struct):
    data: list[_Named]


class SDKAdapter(Adapter):
    """An adapter whose transport is an official client; the dialect is the subclass's."""

    uses_key = True

    def __init__(self, config: ProviderConfig, *, name: str, model: str = "", key: str | None = None) -> None:
        super().__init__(config, name=name, model=model, key=key)
        timeouts = config.timeouts
        self._deadlines = Deadlines(timeouts.connect, timeouts.progress, timeouts.total)
        self._shared: list[PerLoop] = []
        """Holds the clients of all bound copies, once the first call has made them."""

    @abstractmethod
    def _connection(self) -> SDKConnection:
        """Import the SDK and make its client for the running loop; no request is sent."""

    @abstractmethod
    def _headers(self) -> Mapping[str, Any]:
        """Return the request's headers, the key among them."""

    async def ready(self) -> None:
        """Import the SDK, make the client, and connect by asking for the list of models, which is free."""
        await asyncio.to_thread(self._import)
        self._connected()
        if self.key or not self.needs_key:
            await self._models()

    async def close(self) -> None:
        """Close the client and its connections."""
        for clients in self._shared:
            await clients.close()

    @abstractmethod
    def _import(self) -> None:
        """Import the SDK."""

    def _connected(self) -> SDKConnection:
        if not self._shared:
            from aikit.connections import PerLoop

            self._shared.append(PerLoop(self._connection))
        return self._shared[0].get()

    def _limits(self) -> Deadlines:
        if self.time_left is None or self.time_left >= self._deadlines.total:
            return self._deadlines
        return Deadlines(self._deadlines.connect, self._deadlines.progress, max(self.time_left, 0.0))

    def _request(self, path: str, body: bytes, *, stream: bool, method: str = "post") -> SDKRequest:
        from aikit.connections import SDKRequest

        return SDKRequest(
            path,
            body,
            self._headers(),
            Peer(self.name, self.model),
            connect=self._deadlines.connect,
            secret=self.key or "",
            stream=stream,
            method=method,
        )

    async def _post(self, path: str, body: bytes) -> bytes:
        """Return the body of the answer to one request that streams nothing."""
        send = self._send(self._request(path, body, stream=False))
        response: Any = await within(self._limits().total, send, peer=Peer(self.name, self.model))
        return response.content

    async def _send(self, request: SDKRequest) -> Any:
        try:
            return await self._connected().send(request, on_response=self.on_response)
        except ModelNotFound as missing:
            error = missing
        near = did_you_mean(self.model, await self._models())
        error.args = (f"{error}{near or f'; the address is {self.config.base_url}' if self.config.base_url else near}",)
        raise error

    def _events(self, path: str, body: bytes, reader: Reader, *, method: str = "post") -> AsyncGenerator[Event, None]:
        connected: Callable[[], SDKConnection] = self._connected

        async def send() -> Response:
            return await self._send(self._request(path, body, stream=True, method=method))

        return _opened(send, connected, reader, self._limits(), Peer(self.name, self.model))

    async def _models(self) -> tuple[str, ...]:
        """Return the names of the provider's models; none where it does not tell."""
        request = self._request("models", b"", stream=False, method="get")
        try:
            response: Any = await within(
                LISTING, self._connected().send(request, on_response=None), peer=Peer(self.name, "")
            )
            return tuple(item.id for item in msgspec.json.decode(response.content, type=_Listed).data)
        except (ProviderError, msgspec.DecodeError):
            return ()

    def _whole(self, answer: Answer, options: GenerationOptions) -> Completion:
        return Completion(
            text=answer.text,
            data=json_data(answer.text) if options.json_schema is not None else None,
            tool_calls=parsed_tool_calls(answer.tool_calls),
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            usage_source=usage_source(answer.usage),
            model=self.model,
            response_model=answer.response_model,
            provider=self.name,
        )

    def _checked_key(self) -> str:
        """Return the key; raise `CredentialError` for one that a header can't hold, before an SDK quotes it."""
        key = self.key or ""
        if not key.isascii() or any(ord(letter) < 33 or ord(letter) == 127 for letter in key):
            raise CredentialError(f"the key of {self.name} holds a space, a line break or a letter that no key has")
        return key


def _opened(
    send: Callable[[], Any], connected: Callable[[], SDKConnection], reader: Reader, deadlines: Deadlines, peer: Peer
) -> AsyncGenerator[Event, None]:
    return Exchange(
        send, decoder=SSEDecoder(), reader=reader, deadlines=deadlines, peer=peer, connected=connected
    ).events()
