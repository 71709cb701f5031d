"""The figures of a rate limit: what may be sent in a window, in a day, and at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from aikit.errors import ConfigError

__all__ = ["DIMENSIONS", "Limits"]

DIMENSIONS = ("requests", "tokens", "input_tokens", "output_tokens")
"""What is counted in a window, in the order in which a lease holds its amounts."""


_KINDS: tuple[Any, Any] = (int, int | float)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be sent; None does not limit. A per-minute figure counts as that many in `window` seconds."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Input and output together."""
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    """In any 24 hours."""
    concurrent: int | None = None
    """Requests under way at once."""
    window: float = 60.0
    """Seconds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, _KINDS[field.name == "window"])):
                kind = "seconds" if field.name == "window" else "a whole number"
                raise ConfigError(f"{field.name} is {value!r}: a limit is {kind}, and None where there is none")
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{field.name} is {value}: a limit is above 0, and None where there is none")

    def in_window(self) -> Iterator[tuple[int, int]]:
        """Yield the index of each limited dimension and its limit in one window."""
        figures = (
            self.requests_per_minute,
            self.tokens_per_minute,
            self.input_tokens_per_minute,
            self.output_tokens_per_minute,
        )
        for index, limit in enumerate(figures):
            if limit is not None:
                yield index, limit
