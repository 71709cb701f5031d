"""What a model is known to lack: refused before it is sent; what is not known is tried."""

from __future__ import annotations

from aikit import tokens
from aikit.errors import ContextTooLong, UnsupportedFeature
from aikit.messages import GenerationOptions, Image, Message, ProviderCapabilities
from aikit.providers.base import Adapter

__all__ = ["refuse_what_is_lacking"]

BYTES_PER_QUICK_TOKEN = 12
"""A quick count is a third of the characters, of at most four bytes each, and a token is at least a byte."""


def refuse_what_is_lacking(
    adapter: Adapter, known: ProviderCapabilities, messages: tuple[Message, ...], options: GenerationOptions
) -> None:
    """Raise `UnsupportedFeature`, or `ContextTooLong`, for what the model is known not to be able to do."""
    target = f"{adapter.name}:{adapter.model}"
    what = _lacking(known, messages, options)
    if what:
        feature, instead = what
        raise UnsupportedFeature(
            f"not sent: {target} {feature}; {instead}, or take another model"
            f" (if it can by now: [providers.{adapter.name}.options] capabilities says so)"
        )
    most = known.max_output_tokens
    if most is not None and options.max_tokens is not None and options.max_tokens > most:
        raise UnsupportedFeature(
            f"not sent: {target} answers with at most {most} tokens, max_tokens={options.max_tokens} asks for more;"
            f" max_tokens={most} is the most"
        )
    if known.context_window is not None:
        _refuse_too_long(adapter, known.context_window, messages, options)


def _lacking(
    known: ProviderCapabilities, messages: tuple[Message, ...], options: GenerationOptions
) -> tuple[str, str] | None:
    """Return what the model lacks that is asked of it, and what to do instead; None where nothing is known of that."""
    if options.tools and known.tools is False:
        return "knows no tools", "leave out tools="
    if options.json_schema is not None and known.json_schema is False:
        return "knows no structured answers", "leave out json_schema= and ask for JSON in the prompt"
    effort = options.reasoning_effort
    if effort not in (None, "none") and known.reasoning is False:
        return "does not reason", "leave out reasoning_effort="
    if known.images is False and any(_has_image(message) for message in messages):
        return "sees no images", "describe the image in words"
    if known.system is False and any(message.role == "system" for message in messages):
        return "takes no system prompt", "put it into the first user message"
    if known.prefill is False and messages and messages[-1].role == "assistant":
        return "can't go on with an answer that has begun (prefill)", "end with a user message"
    return _lacking_settings(known, options)


def _lacking_settings(known: ProviderCapabilities, options: GenerationOptions) -> tuple[str, str] | None:
    # A seed is a wish: an answer without it is still the answer that was asked for.
    if options.temperature is not None and known.temperature is False:
        return "takes no temperature", "leave out temperature="
    if options.stop and known.stop is False:
        return "takes no stop words", "leave out stop="
    return None


def _has_image(message: Message) -> bool:
    return not isinstance(message.content, str) and any(isinstance(part, Image) for part in message.content)


def _refuse_too_long(adapter: Adapter, window: int, messages: tuple[Message, ...], options: GenerationOptions) -> None:
    """Refuse a prompt that, exactly counted, leaves no room; one that is only estimated is the server's to judge."""
    if tokens.quick(messages, options) * BYTES_PER_QUICK_TOKEN + (options.max_tokens or 0) < window:
        return
    count = tokens.count(messages, options, provider=adapter.name, model=adapter.model)
    if count.source == "exact" and count.tokens + (options.max_tokens or 1) > window:
        answer = "" if options.max_tokens is None else f" and max_tokens={options.max_tokens}"
        raise ContextTooLong(
            f"not sent: the prompt has {count.tokens} tokens, which{answer} is more than the {window} tokens that"
            f" {adapter.name}:{adapter.model} holds; shorten it, lower max_tokens or take a model with a larger window",
            provider=adapter.name,
            model=adapter.model,
        )
