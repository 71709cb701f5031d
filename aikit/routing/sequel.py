"""What follows a break in the middle of an answer, and what stands in the way of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from aikit.messages import GenerationOptions, Message, ProviderCapabilities, text_content
from aikit.routing.call import OnInterrupt
from aikit.routing.ticket import Asked, Ticket

__all__ = ["Sequel", "continuation", "hindrance"]

RESTART = 'on_interrupt="restart" asks for a new answer'


@dataclass(frozen=True, slots=True)
class Sequel:
    """The next attempt: how it follows the one that failed, and when."""

    how: Literal["again", "continue", "restart", "resume"]
    wait: float
    """Seconds."""
    token: str = ""
    """What takes the broken answer up again; empty unless it is resumed."""


def hindrance(
    ticket: Ticket, wanted: OnInterrupt, options: GenerationOptions, known: ProviderCapabilities, target: str
) -> str:
    """Return why a broken answer can't go on as the caller wanted, and what would work; empty where it can."""
    match wanted:
        case "restart":
            return ""
        case "continue":
            return _no_continuation(ticket, options, known, target)
        case "resume":
            return _no_resumption(known, target)
        case _:
            return RESTART


def continuation(ticket: Ticket, messages: tuple[Message, ...], options: GenerationOptions) -> Asked:
    """Return what to ask so that the model goes on with the text it was cut in; `Overlap` joins the two."""
    said = ticket.said
    prefill = said.rstrip()  # Anthropic refuses blanks at the end of what is to be continued
    if messages[-1].role == "assistant":
        messages, prefill = messages[:-1], (text_content(messages[-1]) + said).rstrip()
    if prefill:
        messages = (*messages, Message("assistant", prefill))
    if options.max_tokens is not None:
        left = options.max_tokens - (ticket.attempt.usage.output_tokens or 0)
        options = replace(options, max_tokens=max(1, left))
    return Asked(messages, options, said)


def _no_continuation(ticket: Ticket, options: GenerationOptions, known: ProviderCapabilities, target: str) -> str:
    if known.prefill is not True:
        word = "can't" if known.prefill is False else "is not known to"
        also = _and_resume(known)
        return f"{target} {word} continue an answer that is put into its mouth (prefill){also}; {RESTART}"
    if ticket.transcript.tools or options.json_schema is not None or options.reasoning_effort is not None:
        what = "tool calls" if ticket.transcript.tools else "structured answers and answers with reasoning"
        return f"{what} can't be continued by prefill; {RESTART}"
    return ""


def _and_resume(known: ProviderCapabilities) -> str:
    return '; on_interrupt="resume" works with it' if known.resume else ""


def _no_resumption(known: ProviderCapabilities, target: str) -> str:
    provider = target.partition(":")[0]
    also = '; on_interrupt="continue" works with it' if known.prefill else ""
    if known.responses:
        how = (
            f'api = "responses" and background = true under [providers.{provider}.options]; OpenAI then stores answers'
        )
        return f"{target} can be resumed only when it answers in the background ({how}){also}; {RESTART}"
    return f"{target} can't be resumed (only OpenAI's Responses in the background can){also}; {RESTART}"
