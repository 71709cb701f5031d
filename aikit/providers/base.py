"""A provider: what every adapter offers, and what the ones here share."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import msgspec

from aikit.errors import ProtocolError, UnsupportedFeature
from aikit.events import Event
from aikit.messages import Completion, GenerationOptions, Message, ProviderCapabilities, TokenCount, as_messages
from aikit.secret import Secret
from aikit.streams import Transcript

if TYPE_CHECKING:
    from aikit.config import ProviderConfig
    from aikit.prices import Price

__all__ = ["Adapter", "LLMProvider", "OnResponse", "json_data"]

OnResponse = Callable[[int, Mapping[str, str]], None]
"""Called with the status and the headers (names in lower case) of a response, as soon as they are there."""

Prompt = str | Sequence[Message]


@runtime_checkable
class LLMProvider(Protocol):
    """Anything that answers prompts: an adapter, or a provider made of providers."""

    name: str

    def generate_stream(self, prompt: Prompt, options: GenerationOptions) -> AsyncIterator[Event]:
        """Yield the answer's events, the last of them `Finished`; raise a `ProviderError` where there is none."""
        ...

    async def generate_completion(self, prompt: Prompt, options: GenerationOptions) -> Completion:
        """Return the whole answer."""
        ...

    def estimate_cost(self, prompt: Prompt, options: GenerationOptions) -> Decimal | None:
        """Return an upper bound of the cost in US dollars, None without a price; no I/O."""
        ...

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the model can do, as far as it is known."""
        ...

    async def count_tokens(self, prompt: Prompt, options: GenerationOptions) -> TokenCount:
        """Return how many tokens the prompt has, and how sure that is."""
        ...


class Adapter:
    """One provider's adapter, bound to a model and a key; making one opens nothing.

    A copy made by `bound` shares the client and its connections with the one it was made from.
    """

    kind: ClassVar[str]
    uses_key: ClassVar[bool] = False
    """Whether a key is looked for."""
    needs_model: ClassVar[bool] = True
    """Whether a target has to name a model."""
    has_limits: ClassVar[bool] = False
    """Whether it speaks to a server that tells its rate limits, from which a limiter learns."""

    def __init__(self, config: ProviderConfig, *, name: str, model: str = "", key: Secret | str | None = None) -> None:
        self.config = config
        self.name = name
        self.model = model
        self._secret = Secret(key) if isinstance(key, str) else key
        self._known: tuple[str, ProviderCapabilities | None] = ("", None)
        self.price: Price | None = None
        """The model's price; None when not known. Set by whoever has the price book."""
        self.on_response: OnResponse | None = None
        self.time_left: float | None = None
        """Seconds that the caller gives the attempt, where that is less than `config.timeouts.total`; else None."""

    @property
    def capabilities(self) -> ProviderCapabilities:
        """What the adapter's own model can do; worked out once, for every call asks."""
        model, known = self._known
        if known is None or model != self.model:
            known = self.get_capabilities()
            self._known = (self.model, known)
        return known

    @property
    def key(self) -> str | None:
        """The key that calls are made with, for the request alone; None without one."""
        return None if self._secret is None else self._secret.reveal()

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is refused before it is sent; a server of one's own may need none."""
        return self.uses_key

    def bound(self, *, model: str | None = None, key: Secret | str | None = None) -> Self:
        """Return a copy for another model or key that shares this one's client."""
        other = copy.copy(self)
        if model is not None:
            other.model = model
        if key is not None:
            other._secret = Secret(key) if isinstance(key, str) else key
        return other

    async def ready(self) -> None:
        """Import what the first call would import, and connect where that is free."""

    async def close(self) -> None:
        """Close the client and its connections."""

    @abstractmethod
    def generate_stream(self, prompt: Prompt, options: GenerationOptions) -> AsyncGenerator[Event, None]:
        """Yield the answer's events; see `LLMProvider`."""
        raise NotImplementedError

    async def generate_completion(self, prompt: Prompt, options: GenerationOptions) -> Completion:
        """Return the whole answer: here the stream read to its end; adapters with a shorter way take it."""
        transcript = Transcript(started=0.0)
        async with aclosing(self.generate_stream(prompt, options)) as events:
            async for event in events:
                transcript.add(event, 0.0)
        return self._completion(transcript, options)

    def _completion(self, transcript: Transcript, options: GenerationOptions) -> Completion:
        end, text = transcript.finished, transcript.text
        if end is None:
            raise ProtocolError("the stream ended without its end marker", provider=self.name, model=self.model)
        return Completion(
            text=text,
            data=json_data(text) if options.json_schema is not None else None,
            tool_calls=transcript.tool_calls(),
            reasoning="".join(transcript.reasoning),
            finish_reason=end.finish_reason,
            usage=end.usage,
            usage_source=end.usage_source,
            model=self.model,
            response_model=end.response_model,
            provider=self.name,
        )

    def resume(self, token: str) -> AsyncGenerator[Event, None]:
        """Yield the rest of an answer that broke off, from where its error gave the `resume_token`."""
        raise UnsupportedFeature(f"{self.name} can't take up an answer again: {token!r} is none of its resume tokens")

    def estimate_cost(self, prompt: Prompt, options: GenerationOptions) -> Decimal | None:
        """Return counted input at the dearest rate plus the longest answer, in US dollars; None without a price."""
        from aikit import prices, tokens

        if self.price is None:
            return None
        count = tokens.count(as_messages(prompt), options, provider=self.name, model=self.model)
        longest = self.get_capabilities().max_output_tokens
        return prices.dollars(self.price.upper(tokens.upper(count), prices.longest_answer(options.max_tokens, longest)))

    @abstractmethod
    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the model can do; see `LLMProvider`."""
        raise NotImplementedError

    async def count_tokens(self, prompt: Prompt, options: GenerationOptions) -> TokenCount:
        """Return an offline count; adapters with a tokenizer of their own or a free endpoint do better."""
        from aikit import tokens

        return tokens.count(as_messages(prompt), options, provider=self.name, model=self.model)


def json_data(text: str) -> Any:
    """Return the value a structured answer holds, None when it is no JSON (cut short, or the model slipped)."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
