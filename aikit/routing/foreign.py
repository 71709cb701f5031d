"""A provider of the user's own, made to fit where adapters are expected."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from typing import ClassVar

from aikit.errors import AikitError, ConnectionFailed
from aikit.events import Event
from aikit.messages import Completion, GenerationOptions, Message, ProviderCapabilities, TokenCount
from aikit.providers.base import Adapter, LLMProvider

__all__ = ["Foreign"]


class Foreign(Adapter):
    """Wraps any object with the five methods of `LLMProvider`; its own errors become `ConnectionFailed`."""

    kind: ClassVar[str] = "foreign"
    needs_model: ClassVar[bool] = False

    def __init__(self, provider: LLMProvider) -> None:
        from aikit.config import ProviderConfig

        missing = [name for name in ("name", "generate_stream", "generate_completion") if not hasattr(provider, name)]
        if missing:
            raise TypeError(f"model={provider!r} is neither a model id nor a provider: it has no {', '.join(missing)}")
        super().__init__(ProviderConfig(), name=provider.name, model=str(getattr(provider, "model", "")))
        self._provider = provider

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the provider's events."""
        try:
            stream = self._provider.generate_stream(prompt, options)
            try:
                async for event in stream:
                    yield event
            finally:
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()
        except AikitError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    async def generate_completion(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Completion:
        """Return the provider's answer."""
        try:
            return await self._provider.generate_completion(prompt, options)
        except AikitError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def estimate_cost(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Decimal | None:
        """Return the provider's own estimate."""
        return self._provider.estimate_cost(prompt, options)

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the provider says it can do."""
        return self._provider.get_capabilities(model)

    async def count_tokens(self, prompt: str | Sequence[Message], options: GenerationOptions) -> TokenCount:
        """Return the provider's own count."""
        return await self._provider.count_tokens(prompt, options)

    def _failure(self, error: Exception) -> ConnectionFailed:
        return ConnectionFailed(
            f"{self.name} raised {type(error).__name__}: {error}", provider=self.name, model=self.model, sent=True
        )
