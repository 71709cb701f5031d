"""Finding a provider's keys: explicit > environment > keyring > `.env`, each bound to where it may be sent."""

from __future__ import annotations

import os
import random as _random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aikit.credentials.places import Keyring, open_keyring, read_env_file, variables_for
from aikit.credentials.ring import Key, KeyRing
from aikit.credentials.ring import Origin as Found
from aikit.credentials.stored import StoredKeys
from aikit.errors import CredentialError
from aikit.secret import Secret, checked_key

__all__ = ["NeedsKey", "find_keys", "public_origin"]

_PUBLIC = {"openai": "https://api.openai.com:443", "anthropic": "https://api.anthropic.com:443"}
"""Where the key in a provider's own variable, such as OPENAI_API_KEY, may be sent."""


class NeedsKey(Protocol):
    """What is asked of a provider's settings: `aikit.ProviderConfig` has it."""

    @property
    def kind(self) -> str: ...
    @property
    def api_key(self) -> Any: ...
    @property
    def origin(self) -> str | None: ...


def public_origin(kind: str) -> str | None:
    """Return the origin to which the key in a kind's own variable belongs; None for a kind without one."""
    return _PUBLIC.get(kind)


def find_keys(
    provider: str,
    config: NeedsKey,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    keyring: Callable[[], Keyring | None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    random: _random.Random | None = None,
) -> KeyRing:
    """Return the provider's ring, from the first place that has a key for its address; empty where none has.

    `folder` is where `.env` lies, by default the working directory. Picking from an empty ring raises
    `CredentialError`, which says where a key can be put. Raises `CredentialError` for a key that no header can hold
    and for a `.env` that others can read.
    """
    places = _Places(
        os.environ if environ is None else environ,
        folder or Path.cwd(),
        keyring or (lambda: open_keyring(os.environ if environ is None else environ)),
    )

    def look() -> list[Key]:
        return _look(provider, config, places, [])

    elsewhere: list[str] = []
    keys = _look(provider, config, places, elsewhere)
    missing = "" if keys else _missing(provider, config.origin or "", elsewhere)
    return KeyRing(provider, keys, refresh=look, missing=missing, clock=clock, random=random)


@dataclass(frozen=True, slots=True)
class _Places:
    environ: Mapping[str, str]
    folder: Path
    keyring: Callable[[], Keyring | None]


def _look(provider: str, config: NeedsKey, places: _Places, elsewhere: list[str]) -> list[Key]:
    """Return the keys of the first place that has any; note in `elsewhere` those that belong to another address."""
    if config.api_key is not None:
        return _explicit(config.api_key)
    if config.origin is None:
        return []
    env_file = places.folder / ".env"
    return (
        _from_variables(provider, config, places.environ, "environment", "", elsewhere)
        or _from_keyring(provider, config, places.keyring, elsewhere)
        or _from_variables(provider, config, read_env_file(env_file), ".env", str(env_file), elsewhere)
    )


def _explicit(value: Any) -> list[Key]:
    if isinstance(value, Secret):
        return [Key(value.id, value)]
    return [Key(one.key.id, one.key, one.weight, name=one.name or "") for one in value]


def _from_variables(
    provider: str, config: NeedsKey, variables: Mapping[str, str], found: Found, file: str, elsewhere: list[str]
) -> list[Key]:
    place = file or "the environment"
    ours, providers_own = variables_for(provider)
    if variables.get(ours, "").strip():
        return [_key(ours, variables[ours], found, file)]
    if not variables.get(providers_own, "").strip():
        return []
    belongs_to = _PUBLIC.get(provider, config.origin)
    if belongs_to != config.origin:
        elsewhere.append(f"{providers_own} in {place} is for {belongs_to}; {ours} would be sent to {config.origin}")
        return []
    return [_key(providers_own, variables[providers_own], found, file)]


def _key(variable: str, text: str, found: Found, file: str) -> Key:
    try:
        secret = checked_key(text)
    except ValueError as error:
        reason = str(error)
    else:
        return Key(secret.id, secret, origin=found, where=f"{file}: {variable}" if file else variable)
    raise CredentialError(f"{variable} in {file or 'the environment'}: {reason}")


def _from_keyring(
    provider: str, config: NeedsKey, keyring: Callable[[], Keyring | None], elsewhere: list[str]
) -> list[Key]:
    opened = keyring()
    if opened is None:
        return []
    try:
        stored = StoredKeys(opened).of(provider)
    except CredentialError as error:
        elsewhere.append(str(error))  # a locked keyring must not hide the key in `.env`
        return []
    keys: list[Key] = []
    for one in stored:
        belongs_to = one.origin or _PUBLIC.get(provider, config.origin)
        if belongs_to != config.origin:
            elsewhere.append(f"key {one.secret.id} in the keyring is for {belongs_to}")
            continue
        keys.append(Key(one.secret.id, one.secret, one.weight, "keyring", one.name, retires_at=one.retires_at))
    return keys


def _missing(provider: str, origin: str, elsewhere: list[str]) -> str:
    ours, providers_own = variables_for(provider)
    variable = providers_own if _PUBLIC.get(provider, origin) == origin else ours
    seen = f" ({'; '.join(elsewhere)})" if elsewhere else ""
    return (
        f"no key for {provider} at {origin}{seen}: run `aikit keys set {provider}`, or set {variable} in the"
        f" environment or in .env, or api_key under [providers.{provider}]"
    )
