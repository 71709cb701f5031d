"""The template language: Jinja2, sandboxed, undefined names are errors, values are plain and rendered once."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import PromptError

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["LONGEST_TEXT", "environment", "plain"]

LONGEST_TEXT = 10_000_000
"""Characters a template may make out of nothing by `*`: enough for any prompt, too few to fill the memory."""

_SCALARS = (str, int, float, bool, decimal.Decimal, datetime.date, datetime.time)
_DEEPEST = 50


def plain(value: Any, *, name: str, depth: int = 0) -> Any:
    """Return `value` as plain data (text, numbers, None, dates, lists, mappings), copied so that nobody can change it.

    numpy and pandas scalars become Python's. Raises PromptError for anything else: an object has methods, and a
    template could call them.
    """
    if value is None or type(value) in _SCALARS:
        return value
    if depth > _DEEPEST:
        raise PromptError(f"variable {name!r} is nested more than {_DEEPEST} deep")
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): plain(one, name=name, depth=depth + 1) for key, one in items}
    if isinstance(value, list | tuple):
        return [plain(one, name=name, depth=depth + 1) for one in cast("list[Any]", value)]
    if isinstance(value, _SCALARS):
        return _without_subclass(value)
    if hasattr(value, "tolist") and type(value).__module__.startswith("numpy"):
        return plain(value.tolist(), name=name, depth=depth + 1)
    raise PromptError(
        f"variable {name!r} is a {type(value).__name__}; a template takes text, numbers, booleans, dates, lists and "
        "mappings only: convert it first, with str(…) for instance"
    )


def _without_subclass(value: Any) -> Any:
    if isinstance(value, str):  # str() would call the subclass's own method
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime.datetime):  # a pandas Timestamp among them
        return datetime.datetime.fromisoformat(value.isoformat())
    if isinstance(value, datetime.date):
        return datetime.date.fromisoformat(value.isoformat())
    return value


@lru_cache(maxsize=1)
def _environment_class() -> type[Environment]:
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class PromptEnvironment(ImmutableSandboxedEnvironment):
        """A sandbox that also refuses to make huge values, and looks partials up by who includes them."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and isinstance(right, int | float) and abs(right) > 64:
                raise SecurityError("a power this large is not for prompts")
            if operator == "*":
                for one, times in ((left, right), (right, left)):
                    repeats = isinstance(times, int) and isinstance(one, str | list | tuple)
                    if repeats and len(cast("str", one)) * times > LONGEST_TEXT:
                        raise SecurityError(f"a value of more than {LONGEST_TEXT:,} characters")
            return super().call_binop(context, operator, left, right)

        def join_path(self, template: str, parent: str) -> str:
            # Each partial was saved with the versions of its own partials: a path keeps them apart.
            return f"{parent}\x1f{template}" if parent else template

    return PromptEnvironment


def environment(load: Callable[[str], str | None]) -> Environment:
    """Return a fresh environment whose includes are answered by `load(path)`; None says there is no such partial."""
    import jinja2

    made = _environment_class()(
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(load),
        autoescape=False,  # the output is a prompt, not HTML
        keep_trailing_newline=True,
        cache_size=50,
    )
    # `lipsum` is random and a known way out of older sandboxes; cycler and joiner hold state between renderings.
    untyped = cast("Any", made)
    names: dict[str, Any] = untyped.globals
    for name in ("lipsum", "cycler", "joiner"):
        names.pop(name, None)
    filters: dict[str, Any] = untyped.filters
    filters.pop("random", None)
    filters["tojson"] = _to_json
    return made


def _to_json(value: Any, indent: int | None = None) -> str:
    """Replace Jinja2's own filter, which writes < and & as \\u003c and \\u0026 for HTML's sake."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
