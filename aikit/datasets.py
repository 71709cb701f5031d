"""The datasets that travel with aikit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from aikit.errors import DatasetError, did_you_mean

__all__ = ["names", "path"]

_SUFFIXES = (".csv", ".json", ".jsonl")


def names() -> tuple[str, ...]:
    """Return the file names of the shipped datasets."""
    return tuple(sorted(file.name for file in _folder().iterdir() if file.suffix in _SUFFIXES))


def path(name: str) -> Path:
    """Return a shipped dataset's file; `sentiment` and `sentiment.csv` are the same.

    Raises `DatasetError` with the nearest names.
    """
    known = names()
    for candidate in (name, *(name + suffix for suffix in _SUFFIXES)):
        if candidate in known:
            return _folder() / candidate
    raise DatasetError(
        f"no dataset {name!r} comes with aikit{did_you_mean(name, known)}; there are: {', '.join(known)}"
    )


def _folder() -> Path:
    package = Path(str(resources.files("aikit")))
    # A wheel carries the data inside the package; a checkout has it beside the package.
    for folder in (package / "_data", package.parent / "data"):
        if (folder / "README.md").is_file():
            return folder
    raise DatasetError(f"the datasets of aikit are missing from its installation in {package}: install it again")
