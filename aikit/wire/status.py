"""An error as a server tells it: status, headers and body in, one of our errors out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from aikit.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProtocolError,
    ProviderError,
    QuotaExhausted,
    RateLimited,
)
from aikit.wire import headers as header_values

__all__ = ["error_in_body", "error_of", "is_json", "preview", "unexpected"]

PREVIEW = 200
"""Characters of a body that an error message quotes."""

_BY_CODE: dict[str, type[ProviderError]] = {
    "access_terminated": QuotaExhausted,
    "billing_error": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "insufficient_quota": QuotaExhausted,
    "insufficient_user_quota": QuotaExhausted,
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,
    "model_context_window_exceeded": ContextTooLong,
    "bio_policy": ContentFiltered,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "image_content_policy_violation": ContentFiltered,
    "invalid_prompt": ContentFiltered,
    "misalignment_policy_violation": ContentFiltered,
    "moderation_blocked": ContentFiltered,
    "responsibleaipolicyviolation": ContentFiltered,
    "model_not_found": ModelNotFound,
    "not_found_error": ModelNotFound,
    "authentication_error": AuthenticationFailed,
    "invalid_api_key": AuthenticationFailed,
    "permission_error": AuthenticationFailed,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "api_error": Overloaded,
    "internal_server_error": Overloaded,
    "overloaded_error": Overloaded,
    "server_error": Overloaded,
    "server_is_overloaded": Overloaded,
    "service_unavailable_error": Overloaded,
    "slow_down": RateLimited,
    "timeout_error": Overloaded,
    "unavailable_error": Overloaded,
    "invalid_request_error": BadRequest,
    "request_too_large": BadRequest,
}
"""What the word in an error's `code` or `type` means, whatever the status."""

_GENERAL = frozenset({"invalid_request_error", "api_error", "server_error", "not_found_error", "timeout_error"})
"""Words so general that a telling status goes before them."""

_BY_STATUS: dict[int, type[ProviderError]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: Overloaded,
    409: Overloaded,
    429: RateLimited,
}
_NEVER_AGAIN = frozenset({501, 505})

# Anthropic answers these two with a bare `invalid_request_error`: there is no code to go by.
_BY_OPENING: tuple[tuple[str, type[ProviderError]], ...] = (
    ("prompt is too long", ContextTooLong),
    ("input length and `max_tokens` exceed context limit", ContextTooLong),
    ("your credit balance is too low", QuotaExhausted),
)

_DROPPED = re.compile(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->")
_TAG = re.compile(r"(?s)<[^>]*>")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    provider: str,
    model: str,
    now: datetime | None = None,
) -> ProviderError:
    """Return the error that a response with an error's status is. Header names are in lower case."""
    words, message, as_status = _read(body)
    kind = _kind(status, words, message, as_status)
    error = kind(
        _sentence(status, message or preview(body), provider, model, header_values.request_id(headers)),
        provider=provider,
        model=model,
        status=status,
        retry_at=header_values.retry_at(status, headers, now=now or datetime.now(UTC)),
    )
    error.should_retry = header_values.should_retry(headers)
    if error.should_retry is None and (status in _NEVER_AGAIN or 300 <= status < 400):
        error.should_retry = False
    return error


def error_in_body(body: bytes, *, provider: str, model: str, status: int = 200) -> ProviderError | None:
    """Return the error that a body tells of in spite of its good status; None when it tells of none."""
    if not _tells_an_error(body):
        return None
    words, message, as_status = _read(body)
    kind = _kind(as_status or 0, words, message, as_status)
    text = _sentence(as_status or status, message or preview(body), provider, model, "")
    return kind(text, provider=provider, model=model, status=as_status or status)


def unexpected(what: str, body: bytes, *, provider: str, model: str, status: int | None = 200) -> ProviderError:
    """Return the error for a body of the wrong shape: the error that it tells of, else a `ProtocolError`."""
    told = error_in_body(body, provider=provider, model=model, status=status or 200)
    if told is not None:
        return told
    text = preview(body)
    message = f"{_name(provider, model)} {what}{f': {text}' if text else ''}"
    return ProtocolError(message, provider=provider, model=model, status=status)


def is_json(data: bytes) -> bool:
    """Tell whether `data` is one whole JSON value, or the marker `[DONE]` that stands in for one."""
    if data.strip() == b"[DONE]":
        return True
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def preview(body: bytes) -> str:
    """Return the first 200 characters of a body as one harmless line, the tags of HTML stripped."""
    text = body[: 64 * PREVIEW].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        text = html.unescape(_TAG.sub(" ", _DROPPED.sub(" ", text)))
    return " ".join(_CONTROLS.sub(" ", text).split())[:PREVIEW]


def _kind(status: int, words: list[str], message: str, as_status: int | None) -> type[ProviderError]:
    lowered = message.lower()
    for opening, kind in _BY_OPENING:
        if lowered.startswith(opening):
            return kind
    for word in words:
        if word not in _GENERAL and word in _BY_CODE:
            return _BY_CODE[word]
    for number in (status, as_status or 0):
        if number in _BY_STATUS:
            return _BY_STATUS[number]
        if number >= 400:
            return Overloaded if number >= 500 else BadRequest
    for word in words:
        if word in _BY_CODE:
            return _BY_CODE[word]
    return ProtocolError


def _tells_an_error(body: bytes) -> bool:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if isinstance(value, list) and value:
        value = cast(list[Any], value)[0]
    return isinstance(value, dict) and bool(cast(dict[str, Any], value).get("error"))


def _read(body: bytes) -> tuple[list[str], str, int | None]:
    """Return the words (code before type), the message and the status that a body tells."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [], "", None
    if isinstance(value, list) and value:  # Google's compatible endpoint wraps the error in a list
        value = cast(list[Any], value)[0]
    if not isinstance(value, dict):
        return [], "", None
    whole = cast(dict[str, Any], value)
    error: Any = whole.get("error", whole)
    if isinstance(error, str):
        return [], error, None
    if not isinstance(error, dict):
        return [], "", None
    return _told(cast(dict[str, Any], error))


def _told(error: dict[str, Any]) -> tuple[list[str], str, int | None]:
    inner: Any = error.get("innererror")
    candidates = [error.get("code"), error.get("type"), error.get("status")]
    if isinstance(inner, dict):
        candidates.append(cast(dict[str, Any], inner).get("code"))
    words = [word.lower() for word in candidates if isinstance(word, str)]
    code: Any = error.get("code")
    as_status = code if isinstance(code, int) and 400 <= code <= 599 else None
    message: Any = error.get("message") or error.get("detail") or ""
    return words, message if isinstance(message, str) else str(message), as_status


def _name(provider: str, model: str) -> str:
    return f"{provider}:{model}" if model else provider or "the provider"


def _sentence(status: int, message: str, provider: str, model: str, request: str) -> str:
    text = preview(message.encode("utf-8", "replace"))
    tail = f" (request {request[:64]})" if request else ""
    return f"{_name(provider, model)} answered {status}{f': {text}' if text else ''}{tail}"
