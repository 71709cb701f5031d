"""What the adapters that speak HTTP share: everything but the dialect."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from aikit.deadlines import Deadlines, Peer, within
from aikit.errors import ConfigError, CredentialError, ModelNotFound, ProviderError, UnknownSetting, did_you_mean
from aikit.events import Event
from aikit.exchange import Decoder, Exchange, Line, Outgoing, PerLoop, Reader, Response
from aikit.messages import Completion, GenerationOptions
from aikit.providers.base import Adapter, json_data
from aikit.streams import parsed_tool_calls
from aikit.wire.answers import Answer, usage_source
from aikit.wire.sse import SSEDecoder

if TYPE_CHECKING:
    from aikit.config import ProviderConfig

__all__ = ["HTTPAdapter"]

LISTING = 5.0
"""Seconds that a list of models may take."""


class HTTPAdapter(Adapter):
    """An adapter that speaks HTTP; its dialect and its client are the subclass's."""

    has_limits = True
    address: ClassVar[str]
    """The provider's public address, for a configuration that names none."""
    settings: ClassVar[tuple[str, ...]] = ("capabilities",)
    """What `config.options` may hold."""

    def __init__(self, config: ProviderConfig, *, name: str, model: str = "", key: str | None = None) -> None:
        super().__init__(config, name=name, model=model, key=key)
        for setting in config.options:
            if setting not in self.settings:
                known = ", ".join(self.settings)
                raise UnknownSetting(f"{name} has no option {setting!r}{did_you_mean(setting, self.settings)}: {known}")
        timeouts = config.timeouts
        self._deadlines = Deadlines(timeouts.connect, timeouts.progress, timeouts.total)
        self._lines: PerLoop[Line] = PerLoop(self._open)
        """The clients of all bound copies."""

    async def ready(self) -> None:
        """Import the SDK, make the client, and connect by asking for the list of models, which is free."""
        await asyncio.to_thread(self._import)
        self._lines.get()
        if self.key or not self.needs_key:
            await self._models()

    async def close(self) -> None:
        """Close the client and its connections."""
        await self._lines.close()

    def _import(self) -> None:
        """Import what the first call would import."""

    @abstractmethod
    def _open(self) -> Line:
        """Make a client for the running loop; no request is sent."""

    @abstractmethod
    def _listing(self) -> tuple[str, Callable[[bytes], tuple[str, ...]]]:
        """Return the path of the list of models, and what reads their names in its answer."""

    def _decoder(self) -> Decoder:
        return SSEDecoder()

    def _option(self, name: str) -> Any:
        return self.config.options.get(name)

    def _peer(self) -> Peer:
        return Peer(self.name, self.model)

    def _limits(self) -> Deadlines:
        if self.time_left is None or self.time_left >= self._deadlines.total:
            return self._deadlines
        return Deadlines(self._deadlines.connect, self._deadlines.progress, max(self.time_left, 0.0))

    def _outgoing(self, path: str, body: bytes, *, stream: bool, method: str = "post") -> Outgoing:
        if not self.model and method == "post":
            raise ConfigError(f"{self.name} needs a model: {self.name}:MODEL, or default_model in its configuration")
        key, headers = self._checked_key(), self.config.headers
        connect = self._deadlines.connect
        return Outgoing(path, body, self._peer(), headers, key, connect=connect, stream=stream, method=method)

    async def _post(self, path: str, body: bytes) -> bytes:
        """Return the body of the answer to one request that streams nothing."""
        send = self._send(self._outgoing(path, body, stream=False))
        response: Response = await within(self._limits().total, send, peer=self._peer())
        return response.content

    async def _send(self, request: Outgoing) -> Response:
        try:
            return await self._lines.get().send(request, on_response=self.on_response)
        except ModelNotFound as missing:
            error = missing
        error.args = (f"{error}{self._hint(await self._models())}",)
        raise error

    def _hint(self, models: tuple[str, ...]) -> str:
        """Return what may help with a model that was not found."""
        address = self.config.base_url
        return did_you_mean(self.model, models) or (f"; is {address} the right address?" if address else "")

    def _events(self, request: Callable[[], Outgoing], reader: Reader) -> AsyncGenerator[Event, None]:
        async def send() -> Response:
            return await self._send(request())

        return Exchange(
            send,
            decoder=self._decoder(),
            reader=reader,
            deadlines=self._limits(),
            peer=self._peer(),
            connected=self._lines.get,
        ).events()

    async def _models(self) -> tuple[str, ...]:
        """Return the names of the provider's models; none where it does not tell."""
        path, names = self._listing()
        request = self._outgoing(path, b"", stream=False, method="get")
        try:
            send = self._lines.get().send(request, on_response=None)
            response: Response = await within(LISTING, send, peer=self._peer())
            return names(response.content)
        except (ProviderError, ValueError):  # msgspec's errors are ValueErrors
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
        if not key.isascii() or not key.isprintable() or " " in key:
            raise CredentialError(f"the key of {self.name} holds a space, a line break or a letter that no key has")
        return key
