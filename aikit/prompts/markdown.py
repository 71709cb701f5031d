"""A prompt as a Markdown file: a YAML head, then the template; chat turns under `## role` headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from aikit.errors import PromptError
from aikit.messages import Message, Role
from aikit.prompts.head import read_head, write_head
from aikit.prompts.templates import Body, as_body

if TYPE_CHECKING:
    from aikit.prompts.versions import PromptVersion

__all__ = ["Document", "from_markdown", "to_markdown"]

_ROLES = "|".join(get_args(Role))
_HEADING = re.compile(rf"^## ({_ROLES})$", re.MULTILINE)
# A line of the text that would be taken for a heading gets a backslash, and one more where it has some already.
_TO_ESCAPE = re.compile(rf"^(\\*## (?:{_ROLES}))$", re.MULTILINE)
_ESCAPED = re.compile(rf"^\\(\\*## (?:{_ROLES}))$", re.MULTILINE)
# What UTF-8 or an editor would not give back as it was: NUL and its like, lone surrogates, carriage returns.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ud800-\udfff\ufeff]")
_OWN_KEYS = ("name", "version", "parent", "message", "hash", "type", "variables", "template", "partials")


@dataclass(frozen=True, slots=True)
class Document:
    """What a Markdown file says about a prompt."""

    name: str | None
    """None when the head has no name: the file's own name serves."""
    body: Body
    message: str
    variables: dict[str, Any]
    metadata: dict[str, Any]
    """The head's keys that aikit does not know."""
    partials: dict[str, Any]
    head: dict[str, Any]
    """The whole head as it was read."""


def to_markdown(version: PromptVersion) -> str:
    """Return the version as a document; the text can be edited by hand and read back."""
    body = version.template
    head: dict[str, Any] = {key: value for key, value in version.metadata.items() if key not in _OWN_KEYS}
    head |= {"name": version.name, "version": version.number, "hash": version.hash}
    if version.parent is not None:
        head["parent"] = version.parent
    if version.message:
        head["message"] = version.message
    if version.declared:
        head["variables"] = {name: one.to_json() for name, one in version.declared.items()}
    if version.partials:
        head["partials"] = {name: one.to_json() for name, one in version.partials.items()}
    text, encoded = _written(body)
    if encoded is not None:
        head["template"] = encoded
    elif not isinstance(body, str):
        head["type"] = "chat"
    return f"---\n{write_head(head)}---\n{text}"


def from_markdown(text: str) -> Document:
    """Read a document; one without a head is a text template as a whole. Raises PromptError."""
    text = text.removeprefix("\ufeff")
    if not text.startswith(("---\n", "---\r\n")):
        return Document(None, _less_one_newline(text), "", {}, {}, {}, {})
    lines = text.replace("\r\n", "\n") if text.startswith("---\r\n") else text  # an editor on Windows saved it
    end = re.search(r"^---[ \t]*(\n|\Z)", lines[4:], re.MULTILINE)
    if end is None:
        raise PromptError("the head is never closed: put a line of three dashes after it")
    head = read_head(lines[4 : 4 + end.start()])
    written = lines[4 + end.end() :]
    if "template" in head:
        body = as_body(head["template"])
    elif head.get("type") == "chat":
        body = _turns(written)
    else:
        body = _less_one_newline(written)
    return Document(
        name=str(head["name"]) if head.get("name") is not None else None,
        body=body,
        message=str(head.get("message") or ""),
        variables=_mapping(head, "variables"),
        metadata={key: value for key, value in head.items() if key not in _OWN_KEYS},
        partials=_mapping(head, "partials"),
        head=head,
    )


def _mapping(head: dict[str, Any], key: str) -> dict[str, Any]:
    value: object = head.get(key) or {}
    if not isinstance(value, dict):
        raise PromptError(f"the head's {key!r} is a mapping, name by name, not {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _written(body: Body) -> tuple[str, Any]:
    """Return the body as text, or as a value for the head where text would not survive."""
    if isinstance(body, str):
        return ("", body) if _UNSAFE.search(body) else (body + "\n", None)
    turns = [(turn.role, cast("str", turn.content)) for turn in body]
    if any(_UNSAFE.search(text) for _, text in turns):
        return "", [{"role": role, "content": text} for role, text in turns]
    return "\n".join(f"## {role}\n\n{_TO_ESCAPE.sub(_backslash, text)}\n" for role, text in turns), None


def _backslash(match: re.Match[str]) -> str:
    return "\\" + match.group(1)


def _turns(text: str) -> tuple[Message, ...]:
    pieces = _HEADING.split(text)
    if pieces[0].strip():
        raise PromptError(f"text before the first `## role` heading: {pieces[0].strip()[:60]!r}")
    if len(pieces) == 1:
        raise PromptError("a chat needs headings such as `## system` and `## user`")
    last = len(pieces) - 2
    turns: list[Message] = []
    for at in range(1, len(pieces), 2):
        content = pieces[at + 1].removeprefix("\n").removeprefix("\n").removesuffix("\n")
        content = content if at == last else content.removesuffix("\n")
        turns.append(Message(cast("Role", pieces[at]), _ESCAPED.sub(r"\1", content)))
    return tuple(turns)


def _less_one_newline(text: str) -> str:
    return text.removesuffix("\n")
