"""The payload: a text of a call or trial, redacted, stored once under its hash, or not at all."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from aikit.log.schema import CallRow, PayloadRow, TrialRow
from aikit.log.writer import Encoded
from aikit.messages import Image, Message, Part, Text, ToolCall

__all__ = ["RowEncoder", "StoreText", "messages_json", "text_hash"]

StoreText = Literal["full", "hash", "none"]

_REMEMBERED = 10_000
_FIELDS = ("error", "message", "score_details", "scores", "data", "extra")


def text_hash(text: str) -> str:
    """Return the name under which a text is stored: 128 bits of BLAKE2b as hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def messages_json(messages: Sequence[Message]) -> str:
    """Return messages as JSON, in the shape of OpenAI's chat; of an image its hash is kept, not its data."""
    return json.dumps([{"role": m.role, "content": _content(m.content)} for m in messages], ensure_ascii=False)


def _content(content: str | tuple[Part, ...]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": dict(part.arguments)}
    if isinstance(part, Image):
        source = part.url if part.data is None else hashlib.sha256(part.data).hexdigest()
        return {"type": "image", "media_type": part.media_type, "url" if part.data is None else "sha256": source}
    return {"type": "tool_result", "id": part.id, "content": part.content}


class RowEncoder:
    """Turn a row into the rows to store: texts apart, under their hashes, redacted before anything else happens.

    Used by the writer's thread alone.
    """

    def __init__(
        self,
        *,
        store_text: StoreText = "full",
        redact: Callable[[str], str] | None = None,
        scrub: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.store_text: StoreText = store_text
        """May be changed at any time: what is written from then on follows it."""
        self._scrub = scrub
        self._redact = None if redact is None else _unfailing(redact)
        self._stored: OrderedDict[str, None] = OrderedDict()
        self._json = msgspec.json.Encoder()

    def __call__(self, kind: str, row: Any) -> Sequence[Encoded]:
        """Return `(kind, JSON)` of the row, its payloads before it."""
        if isinstance(row, CallRow):
            return self._call(kind, copy.copy(row))
        if isinstance(row, TrialRow):
            return self._trial(kind, copy.copy(row))
        return ((kind, self._encode(self._clean(copy.copy(row)))),)

    def _call(self, kind: str, row: CallRow) -> Sequence[Encoded]:
        out: list[Encoded] = []
        prompt, text = row.prompt, row.text
        row.prompt = row.text = None
        self._clean(row)
        if prompt is not None:
            row.prompt_hash = self._keep(prompt if isinstance(prompt, str) else messages_json(prompt), out)
        if text is not None:
            row.text_hash = self._keep(text, out)
        out.append((kind, self._encode(row)))
        return out

    def _trial(self, kind: str, row: TrialRow) -> Sequence[Encoded]:
        out: list[Encoded] = []
        text, row.text = row.text, None
        self._clean(row)
        if text is not None:
            row.text_hash = self._keep(text, out)
        out.append((kind, self._encode(row)))
        return out

    def _keep(self, text: str, out: list[Encoded]) -> str:
        """Return the text's hash, its payload added to `out` unless this process stored it lately."""
        if self.store_text == "none":
            return ""
        if self._redact is not None:
            text = _redacted_json(text, self._redact)
        if self._scrub is not None:
            text = self._scrub(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        name = text_hash(text)
        if self.store_text == "full" and name not in self._stored:
            out.append(("payload", self._encode(PayloadRow(hash=name, content=text))))
            self._stored[name] = None
            if len(self._stored) > _REMEMBERED:
                self._stored.popitem(last=False)
        return name

    def _clean(self, row: Any) -> Any:
        """Redact the fields of a row that may quote a text; return the row."""
        if self._redact is None:
            return row
        if isinstance(row, dict):
            return _redacted(cast("dict[str, Any]", row), self._redact)
        for name in _FIELDS:
            if value := getattr(row, name, None):
                setattr(row, name, _redacted(value, self._redact))
        return row

    def _encode(self, row: Any) -> bytes:
        try:
            body = self._json.encode(row)
        except UnicodeEncodeError:
            # A lone surrogate, as some models emit them: the rest of the row is worth keeping.
            body = self._json.encode(_without_surrogates(msgspec.to_builtins(row)))
        return body if self._scrub is None else self._scrub(body)


def _unfailing(redact: Callable[[str], str]) -> Callable[[str], str]:
    """Wrap the hook: where it raises, nothing of the text may be written, and the row is still worth having."""

    def redacted(text: str) -> str:
        try:
            return redact(text)
        except Exception as error:  # noqa: BLE001  # it is the user's function
            return f"[redaction failed: {type(error).__name__}]"

    return redacted


def _redacted_json(text: str, redact: Callable[[str], str]) -> str:
    """Redact a text; where it is JSON, each string inside it, so that it stays JSON."""
    if not text.startswith(("[", "{")):
        return redact(text)
    try:
        value = json.loads(text)
    except ValueError:
        return redact(text)
    return json.dumps(_redacted(value, redact), ensure_ascii=False)


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item, redact) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_redacted(item, redact) for item in cast("Sequence[Any]", value)]
    return value


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in cast("list[Any]", value)]
    return value
