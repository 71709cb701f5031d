"""Anthropic, and every server that speaks its dialect."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Callable
from typing import ClassVar

import msgspec

from aikit.errors import ProviderError
from aikit.events import Event
from aikit.exchange import Line, Outgoing, trust
from aikit.messages import Completion, GenerationOptions, ProviderCapabilities, TokenCount, as_messages
from aikit.providers._http import HTTPAdapter
from aikit.providers.base import Prompt
from aikit.wire import families, messages

__all__ = ["Anthropic"]


class _Named(msgspec.Struct):
    id: str


class _Listed(msgspec.Struct):
    data: list[_Named]


class Anthropic(HTTPAdapter):
    """Anthropic's API, or a server that speaks its messages.

    `config.options`: `capabilities`, the user's word on what the models can do.
    """

    kind: ClassVar[str] = "anthropic"
    uses_key = True
    address = "https://api.anthropic.com"

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is refused: Anthropic itself needs one, a server of one's own may not."""
        return self.config.base_url is None or "anthropic.com" in self.config.base_url

    def generate_stream(self, prompt: Prompt, options: GenerationOptions) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; see `LLMProvider`."""
        reader = messages.MessagesReader(provider=self.name, model=self.model)

        def request() -> Outgoing:
            return self._outgoing("/v1/messages", self._body(prompt, options, stream=True), stream=True)

        return self._events(request, reader)

    async def generate_completion(self, prompt: Prompt, options: GenerationOptions) -> Completion:
        """Return the whole answer, by one request that streams nothing."""
        data = await self._post("/v1/messages", self._body(prompt, options, stream=False))
        return self._whole(messages.answer(data, provider=self.name, model=self.model), options)

    async def count_tokens(self, prompt: Prompt, options: GenerationOptions) -> TokenCount:
        """Return the provider's own count, which is free; an offline count where it does not answer."""
        body = messages.count_body(as_messages(prompt), options, model=self.model)
        try:
            data = await self._post("/v1/messages/count_tokens", body)
            counted = messages.counted(data, provider=self.name, model=self.model)
        except ProviderError:
            return await super().count_tokens(prompt, options)
        return TokenCount(counted, "exact")

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the model can do, by its family."""
        model = self.model if model is None else model
        known = families.capabilities(model, families.ANTHROPIC) or families.ANTHROPIC_UNKNOWN
        return families.overridden(known, model, self._option("capabilities"))

    def _body(self, prompt: Prompt, options: GenerationOptions, *, stream: bool) -> bytes:
        # The models that still take a prefill are those that know no effort, only a thinking budget.
        effort = self.get_capabilities().prefill is not True
        return messages.body(as_messages(prompt), options, model=self.model, stream=stream, effort=effort)

    def _listing(self) -> tuple[str, Callable[[bytes], tuple[str, ...]]]:
        return "/v1/models", lambda body: tuple(item.id for item in msgspec.json.decode(body, type=_Listed).data)

    def _import(self) -> None:
        importlib.import_module("anthropic")
        importlib.import_module("aikit.connections")

    def _open(self) -> Line:
        import anthropic

        from aikit.connections import PLACEHOLDER, SDKConnection

        address = self.config.base_url or self.address
        client = anthropic.AsyncAnthropic(
            api_key=PLACEHOLDER,
            # The SDK's paths begin with /v1; other servers' addresses usually end with it.
            base_url=address.rstrip("/").removesuffix("/v1"),
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient(follow_redirects=False, verify=trust(address)),
        )
        return SDKConnection(client, sdk=anthropic)
