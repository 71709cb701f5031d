"""What an attempt is charged: the reported usage, else an estimate, else the upper bound; never a silent zero."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aikit import prices, tokens
from aikit.errors import AikitError, ConnectionFailed, DeadlineExceeded, ProviderError
from aikit.events import Finished
from aikit.messages import GenerationOptions, Message, Usage, UsageSource
from aikit.providers.base import Adapter
from aikit.streams import Transcript

__all__ = ["Bill", "bill_for_error", "bill_for_finish", "bill_for_stop"]


@dataclass(frozen=True, slots=True)
class Bill:
    """What one attempt used and costs."""

    usage: Usage
    source: UsageSource
    cost: int | None
    """Nano-dollars; None when no price is known."""
    billed: bool = True
    """False when the provider provably did not charge for it."""
    unknown: bool = False
    """True when it was sent and no answer came."""


def bill_for_finish(
    adapter: Adapter,
    messages: tuple[Message, ...],
    options: GenerationOptions,
    transcript: Transcript,
    finish: Finished,
) -> Bill:
    """Return the bill of an attempt that reached its end."""
    usage, source = finish.usage, finish.usage_source
    if usage.input_tokens is None or usage.output_tokens is None:
        usage, source = _estimate(adapter, messages, options, transcript, usage), "estimated"
    return Bill(usage, source, 0 if source == "replayed" else _cost(adapter, usage))


def bill_for_error(
    adapter: Adapter,
    messages: tuple[Message, ...],
    options: GenerationOptions,
    transcript: Transcript,
    error: AikitError,
) -> Bill:
    """Return the bill of an attempt that failed: nothing, what was received, or the upper bound."""
    if transcript.delivered:
        return bill_for_stop(adapter, messages, options, transcript)
    if not _may_be_billed(error):
        return Bill(Usage(), "estimated", None if adapter.price is None else 0, billed=False)
    return _most(adapter, messages, options, unknown=True)


def bill_for_stop(
    adapter: Adapter, messages: tuple[Message, ...], options: GenerationOptions, transcript: Transcript
) -> Bill:
    """Return the bill of an attempt that was cut: its prompt and the text received, estimated where not reported."""
    if adapter.capabilities.resume:
        # In the background the provider goes on answering when nobody listens any more, and charges for all of it.
        return _most(adapter, messages, options, unknown=False)
    usage = _estimate(adapter, messages, options, transcript, transcript.usage or Usage())
    return Bill(usage, "estimated", _cost(adapter, usage))


def _most(adapter: Adapter, messages: tuple[Message, ...], options: GenerationOptions, *, unknown: bool) -> Bill:
    """Return the bill at its upper bound."""
    longest = prices.longest_answer(options.max_tokens, adapter.capabilities.max_output_tokens)
    sent = tokens.upper(tokens.count(messages, options, provider=adapter.name, model=adapter.model))
    cost = None if adapter.price is None else adapter.price.upper(sent, longest)
    return Bill(Usage(sent, longest), "upper_bound", cost, unknown=unknown)


def _may_be_billed(error: AikitError) -> bool:
    """Whether a provider may charge for an attempt that ended in this error before any content arrived."""
    if isinstance(error, ConnectionFailed):
        return error.sent
    if isinstance(error, DeadlineExceeded):
        return error.which != "connect"
    if isinstance(error, ProviderError):
        # An error status is not charged; a 200 whose body is no answer may well be.
        return error.status is None or error.status < 400
    return False


def _estimate(
    adapter: Adapter,
    messages: tuple[Message, ...],
    options: GenerationOptions,
    transcript: Transcript,
    known: Usage,
) -> Usage:
    """Fill in what was not reported: the prompt's count, and the count of what was received."""
    sent = known.input_tokens
    if sent is None:
        sent = tokens.count(messages, options, provider=adapter.name, model=adapter.model).tokens
    arguments = [piece for call in transcript.tools.values() for piece in call[1:]]
    received = "".join((*transcript.reasoning, *transcript.pieces, *arguments))
    counted = tokens.count_text(received, provider=adapter.name, model=adapter.model).tokens
    if options.max_tokens is not None:
        counted = min(counted, options.max_tokens)  # an estimate must not pass what was set aside for the truth
    # A provider's running count may lag behind the text that has arrived (Anthropic's starts at 1).
    return replace(known, input_tokens=sent, output_tokens=max(counted, known.output_tokens or 0))


def _cost(adapter: Adapter, usage: Usage) -> int | None:
    return None if adapter.price is None else adapter.price.cost(usage)
