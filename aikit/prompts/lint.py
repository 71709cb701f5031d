"""What looks wrong in a template, before a call is paid for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aikit.errors import did_you_mean
from aikit.prompts.templates import parts_of

if TYPE_CHECKING:
    from aikit.prompts.versions import PromptVersion

__all__ = ["Finding", "lint", "static_after_first_variable"]

LONG_STATIC = 1_000
"""Characters after the first variable from which the order is worth a word: about 250 tokens a call."""

_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_FOREIGN = {
    "an f-string's or LangChain's {name}": re.compile(r"(?<![{$\\])\{([A-Za-z_]\w*)\}(?!\})"),
    "a shell's ${name}": re.compile(r"\$\{([A-Za-z_]\w*)\}"),
    "Mustache's {{{name}}}": re.compile(r"\{\{\{\s*([A-Za-z_]\w*)\s*\}\}\}"),
    "Handlebars' {{#name}}": re.compile(r"\{\{[#/^>]\s*([A-Za-z_]\w*)[^}]*\}\}"),
    "[[name]]": re.compile(r"\[\[\s*([A-Za-z_]\w*)\s*\]\]"),
    "<<name>>": re.compile(r"<<\s*([A-Za-z_]\w*)\s*>>"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that looks wrong."""

    rule: str
    """`undeclared-variable`, `unused-variable`, `foreign-braces`, `static-after-dynamic`, `no-variable`,
    `empty`, `trailing-space`."""
    level: Literal["error", "warning", "note"]
    sentence: str
    part: int = 1
    """Number of the chat turn, counted from 1; 1 for text."""

    def __str__(self) -> str:
        return f"{self.level}: {self.sentence} [{self.rule}]"


def lint(version: PromptVersion) -> tuple[Finding, ...]:
    """Return the findings of every rule, errors first; empty when nothing looks wrong."""
    rules: tuple[Callable[[PromptVersion], Iterator[Finding]], ...] = (
        _undeclared,
        _unused,
        _foreign_braces,
        _static_after_dynamic,
        _empty,
        _trailing_space,
    )
    found = [finding for rule in rules for finding in rule(version)]
    return tuple(sorted(found, key=lambda one: ("error", "warning", "note").index(one.level)))


def static_after_first_variable(version: PromptVersion) -> tuple[str, str]:
    """Return the fixed text before the first variable, and the fixed text behind it."""
    before, after = "", ""
    found = False
    for part in parts_of(version.template):
        pieces = _EXPRESSION.split(part) if found else _EXPRESSION.split(part, maxsplit=1)
        if found:
            after += "".join(pieces)
            continue
        before += pieces[0]
        if len(pieces) > 1:
            found = True
            after += _EXPRESSION.sub("", pieces[1])
    return before, after


def _undeclared(version: PromptVersion) -> Iterator[Finding]:
    if not version.declared:
        return
    for name in version.variables:
        if name not in version.declared:
            hint = did_you_mean(name, version.declared)
            yield Finding("undeclared-variable", "error", f"the template uses {name!r}, which is not declared{hint}")


def _unused(version: PromptVersion) -> Iterator[Finding]:
    for name in version.declared:
        if name not in version.variables:
            hint = did_you_mean(name, version.variables)
            yield Finding("unused-variable", "warning", f"{name!r} is declared, and the template never uses it{hint}")


def _foreign_braces(version: PromptVersion) -> Iterator[Finding]:
    for number, part in enumerate(parts_of(version.template), start=1):
        outside = _EXPRESSION.sub("", part)
        for system, pattern in _FOREIGN.items():
            text = part if system.startswith(("Mustache", "Handlebars")) else outside
            for match in pattern.finditer(text):
                said = (
                    f"{match.group(0)!r} looks like {system}: it is sent as it stands; write {{{{ {match.group(1)} }}}}"
                )
                yield Finding("foreign-braces", "warning", said, number)


def _static_after_dynamic(version: PromptVersion) -> Iterator[Finding]:
    """Providers cache the prefix that calls have in common: what follows the first variable is paid in full."""
    parts = parts_of(version.template)
    first = next((number for number, part in enumerate(parts) if _EXPRESSION.search(part)), 0)
    static = len(static_after_first_variable(version)[1])
    if static >= LONG_STATIC:
        yield Finding(
            "static-after-dynamic",
            "note",
            f"{static:,} fixed characters come after the first variable; put in front of it, a provider can cache them",
            first + 1,
        )


def _empty(version: PromptVersion) -> Iterator[Finding]:
    for number, part in enumerate(parts_of(version.template), start=1):
        if not part.strip():
            yield Finding(
                "empty", "error", "the template is empty" if number == 1 else f"turn {number} is empty", number
            )
    if not version.variables:
        yield Finding("no-variable", "note", "the template has no variable: every sample gets the same prompt")


def _trailing_space(version: PromptVersion) -> Iterator[Finding]:
    for number, part in enumerate(parts_of(version.template), start=1):
        if part.endswith((" ", "\t")):
            yield Finding("trailing-space", "note", "a space at the end changes how models go on; is it meant?", number)
