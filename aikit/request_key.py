"""The key of a request: the same messages, options and model have the same key, in every process and version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import msgspec

from aikit.messages import GenerationOptions, Image, Message, Part, Text, ToolCall

__all__ = ["request_key"]

_UNSAID = GenerationOptions()
_NAMES = tuple(field.name for field in fields(GenerationOptions))


def request_key(messages: Sequence[Message], options: GenerationOptions, *, model: str = "") -> str:
    """Return 32 hexadecimal digits that name what was asked; an empty `model` names it for any model.

    Options that were left out do not count, so a later aikit with more of them gives the same key.
    """
    asked: dict[str, Any] = {
        "model": model,
        "messages": [[message.role, _content(message.content)] for message in messages],
        "options": _options(options),
    }
    encoded = msgspec.json.encode(asked, order="deterministic", enc_hook=str)
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def _options(options: GenerationOptions) -> dict[str, Any]:
    if options == _UNSAID:
        return {}
    values = {name: getattr(options, name) for name in _NAMES}
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _content(content: str | tuple[Part, ...]) -> list[Any]:
    # A text on its own and the same text as the only part are the same question.
    parts = (Text(content),) if isinstance(content, str) else content
    return [_part(part) for part in parts]


def _part(part: Part) -> list[Any]:
    if isinstance(part, Text):
        return ["text", part.text.encode("utf-8", "replace").decode()]
    if isinstance(part, Image):
        return ["image", part.url or hashlib.sha256(part.data or b"").hexdigest(), part.media_type]
    if isinstance(part, ToolCall):
        return ["call", part.id, part.name, part.arguments]
    return ["result", part.id, part.content]
