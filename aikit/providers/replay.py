"""The replay: answers that were given before, from a log, at no cost and without a network."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from aikit.errors import ReplayMissing, UnknownSetting, did_you_mean
from aikit.events import Event, Finished, ReasoningDelta, TextDelta, ToolDelta
from aikit.messages import (
    Completion,
    GenerationOptions,
    Message,
    ProviderCapabilities,
    as_messages,
    text_content,
)
from aikit.providers.base import Adapter

if TYPE_CHECKING:
    from aikit.config import ProviderConfig

__all__ = ["Replay"]

Lookup = Callable[[str], "Completion | Awaitable[Completion | None] | None"]
"""Takes the key of a request, gives its logged answer or None; may be a coroutine function."""


class Replay(Adapter):
    """A provider that answers a request as it was answered before; what was never asked is `ReplayMissing`.

    `lookup` gets `aikit.request_key.request_key(messages, options, model=…)`, with an empty model where the replay
    stands for whatever model was asked then, and returns the logged `Completion`. Where one request was asked several
    times it is the lookup that says which answer is whose turn. Usage is the logged one, `usage_source` is
    `replayed`, the cost is 0. In a configuration `lookup` stands in `options`.
    """

    kind: ClassVar[str] = "replay"
    needs_model: ClassVar[bool] = False

    def __init__(
        self,
        config: ProviderConfig | None = None,
        *,
        lookup: Lookup | None = None,
        name: str = "replay",
        model: str = "",
        key: str | None = None,
    ) -> None:
        super().__init__(config or _default_config(), name=name, model=model, key=key)
        for setting in self.config.options:
            if setting != "lookup":
                raise UnknownSetting(f"a replay has no option {setting!r}{did_you_mean(setting, ['lookup'])}")
        self._lookup = lookup or self.config.options.get("lookup")

    async def generate_stream(
        self, prompt: str | Sequence[Message], options: GenerationOptions
    ) -> AsyncGenerator[Event, None]:
        """Yield the logged answer, its text in one piece."""
        answer = await self._answer(as_messages(prompt), options)
        if answer.reasoning:
            yield ReasoningDelta(answer.reasoning)
        if answer.text:
            yield TextDelta(answer.text)
        for index, call in enumerate(answer.tool_calls):
            yield ToolDelta(index, call.id, call.name, msgspec.json.encode(call.arguments).decode())
        yield Finished(
            answer.finish_reason,
            answer.usage,
            "replayed",
            response_model=answer.response_model or answer.model,
            raw_finish_reason=answer.finish_reason,
        )

    async def _answer(self, messages: tuple[Message, ...], options: GenerationOptions) -> Completion:
        from aikit.request_key import request_key

        found: Any = self._lookup(request_key(messages, options, model=self.model)) if self._lookup else None
        found = await found if inspect.isawaitable(found) else found
        if found is None:
            asked = text_content(messages[-1])[:80] if messages else ""
            of = f" of {self.model}" if self.model else ""
            raise ReplayMissing(
                f"the log holds no answer{of} to {asked!r} with these options; "
                "ask with the messages, options and model of then, or ask the model itself"
            )
        return found

    def estimate_cost(self, prompt: str | Sequence[Message], options: GenerationOptions) -> Decimal:
        """Return 0: the answer was paid for when it was logged."""
        return Decimal(0)

    def get_capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return nothing known: what was possible then is in the log."""
        return ProviderCapabilities()


def _default_config() -> ProviderConfig:
    from aikit.config import ProviderConfig

    return ProviderConfig(kind="replay")
