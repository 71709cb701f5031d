"""Prompts as files: Markdown in a folder, out and in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aikit.errors import PromptError
from aikit.prompts.markdown import from_markdown, to_markdown
from aikit.prompts.names import checked_name, file_name
from aikit.prompts.templates import Body, Partial

if TYPE_CHECKING:
    from aikit.prompts.versions import PromptVersion

__all__ = ["Loaded", "read", "write"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A prompt as a file holds it."""

    name: str
    number: int | None
    """The number in the library it came from; None when the file does not say."""
    parent: int | None
    body: Body
    message: str
    variables: dict[str, Any]
    metadata: dict[str, Any]
    partials: dict[str, Partial]


def write(groups: Iterable[Sequence[PromptVersion]], folder: Path, *, every_version: bool) -> list[Path]:
    """Write the newest of each group of versions, or all of them, and return the paths; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for versions in groups:
        for version in versions if every_version else versions[-1:]:
            suffix = f".v{version.number}.md" if every_version else ".md"
            path = folder / file_name(version.name, suffix=suffix)
            path.write_text(to_markdown(version), encoding="utf-8", newline="")
            written.append(path)
    return written


def read(path: Path, *, name: str | None = None) -> list[Loaded]:
    """Read a file, or every `.md` file of a folder; versions of one prompt come in the order of their numbers."""
    paths = sorted(path.glob("*.md")) if path.is_dir() else [path]
    if not paths:
        raise PromptError(f"no .md file in {path}")
    loaded = [_read_one(one, name) for one in paths]
    return sorted(loaded, key=lambda one: (one.name, one.number or 0))


def _read_one(path: Path, name: str | None) -> Loaded:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PromptError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8 (byte {error.start})") from error
    try:
        document = from_markdown(text)
        head = {key: document.head.get(key) for key in ("version", "parent")}
        return Loaded(
            name=checked_name(name or document.name or path.name.removesuffix(".md")),
            number=head["version"] if isinstance(head["version"], int) else None,
            parent=head["parent"] if isinstance(head["parent"], int) else None,
            body=document.body,
            message=document.message,
            variables=document.variables,
            metadata=document.metadata,
            partials={key: Partial.from_json(one) for key, one in document.partials.items()},
        )
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise PromptError(f"{path}: the head's partials are not as aikit writes them") from error
