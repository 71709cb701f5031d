"""A prompt's token count: text, pictures, tools and the wrapping of each turn.

Exact for plain text turns of the OpenAI models whose wrapping is published
(https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken); an estimate for everything else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aikit.messages import GenerationOptions, Image, Message, Part, Text, TokenCount, ToolCall
from aikit.tokens import encodings, pictures

if TYPE_CHECKING:
    from aikit.tokens.calibration import Calibration

__all__ = ["count", "count_text", "upper", "warm"]

_PER_MESSAGE, _PER_REPLY = 4, 3
_PER_TOOL = 12
# Anthropic puts a system prompt of its own in front when tools are given: 346 tokens for the newest models
# (https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview).
_ANTHROPIC_TOOLS = 346
_TURN_WRAPPING_PUBLISHED = re.compile(r"^(gpt-4|gpt-3\.5|gpt-35|chatgpt-4o)")
# A tokenizer we don't have, measured against o200k: Claude's makes more tokens of the same text.
_FACTORS = ((re.compile(r"claude"), 1.25), (re.compile(r"gemini|gemma"), 1.05), (re.compile(r""), 1.15))
_WITH_TOKENIZER, _WITHOUT = 0.25, 0.35


def warm(model: str) -> None:
    """Load the tokenizer that `model` needs; about a second the first time, so call it off the event loop."""
    encodings.load(encodings.encoding_of(model) or "o200k_base")


def count(
    messages: Sequence[Message],
    options: GenerationOptions,
    *,
    provider: str,
    model: str,
    calibration: Calibration | None = None,
) -> TokenCount:
    """Count the prompt's tokens without sending anything.

    The first count of a process loads the tokenizer where one is installed; see `warm`.
    """
    plain = not (options.tools or options.json_schema) and all(_is_text(message) for message in messages)
    name = _bare(model)
    exact = plain and _TURN_WRAPPING_PUBLISHED.match(name) is not None and encodings.installed()
    tokens = _PER_REPLY + sum(_PER_MESSAGE + _content(message, name) for message in messages)
    if exact:
        return TokenCount(tokens, "exact")
    tokens += _offered(options, provider, name)
    ratio, error = _trust(provider, model, name, calibration)
    return TokenCount(math.ceil(tokens * ratio), "estimated", error)


def count_text(text: str, *, provider: str, model: str, calibration: Calibration | None = None) -> TokenCount:
    """Count the tokens of a piece of text alone, such as an answer that was cut off."""
    name = _bare(model)
    if encodings.encoding_of(name) is not None and encodings.installed():
        return TokenCount(_text(text, name), "exact")
    ratio, error = _trust(provider, model, name, calibration)
    return TokenCount(math.ceil(_text(text, name) * ratio), "estimated", error)


def upper(tokens: TokenCount) -> int:
    """Return a number of tokens that the prompt won't pass: 10 % more, or the error if larger, where estimated."""
    if tokens.source == "exact":
        return tokens.tokens
    return math.ceil(tokens.tokens * (1 + max(0.1, tokens.error)))


def _bare(model: str) -> str:
    """Return the model's own name: no vendor before a slash, no `ft:` and what follows the base model."""
    name = model.rsplit("/", 1)[-1].lower()
    return name.split(":")[1] if name.startswith("ft:") else name


def _trust(provider: str, model: str, name: str, calibration: Calibration | None) -> tuple[float, float]:
    """Return what to multiply a raw count with, and the relative error then left."""
    factor, error = _prior(name)
    known = calibration.ratio(provider, model) if calibration else None
    return (factor * known[0], known[1]) if known is not None else (factor, error)


def _prior(name: str) -> tuple[float, float]:
    if encodings.encoding_of(name) is not None:
        return (1.0, 0.05) if encodings.installed() else (1.0, _WITHOUT)
    factor = next(factor for pattern, factor in _FACTORS if pattern.search(name))
    return factor, _WITH_TOKENIZER if encodings.installed() else _WITHOUT


def _is_text(message: Message) -> bool:
    return isinstance(message.content, str) or all(isinstance(part, Text) for part in message.content)


def _content(message: Message, name: str) -> int:
    if isinstance(message.content, str):
        return _text(message.content, name)
    return sum(_part(part, name) for part in message.content)


def _part(part: Part, name: str) -> int:
    if isinstance(part, Text):
        return _text(part.text, name)
    if isinstance(part, Image):
        return pictures.tokens(part, name)
    if isinstance(part, ToolCall):
        return _PER_TOOL + _text(part.name, name) + _json(dict(part.arguments), name)
    return _PER_TOOL + _text(part.content, name)


def _offered(options: GenerationOptions, provider: str, name: str) -> int:
    """Return the tokens of the tools and the schema, as JSON: what the providers make of them is not published."""
    tokens = sum(_PER_TOOL + _json(dict(tool), name) for tool in options.tools or ())
    if options.tools and (provider == "anthropic" or "claude" in name):
        tokens += _ANTHROPIC_TOOLS
    if options.json_schema is not None:
        tokens += _PER_TOOL + _json(dict(options.json_schema), name)
    return tokens


def _json(value: dict[str, Any], name: str) -> int:
    return _text(json.dumps(value, ensure_ascii=False, default=str), name)


def _text(text: str, name: str) -> int:
    return encodings.tokens(text, encodings.encoding_of(name) or "o200k_base")
