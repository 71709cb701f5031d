"""A template: text or chat turns with variables in double braces, compiled when first needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from aikit.errors import PromptError, did_you_mean
from aikit.messages import Message, Role
from aikit.prompts.sandbox import environment, plain

__all__ = ["Body", "Partial", "Template", "as_body", "inspect_source", "parts_of", "render"]

Body = str | tuple[Message, ...]
"""A text template, or chat turns whose contents are templates."""

TemplateLike = str | Message | Mapping[str, Any] | Sequence[Any]


class Partial:
    """A template that others include, with the partials that it included when it was saved."""

    __slots__ = ("partials", "source")

    def __init__(self, source: str, partials: Mapping[str, Partial]) -> None:
        self.source = source
        self.partials = partials

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the store and the content hash."""
        return {"source": self.source, "partials": {key: one.to_json() for key, one in self.partials.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Partial:
        """Make it from what `to_json` returned."""
        return cls(data["source"], {key: cls.from_json(one) for key, one in data["partials"].items()})


def as_body(template: Any) -> Body:
    """Return a template as it is kept: text, or a tuple of messages.

    Takes text, a sequence of `Message`, of `{"role": …, "content": …}` or of `(role, content)`. Raises PromptError.
    """
    if isinstance(template, str):
        return template
    if isinstance(template, Message):
        return (_checked(template),)
    if not isinstance(template, Sequence):
        raise PromptError(f"a template is text or a list of messages, not {type(template).__name__}")
    turns = cast("Sequence[Any]", template)
    if not turns:
        raise PromptError("a chat template needs at least one message")
    return tuple(_turn(one, number) for number, one in enumerate(turns, start=1))


def parts_of(body: Body) -> tuple[str, ...]:
    """Return the template's texts: one for text, one for each turn of a chat."""
    return (body,) if isinstance(body, str) else tuple(cast("str", message.content) for message in body)


def _turn(one: Any, number: int) -> Message:
    if isinstance(one, Message):
        return _checked(one)
    if isinstance(one, Mapping):
        turn = cast("Mapping[str, Any]", one)
        if set(turn) != {"role", "content"}:
            raise PromptError(f"message {number} has the keys {sorted(turn)}; it takes role and content")
        return _checked(Message(turn["role"], turn["content"]))
    if isinstance(one, Sequence) and not isinstance(one, str) and len(cast("Sequence[Any]", one)) == 2:
        role, content = cast("Sequence[Any]", one)
        return _checked(Message(role, content))
    raise PromptError(f"message {number} is a {type(cast('object', one)).__name__}; write (role, content) or a Message")


def _checked(message: Message) -> Message:
    if message.role not in get_args(Role):
        raise PromptError(f"no role {message.role!r}; roles: system, user, assistant, tool")
    if not isinstance(message.content, str):
        raise PromptError(f"a template's {message.role} message holds text only, not {type(message.content).__name__}")
    return message


class Template:
    """A compiled template: knows its variables, renders to messages."""

    def __init__(self, body: Body, partials: Mapping[str, Partial], *, label: str) -> None:
        self._body = body
        self._label = label
        self._partials = partials
        self._environment = environment(self._load)
        self._compiled = [self._compile(part) for part in parts_of(body)]
        self.variables, self.optional = self._find_variables()

    def render(self, values: Mapping[str, Any], *, offered: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the rendered texts, one for each part; raises PromptError with the names of missing variables.

        `offered` are the names that were given without being used: one of them may be a misspelling.
        """
        given = {name: plain(value, name=name) for name, value in values.items()}
        missing = [name for name in self.variables if name not in given and name not in self.optional]
        if missing:
            names = sorted({*given, *offered})
            hint = did_you_mean(missing[0], names)
            raise PromptError(
                f"{self._label} needs the variable{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
                f"; given: {', '.join(names) or 'none'}{hint}"
            )
        try:
            return tuple(one.render(given) for one in self._compiled)
        except PromptError:
            raise
        except Exception as error:  # a filter raises whatever Python raises for the values it gets
            raise PromptError(f"{self._label} can't be rendered: {type(error).__name__}: {error}") from error

    def _compile(self, source: str) -> Any:
        from jinja2 import TemplateSyntaxError

        try:
            return self._environment.from_string(source)
        except TemplateSyntaxError as error:
            raise PromptError(f"{self._label}, line {error.lineno}: {error.message}") from error
        except (RecursionError, MemoryError, OverflowError, SyntaxError) as error:
            raise PromptError(f"{self._label} can't be compiled: {type(error).__name__}: {error}") from error

    def _load(self, path: str) -> str | None:
        found: Partial | None = None
        partials = self._partials
        for name in path.split("\x1f"):
            found = partials.get(name)
            if found is None:
                return None
            partials = found.partials
        return found.source if found else None

    def _find_variables(self) -> tuple[tuple[str, ...], frozenset[str]]:
        found: list[str] = []
        optional: set[str] = set()
        pending: list[tuple[str, Mapping[str, Partial]]] = [(part, self._partials) for part in parts_of(self._body)]
        while pending:
            source, partials = pending.pop(0)
            names, maybe, includes = inspect_source(source, label=self._label)
            for name in names:
                # Needed in one place is needed, whatever another place allows.
                optional.add(name) if name in maybe and name not in found else optional.discard(name)
                if name not in found:
                    found.append(name)
            for include in includes:
                if include not in partials:
                    raise PromptError(f"{self._label} includes {include!r}, which it was not saved with")
                pending.append((partials[include].source, partials[include].partials))
        return tuple(found), frozenset(optional)


def inspect_source(source: str, *, label: str) -> tuple[tuple[str, ...], frozenset[str], tuple[str, ...]]:
    """Return a template text's variables in order, those that may be missing, and the partials it includes.

    A variable may be missing when the text tests it with `is defined` or gives it a `default`.
    """
    from jinja2 import TemplateSyntaxError, meta, nodes

    parser = environment(lambda _: None)
    try:
        tree = parser.parse(source)
    except TemplateSyntaxError as error:
        raise PromptError(f"{label}, line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise PromptError(f"{label} is nested too deeply") from error
    includes = list(meta.find_referenced_templates(tree))
    if None in includes:
        raise PromptError(f"{label} includes a partial whose name is computed; name it as text, so that it can be kept")
    undeclared = meta.find_undeclared_variables(tree) - set(cast("Any", parser).globals)
    uses = [node.name for node in tree.find_all(nodes.Name) if node.ctx == "load" and node.name in undeclared]
    guards = cast("list[Any]", list(tree.find_all((nodes.Test, nodes.Filter))))
    guarded: set[str] = {node.node.name for node in guards if _guards(node)}
    ordered = tuple(dict.fromkeys([*uses, *sorted(undeclared)]))
    return ordered, frozenset(guarded & undeclared), tuple(dict.fromkeys(cast("list[str]", includes)))


def _guards(node: Any) -> bool:
    return getattr(node.node, "name", None) is not None and node.name in ("defined", "undefined", "default", "d")


def render(prompt: TemplateLike, variables: Mapping[str, Any]) -> str | tuple[Message, ...]:
    """Fill in a template that was never saved, as a saved one is: the same sandbox, the same errors."""
    body = as_body(prompt)
    texts = Template(body, {}, label="the prompt").render(variables)
    if isinstance(body, str):
        return texts[0]
    return tuple(Message(turn.role, text) for turn, text in zip(body, texts, strict=True))
