"""A live split: which version a user gets, the same one every time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from aikit.errors import PromptError

__all__ = ["Split"]


@dataclass(frozen=True, slots=True)
class Split:
    """A prompt's versions and the share of units that each is to get."""

    name: str
    weights: Mapping[int, float]
    """Share by version number; they add up to 1."""
    salt: str = ""
    """Deals the same units anew where it differs; empty in most cases."""

    @classmethod
    def of(cls, name: str, weights: Mapping[int, float], *, salt: str = "") -> Split:
        """Check the weights and bring them to a sum of 1; raises PromptError."""
        total = math.fsum(weights.values()) if weights else 0.0
        if not math.isfinite(total) or total <= 0 or any(weight < 0 for weight in weights.values()):
            raise PromptError(
                f"a split takes versions with positive weights, e.g. {{1: 0.5, 2: 0.5}}, not {dict(weights)}"
            )
        shares = {number: weight / total for number, weight in sorted(weights.items()) if weight > 0}
        return cls(name, shares, salt)

    @property
    def id(self) -> str:
        """The split's id in the log; other weights make another split, so that its counts can be checked."""
        return hashlib.sha256(f"{self.name}\0{self.salt}\0{self.to_json()}".encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the weights as JSON."""
        return json.dumps({str(number): round(share, 9) for number, share in self.weights.items()})

    def unit_id(self, unit: object) -> str:
        """Return what is logged for a unit: a hash, since units are mostly people."""
        return _digest(self.name, self.salt, unit).hex()[:32]

    def deal(self, unit: object) -> int:
        """Return the unit's version: always the same one, and another only when its own share was cut.

        Weighted rendezvous hashing (Schindelhauer, Schomaker 2005): of −ln(u)/weight the smallest wins, with u made
        from the unit's and the version's hash; a change of weights moves no more units than it has to.
        """
        return min(self.weights, key=lambda number: -math.log(self._uniform(unit, number)) / self.weights[number])

    def _uniform(self, unit: object, number: int) -> float:
        drawn = int.from_bytes(_digest(self.name, self.salt, unit, str(number))[:7], "big") >> 3
        return (drawn + 0.5) / 2**53


def _digest(*parts: object) -> bytes:
    written = json.dumps([part if isinstance(part, str | int) else str(part) for part in parts], ensure_ascii=True)
    return hashlib.sha256(written.encode("ascii")).digest()
