"""A ring of keys: one provider's keys with their weights, and those that were refused set aside."""

from __future__ import annotations

import random as _random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from aikit.errors import CredentialError
from aikit.secret import Secret

__all__ = ["Key", "KeyRing", "KeyState", "Origin"]

Origin = Literal["explicit", "environment", "keyring", ".env"]
"""Where a key was found."""

_QUARANTINE = 300.0
"""Seconds until a refused key is tried again when no other one is left: a mistake of the provider passes."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a ring."""

    id: str
    """Tells keys apart in the log; the key can't be found from it."""
    secret: Secret = field(repr=False)
    weight: float = 1.0
    """Its share of the calls, relative to the others."""
    origin: Origin = "explicit"
    name: str = ""
    """What its owner calls it; empty where it has no name."""
    where: str = ""
    """The variable or file it came from; empty where there is none."""
    retires_at: float | None = None
    """Unix time at which it goes; until then it serves where no other key can. None for a key in full use."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key as `aikit keys list` shows it."""

    provider: str
    id: str
    name: str
    origin: Origin
    where: str
    weight: float
    state: Literal["in use", "quarantined", "retiring"]
    reason: str
    """Why it is quarantined; empty when it is not."""
    calls: int
    """How often it was picked in this process."""


class KeyRing:
    """Picks among keys by weight; safe to use from several threads; keys come and go while calls run.

    A key that was refused is quarantined: it is not picked again. A key that was rotated out goes on serving the calls
    that hold it, and is not picked any more. `refresh` reads the keys again: it is called when a key is refused, for
    it may have been rotated elsewhere. `missing` says where a key can be put, for a ring that has none.
    """

    def __init__(
        self,
        provider: str,
        keys: Iterable[Key],
        *,
        refresh: Callable[[], Iterable[Key]] | None = None,
        missing: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: _random.Random | None = None,
    ) -> None:
        self.provider = provider
        self._refresh = refresh
        self._missing = missing or f"no key for {provider}"
        self._wall = wall
        self._clock = clock
        self._random = random or _random.Random()  # noqa: S311 — a choice among keys, not a key
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._keys: dict[str, Key] = {key.id: key for key in keys}
        self._refused: dict[str, tuple[str, float]] = {}
        self._calls: dict[str, int] = {}
        self._single = self._only()

    def __repr__(self) -> str:
        return f"KeyRing({self.provider!r}, keys={[key.id for key in self._keys.values()]})"

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over all keys, those in quarantine included."""
        return iter(tuple(self._keys.values()))

    def pick(self, *, exclude: Collection[str] = ()) -> Key:
        """Return a key, chosen by weight among those that are neither refused nor excluded; else `CredentialError`."""
        single = self._single
        if single is not None and single.id not in exclude:
            self._calls[single.id] = self._calls.get(single.id, 0) + 1
            return single
        with self._lock:
            usable = self._usable(exclude)
            if not usable:
                raise CredentialError(self._why(exclude))
            weights = [key.weight for key in usable]
            chosen = self._random.choices(usable, weights)[0] if len(usable) > 1 else usable[0]
            self._calls[chosen.id] = self._calls.get(chosen.id, 0) + 1
            return chosen

    def quarantine(self, key_id: str, reason: str) -> None:
        """Do not pick this key again, or in five minutes where no other is left; `reason` is what the server said."""
        if self._refresh is not None:
            with self._refreshing:  # else one that read earlier could put older keys back
                self.replace(self._refresh())
        with self._lock:
            if key_id in self._keys:
                self._refused[key_id] = (reason, self._clock() + _QUARANTINE)
            self._single = self._only()

    def release(self, key_id: str) -> None:
        """Use a quarantined key again."""
        with self._lock:
            self._refused.pop(key_id, None)
            self._single = self._only()

    def replace(self, keys: Iterable[Key]) -> None:
        """Go on with these keys; calls that hold an old one keep it, a key that stays keeps its state."""
        with self._lock:
            self._keys = {key.id: key for key in keys}
            self._refused = {one: why for one, why in self._refused.items() if one in self._keys}
            self._single = self._only()

    def state(self) -> list[KeyState]:
        """Return one row for each key; never the key itself."""
        with self._lock:
            return [self._state(key) for key in self._keys.values()]

    def _state(self, key: Key) -> KeyState:
        reason = self._refused[key.id][0] if key.id in self._refused else ""
        state = "quarantined" if reason else "in use" if key.retires_at is None else "retiring"
        calls = self._calls.get(key.id, 0)
        return KeyState(self.provider, key.id, key.name, key.origin, key.where, key.weight, state, reason, calls)

    def _usable(self, exclude: Collection[str]) -> list[Key]:
        """Return the keys in full use, else those that retire, else those that were refused and have rested."""
        there = [key for key in self._keys.values() if key.id not in exclude and not self._is_gone(key)]
        good = [key for key in there if key.id not in self._refused]
        rested = [key for key in there if not self._is_refused(key.id)]
        return [key for key in good if key.retires_at is None] or good or rested

    def _is_gone(self, key: Key) -> bool:
        return key.retires_at is not None and self._wall() >= key.retires_at

    def _is_refused(self, key_id: str) -> bool:
        return key_id in self._refused and self._clock() < self._refused[key_id][1]

    def _only(self) -> Key | None:
        """Return the one key of a ring that has no choice and no trouble: picked without a lock."""
        only = next(iter(self._keys.values())) if len(self._keys) == 1 and not self._refused else None
        return only if only is not None and only.retires_at is None else None

    def _why(self, exclude: Collection[str]) -> str:
        if not self._keys:
            return self._missing
        reasons = [f"key {one}: {why}" for one, (why, _) in self._refused.items()]
        reasons += [f"key {one} was tried" for one in exclude if one in self._keys]
        return f"no usable key left for {self.provider} ({'; '.join(reasons)}); see `aikit keys list`"
