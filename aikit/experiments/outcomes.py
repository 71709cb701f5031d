"""What an error means for a trial: a failure of this one, a wait, or the end of the run for now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aikit.errors import (
    AikitError,
    AuthenticationFailed,
    CircuitOpen,
    ConfigError,
    ContentFiltered,
    DeadlineExceeded,
    LogError,
    LogUnwritable,
    ModelNotFound,
    PromptError,
    ProviderError,
    QuotaExhausted,
    RateLimitExceeded,
    Refused,
    ReplayMissing,
    StreamInterrupted,
    UnknownPrice,
)
from aikit.messages import Completion

if TYPE_CHECKING:
    from aikit.requests import Request

__all__ = ["Failure", "Halt", "HaltError", "Wait", "answer_in", "of_completion", "of_error", "unpriced"]

LONGEST_WAIT = 900.0
"""Seconds that a run waits for a provider or a limit to come back before it stops."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The trial failed: an outcome like any other, counted against its variant."""

    status: str
    sentence: str
    text: str = ""
    """What had arrived."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing was sent; it is worth trying again after `seconds`."""

    seconds: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Halt:
    """No trial can go well as things are: the run stops, and this trial stays to be done."""

    sentence: str


def of_error(error: Exception, *, now: datetime | None = None) -> Failure | Wait | Halt:
    """Say what an exception of a call means; anything that is not aikit's own halts the run, too."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, CircuitOpen | RateLimitExceeded):
        seconds = _seconds_until(error.retry_at, now)
        return Wait(seconds, said) if seconds <= LONGEST_WAIT else Halt(said)
    if isinstance(error, Refused | ConfigError | LogError | ReplayMissing):
        return Halt(said)
    if isinstance(error, AuthenticationFailed | QuotaExhausted | ModelNotFound):
        return Halt(said)
    if isinstance(error, DeadlineExceeded):
        return Failure("timeout", said)
    if isinstance(error, ContentFiltered):
        return Failure("refusal", said)
    if isinstance(error, StreamInterrupted):
        return Failure("interrupted", said, error.partial)
    if isinstance(error, ProviderError | PromptError):
        return Failure("error", said)
    if isinstance(error, AikitError):
        return Halt(said)
    return Halt(f"a fault inside aikit or a provider: {said}")


def of_completion(answer: Completion) -> Failure | None:
    """Say whether an answer is a failure: the model refused, or ended in an error. None for an answer to score."""
    if answer.finish_reason in ("refusal", "content_filter"):
        return Failure("refusal", f"the model refused (finish reason {answer.finish_reason})", answer.text)
    if answer.finish_reason == "error":
        return Failure("error", "the answer ended in an error", answer.text)
    return None


def answer_in(error: Exception) -> Completion | None:
    """Return the answer that an error carries: the log could not be written, the model had answered."""
    return error.completion if isinstance(error, LogUnwritable) else None


def _seconds_until(moment: datetime | None, now: datetime | None) -> float:
    if moment is None:
        return 5.0
    return max(0.1, (moment - (now or datetime.now(UTC))).total_seconds())


class HaltError(Exception):
    """A fault that will not pass by itself, met where no trial can be blamed for it."""


def unpriced(request: Request) -> UnknownPrice:
    """Return the error for a call whose cost nobody knows, in a run with a budget."""
    from aikit.experiments.variants import model_name

    return UnknownPrice(
        f"the run has a budget, and {model_name(request.model)} has no known price: give one under "
        "providers.NAME.prices, or start without budget="
    )
