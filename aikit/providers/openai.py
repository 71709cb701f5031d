"""OpenAI, and every server that speaks its dialect: `kind = "openai"` and a `base_url`."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit

import msgspec

from aikit.errors import UnsupportedFeature
from aikit.events import Event
from aikit.exchange import Line, Outgoing, trust
from aikit.messages import Completion, GenerationOptions, ProviderCapabilities, as_messages
from aikit.providers._http import HTTPAdapter
from aikit.providers.base import Prompt
from aikit.wire import chat, families, responses

if TYPE_CHECKING:
    from aikit.config import ProviderConfig

__all__ = ["OpenAI"]


class _Named(msgspec.Struct):
    id: str


class _Listed(msgspec.Struct):
    data: list[_Named]


class OpenAI(HTTPAdapter):
    """OpenAI's API, or a compatible server's.

    `config.options`: `api` is `"chat"` or `"responses"` (left out: chat completions, and Responses where a model has
    only those); `background = true` runs Responses in the background, so that a broken stream can be resumed (OpenAI
    then stores the answer); `tokens_field` is the name under which `max_tokens` is sent; `organization`, `project`;
    `capabilities`, the user's word on what the models can do.
    """

    kind: ClassVar[str] = "openai"
    uses_key = True
    address = "https://api.openai.com/v1"
    settings = ("api", "background", "capabilities", "organization", "project", "tokens_field")

    def __init__(self, config: ProviderConfig, *, name: str, model: str = "", key: str | None = None) -> None:
        super().__init__(config, name=name, model=model, key=key)
        host = urlsplit(config.base_url or self.address).hostname or ""
        self._official = host == "api.openai.com" or host.endswith(".api.openai.com")

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is refused: OpenAI itself needs one, a server of one's own may not."""
        return self._official

    def generate_stream(self, prompt: Prompt, options: GenerationOptions) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; see `LLMProvider`.

        In the background, the error for a stream that breaks carries a `resume_token`, which `resume` takes.
        """
        if self._speaks_responses():
            background = bool(self._option("background"))
            reader = responses.ResponsesReader(provider=self.name, model=self.model, background=background)
            return self._events(lambda: self._responses_stream(prompt, options, background), reader)
        chat_reader = chat.ChatReader(provider=self.name, model=self.model)
        return self._events(lambda: self._chat_stream(prompt, options), chat_reader)

    async def generate_completion(self, prompt: Prompt, options: GenerationOptions) -> Completion:
        """Return the whole answer, by one request that streams nothing."""
        if self._speaks_responses():
            body = responses.body(as_messages(prompt), options, model=self.model, stream=False)
            data = await self._post("/responses", body)
            return self._whole(responses.answer(data, provider=self.name, model=self.model), options)
        data = await self._post("/chat/completions", self._chat_body(prompt, options, stream=False))
        return self._whole(chat.answer(data, provider=self.name, model=self.model), options)

    def resume(self, token: str) -> AsyncGenerator[Event, None]:
        """Yield the rest of a background response's events, from where the stream broke that gave the `token`.

        Nothing is lost and nothing comes twice; no new answer is begun, so nothing more is billed. It can break again,
        with a new token.
        """
        reader = responses.ResponsesReader(provider=self.name, model=self.model)
        try:
            reader.go_on(token)
        except ValueError:
            raise UnsupportedFeature(f"{token!r} is no resume token of {self.name}") from None
        path = f"/responses/{quote(reader.request_id, safe='')}"
        query = {"stream": "true", "starting_after": reader.sequence}

        def request() -> Outgoing:
            outgoing = self._outgoing(path, b"", stream=True, method="get")
            outgoing.query = query
            return outgoing

        return self._events(request, reader)

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the model can do: OpenAI's families are known, other servers' models are not."""
        model = self.model if model is None else model
        ours = self._official or self.name == "openai"
        known = families.capabilities(model, families.OPENAI) if ours else None
        known = known or ProviderCapabilities(streaming=True)
        if self._speaks_responses(model):
            known = replace(known, responses=True, seed=False, stop=False, resume=bool(self._option("background")))
        else:
            known = replace(known, resume=False)
        return families.overridden(known, model, self._option("capabilities"))

    def _speaks_responses(self, model: str | None = None) -> bool:
        api = self._option("api")
        if api is not None:
            return api == "responses"
        ours = self._official or self.name == "openai"
        return ours and families.RESPONSES_ONLY.match(self.model if model is None else model) is not None

    def _responses_stream(self, prompt: Prompt, options: GenerationOptions, background: bool) -> Outgoing:
        said = as_messages(prompt)
        body = responses.body(said, options, model=self.model, stream=True, background=background)
        return self._outgoing("/responses", body, stream=True)

    def _chat_stream(self, prompt: Prompt, options: GenerationOptions) -> Outgoing:
        return self._outgoing("/chat/completions", self._chat_body(prompt, options, stream=True), stream=True)

    def _chat_body(self, prompt: Prompt, options: GenerationOptions, *, stream: bool) -> bytes:
        field = self._option("tokens_field")
        if not field:
            new = self._official or bool(self.get_capabilities().reasoning)
            field = "max_completion_tokens" if new else "max_tokens"
        return chat.body(as_messages(prompt), options, model=self.model, stream=stream, tokens_field=field)

    def _listing(self) -> tuple[str, Callable[[bytes], tuple[str, ...]]]:
        return "/models", lambda body: tuple(item.id for item in msgspec.json.decode(body, type=_Listed).data)

    def _import(self) -> None:
        importlib.import_module("openai")
        importlib.import_module("aikit.connections")

    def _open(self) -> Line:
        import openai

        from aikit.connections import PLACEHOLDER, SDKConnection

        address = self.config.base_url or self.address
        client = openai.AsyncOpenAI(
            api_key=PLACEHOLDER,
            base_url=address,
            organization=self._option("organization"),
            project=self._option("project"),
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(follow_redirects=False, verify=trust(address)),
        )
        if not self._official:  # what the environment says of OpenAI is not another server's business
            client.organization, client.project = self._option("organization"), self._option("project")
        return SDKConnection(client, sdk=openai)
