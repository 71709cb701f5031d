"""The commands `aikit keys set|list|rotate|remove|test`: plain functions that return rows and never a key."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from aikit.credentials.finding import NeedsKey, find_keys
from aikit.credentials.places import Keyring, open_keyring
from aikit.credentials.ring import Key, KeyState
from aikit.credentials.stored import StoredKeys
from aikit.errors import CredentialError
from aikit.secret import Scrubber, Secret

__all__ = ["KeyTest", "keys_list", "keys_remove", "keys_rotate", "keys_set", "keys_test", "usable_keyring"]

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class KeyTest:
    """What a provider said to a key."""

    provider: str
    key_id: str
    outcome: Literal["accepted", "refused", "not tested", "unreachable"]
    status: int | None
    """HTTP status; None without an answer."""
    detail: str
    """What happened, for people; never the key."""
    skew: float | None = None
    """Seconds by which this machine's clock is ahead of the server's; None where it did not tell its time."""


def usable_keyring(environ: Mapping[str, str], *, ask: Callable[[str], str] | None = None) -> Keyring:
    """Return the keyring to keep keys in; `CredentialError` says how to get one."""
    found = open_keyring(environ, ask=ask)
    if found is not None:
        return found
    raise CredentialError(
        "this machine has no usable keyring: `pip install 'aikit[keys]'` and set AIKIT_KEYRING_KEY to a passphrase for"
        " an encrypted file, or put the key into the environment or a .env of mode 0600"
    )


def keys_set(
    provider: str,
    key: str | Secret,
    *,
    keyring: Keyring,
    name: str = "",
    weight: float = 1.0,
    origin: str = "",
    add: bool = False,
) -> str:
    """Keep a key in the keyring, in place of the provider's others or beside them; return its id."""
    return StoredKeys(keyring).set(provider, key, name=name, weight=weight, origin=origin, add=add).secret.id


def keys_rotate(
    provider: str, key: str | Secret, *, keyring: Keyring, overlap: float = 86_400.0, origin: str = ""
) -> str:
    """Put a new key in use and let the old ones serve `overlap` seconds more where it is refused; return its id."""
    return StoredKeys(keyring).rotate(provider, key, overlap=overlap, origin=origin).secret.id


def keys_remove(provider: str, *, keyring: Keyring, key_id: str | None = None) -> int:
    """Forget one key by id or name, or all of the provider's; return how many were forgotten."""
    return StoredKeys(keyring).remove(provider, key_id)


def keys_list(
    providers: Mapping[str, NeedsKey],
    *,
    environ: Mapping[str, str],
    folder: Path,
    keyring: Callable[[], Keyring | None] | None = None,
) -> list[KeyState]:
    """Return one row for each key in use by these providers; one without a key is left out."""
    rows: list[KeyState] = []
    for provider, config in providers.items():
        try:
            ring = find_keys(provider, config, environ=environ, folder=folder, keyring=keyring)
        except CredentialError:
            continue
        rows += ring.state()
    return rows


def keys_test(kind: str, provider: str, base_url: str | None, key: Key, *, timeout: float = _TIMEOUT) -> KeyTest:
    """Ask the provider for its list of models, which costs nothing, and say whether it took the key.

    Blocks up to `timeout` seconds. Redirects are not followed: the key would go with them.
    """
    if base_url is None:
        return KeyTest(provider, key.id, "not tested", None, "no key is needed")
    address, headers = _free_request(kind, base_url, key.secret)
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    try:
        with opener.open(urllib.request.Request(address, headers=headers), timeout=timeout) as response:  # noqa: S310 — http(s) only, checked by the settings
            skew = _skew(response.headers.get("date", ""))
            return KeyTest(provider, key.id, "accepted", response.status, "the list of models came back", skew)
    except urllib.error.HTTPError as error:
        error.close()
        return _judged(provider, key, error.code)
    except (OSError, ValueError) as error:
        reason = Scrubber([key.secret]).text(str(getattr(error, "reason", None) or error))
        return KeyTest(provider, key.id, "unreachable", None, reason)


def _free_request(kind: str, base_url: str, key: Secret) -> tuple[str, dict[str, str]]:
    if kind == "anthropic":
        headers = {"x-api-key": key.reveal(), "anthropic-version": "2023-06-01"}
        return f"{base_url.removesuffix('/v1')}/v1/models", headers
    path = "/api/tags" if kind == "ollama" else "/models"
    return base_url + path, {"Authorization": f"Bearer {key.reveal()}"}


def _skew(date: str) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _judged(provider: str, key: Key, status: int) -> KeyTest:
    if status in (401, 403):
        return KeyTest(provider, key.id, "refused", status, "the provider refused the key")
    if status in (301, 302, 303, 307, 308):
        return KeyTest(
            provider, key.id, "not tested", status, "the server redirects elsewhere; the key was not sent there"
        )
    if status == 404:
        return KeyTest(provider, key.id, "not tested", status, "the server has no list of models")
    if status == 429:
        return KeyTest(provider, key.id, "accepted", status, "the provider asks to slow down")
    return KeyTest(provider, key.id, "unreachable", status, f"the server answered {status}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        """Follow nothing."""
        return
