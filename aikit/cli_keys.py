"""`aikit keys`: keep, list, rotate, remove and test keys; none is ever printed."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from aikit.config import BUILT_IN, Config, ProviderConfig
from aikit.credentials import find_keys, open_keyring
from aikit.credentials.commands import keys_list, keys_remove, keys_rotate, keys_set, keys_test, usable_keyring
from aikit.errors import CredentialError

__all__ = ["add_keys"]


def add_keys(commands: Any) -> None:
    """Add `keys` and its actions to the command line."""
    keys = commands.add_parser("keys", help="keep, list, rotate, remove and test keys")
    actions = keys.add_subparsers(metavar="ACTION", required=True)
    setting = actions.add_parser("set", help="keep a key in the keyring; it is asked for, or read from standard input")
    setting.add_argument("provider")
    setting.add_argument("--name", default="", help="what to call it in lists")
    setting.add_argument("--weight", type=float, default=1.0, help="its share of the calls (default: 1)")
    setting.add_argument("--add", action="store_true", help="beside the keys there are, not in their place")
    setting.set_defaults(run=_set)
    rotating = actions.add_parser("rotate", help="put a new key in use; the old one stands by for a while")
    rotating.add_argument("provider")
    rotating.add_argument("--overlap", type=float, default=24.0, help="hours that the old key stands by (default: 24)")
    rotating.set_defaults(run=_rotate)
    removing = actions.add_parser("remove", help="forget a key, or all of a provider's")
    removing.add_argument("provider")
    removing.add_argument("--key", default=None, help="the key's id or name (default: all of them)")
    removing.set_defaults(run=_remove)
    listing = actions.add_parser("list", help="show which keys are in use, by their ids")
    listing.set_defaults(run=_list)
    testing = actions.add_parser("test", help="ask the providers whether they take the keys; costs nothing")
    testing.add_argument("provider", nargs="?", default=None)
    testing.set_defaults(run=_test)


def _asker() -> Callable[[str], str] | None:
    """Return how to ask for the passphrase: of a person only, or the key that is piped in would be taken for it."""
    return getpass.getpass if sys.stdin.isatty() else None


def _asked(provider: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return getpass.getpass(f"key for {provider} (not shown): ").strip()


def _origin(provider: str) -> str:
    return Config.load().settings.provider(provider).origin or ""


def _set(given: argparse.Namespace) -> int:
    origin = _origin(given.provider)
    keyring = usable_keyring(os.environ, ask=_asker())
    key_id = keys_set(
        given.provider,
        _asked(given.provider),
        keyring=keyring,
        name=given.name,
        weight=given.weight,
        origin=origin,
        add=given.add,
    )
    _say(f"kept the key {key_id} for {given.provider}; try it with: aikit keys test {given.provider}")
    return 0


def _rotate(given: argparse.Namespace) -> int:
    origin = _origin(given.provider)
    keyring = usable_keyring(os.environ, ask=_asker())
    key_id = keys_rotate(
        given.provider, _asked(given.provider), keyring=keyring, overlap=given.overlap * 3600, origin=origin
    )
    _say(f"{key_id} is in use for {given.provider}; the old key stands by for {given.overlap:g} h")
    return 0


def _remove(given: argparse.Namespace) -> int:
    keyring = usable_keyring(os.environ, ask=_asker())
    count = keys_remove(given.provider, keyring=keyring, key_id=given.key)
    _say(f"forgot {count} key{'' if count == 1 else 's'} of {given.provider}")
    return 0 if count else 1


def _providers(config: Config) -> Mapping[str, ProviderConfig]:
    return {name: config.settings.provider(name) for name in sorted({*config.settings.providers, *BUILT_IN})}


def _list(given: argparse.Namespace) -> int:
    config = Config.load()
    broken = _keyring_problem()
    rows = keys_list(_providers(config), environ=os.environ, folder=config.folder)
    if broken:
        print(f"aikit: keys of the keyring are not shown: {broken}", file=sys.stderr)  # noqa: T201 — a command's answer
    elif not rows:
        _say("no keys; keep one with: aikit keys set openai")
    for row in rows:
        name = f" ({row.name})" if row.name else ""
        place = f"{row.origin}{f' {row.where}' if row.where else ''}"
        _say(f"{row.provider:<12} {row.id}{name}  {row.state}  weight {row.weight:g}  from {place}")
    return int(bool(broken))


def _keyring_problem() -> str:
    """Return why the keyring can't be read; empty where it can, or where there is none."""
    try:
        open_keyring(os.environ)
    except CredentialError as error:
        return str(error)
    return ""


def _test(given: argparse.Namespace) -> int:
    config = Config.load()
    providers = _providers(config)
    wanted = {given.provider: config.settings.provider(given.provider)} if given.provider else providers
    worst, tested = 0, 0
    for name, provider in wanted.items():
        try:
            key = find_keys(name, provider, environ=os.environ, folder=config.folder).pick()
        except CredentialError as error:
            if given.provider:
                raise
            _ = error  # a built-in provider without a key is no finding
            continue
        found = keys_test(provider.kind, name, provider.base_url, key)
        tested += 1
        worst = max(worst, int(found.outcome in ("refused", "unreachable")))
        _say(f"{name:<12} {found.key_id}  {found.outcome}: {found.detail}")
    if not tested:
        _say("no keys to test; keep one with: aikit keys set openai")
    return worst


def _say(text: str) -> None:
    print(text)  # noqa: T201 — a command's answer
