"""A version of a prompt: a template that never changes, with its number, its parent and its message."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from aikit.messages import Message
from aikit.prompts.templates import Body, Partial, Template, parts_of
from aikit.prompts.variables import ABSENT, Variable

if TYPE_CHECKING:
    from aikit.prompts.diffs import Diff
    from aikit.prompts.lint import Finding

__all__ = ["PromptVersion", "content_hash", "shown"]


def content_hash(body: Body, variables: Mapping[str, Variable], partials: Mapping[str, Partial]) -> str:
    """Return the SHA-256 of what decides how a version renders: its template, variables and partials."""
    content = {
        "template": body if isinstance(body, str) else [[one.role, one.content] for one in body],
        "variables": {name: one.to_json() for name, one in variables.items()},
        "partials": {name: one.to_json() for name, one in partials.items()},
    }
    # ASCII escapes keep lone surrogates apart from each other and hashable.
    encoded = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(encoded.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """One version of a prompt, as the store keeps it; render it, or hand it to `ask` with its variables."""

    name: str
    number: int
    """Counted from 1 within the name."""
    template: Body
    """Text, or a tuple of messages whose contents are templates."""
    hash: str
    """SHA-256 of the content; equal for equal content, whatever the name."""
    parent: int | None = None
    """Number of the version it was made from; None for the first."""
    message: str = ""
    """What changed and why, in its author's words."""
    created_at: datetime | None = None
    """Aware UTC; None for a version that was never saved."""
    declared: Mapping[str, Variable] = field(default_factory=dict[str, Variable])
    """Types, defaults and examples, by variable; a template may use variables that nobody declared."""
    partials: Mapping[str, Partial] = field(default_factory=dict[str, Partial], repr=False)
    """The included templates as they were when this version was saved."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever its author keeps with it; does not alter the rendering."""
    tags: tuple[str, ...] = ()
    """Tags for calls made with it; empty unless a live split dealt it."""
    _template: list[Template] = field(default_factory=list[Template], init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash((self.name, self.number, self.hash))

    @property
    def id(self) -> str:
        """The version's id in the log: the same wherever the same content is saved under the same name."""
        return hashlib.sha256(f"{self.name}\0{self.hash}".encode()).hexdigest()[:32]

    @property
    def label(self) -> str:
        """Name and number, to be read: `classify v2`."""
        return f"{self.name} v{self.number}"

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the template, in the order of their first use."""
        return self._compiled().variables

    @property
    def required(self) -> tuple[str, ...]:
        """The variables that need a value: those without a default."""
        compiled = self._compiled()
        with_default = {name for name, one in self.declared.items() if one.default is not ABSENT}
        return tuple(one for one in compiled.variables if one not in compiled.optional and one not in with_default)

    @property
    def is_chat(self) -> bool:
        """True when the template is a list of messages."""
        return not isinstance(self.template, str)

    def render(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> str | tuple[Message, ...]:
        """Return the prompt with the values filled in: text, or messages for a chat template.

        Values are data: braces inside them stay as they are. Values the template does not use are left out.
        Raises PromptError, naming the variable, where one is missing, of another type, or no plain value.
        """
        texts = self._texts({**(values or {}), **named})
        if isinstance(self.template, str):
            return texts[0]
        return tuple(Message(turn.role, text) for turn, text in zip(self.template, texts, strict=True))

    def messages(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> tuple[Message, ...]:
        """Return the rendered prompt as messages; a text template becomes one user message."""
        rendered = self.render(values, **named)
        return (Message("user", rendered),) if isinstance(rendered, str) else rendered

    def examples(self) -> dict[str, Any]:
        """Return a value for each variable, for previews: its example, its default, or its name in angle brackets."""
        found: dict[str, Any] = {}
        for name in self.variables:
            one = self.declared.get(name, Variable())
            known = [value for value in (one.example, one.default, *(one.choices or ())) if value is not ABSENT]
            found[name] = known[0] if known else f"<{name}>"
        return found

    def diff(self, other: PromptVersion) -> Diff:
        """Return what changed from `other` to this version."""
        from aikit.prompts.diffs import Diff

        return Diff.between(other, self)

    def lint(self) -> tuple[Finding, ...]:
        """Return what looks wrong in the template, the worst first; empty when nothing does."""
        from aikit.prompts.lint import lint

        return lint(self)

    def to_markdown(self) -> str:
        """Return the version as a Markdown document with a YAML head, as `Prompts.load` reads it."""
        from aikit.prompts.markdown import to_markdown

        return to_markdown(self)

    def _compiled(self) -> Template:
        if not self._template:
            self._template.append(Template(self.template, self.partials, label=f"prompt {self.name!r} v{self.number}"))
        return self._template[0]

    def _texts(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        compiled = self._compiled()
        values: dict[str, Any] = {}
        for name in compiled.variables:
            one = self.declared.get(name)
            value = given.get(name, one.default if one else ABSENT)
            if value is not ABSENT:
                values[name] = one.check(name, value) if one else value
        return compiled.render(values, offered=given)

    def _repr_html_(self) -> str:
        parts = parts_of(self.template)
        roles = ("",) if isinstance(self.template, str) else tuple(turn.role for turn in self.template)
        body = "".join(
            f'<div style="opacity:.7">{html.escape(role)}</div>'
            f'<pre dir="auto" style="white-space:pre-wrap;margin:0 0 .5em">{html.escape(shown(text))}</pre>'
            for role, text in zip(roles, parts, strict=True)
        )
        names = ", ".join(self.variables) or "none"
        about = f"{self.label} · {self.hash[:10]} · variables: {names}" + (f" · {self.message}" if self.message else "")
        return f'<div class="aikit-prompt"><div><b>{html.escape(shown(about))}</b></div>{body}</div>'

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def __str__(self) -> str:
        if isinstance(self.template, str):
            body = self.template
        else:
            body = "\n".join(f"[{turn.role}] {cast('str', turn.content)}" for turn in self.template)
        return f"{self.label} ({self.hash[:10]}){': ' + self.message if self.message else ''}\n{body}"


def shown(text: str) -> str:
    """Return the text as a page can carry it: lone surrogates and NUL become the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
