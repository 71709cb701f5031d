"""Surrogate halves: joined where a server cut a character in two, made harmless where the other half never comes."""

from __future__ import annotations

import re

__all__ = ["SurrogateJoiner", "without_surrogates"]

_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_LONE = re.compile("[\ud800-\udfff]")


def _joined(pair: re.Match[str]) -> str:
    high, low = ord(pair[1]), ord(pair[2])
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def without_surrogates(text: str) -> str:
    """Return `text` with pairs of surrogates joined and lone ones replaced by U+FFFD."""
    if text.isascii() or _LONE.search(text) is None:
        return text
    return _LONE.sub("\ufffd", _PAIR.sub(_joined, text))


class SurrogateJoiner:
    """Joins a character whose two halves come in two deltas of one text.

    Needed because `"\\ud83d"` alone is legal JSON; DuckDB and UTF-8 can't hold it.
    """

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""
        """A high half that waits for the low one."""

    def feed(self, text: str) -> str:
        """Return `text` made whole; a high half at its end waits for what comes next."""
        if not self.half and text.isascii():
            return text
        text = self.half + text
        self.half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self.half = text[-1]
            text = text[:-1]
        return without_surrogates(text)

    def end(self) -> str:
        """Return U+FFFD for a half that never found the other one, else nothing."""
        half, self.half = self.half, ""
        return "\ufffd" if half else ""
