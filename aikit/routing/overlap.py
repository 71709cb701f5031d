"""The overlap of a continued answer with what came before it: what is said twice is said once."""

from __future__ import annotations

__all__ = ["Overlap"]

SHORTEST = 4
"""Characters; a shorter repetition is taken for one only where it completes a word that was cut."""


class Overlap:
    """Takes the beginning of a continuation that repeats the end of `before`, however it comes in pieces.

    A piece is held back as long as it may be part of a repetition. Where `before` was repeating itself already, as
    rows of a table do, going on with that is more likely than having slipped back, and nothing is taken away.
    """

    __slots__ = ("_held", "before", "dropped", "open")

    def __init__(self, before: str) -> None:
        self.before = before
        self.open = bool(before)
        """Whether it is still undecided what the continuation repeats."""
        self.dropped = 0
        """Characters that were taken away."""
        self._held = ""

    def feed(self, text: str) -> str:
        """Take in the next piece; return what may be shown of all that was taken in and not shown yet."""
        if not self.open:
            return text
        self._held += text
        if self._held in self.before and len(self._held) < len(self.before):
            return ""
        return self.end()

    def end(self) -> str:
        """Decide, because nothing more comes; return what was held back."""
        held, self._held, self.open = self._held, "", False
        self.dropped = repeated(self.before, held)
        return held[self.dropped :]


def repeated(before: str, after: str) -> int:
    """Return how many characters at the beginning of `after` repeat the end of `before`."""
    for size in range(min(len(before), len(after)), 1, -1):
        if before.endswith(after[:size]) and _counts(before, size):
            return size
    # The blanks at the end are not sent along (Anthropic refuses them), so the model says them again.
    blanks = before[len(before.rstrip()) :]
    while not after.startswith(blanks):
        blanks = blanks[:-1]
    return len(blanks)


def _counts(before: str, size: int) -> bool:
    """Whether the last `size` characters, said again, are a slip and not a way of going on."""
    piece = before[-size:]
    period = (piece + piece).find(piece, 1)
    if before.endswith(piece[-period:] * 2):
        return False
    starts_a_word = size == len(before) or not before[-size - 1].isalnum()
    return size >= SHORTEST or (starts_a_word and piece.isalnum())
