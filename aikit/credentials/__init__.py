"""The credentials: keys found, kept and picked; nothing here shows one."""

from aikit.credentials.commands import keys_list, keys_remove, keys_rotate, keys_set, keys_test
from aikit.credentials.finding import NeedsKey, find_keys, public_origin
from aikit.credentials.places import Keyring, open_keyring, read_env_file, variables_for
from aikit.credentials.ring import Key, KeyRing, KeyState
from aikit.credentials.stored import StoredKey, StoredKeys

__all__ = [
    "Key",
    "KeyRing",
    "KeyState",
    "Keyring",
    "NeedsKey",
    "StoredKey",
    "StoredKeys",
    "find_keys",
    "keys_list",
    "keys_remove",
    "keys_rotate",
    "keys_set",
    "keys_test",
    "open_keyring",
    "public_origin",
    "read_env_file",
    "variables_for",
]
