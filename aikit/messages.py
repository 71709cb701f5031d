"""The nouns of a call: what is sent, what comes back, and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from aikit import figures

__all__ = [
    "Completion",
    "Estimate",
    "FinishReason",
    "GenerationOptions",
    "Image",
    "Message",
    "Part",
    "ProviderCapabilities",
    "Role",
    "Text",
    "TokenCount",
    "ToolCall",
    "ToolResult",
    "Usage",
    "UsageSource",
    "as_messages",
    "text_content",
]

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "content_filter", "tool_call", "refusal", "error", "unknown"]
UsageSource = Literal["reported", "estimated", "upper_bound", "replayed"]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message: its bytes or its address, one of the two."""

    data: bytes | None = None
    url: str | None = None
    media_type: str = "image/png"

    def __post_init__(self) -> None:
        if (self.data is None) == (self.url is None):
            raise ValueError("an Image takes either data=… or url=…")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to run a tool."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered to the call of the same id."""

    id: str
    content: str


Part = Text | Image | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str | tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How an answer is to be made; whatever is None is left to the provider."""

    max_tokens: int | None = None
    """The most output tokens, reasoning included."""
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    json_schema: Mapping[str, Any] | None = None
    """A JSON schema that the answer has to fulfil; `Completion.data` then holds the parsed answer."""
    tools: tuple[Mapping[str, Any], ...] | None = None
    """Tools offered: mappings with `name`, `description` and `parameters` (a JSON schema)."""
    tool_choice: str | None = None
    """`"auto"`, `"none"`, `"required"` or a tool's name."""
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the provider's request body, passed on as they are."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; cached and reasoning tokens are included in the totals; None means not known."""

    input_tokens: int | None = None
    """All prompt tokens, cache reads and writes included."""
    output_tokens: int | None = None
    """All generated tokens, reasoning included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ProviderCapabilities:
    """What a model can do: True, False, or None where it is not known."""

    streaming: bool | None = None
    system: bool | None = None
    images: bool | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    reasoning: bool | None = None
    prefill: bool | None = None
    """The model continues an assistant's turn that is left open."""
    seed: bool | None = None
    stop: bool | None = None
    temperature: bool | None = None
    resume: bool | None = None
    """A broken stream can be taken up again where it broke."""
    responses: bool | None = None
    """The provider's Responses API serves the model."""
    context_window: int | None = None
    """Tokens of prompt and answer together; None when not known."""
    max_output_tokens: int | None = None
    """None when not known."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The number of tokens in a prompt, and how sure it is."""

    tokens: int
    source: Literal["exact", "estimated"]
    error: float = 0.0
    """Expected relative error of an estimate (0.1 is ±10 %); 0 where exact."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call would cost, before it is made."""

    tokens: TokenCount
    low: Decimal | None
    """US dollars when the answer is short; None when no price is known."""
    likely: Decimal | None
    upper: Decimal | None
    """US dollars that the call can't pass; None when no price is known."""

    def __repr__(self) -> str:
        about = "" if self.tokens.source == "exact" else f" (estimated, ±{figures.share(self.tokens.error, digits=0)})"
        count = f"{figures.count(self.tokens.tokens)} tokens{about}"
        if self.upper is None:
            return f"{count} · price unknown"
        span = f"{figures.dollars(self.low)} to {figures.dollars(self.upper)}"
        return f"{count} · {figures.dollars(self.likely)} likely, {span}" if self.upper else f"{count} · $0"


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer and what it took."""

    text: str
    data: Any = None
    """The parsed answer when `json_schema` was given; else None."""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish_reason: FinishReason = "unknown"
    usage: Usage = Usage()
    usage_source: UsageSource = "estimated"
    cost: Decimal | None = None
    """US dollars over all attempts; None when no price is known, never zero for that."""
    model: str = ""
    """The model that was asked for, without its provider."""
    response_model: str = ""
    """The model that says it answered; empty when it did not say."""
    provider: str = ""
    call_id: str = ""
    """The call's row in the log."""
    attempts: int = 1
    duration: float = 0.0
    """Seconds from the start of the call, queueing included, to its end."""
    time_to_first_token: float | None = None
    """Seconds from the start of the last attempt's request to its first text; None without text."""
    stitched: bool = False
    """True when the answer was continued, resumed or restarted after an interruption."""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{self.text}\n\n{self.summary}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        # No text/markdown: a trusted notebook would run its scripts and load its images.
        from aikit import safe_html

        below = f'<div style="opacity:.7;font-size:.9em">{safe_html.escape(self.summary)}</div>'
        return {"text/plain": safe_html.plain(repr(self)), "text/html": safe_html.markdown(self.text) + below}

    @property
    def summary(self) -> str:
        """The figures in one line: `model · 14→212 tokens · $0.0011 · first token 0.21 s · 1.84 s`."""
        about = "" if self.usage_source == "reported" else f" ({self.usage_source.replace('_', ' ')})"
        tokens = f"{figures.count(self.usage.input_tokens)}→{figures.count(self.usage.output_tokens)} tokens{about}"
        parts = [f"{self.provider}:{self.model}", tokens, figures.dollars(self.cost)]
        if self.time_to_first_token is not None:
            parts.append(f"first token {figures.seconds(self.time_to_first_token)}")
        parts.append(figures.seconds(self.duration))
        if self.finish_reason not in ("stop", "unknown"):
            parts.append({"length": "cut at max_tokens"}.get(self.finish_reason, self.finish_reason.replace("_", " ")))
        if self.attempts > 1:
            parts.append(f"{self.attempts} attempts")
        if self.stitched:
            parts.append("stitched")
        return " · ".join(parts)


def as_messages(prompt: str | Sequence[Message], system: str | None = None) -> tuple[Message, ...]:
    """Return the prompt as messages, with `system` in front where it is given."""
    messages = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return (Message("system", system), *messages) if system else messages


def text_content(message: Message) -> str:
    """Return the text of a message, its other parts left out."""
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content if isinstance(part, Text))
