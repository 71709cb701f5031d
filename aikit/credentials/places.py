"""The places where a key may be kept: environment, operating system's keyring, `.env`."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from aikit.errors import CredentialError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

__all__ = ["Keyring", "open_keyring", "read_env_file", "variables_for"]

SERVICE = "aikit"
"""The service under which keys lie in the keyring."""

_ENV_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


class Keyring(Protocol):
    """What aikit needs of a keyring: `keyring.backend.KeyringBackend` has it."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return what is kept under a name; None where nothing is."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep something under a name, in place of what was there."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget what is kept under a name."""
        ...


def variables_for(provider: str) -> tuple[str, ...]:
    """Return the environment variables that may hold a provider's key, the first one wins."""
    name = re.sub(r"[^A-Z0-9]+", "_", provider.upper())
    return (f"AIKIT_{name}_API_KEY", f"{name}_API_KEY")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a `.env`; empty where there is none, `CredentialError` where others can read it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialError(f"{path} can't be looked at: {error.strerror}") from error
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise CredentialError(
            f"{path} can be read by others (mode {mode:04o}), so its keys are not used: chmod 600 {path}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
    else:
        return dict(_assignments(text))
    raise CredentialError(f"{path} can't be read: {reason}")


def _assignments(text: str) -> list[tuple[str, str]]:
    found = [_ENV_LINE.match(line) for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [(match[1], _unquoted(match[2])) for match in found if match]


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return re.split(r"\s+#", value, maxsplit=1)[0]


def open_keyring(
    environ: Mapping[str, str], *, ask: Callable[[str], str] | None = None, folder: Path | None = None
) -> Keyring | None:
    """Return the operating system's keyring, else the encrypted file of `keyrings.cryptfile`; None without either.

    The file's passphrase comes from `AIKIT_KEYRING_KEY` or from `ask`. A key is never written unencrypted.
    """
    return _system_keyring() or _encrypted_file(environ, ask, folder)


def _system_keyring() -> Keyring | None:
    import keyring
    from keyring.backends import chainer, fail, null

    backend: KeyringBackend = keyring.get_keyring()
    chained = getattr(backend, "backends", (backend,)) if isinstance(backend, chainer.ChainerBackend) else (backend,)
    for one in chained:
        plain = "plaintext" in type(one).__name__.lower() or "file" in type(one).__module__
        if not isinstance(one, fail.Keyring | null.Keyring) and not plain:
            return cast("Keyring", one)
    return None


def _encrypted_file(
    environ: Mapping[str, str], ask: Callable[[str], str] | None, folder: Path | None
) -> Keyring | None:
    passphrase = environ.get("AIKIT_KEYRING_KEY") or ""
    if not passphrase and ask is None:
        return None
    try:
        from keyrings.cryptfile.cryptfile import CryptFileKeyring  # pyright: ignore[reportMissingTypeStubs]  # it has none
    except ImportError:
        return None
    if not passphrase and ask is not None:
        passphrase = ask("Passphrase of aikit's key file: ")
    if not passphrase:
        return None
    import platformdirs

    place = folder or Path(platformdirs.user_data_dir("aikit", appauthor=False))
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    backend = cast("Any", CryptFileKeyring())  # untyped
    backend.file_path = str(place / "keys.cryptfile")
    backend.time_cost = 3  # RFC 9106's choice at 64 MiB; the library's 15 would cost a second at each use
    try:
        backend.keyring_key = passphrase
    except ValueError:
        opened = False
    else:
        opened = True
    if not opened:
        raise CredentialError(f"the passphrase does not open {backend.file_path}")
    return backend
