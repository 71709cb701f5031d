"""The dialect of OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, cast

import msgspec

from aikit.events import Event
from aikit.messages import (
    FinishReason,
    GenerationOptions,
    Image,
    Message,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from aikit.wire.answers import Answer, AnswerReader, decode, encode, known_usage
from aikit.wire.chat import image_url, is_strict, schema_name
from aikit.wire.status import error_in_body, unexpected
from aikit.wire.surrogates import without_surrogates

__all__ = ["ResponsesReader", "answer", "body"]

REASONS: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Content(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    content: list[_Content] | str | None = None
    summary: list[_Content] | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    output: list[_Item] | None = None
    id: str | None = None
    status: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    output_index: int = 0
    sequence_number: int | None = None
    item: _Item | None = None
    response: _Response | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode


def body(
    messages: Sequence[Message],
    options: GenerationOptions,
    *,
    model: str,
    stream: bool,
    background: bool = False,
) -> bytes:
    """Return the request's body. A field of `options.extra` replaces ours; one that is None removes it.

    The API has neither `seed` nor `stop`. Nothing is stored at the provider, except in the background, which needs it.
    """
    fields: dict[str, Any] = {
        "model": model,
        "input": [item for message in messages for item in _items(message)],
        "max_output_tokens": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "store": background,
        "background": background or None,
        "stream": stream or None,
    }
    if options.reasoning_effort is not None:
        fields["reasoning"] = {"effort": options.reasoning_effort}
    if options.json_schema is not None:
        fields["text"] = {"format": _format(options.json_schema)}
    if options.tools:
        fields["tools"] = [tool if "type" in tool else {"type": "function", **tool} for tool in options.tools]
    if options.tool_choice is not None:
        named = options.tool_choice not in ("auto", "none", "required")
        fields["tool_choice"] = {"type": "function", "name": options.tool_choice} if named else options.tool_choice
    fields.update(options.extra)
    return encode({name: value for name, value in fields.items() if value is not None})


def answer(data: bytes, *, provider: str, model: str) -> Answer:
    """Return the whole answer that a response's body is; raise a `ProviderError` for any other shape."""
    what = "sent no response"
    whole = decode(_decode_response, data, _Response, provider=provider, model=model, what=what)
    if whole.output is None or whole.status not in ("completed", "incomplete"):
        raise unexpected(what, data, provider=provider, model=model)
    return _answer(whole, whole.output)


