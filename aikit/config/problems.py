"""A problem with the settings: where it is, what it is, and what to do; never the value of a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, NoReturn, Union, get_args, get_origin

from aikit.errors import ConfigError, UnknownSetting, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["Path", "Problem", "dotted", "problems_of", "raise_problems"]

Path = tuple[str, ...]
"""The names from the root to a setting: `("providers", "openai", "timeouts", "progress")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings."""

    path: Path
    message: str
    unknown: bool = False
    """True when the name itself is not known."""
    place: str = ""
    """Where it was said, such as `aikit.toml, line 3`; empty when not known."""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{dotted(self.path)}: {self.message}" if self.path else f"{where}{self.message}"


def dotted(path: Sequence[str]) -> str:
    """Return the path as it is written in TOML, names with odd characters quoted."""
    return ".".join(name if _is_bare(name) else _quoted(name) for name in path)


def _quoted(name: str) -> str:
    shown = name if name.isprintable() else name.encode("unicode_escape").decode()
    return f'"{shown}"'


def _is_bare(name: str) -> bool:
    return name.isascii() and name.replace("-", "_").replace("_", "a").isalnum()


def raise_problems(problems: Sequence[Problem]) -> NoReturn:
    """Raise `UnknownSetting` when all problems are unknown names, else `ConfigError`, with one line for each."""
    kind = UnknownSetting if all(problem.unknown for problem in problems) else ConfigError
    raise kind("\n".join(map(str, problems)))


def problems_of(error: ValidationError, model: type[BaseModel], prefix: Path = ()) -> list[Problem]:
    """Say what pydantic found, in our words, without the values: one of them may be a key."""
    found = [_problem(details, model, prefix) for details in error.errors(include_input=False, include_url=False)]
    return list({problem.path: problem for problem in reversed(found)}.values())[::-1]


def _problem(details: Any, model: type[BaseModel], prefix: Path) -> Problem:
    # A union's members add their own names to the location: they are not part of the setting's path.
    names = tuple(str(name) for name in details["loc"] if not _is_union_label(name))
    path = prefix + names
    if details["type"] == "extra_forbidden":
        known = sorted(_fields_at(model, names[:-1]))
        return Problem(path, f"unknown setting{did_you_mean(names[-1], known)}; known here: {', '.join(known)}", True)
    return Problem(path, _plain(details["msg"]))


def _is_union_label(name: str | int) -> bool:
    return isinstance(name, str) and name.startswith("<")


def _plain(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text[:1].lower() + text[1:] if text.startswith("Input ") else text


def _fields_at(model: type[BaseModel], names: Iterable[str]) -> Iterable[str]:
    """Return the names known at a path below a model; none where it holds a plain mapping."""
    here: Any = model
    for name in names:
        fields = getattr(here, "model_fields", None)
        here = _inner(fields[name].annotation if fields and name in fields else here)
    return getattr(here, "model_fields", {})


def _inner(annotation: Any) -> Any:
    """Return the model inside `X | None`, `dict[str, X]` or `tuple[X, ...]`; else the annotation itself."""
    origin = get_origin(annotation)
    if origin is None:
        return annotation
    candidates = [_inner(one) for one in get_args(annotation) if one is not type(None)]
    if origin in (Union, UnionType):
        return next((one for one in candidates if hasattr(one, "model_fields")), annotation)
    return next((one for one in reversed(candidates) if hasattr(one, "model_fields")), annotation)
