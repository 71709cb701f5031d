"""OpenAI, and every server that speaks its dialect: `kind = "openai"` and a `base_url`."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from aikit.errors import UnknownSetting, did_you_mean
from aikit.events import Event
from aikit.messages import Completion, GenerationOptions, ProviderCapabilities, as_messages
from aikit.providers._sdk import SDKAdapter
from aikit.providers.base import Prompt
from aikit.wire import chat, families

if TYPE_CHECKING:
    from aikit.config import ProviderConfig
    from aikit.connections import SDKConnection

__all__ = ["OpenAI"]

ADDRESS = "https://api.openai.com/v1"
SETTINGS = ("api", "background", "capabilities", "organization", "project", "tokens_field")


class OpenAI(SDKAdapter):
    """OpenAI's API, or a compatible server's.

    `config.options`: `api` = `"chat"` or `"responses"` (default: chat completions, Responses where the model has only
    those); `background` = true runs Responses in the background, so that a broken stream can be resumed;
    `tokens_field`, the name under which `max_tokens` is sent; `organization`, `project`; `capabilities`, the user's
    word on what the models can do.
    """

    kind: ClassVar[str] = "openai"

    def __init__(self, config: ProviderConfig, *, name: str, model: str = "", key: str | None = None) -> None:
        super().__init__(config, name=name, model=model, key=key)
        for setting in config.options:
            if setting not in SETTINGS:
                raise UnknownSetting(f"{name} has no option {setting!r}{did_you_mean(setting, SETTINGS)}")
        self._address = config.base_url or ADDRESS
        self._official = (urlsplit(self._address).hostname or "").endswith("api.openai.com")

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is refused: OpenAI itself needs one, a server of one's own may not."""
        return self._official

    def generate_stream(self, prompt: Prompt, options: GenerationOptions) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; see `LLMProvider`."""
        reader = chat.ChatReader(provider=self.name, model=self.model)
        return self._events("/chat/completions", self._body(prompt, options, stream=True), reader)

    async def generate_completion(self, prompt: Prompt, options: GenerationOptions) -> Completion:
        """Return the whole answer, by one request that streams nothing."""
        data = await self._post("/chat/completions", self._body(prompt, options, stream=False))
        return self._whole(chat.answer(data, provider=self.name, model=self.model), options)

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the model can do: OpenAI's families are known, other servers' models are not."""
        model = self.model if model is None else model
        ours = self._official or self.name == "openai"
        known = families.capabilities(model, families.OPENAI) if ours else None
        return families.overridden(known or ProviderCapabilities(streaming=True), model, self._option("capabilities"))

    def _option(self, name: str) -> Any:
        return self.config.options.get(name)

    def _body(self, prompt: Prompt, options: GenerationOptions, *, stream: bool) -> bytes:
        field = self._option("tokens_field")
        if not field:
            new = self._official or bool(self.get_capabilities().reasoning)
            field = "max_completion_tokens" if new else "max_tokens"
        return chat.body(as_messages(prompt), options, model=self.model, stream=stream, tokens_field=field)

    def _headers(self) -> Mapping[str, Any]:
        from openai import Omit

        key = self._checked_key()
        return {**self.config.headers, "Authorization": f"Bearer {key}" if key else Omit()}

    def _import(self) -> None:
        importlib.import_module("openai")
        importlib.import_module("aikit.connections")

    def _connection(self) -> SDKConnection:
        import openai

        from aikit.connections import SDKConnection

        client = openai.AsyncOpenAI(
            api_key="set-by-request",
            base_url=self._address,
            organization=self._option("organization"),
            project=self._option("project"),
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(follow_redirects=False),
        )
        return SDKConnection(client, status_error=openai.APIStatusError, sdk_error=openai.OpenAIError)
