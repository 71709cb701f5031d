"""What one call asks for, put together from what a person wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, cast, get_args

from aikit.errors import PromptError, UnknownSetting, did_you_mean
from aikit.limits import Priority
from aikit.messages import GenerationOptions, Message, Part, Role, Text, as_messages
from aikit.routing.call import OnInterrupt

if TYPE_CHECKING:
    from aikit.prompts import PromptVersion
    from aikit.providers.base import LLMProvider
    from aikit.routing.routes import Route

__all__ = ["Request", "options_from"]

OPTION_NAMES = tuple(one.name for one in fields(GenerationOptions))
PRIORITIES = ("interactive", "run", "background")


@dataclass(frozen=True, slots=True)
class Request:
    """One call, complete: the messages, the options, and what it is logged under."""

    messages: tuple[Message, ...]
    options: GenerationOptions = GenerationOptions()
    model: str | Route | LLMProvider | None = None
    """None takes the default model."""
    tags: tuple[str, ...] = ()
    priority: Priority = "interactive"
    """`interactive` before `run` before `background`, or a number: the lower goes first."""
    timeout: float | None = None
    """Seconds for the whole call, waiting and retries included; None leaves it to the provider's timeouts."""
    on_interrupt: OnInterrupt = "raise"
    prompt_version_id: str = ""
    prompt_name: str = ""
    """Name of the prompt, for budgets that hold for it; empty without one."""
    experiment: str = ""
    run: str = ""
    variant: str = ""
    sample: str = ""
    epoch: int | None = None
    key: str = ""
    """What the ids of the attempts are made from: a trial's id, so that a resumed run meets its own; else empty."""
    fingerprint: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further facts that are logged with the call."""

    @classmethod
    def of(
        cls,
        prompt: str | Sequence[Message] | PromptVersion,
        *,
        model: str | Route | LLMProvider | None = None,
        system: str | None = None,
        variables: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        priority: Priority = "interactive",
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "raise",
        **options: Any,
    ) -> Request:
        """Return the request that `ask` and `stream` were called with.

        Raises `UnknownSetting` for an option that does not exist, `PromptError` for a prompt that can't be sent.
        """
        if not isinstance(priority, int) and priority not in PRIORITIES:
            raise UnknownSetting(f"no priority {priority!r}; known: {', '.join(PRIORITIES)}, or a number")
        if on_interrupt not in get_args(OnInterrupt):
            raise UnknownSetting(f"on_interrupt={on_interrupt!r}; known: {', '.join(get_args(OnInterrupt))}")
        if timeout is not None and not timeout > 0:
            raise UnknownSetting(f"timeout={timeout!r}: seconds above zero, or None")
        version_id, name, body = "", "", prompt
        version_tags: tuple[str, ...] = ()
        if hasattr(prompt, "messages") and hasattr(prompt, "hash"):
            version = cast("PromptVersion", prompt)
            body, version_id, name, version_tags = version.messages(variables), version.id, version.name, version.tags
        elif variables:
            body = _filled(cast("str | Sequence[Message]", prompt), variables)
        return cls(
            as_messages(_checked(body), system),
            options_from(options),
            model=model,
            tags=_tags((*tags, *version_tags) if not isinstance(tags, str) else (tags, *version_tags)),
            priority=priority,
            timeout=timeout,
            on_interrupt=on_interrupt,
            prompt_version_id=version_id,
            prompt_name=name,
        )


def options_from(given: Mapping[str, Any]) -> GenerationOptions:
    """Return generation options from keyword arguments.

    Raises `UnknownSetting`, with the nearest names, for one that does not exist, and for a value that can't be meant.
    """
    for name in given:
        if name not in OPTION_NAMES:
            raise UnknownSetting(
                f"no option {name!r}{did_you_mean(name, OPTION_NAMES)}; options: {', '.join(OPTION_NAMES)};"
                " a field of the provider's own goes into extra={…}"
            )
    values = dict(given)
    stop = values.get("stop")
    if isinstance(stop, str):
        values["stop"] = (stop,)
    elif stop is not None:
        values["stop"] = tuple(stop)
    if values.get("tools") is not None:
        values["tools"] = tuple(values["tools"])
    if values.get("extra") is None:
        values.pop("extra", None)
    options = GenerationOptions(**values)
    if options.max_tokens is not None and (isinstance(options.max_tokens, bool) or options.max_tokens < 1):
        raise UnknownSetting(f"max_tokens={options.max_tokens!r}: a whole number of 1 or more, or None")
    if options.temperature is not None and not 0 <= options.temperature <= 2:
        raise UnknownSetting(f"temperature={options.temperature!r}: between 0 and 2, or None")
    if options.top_p is not None and not 0 < options.top_p <= 1:
        raise UnknownSetting(f"top_p={options.top_p!r}: above 0 and at most 1, or None")
    return options


def _filled(prompt: str | Sequence[Message], variables: Mapping[str, Any]) -> str | Sequence[Message]:
    """Fill a prompt that was never saved in like one that was: the same sandbox, the same errors."""
    from aikit.prompts import render

    return render(prompt, variables)


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    wrong = [tag for tag in tags if not isinstance(tag, str) or not tag]  # pyright: ignore[reportUnnecessaryIsInstance] — from a user
    if wrong:
        raise UnknownSetting(f"a tag is a text that is not empty; got {wrong[0]!r}")
    return tuple(dict.fromkeys(tags))


def _checked(prompt: Any) -> str | tuple[Message, ...]:
    """Return the prompt as it is sent; dictionaries with role and content are taken for messages."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Message):
        return (prompt,)
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes):
        raise PromptError(f"a prompt is a text, a list of messages or a saved prompt, not {type(prompt).__name__}")
    messages = tuple(_message(one, number) for number, one in enumerate(cast("Sequence[Any]", prompt), 1))
    if not messages:
        raise PromptError("the prompt has no messages")
    return messages


def _message(given: Any, number: int) -> Message:
    if isinstance(given, Message):
        message = given
    elif isinstance(given, Mapping) and {"role", "content"} <= set(cast("Mapping[str, Any]", given)):
        fields_given = cast("Mapping[str, Any]", given)
        content = fields_given["content"]
        message = Message(fields_given["role"], content if isinstance(content, str) else tuple(content))
    else:
        raise PromptError(f"message {number} is neither a Message nor a mapping with role and content: {given!r:.80}")
    if message.role not in get_args(Role):
        raise PromptError(f"message {number} has role {message.role!r}; roles: {', '.join(get_args(Role))}")
    parts = (Text(message.content),) if isinstance(message.content, str) else message.content
    if not all(isinstance(part, get_args(Part)) for part in parts):
        raise PromptError(f"message {number} holds something that is no Text, Image, ToolCall or ToolResult")
    return message
