"""The log's rows and tables: what is handed over, and the columns it lands in, declared as data."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

# msgspec.Struct and not a dataclass: a row is made and encoded for every call, and checked when it is ingested.
import msgspec

__all__ = [
    "ATTEMPTS",
    "AttemptRow",
    "CALLS",
    "CallRow",
    "EVENTS",
    "EventRow",
    "PAYLOADS",
    "PayloadRow",
    "QUARANTINE",
    "TABLES",
    "TRIALS",
    "Table",
    "TrialRow",
    "new_id",
]


class CallRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One call, at its end: what was asked, what came back, what it took."""

    call_id: str
    started_at: float
    """Seconds since 1970, UTC."""
    provider: str = ""
    model: str = ""
    response_model: str = ""
    status: str = "ok"
    """`ok error interrupted cancelled refused` (unsent) or `unknown` (sent, no answer)."""
    finish_reason: str = ""
    error_type: str = ""
    """The name of the exception's class; empty where there was none."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: str = ""
    """`reported estimated upper_bound replayed`; empty for a call that was not sent."""
    cost: int | None = None
    """Billionths of a US dollar, over all attempts; None when no price is known."""
    price_id: str = ""
    processing: str = "standard"
    queue_time: float | None = None
    """Seconds spent waiting for limits and budgets."""
    time_to_first_token: float | None = None
    duration: float | None = None
    """Seconds from the start of the call to its end, waiting included."""
    gap_p50: float | None = None
    """Median seconds between two pieces of text; None without a stream."""
    gap_p95: float | None = None
    attempts: int = 1
    stitched: bool = False
    prompt_version_id: str = ""
    experiment: str = ""
    run: str = ""
    variant: str = ""
    sample: str = ""
    epoch: int | None = None
    tags: Sequence[str] = ()
    session: str = ""
    host: str = ""
    pid: int = 0
    extra: dict[str, Any] = {}
    """Whatever a newer aikit knows beyond these columns, and what has no column of its own."""
    request_key: str = ""
    """The hash of what was asked, for replays; empty where nobody will look for it."""
    prompt_hash: str = ""
    text_hash: str = ""
    prompt: Any = None
    """The messages: a `Sequence[Message]` or JSON text; stored as a payload, as far as `store_text` allows."""
    text: str | None = None
    """The answer; stored as `prompt` is."""


class AttemptRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One request of a call: a call has one or more, and each may be billed."""

    attempt_id: str
    call_id: str
    number: int
    """Counted from 1."""
    started_at: float
    provider: str = ""
    model: str = ""
    key_id: str = ""
    """Which key of the ring; never the key."""
    status: str = "ok"
    http_status: int | None = None
    error_type: str = ""
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: str = ""
    cost: int | None = None
    """Billionths of a US dollar; None when no price is known."""
    price_id: str = ""
    queue_time: float | None = None
    time_to_first_token: float | None = None
    duration: float | None = None
    bytes: int | None = None
    """Bytes of the response's body."""
    request_id: str = ""
    """The provider's name for the request."""
    extra: dict[str, Any] = {}


class TrialRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One variant on one sample in one epoch, scored; a later row of the same id replaces it."""

    trial_id: str
    run: str
    experiment: str = ""
    variant: str = ""
    sample: str = ""
    epoch: int = 1
    call_id: str = ""
    status: str = "ok"
    """`ok`, or how it failed."""
    text_hash: str = ""
    scores: dict[str, Any] = {}
    """Name of the score → value."""
    score_details: dict[str, Any] = {}
    """Name of the score → label, explanation and what else the scorer says."""
    error: str = ""
    stitched: bool = False
    scored_at: float = 0.0
    """Seconds since 1970, UTC."""
    extra: dict[str, Any] = {}
    text: str | None = None
    """The text that was scored; stored as a payload by its hash."""


class EventRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Something worth remembering that is no call: an alert, a settled reservation of a dead process."""

    happened_at: float
    """Seconds since 1970, UTC."""
    kind: str
    subject: str = ""
    message: str = ""
    data: dict[str, Any] = {}
    session: str = ""
    host: str = ""
    pid: int = 0
    extra: dict[str, Any] = {}


class PayloadRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A text, kept once under its hash: in the log until its row is archived, in the archive alone from then on."""

    hash: str
    content: str
    extra: dict[str, Any] = {}


class Table(msgspec.Struct, frozen=True, eq=False):
    """A table of the log: which rows land in it, and in which columns."""

    name: str
    row: type[msgspec.Struct]
    columns: dict[str, str]
    """Name → DuckDB type, in order."""
    shown: tuple[str, ...]
    """The columns of the frames that people get."""
    clock: str = ""
    """The column that says when; empty where there is none."""

    @property
    def ddl(self) -> str:
        """The statement's list of columns."""
        return ", ".join(f'"{name}" {kind}' for name, kind in self.columns.items())


_TYPES = {
    "started_at": "TIMESTAMP",
    "scored_at": "TIMESTAMP",
    "happened_at": "TIMESTAMP",
    "day": "DATE",
    "cost": "DECIMAL(18,9)",
    "stitched": "BOOLEAN",
    "tags": "VARCHAR[]",
    **dict.fromkeys(("scores", "score_details", "data", "extra"), "JSON"),
    **dict.fromkeys(("queue_time", "time_to_first_token", "duration", "gap_p50", "gap_p95"), "DOUBLE"),
    **dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), "BIGINT"),
    **dict.fromkeys(("reasoning_tokens", "bytes"), "BIGINT"),
    **dict.fromkeys(("attempts", "epoch", "pid", "number", "http_status"), "INTEGER"),
}


def _table(name: str, row: type[msgspec.Struct], shown: str, *, hidden: str = "extra", clock: str = "") -> Table:
    names = (*shown.split(), *hidden.split())
    columns = {column: _TYPES.get(column, "VARCHAR") for column in names}
    return Table(name, row, columns, tuple(shown.split()), clock)


# Append-only, and without keys, UNIQUE or indexes: DuckDB has open bugs in replaying those from its WAL.
CALLS = _table(
    "calls",
    CallRow,
    "call_id started_at day provider model response_model status finish_reason error_type input_tokens output_tokens"
    " cache_read_tokens cache_write_tokens reasoning_tokens usage_source cost price_id processing queue_time"
    " time_to_first_token duration gap_p50 gap_p95 attempts stitched prompt_version_id experiment run variant sample"
    " epoch tags session host pid",
    hidden="extra request_key prompt_hash text_hash",
    clock="started_at",
)
ATTEMPTS = _table(
    "attempts",
    AttemptRow,
    "attempt_id call_id number started_at provider model key_id status http_status error_type finish_reason"
    " input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens usage_source cost price_id"
    " queue_time time_to_first_token duration bytes request_id",
    hidden="day extra",
    clock="started_at",
)
TRIALS = _table(
    "trials",
    TrialRow,
    "trial_id run experiment variant sample epoch call_id status text_hash scores score_details error stitched"
    " scored_at",
    clock="scored_at",
)
EVENTS = _table("events", EventRow, "happened_at kind subject message data session host pid", clock="happened_at")
PAYLOADS = _table("payloads", PayloadRow, "hash content")
QUARANTINE = Table(
    "quarantine",
    msgspec.Struct,
    {"kind": "VARCHAR", "body": "VARCHAR", "error": "VARCHAR"},
    ("kind", "body", "error"),
)

TABLES: dict[str, Table] = {
    "call": CALLS,
    "attempt": ATTEMPTS,
    "trial": TRIALS,
    "event": EVENTS,
    "payload": PAYLOADS,
}
"""Kind of a row in the spool → the table it lands in; rows that fit nowhere go to `quarantine`."""


def new_id(clock: Callable[[], float] = time.time) -> str:
    """Return a UUIDv7: ids made later sort later, to the millisecond."""
    drawn = secrets.randbits(74)
    number = int(clock() * 1000) << 80 | 0x7 << 76 | drawn >> 62 << 64 | 0b10 << 62 | drawn & (1 << 62) - 1
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
