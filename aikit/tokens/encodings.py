"""An encoding: how OpenAI's models cut text into tokens, and a rough stand-in where it is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import cache
from typing import Any

__all__ = ["encoding_of", "installed", "load", "rough", "tokens"]

# Our own table: the installed one ends at gpt-4.1.
_ENCODINGS = (
    (re.compile(r"^(chatgpt-4o|gpt-4o|gpt-4\.[1-9]|gpt-[5-9]|gpt-oss|gpt-realtime|codex|o[1-9](-|$))"), "o200k_base"),
    (re.compile(r"^(gpt-4|gpt-3\.5|gpt-35|text-embedding-(3|ada-002))"), "cl100k_base"),
)

# Tokens per byte or character of a kind, fitted to o200k on prose in ten languages, code, JSON and numbers.
_CLASSES: tuple[tuple[bytes, float], ...] = (
    (bytes(range(65, 91)) + bytes(range(97, 123)), 0.21),
    (bytes(range(65, 91)), 0.20),  # capitals break words: on top of being letters
    (b"0123456789", 0.55),
    (bytes([*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)]), 0.45),
    (b" \n", 0.15),
    (bytes(range(0xC2, 0xE0)), 0.34),  # two-byte letters: Latin with accents, Greek, Cyrillic, Arabic, Hebrew
    (b"\xe0\xe1", 0.42),  # Indic scripts, Thai, Georgian
    (bytes(range(0xE2, 0xF0)), 0.80),  # Chinese, Japanese, Korean, symbols
    (bytes(range(0xF0, 0xF5)), 1.70),  # emoji
)


def encoding_of(model: str) -> str | None:
    """Return the name of the encoding of an OpenAI model; None for other models."""
    return next((name for pattern, name in _ENCODINGS if pattern.match(model)), None)


@cache
def installed() -> bool:
    """True where `bpe-openai` (the extra `tokens`) is installed."""
    return importlib.util.find_spec("bpe_openai") is not None


@cache
def load(encoding: str) -> Any:
    """Return the tokenizer of an encoding, or None where none is installed; slow the first time."""
    if not installed():
        return None
    # The wrapper class builds tables for decoding that we don't need: 100 MB.
    return importlib.import_module("bpe_openai._bindings").tokenizer_for_encoding(encoding)


def tokens(text: str, encoding: str) -> int:
    """Return the number of tokens of a text."""
    tokenizer = load(encoding)
    return rough(text) if tokenizer is None else int(tokenizer.count(_scalar(text)))


def rough(text: str) -> int:
    """Return an estimate from the kinds of characters alone; within a third on the texts it was fitted to."""
    data = text.encode("utf-8", "replace")
    return round(sum(weight * (len(data) - len(data.translate(None, kind))) for kind, weight in _CLASSES) + 0.5)


def _scalar(text: str) -> str:
    """Return the text with lone surrogates replaced: they can't be encoded, nor sent."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
