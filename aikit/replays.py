"""A replay: the answers that a log holds, given again to whoever asks the same.

kit.replay() answers from the kit's own log, kit.replay("other/.aikit") from another one's, offline and at no cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import msgspec

from aikit.errors import ReplayMissing
from aikit.log.answers import answered, answers
from aikit.messages import Completion, FinishReason, ToolCall, Usage
from aikit.providers.replay import Replay

if TYPE_CHECKING:
    from aikit.log import Log

__all__ = ["LogReplay", "home_with_a_log", "replay_of"]

AT_ONCE = 100_000
"""Answers that are read together at the first request; from a log with more each is read when it is asked for."""


class LogReplay(Replay):
    """Answers from a log; `model` (`"provider:model"`) answers for one model, else any that was asked the same does.

    Where the same was asked several times, the answers are dealt in the order in which they were given, and then from
    the first again: so a cell that is run twice shows the same twice. The kit that made it closes it.
    """

    def __init__(self, log: Log, *, ours: bool, model: str | None = None) -> None:
        super().__init__(lookup=self._deal)
        self._log = log
        self._ours = ours
        self._of = model
        self._lock = asyncio.Lock()
        self._found: dict[str, list[Mapping[Hashable, Any]]] | None = None
        self._dealt: dict[str, int] = {}

    def __repr__(self) -> str:
        of = f", model={self._of!r}" if self._of else ""
        return f"replay({str(self._log.home)!r}{of})"

    async def close(self) -> None:
        """Close the other home's log; the kit's own stays."""
        if not self._ours:
            await asyncio.to_thread(self._log.close)

    async def _deal(self, key: str) -> Completion | None:
        """Return the next answer to a request; None where it was never answered."""
        async with self._lock:
            found = self._found
            if found is None:
                found = self._found = await asyncio.to_thread(self._read_all)
            if key not in found:
                rows = await asyncio.to_thread(self._read, key)
                if not rows:
                    return None
                found[key] = rows
        number = self._dealt.get(key, 0)
        self._dealt[key] = number + 1
        return self._answer_in(found[key][number % len(found[key])])

    def _read_all(self) -> dict[str, list[Mapping[Hashable, Any]]]:
        self._log.flush()
        if answered(self._log) > AT_ONCE:
            return {}
        found: dict[str, list[Mapping[Hashable, Any]]] = {}
        for row in self._rows(None):
            found.setdefault(str(row["request_key"]), []).append(row)
        return found

    def _read(self, key: str) -> list[Mapping[Hashable, Any]]:
        """Return the answers to one request as they are in the log by now."""
        self._log.flush()
        return self._rows(key)

    def _rows(self, key: str | None) -> list[Mapping[Hashable, Any]]:
        frame = answers(self._log, key=key, model=self._of)
        frame = frame.astype(object).where(frame.notna(), None)
        return cast("list[Mapping[Hashable, Any]]", frame.to_dict("records"))

    def _answer_in(self, row: Mapping[Hashable, Any]) -> Completion:
        text = row["text"]
        if text is None and row["text_hash"]:
            raise ReplayMissing(
                f"the log in {self._log.home} knows that {row['provider']}:{row['model']} answered this, but does not"
                " hold the text: [log] store_text was not 'full' when it was asked"
            )
        reason = row["finish_reason"]
        return Completion(
            text or "",
            tool_calls=_tool_calls(row["tool_calls"]),
            finish_reason=cast("FinishReason", reason) if reason in get_args(FinishReason) else "unknown",
            usage=Usage(**{field.name: _count(row[field.name]) for field in fields(Usage)}),
            usage_source="replayed",
            model=row["model"] or "",
            response_model=row["response_model"] or row["model"] or "",
            provider=row["provider"] or "",
            stitched=bool(row["stitched"]),
        )


def replay_of(log: Log, *, ours: bool, model: str | None = None) -> LogReplay:
    """Return a provider that answers from a log; `ours` says that somebody else closes it."""
    return LogReplay(log, ours=ours, model=model)


def home_with_a_log(home: str | Path) -> Path:
    """Return the folder, where there is a log in it; else `ReplayMissing`, so that none is made by looking for one."""
    folder = Path(home)
    for one in (folder, folder / ".aikit"):
        if (one / "spool.sqlite").exists():
            return one
    raise ReplayMissing(f"no log in {folder}: a replay takes the folder of another kit's log, such as 'other/.aikit'")


def _tool_calls(text: str | None) -> tuple[ToolCall, ...]:
    found = msgspec.json.decode(text, type=list[dict[str, Any]]) if text else []
    return tuple(ToolCall(str(one["id"]), str(one["name"]), one["arguments"]) for one in found)


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
