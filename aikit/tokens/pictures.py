"""A picture's tokens, by the providers' published rules, from its width and height.

OpenAI: https://platform.openai.com/docs/guides/images-vision#calculating-costs (tiles or patches).
Anthropic: https://docs.anthropic.com/en/docs/build-with-claude/vision (width × height / 750).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable

from aikit.messages import Image

__all__ = ["size", "tokens"]

_Rule = Callable[[int, int], int]
_UNKNOWN = (2048, 2048)


def tokens(image: Image, model: str) -> int:
    """Return the picture's tokens; that of a large picture where its size can't be read."""
    width, height = size(image.data) if image.data is not None else _UNKNOWN
    rule = next(rule for pattern, rule in _RULES if pattern.search(model))
    return rule(width, height)


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, read from the head of a PNG, GIF, JPEG or WebP; 2048 × 2048 for others."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", data[16:24])
        if data[:4] == b"GIF8":
            return struct.unpack("<HH", data[6:10])
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        pass  # a damaged head: the provider will refuse the picture, and till then it counts as a large one
    return _UNKNOWN


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while at < len(data):
        marker, length = data[at + 1], int(struct.unpack(">H", data[at + 2 : at + 4])[0])
        # A start of frame; C4, C8 and CC are tables in the same range.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return _UNKNOWN


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _fit(width: int, height: int, longest: float) -> tuple[float, float]:
    scale = min(1.0, longest / max(width, height, 1))
    return width * scale, height * scale


def _tiles(base: int, each: int) -> _Rule:
    def rule(width: int, height: int) -> int:
        wide, high = _fit(width, height, 2048)
        shrink = min(1.0, 768 / max(min(wide, high), 1))
        return base + each * math.ceil(wide * shrink / 512) * math.ceil(high * shrink / 512)

    return rule


def _patches(factor: float) -> _Rule:
    def rule(width: int, height: int) -> int:
        patches = math.ceil(width / 32) * math.ceil(height / 32)
        return math.ceil(min(patches, 1536) * factor)

    return rule


def _area(width: int, height: int) -> int:
    wide, high = _fit(width, height, 1568)
    return min(math.ceil(wide * high / 750), 1640)


_RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = (
    (re.compile(r"^gpt-4o-mini"), _tiles(2833, 5667)),
    (re.compile(r"^(gpt-4\.1-nano|gpt-5(\.\d)?-nano)"), _patches(2.46)),
    (re.compile(r"^(gpt-4\.1-mini|gpt-5(\.\d)?-mini)"), _patches(1.62)),
    (re.compile(r"^o4-mini"), _patches(1.72)),
    (re.compile(r"^gpt-5"), _tiles(70, 140)),
    (re.compile(r"^o[1-9]"), _tiles(75, 150)),
    (re.compile(r"^(gpt-4|chatgpt)"), _tiles(85, 170)),
    (re.compile(r"claude"), _area),
    (re.compile(r"gemini|gemma"), _tiles(0, 258)),
    (re.compile(r""), _tiles(85, 170)),
)
