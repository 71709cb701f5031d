"""A prompt's name: what it may be, how it is written in a reference, which file it gets."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from aikit.errors import PromptError

__all__ = ["checked_label", "checked_name", "file_name", "split_reference"]

LONGEST_NAME = 200
_PLAIN_FILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
# Windows keeps these for devices, whatever the extension.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def checked_name(name: object) -> str:
    """Return the name in Unicode's composed form; raises PromptError for one that could not be written or shown."""
    if not isinstance(name, str) or not name.strip():
        raise PromptError(f"a prompt's name is text that is not empty, not {name!r}")
    composed = unicodedata.normalize("NFC", name)
    if composed != composed.strip() or len(composed) > LONGEST_NAME:
        raise PromptError(f"a prompt's name has no space at its ends and at most {LONGEST_NAME} characters")
    if "@" in composed:
        raise PromptError(f"{composed!r} can't be a prompt's name: what follows an @ is a label")
    for character in composed:
        # Cc control characters (NUL, line ends), Cs lone surrogates, Cf invisible ones that reorder what is shown.
        if unicodedata.category(character) in ("Cc", "Cs", "Cf", "Zl", "Zp"):
            raise PromptError(f"a prompt's name can't hold the invisible character U+{ord(character):04X}")
    return composed


def checked_label(label: object) -> str:
    """Return the label; raises PromptError for `latest`, numbers, and what is not letters, digits, `_`, `-`, `.`."""
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise PromptError(f"a label starts with a letter and holds letters, digits, '_', '-' and '.', not {label!r}")
    if label == "latest":
        raise PromptError("'latest' is always the newest version; choose another label")
    return label


def split_reference(reference: str) -> tuple[str, str | int | None]:
    """Return the name and what follows its `@`: a label, a version's number, or None for the newest version."""
    name, at, after = reference.partition("@")
    if not at or after == "latest":
        return checked_name(name), None
    if after.isascii() and after.isdigit():
        return checked_name(name), int(after)
    return checked_name(name), checked_label(after)


def file_name(name: str, *, suffix: str = ".md") -> str:
    """Return a file name for a prompt that is valid, and different for different names, on every file system.

    A name of lower-case letters, digits, `_` and `-` is its own file name; any other gets a part of its hash.
    """
    if _PLAIN_FILE.fullmatch(name) and name not in _DEVICES:
        return name + suffix
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:60] or "prompt"
    return f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:10]}{suffix}"
