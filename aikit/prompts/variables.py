"""A template's variable: its type, its default, an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from aikit.errors import PromptError, did_you_mean
from aikit.prompts.sandbox import plain

__all__ = ["Variable", "as_variables"]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "any": object,
    "bool": bool,
    "dict": dict,
    "float": (int, float),
    "int": int,
    "list": list,
    "str": str,
}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()


@dataclass(frozen=True, slots=True)
class Variable:
    """What is said about one variable of a template."""

    type: str = "any"
    """`any`, `str`, `int`, `float`, `bool`, `list` or `dict`."""
    default: Any = ABSENT
    """Used where no value is given; the variable is required when there is none."""
    example: Any = ABSENT
    """Used for previews and estimates."""
    choices: tuple[Any, ...] | None = None
    """The only values taken; None when any will do."""
    description: str = ""

    def check(self, name: str, value: Any) -> Any:
        """Return the value as this variable's type; text becomes a number or a boolean. Raises PromptError."""
        taken = self._converted(name, plain(value, name=name))
        if self.choices is not None and taken not in self.choices:
            hint = did_you_mean(str(taken), map(str, self.choices))
            raise PromptError(f"variable {name!r} takes one of {list(self.choices)}, not {taken!r}{hint}")
        return taken

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is absent is left out."""
        data: dict[str, Any] = {"type": self.type}
        for key in ("default", "example"):
            if getattr(self, key) is not ABSENT:
                data[key] = plain(getattr(self, key), name=key)
        if self.choices is not None:
            data["choices"] = plain(list(self.choices), name="choices")
        return data | ({"description": self.description} if self.description else {})

    def _converted(self, name: str, value: Any) -> Any:
        wanted = _TYPES[self.type]
        if self.type == "any" or (isinstance(value, wanted) and (self.type == "bool" or not isinstance(value, bool))):
            return value
        text = value.strip().lower() if isinstance(value, str) else ""
        try:
            if self.type in ("int", "float") and text:
                return int(text) if self.type == "int" else float(text)
        except ValueError:
            pass  # said below, with the other mismatches
        if self.type == "bool" and text in (*_TRUE, *_FALSE):
            return text in _TRUE
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "…"
        raise PromptError(f"variable {name!r} is declared {self.type}, not {type(value).__name__} ({shown})")


def as_variables(declared: Mapping[str, Any] | None, defaults: Mapping[str, Any] | None) -> dict[str, Variable]:
    """Return the declared variables: each given as a `Variable`, a type, a type's name, or a mapping of its fields."""
    made = {str(name): _as_variable(name, one) for name, one in (declared or {}).items()}
    for name, value in (defaults or {}).items():
        before = made.get(name, Variable())
        made[name] = Variable(before.type, value, before.example, before.choices, before.description)
    for name, one in made.items():
        if one.default is not ABSENT:
            one.check(name, one.default)
        if one.example is not ABSENT:
            one.check(name, one.example)
    return made


def _as_variable(name: str, one: Any) -> Variable:
    if isinstance(one, Variable):
        made = one
    elif isinstance(one, type):
        made = Variable(one.__name__)
    elif isinstance(one, str):
        made = Variable(one)
    elif isinstance(one, Mapping):
        fields = dict(cast("Mapping[str, Any]", one))
        unknown = set(fields) - {"type", "default", "example", "choices", "description"}
        if unknown:
            raise PromptError(f"variable {name!r}: no setting {sorted(unknown)[0]!r}")
        if fields.get("choices") is not None:
            fields["choices"] = tuple(fields["choices"])
        made = Variable(**fields)
    else:
        raise PromptError(f"variable {name!r} is declared by a {type(one).__name__}; write a type, or a mapping")
    if made.type not in _TYPES:
        hint = did_you_mean(made.type, _TYPES)
        raise PromptError(f"variable {name!r}: no type {made.type!r}; types: {', '.join(sorted(_TYPES))}{hint}")
    return made
