"""The keys kept in a keyring: set, listed, rotated, removed; never shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from aikit.credentials.places import SERVICE, Keyring
from aikit.errors import CredentialError
from aikit.secret import Secret, checked_key

__all__ = ["StoredKey", "StoredKeys"]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key in the keyring."""

    secret: Secret = field(repr=False)
    name: str = ""
    weight: float = 1.0
    origin: str = ""
    """Scheme, host and port that it is for; empty for the provider's public address."""
    added_at: float = 0.0
    """Unix time."""
    retires_at: float | None = None
    """Unix time; None for a key in full use."""


class StoredKeys:
    """The keys of all providers in one keyring; each provider's ring is one entry."""

    def __init__(self, keyring: Keyring, *, wall: Callable[[], float] = time.time) -> None:
        self._keyring = keyring
        self._wall = wall

    def of(self, provider: str) -> tuple[StoredKey, ...]:
        """Return a provider's keys without those past their retirement; `CredentialError` where they can't be read."""
        now = self._wall()
        return tuple(one for one in self._read(provider) if one.retires_at is None or one.retires_at > now)

    def set(
        self,
        provider: str,
        key: str | Secret,
        *,
        name: str = "",
        weight: float = 1.0,
        origin: str = "",
        add: bool = False,
    ) -> StoredKey:
        """Keep a key in place of the provider's others, or beside them with `add`."""
        try:
            secret = checked_key(key)
        except ValueError as error:
            reason = str(error)
        else:
            if weight <= 0:
                raise CredentialError(f"a key's weight is above 0, not {weight}")
            new = StoredKey(secret, name, weight, origin, self._wall())
            others = [one for one in self.of(provider) if one.secret != secret] if add else []
            self._write(provider, [*others, new])
            return new
        raise CredentialError(f"{provider}: {reason}")

    def rotate(self, provider: str, key: str | Secret, *, overlap: float = 86_400.0, origin: str = "") -> StoredKey:
        """Put a new key in use; the old ones serve for `overlap` seconds more, where the new one is refused."""
        old = self.of(provider)
        new = self.set(provider, key, name=old[0].name if old else "", origin=origin or (old[0].origin if old else ""))
        until = self._wall() + overlap
        retiring = [
            replace(one, retires_at=min(until, one.retires_at or until)) for one in old if one.secret != new.secret
        ]
        self._write(provider, [new, *retiring])
        return new

    def remove(self, provider: str, key_id: str | None = None) -> int:
        """Forget the key with this id or name, or all of the provider's; return how many that were."""
        old = self.of(provider)
        kept = [one for one in old if key_id is not None and key_id not in (one.secret.id, one.name)]
        if len(kept) == len(old):
            known = ", ".join(one.secret.id for one in old) or "none"
            raise CredentialError(f"no key {key_id!r} of {provider} in the keyring; kept: {known}")
        self._write(provider, kept)
        return len(old) - len(kept)

    def _read(self, provider: str) -> Sequence[StoredKey]:
        text = self._call(self._keyring.get_password, provider)
        if not text:
            return ()
        try:
            rows: list[dict[str, Any]] = json.loads(text)["keys"]
            return [StoredKey(Secret(row.pop("key")), **row) for row in rows]
        except (ValueError, KeyError, TypeError):
            pass
        raise CredentialError(
            f"the keyring's entry for {provider} is not aikit's; `aikit keys set {provider}` replaces it"
        )

    def _write(self, provider: str, keys: Sequence[StoredKey]) -> None:
        if not keys:
            self._call(self._keyring.delete_password, provider)
            return
        rows = [{"key": one.secret.reveal(), **_without_secret(one)} for one in keys]
        self._call(self._keyring.set_password, provider, json.dumps({"keys": rows}))

    def _call(self, function: Callable[..., Any], *arguments: str) -> Any:
        from keyring.errors import KeyringError

        try:
            return function(SERVICE, *arguments)
        except KeyringError as error:
            reason = str(error) or type(error).__name__
        except (OSError, ValueError) as error:
            reason = type(error).__name__
        raise CredentialError(f"the keyring can't be used: {reason}")


def _without_secret(key: StoredKey) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "secret"}
