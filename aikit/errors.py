"""The exception tree: what went wrong, to what, and what to do about it.

    AikitError
    ├ ConfigError
    │ ├ UnknownProvider
    │ ├ UnknownSetting
    │ └ CredentialError
    ├ Refused                          unsent, nothing billed
    │ ├ BudgetExceeded
    │ ├ UnknownPrice
    │ ├ RateLimitExceeded              .retry_at
    │ ├ CircuitOpen                    .retry_at
    │ ├ UnsupportedFeature
    │ └ ConfirmationRequired           .preview
    ├ ProviderError                    .provider .model .status .retry_at
    │ ├ AuthenticationFailed
    │ ├ QuotaExhausted
    │ ├ RateLimited
    │ ├ Overloaded
    │ ├ BadRequest
    │ ├ ContextTooLong
    │ ├ ContentFiltered
    │ ├ ModelNotFound
    │ ├ ProtocolError
    │ ├ ConnectionFailed
    │ ├ DeadlineExceeded               .which
    │ └ StreamInterrupted              .partial .usage .usage_source .attempts
    ├ DataError
    │ ├ DatasetError                   .row .column
    │ ├ PromptError
    │ └ ReplayMissing
    └ LogError
      ├ LogTooNew
      ├ LogUnwritable                  .completion
      └ LogBusy                        .pid

Catch the narrowest type that you can handle. Everything that aikit raises on purpose is an `AikitError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aikit.messages import Completion, Usage, UsageSource

__all__ = [
    "AikitError",
    "AuthenticationFailed",
    "BadRequest",
    "BudgetExceeded",
    "CircuitOpen",
    "ConfigError",
    "ConfirmationRequired",
    "ConnectionFailed",
    "ContentFiltered",
    "ContextTooLong",
    "CredentialError",
    "DataError",
    "DatasetError",
    "DeadlineExceeded",
    "LogBusy",
    "LogError",
    "LogTooNew",
    "LogUnwritable",
    "ModelNotFound",
    "Overloaded",
    "PromptError",
    "ProtocolError",
    "ProviderError",
    "QuotaExhausted",
    "RateLimitExceeded",
    "RateLimited",
    "Refused",
    "ReplayMissing",
    "StreamInterrupted",
    "UnknownPrice",
    "UnknownProvider",
    "UnknownSetting",
    "UnsupportedFeature",
    "did_you_mean",
]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the names nearest to `word`, or an empty string when none is near."""
    near = difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


class AikitError(Exception):
    """Anything that aikit raises on purpose."""


class ConfigError(AikitError):
    """The settings can't be used as they are."""


class UnknownProvider(ConfigError):
    """A model names a provider that is not configured."""


class UnknownSetting(ConfigError):
    """A setting, option or argument that aikit does not know."""


class CredentialError(ConfigError):
    """A key is missing, malformed, or kept where others can read it."""


class Refused(AikitError):
    """aikit did not send the request: nothing was billed."""


class BudgetExceeded(Refused):
    """The call could pass a hard budget."""


class UnknownPrice(Refused):
    """A hard budget applies and the model has no price."""


class RateLimitExceeded(Refused):
    """The call can't be admitted by the rate limit within its deadline, or the queue is full."""

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at
        """Aware UTC time from which the limit would admit it; None when it never would."""


class CircuitOpen(Refused):
    """The circuit breaker of every possible target is open."""

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at
        """Aware UTC time of the next probe; None when unknown."""


class UnsupportedFeature(Refused):
    """The model is known to lack what the request asks for."""


class ConfirmationRequired(Refused):
    """The run would spend money and nobody has agreed to it yet."""

    def __init__(self, message: str, *, preview: object = None) -> None:
        super().__init__(message)
        self.preview = preview
        """What the plan would cost and take, as `plan.preview()` gives it."""


class ProviderError(AikitError):
    """A provider answered with an error, or did not answer."""

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        """HTTP status; None where there was none."""
        self.retry_at = retry_at
        """Aware UTC time before which the server asked not to come back; None when it did not say."""
        self.should_retry: bool | None = None
        """The server's own word on trying again (`x-should-retry`), or what the fault's nature says; None: unsaid."""
        self.resume_token = ""
        """What `resume` of the same adapter takes to go on where the stream broke; empty where it can't."""


class AuthenticationFailed(ProviderError):
    """The provider refused the key (401, 403)."""


class QuotaExhausted(ProviderError):
    """The account has no credit or quota left (402, `insufficient_quota`); waiting does not help."""


class RateLimited(ProviderError):
    """The provider asked to slow down (429)."""


class Overloaded(ProviderError):
    """The provider is failing or overloaded (408, 409, 5xx, 529)."""


class BadRequest(ProviderError):
    """The provider can't accept the request as it is (400, 413, 422)."""


class ContextTooLong(ProviderError):
    """The prompt and the answer do not fit the model's context window."""


class ContentFiltered(ProviderError):
    """The provider's content policy refused the request."""


class ModelNotFound(ProviderError):
    """The provider does not know the model (404)."""


class ProtocolError(ProviderError):
    """What arrived is not what the provider's protocol says; never taken for an answer."""


class ConnectionFailed(ProviderError):
    """The connection could not be made, or broke before any content arrived."""

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        retry_at: datetime | None = None,
        sent: bool = False,
        retryable: bool = True,
    ) -> None:
        super().__init__(message, provider=provider, model=model, status=status, retry_at=retry_at)
        self.sent = sent
        """True when the request may have reached the server, and so may have been billed."""
        self.retryable = retryable
        """False for faults that stay, such as a TLS failure."""


class DeadlineExceeded(ProviderError):
    """A deadline passed: to connect, to make progress, or in total."""

    def __init__(
        self,
        message: str,
        *,
        which: Literal["connect", "progress", "total"],
        provider: str = "",
        model: str = "",
        status: int | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message, provider=provider, model=model, status=status, retry_at=retry_at)
        self.which = which
        self.partial = ""
        """The text that had been delivered."""


class StreamInterrupted(ProviderError):
    """A stream ended before its end marker, after text had been delivered."""

    def __init__(
        self,
        message: str,
        *,
        partial: str,
        usage: Usage | None = None,
        usage_source: UsageSource = "estimated",
        attempts: int = 1,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message, provider=provider, model=model, status=status, retry_at=retry_at)
        self.partial = partial
        """The text that had been delivered."""
        self.usage = usage
        self.usage_source = usage_source
        self.attempts = attempts


class DataError(AikitError):
    """Input data can't be used as it is."""


class DatasetError(DataError):
    """A dataset is empty or malformed."""

    def __init__(self, message: str, *, row: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.row = row
        """Number of the data row, counted from 1; None when the fault is not in one row."""
        self.column = column


class PromptError(DataError):
    """A prompt's template or variables can't be used as they are."""


class ReplayMissing(DataError):
    """A replay has no logged answer for the request."""


class LogError(AikitError):
    """The log can't be read or written."""


class LogTooNew(LogError):
    """The log was written by a newer aikit."""


class LogUnwritable(LogError):
    """The log can't be written: the answer is kept here, the row is written when there is room."""

    def __init__(self, message: str, *, completion: Completion | None = None) -> None:
        super().__init__(message)
        self.completion = completion
        """The answer that could not be logged; None when there was none."""


class LogBusy(LogError):
    """Another process holds the log."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        """The holder's process id; None when unknown."""