class ResponsesReader(AnswerReader):
    """Reads one streamed response; its end marker is `response.completed`, `.incomplete` or `.failed`."""

    def __init__(self, *, provider: str = "", model: str = "", background: bool = False, resumed: bool = False) -> None:
        super().__init__(provider=provider, model=model)
        self._background = background
        self._resumed = resumed
        self.sequence = -1
        """Number of the last event read."""

    def feed(self, name: str, data: bytes) -> Sequence[Event]:
        """Return the events that one event of the stream holds."""
        if data[:1] == b"[" and data.strip() == b"[DONE]":
            return ()
        try:
            event = _decode_event(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            what = "sent a malformed event"
            event = decode(_decode_event, data, _Event, provider=self.provider, model=self.model, what=what)
        if event.sequence_number is not None:
            if self._resumed and event.sequence_number <= self.sequence:
                return ()  # a resumed stream may begin with what was there already
            self.sequence = event.sequence_number
        if event.type == "response.output_text.delta" and type(event.delta) is str:
            return self.text(event.delta) if event.delta else ()
        return self._rest(name, data, event)

    def whole(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole although a stream was asked for."""
        return self.take(answer(body, provider=self.provider, model=self.model))

    def resume_token(self) -> str:
        """Return `"<response id>:<last sequence number>"` for a response in the background; else nothing."""
        return f"{self.request_id}:{self.sequence}" if self._background and self.request_id else ""

    def go_on(self, token: str) -> None:
        """Set the reader to where an earlier one of the same response stopped."""
        self.request_id, _, sequence = token.rpartition(":")
        self.sequence = int(sequence)
        self._background = self._resumed = True

    def _rest(self, name: str, data: bytes, event: _Event) -> Sequence[Event]:
        kind = event.type
        if kind == "error" or name == "error":
            self._raise(data)
        self.understood = self.understood or kind.startswith("response.")
        if event.response is not None:
            return self._response(kind, event.response, data)
        delta: Any = event.delta
        if type(delta) is str and delta:
            return self._delta(kind, event.output_index, delta)
        if kind == "response.output_item.added" and event.item is not None and event.item.type == "function_call":
            item = event.item
            return (self.tool(event.output_index, item.call_id or item.id or "", item.name or "", ""),)
        return ()

    def _delta(self, kind: str, index: int, delta: str) -> Sequence[Event]:
        if kind == "response.refusal.delta":
            self.refused = True
            return self.text(delta)
        if kind == "response.function_call_arguments.delta":
            return (self.tool(index, "", "", delta),)
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            return self.reasoning(delta)
        return ()

    def _response(self, kind: str, response: _Response, data: bytes) -> Sequence[Event]:
        self.request_id = response.id or self.request_id
        self.response_model = response.model or self.response_model
        if kind in ("response.failed", "response.cancelled"):
            self.ended = True
            self._raise(data)
        if kind not in ("response.completed", "response.incomplete"):
            return ()
        whole = _answer(response, response.output or [])
        events: list[Event] = []
        if not self.delivered and not self._resumed:
            return self.take(whole)
        self.complete = self.ended = True
        self.finish_reason, self.raw_finish_reason = whole.finish_reason, whole.raw_finish_reason
        events.append(self.told(whole.usage))
        return events

    def _raise(self, data: bytes) -> NoReturn:
        told: Any = msgspec.json.decode(data)
        fields = cast(dict[str, Any], told)
        response = fields.get("response")
        # Here the error's fields stand in the event itself, there under `error`, there in the response.
        error = cast(dict[str, Any], response).get("error") if isinstance(response, dict) else fields.get("error")
        as_body = msgspec.json.encode({"error": error or {k: v for k, v in fields.items() if k != "type"}})
        raise error_in_body(as_body, provider=self.provider, model=self.model) or unexpected(
            "sent an error", data, provider=self.provider, model=self.model
        )


def _answer(whole: _Response, items: Sequence[_Item]) -> Answer:
    content = [part for item in items if item.type == "message" for part in _parts(item.content)]
    refused = any(part.type == "refusal" for part in content)
    text = "".join(part.text or part.refusal or "" for part in content)
    thoughts = [p for item in items if item.type == "reasoning" for p in item.summary or _parts(item.content)]
    calls = tuple(
        (item.call_id or item.id or "", item.name or "", without_surrogates(item.arguments or ""))
        for item in items
        if item.type == "function_call"
    )
    reason: FinishReason = "tool_call" if calls else "stop"
    raw = whole.status or ""
    if whole.status == "incomplete":
        raw = (whole.incomplete_details and whole.incomplete_details.reason) or raw
        reason = REASONS.get(raw, "unknown")
    return Answer(
        text=without_surrogates(text),
        finish_reason="refusal" if refused else reason,
        raw_finish_reason=raw,
        reasoning=without_surrogates("".join(part.text or "" for part in thoughts)),
        tool_calls=calls,
        usage=_usage(whole.usage, text=bool(text)) if whole.usage else Usage(),
        response_model=whole.model or "",
        request_id=whole.id or "",
    )


def _parts(content: list[_Content] | str | None) -> list[_Content]:
    return [_Content("output_text", content)] if isinstance(content, str) else content or []


def _usage(usage: _Usage, *, text: bool) -> Usage:
    given = usage.input_tokens_details or _InputDetails()
    made = usage.output_tokens_details or _OutputDetails()
    return known_usage(
        usage.input_tokens,
        usage.output_tokens,
        text=text,
        read=given.cached_tokens,
        written=given.cache_write_tokens,
        reasoning=made.reasoning_tokens,
    )


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "name": schema_name(schema), "schema": schema, "strict": is_strict(schema)}


def _items(message: Message) -> Iterable[dict[str, Any]]:
    if isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
        return
    said = [_part(part, message.role) for part in message.content if isinstance(part, Text | Image)]
    if said:
        yield {"role": message.role, "content": said}
    for part in message.content:
        if isinstance(part, ToolCall):
            arguments = msgspec.json.encode(part.arguments).decode()
            yield {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments}
        elif isinstance(part, ToolResult):
            yield {"type": "function_call_output", "call_id": part.id, "output": part.content}


def _part(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": image_url(part)}
    return {"type": "output_text" if role == "assistant" else "input_text", "text": cast(Text, part).text}
