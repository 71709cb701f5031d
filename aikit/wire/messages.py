"""The dialect of Anthropic's messages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec

from aikit.events import Event
from aikit.messages import (
    FinishReason,
    GenerationOptions,
    Message,
    Part,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    text_content,
)
from aikit.wire.answers import Answer, AnswerReader, decode, encode, known_usage
from aikit.wire.status import unexpected
from aikit.wire.surrogates import without_surrogates

__all__ = ["MessagesReader", "answer", "body", "count_body", "counted"]

LONGEST = 4096
"""Output tokens asked for when the caller names no limit: this API requires one."""
SHORTEST_BUDGET = 1024
"""Tokens of the smallest thinking budget that the API takes."""
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
"""Tokens for thinking, by effort, on the models that take a budget and no effort."""

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "refusal": "refusal",
}


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    type: str = ""


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Usage | None = None


class _Counted(msgspec.Struct):
    input_tokens: int


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode


def body(
    messages: Sequence[Message],
    options: GenerationOptions,
    *,
    model: str,
    stream: bool,
    effort: bool = True,
) -> bytes:
    """Return the request's body; `effort` is False for the older models, which take a thinking budget instead.

    A field of `options.extra` replaces ours; one that is None removes it. The API has no `seed`.
    """
    fields = _prompt(messages, options, model=model)
    longest = options.max_tokens or LONGEST
    fields |= {
        "max_tokens": longest,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "stop_sequences": list(options.stop) if options.stop else None,
        "stream": True if stream else None,
    }
    config: dict[str, Any] = {}
    if options.json_schema is not None:
        config["format"] = {"type": "json_schema", "schema": options.json_schema}
    if options.reasoning_effort is not None:
        fields["thinking"] = _thinking(options.reasoning_effort, longest, effort=effort)
        if effort and options.reasoning_effort != "none":
            config["effort"] = options.reasoning_effort
    if config:
        fields["output_config"] = config
    fields.update(options.extra)
    return encode({name: value for name, value in fields.items() if value is not None})


def count_body(messages: Sequence[Message], options: GenerationOptions, *, model: str) -> bytes:
    """Return the body of a request to count the tokens of a prompt."""
    fields = _prompt(messages, options, model=model)
    return encode({name: value for name, value in fields.items() if value is not None})


def counted(data: bytes, *, provider: str, model: str) -> int:
    """Return the count that a response's body tells."""
    decoder = msgspec.json.Decoder(_Counted).decode
    return decode(decoder, data, _Counted, provider=provider, model=model, what="sent no token count").input_tokens


def answer(data: bytes, *, provider: str, model: str) -> Answer:
    """Return the whole answer that a response's body is; raise a `ProviderError` for any other shape."""
    what = "sent no message"
    whole = decode(_decode_message, data, _Message, provider=provider, model=model, what=what)
    if whole.content is None or whole.type not in ("message", "") or whole.stop_reason is None:
        raise unexpected(what, data, provider=provider, model=model)
    text = "".join(block.text or "" for block in whole.content if block.type == "text")
    thoughts = "".join(block.thinking or "" for block in whole.content if block.type == "thinking")
    calls = tuple(_whole_call(block) for block in whole.content if block.type == "tool_use")
    return Answer(
        text=without_surrogates(text),
        finish_reason=FINISH_REASONS.get(whole.stop_reason, "unknown"),
        raw_finish_reason=whole.stop_reason,
        reasoning=without_surrogates(thoughts),
        tool_calls=calls,
        usage=_totals(whole.usage, text=bool(text)) if whole.usage else Usage(),
        response_model=whole.model or "",
        request_id=whole.id or "",
    )


class MessagesReader(AnswerReader):
    """Reads one streamed message; its end marker is a `stop_reason` and then `message_stop`."""

    def __init__(self, *, provider: str = "", model: str = "") -> None:
        super().__init__(provider=provider, model=model)
        self._raw = _Usage()
        self._tools: dict[int, int] = {}
        """Index of a block → number of the tool call in it."""

    def feed(self, name: str, data: bytes) -> Sequence[Event]:
        """Return the events that one event of the stream holds."""
        try:
            event = _decode_event(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            what = "sent a malformed event"
            event = decode(_decode_event, data, _Event, provider=self.provider, model=self.model, what=what)
        delta = event.delta
        if event.type == "content_block_delta" and delta is not None:
            return self.text(delta.text) if delta.text else self._delta(event.index, delta)
        return self._rest(name, data, event)

    def whole(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole although a stream was asked for."""
        return self.take(answer(body, provider=self.provider, model=self.model))

    def usage_so_far(self) -> Usage | None:
        """Return the input of an answer that broke off; its output is not known before the end."""
        if self.usage is None or self.raw_finish_reason:
            return self.usage
        return replace(self.usage, output_tokens=None)

    def _rest(self, name: str, data: bytes, event: _Event) -> Sequence[Event]:
        if event.type == "error" or name == "error":
            self.fail(data)
            raise unexpected("sent an error", data, provider=self.provider, model=self.model)
        self.understood = self.understood or event.type.startswith(("message_", "content_"))
        if event.type == "message_start" and event.message is not None:
            return self._start(event.message)
        if event.type == "content_block_start" and event.content_block is not None:
            return self._block(event.index, event.content_block)
        if event.type == "message_delta":
            return self._message_delta(event)
        if event.type == "message_stop":
            self.ended = True
            self.complete = bool(self.raw_finish_reason)
        return ()

    def _start(self, message: _Message) -> Sequence[Event]:
        self.response_model = message.model or ""
        self.request_id = message.id or ""
        return self._count(message.usage)

    def _message_delta(self, event: _Event) -> Sequence[Event]:
        if event.delta is not None and event.delta.stop_reason:
            self.raw_finish_reason = event.delta.stop_reason
            self.finish_reason = FINISH_REASONS.get(self.raw_finish_reason, "unknown")
        return self._count(event.usage)

    def _count(self, usage: _Usage | None) -> Sequence[Event]:
        """Take in counts: they are cumulative, so the last of each field stands."""
        if usage is None:
            return ()
        for field in _Usage.__struct_fields__:
            if (value := getattr(usage, field)) is not None:
                setattr(self._raw, field, value)
        return (self.told(_totals(self._raw, text=bool(self.parts))),)

    def _block(self, index: int, block: _Block) -> Sequence[Event]:
        if block.type == "text" and block.text:
            return self.text(block.text)
        if block.type == "thinking" and block.thinking:
            return self.reasoning(block.thinking)
        if block.type != "tool_use":
            return ()
        number = self._tools[index] = len(self._tools)
        given = msgspec.json.encode(block.input).decode() if block.input else ""
        return (self.tool(number, block.id or "", block.name or "", given),)

    def _delta(self, index: int, delta: _Delta) -> Sequence[Event]:
        self.understood = True
        if delta.thinking:
            return self.reasoning(delta.thinking)
        if delta.partial_json and index in self._tools:
            return (self.tool(self._tools[index], "", "", delta.partial_json),)
        return ()


def _totals(usage: _Usage, *, text: bool) -> Usage:
    given = usage.input_tokens
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    if given is not None:
        # Anthropic reports cached tokens apart; OpenTelemetry counts them inside.
        given += (read or 0) + (written or 0)
    details = usage.output_tokens_details or _OutputDetails()
    return known_usage(
        given, usage.output_tokens, text=text, read=read, written=written, reasoning=details.thinking_tokens
    )


def _thinking(word: str, longest: int, *, effort: bool) -> dict[str, Any]:
    if word == "none":
        return {"type": "disabled"}
    if effort:
        return {"type": "adaptive"}
    # The budget has to leave room for the answer within max_tokens, which stays what the caller allowed.
    budget = min(BUDGETS.get(word, BUDGETS["medium"]), longest // 2)
    return {"type": "enabled", "budget_tokens": budget} if budget >= SHORTEST_BUDGET else {"type": "disabled"}


def _prompt(messages: Sequence[Message], options: GenerationOptions, *, model: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": model, "messages": _turns(messages)}
    system = [text_content(message) for message in messages if message.role == "system"]
    if system:
        fields["system"] = "\n\n".join(system)
    if options.tools:
        fields["tools"] = [_tool(tool) for tool in options.tools]
    if options.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(options.tool_choice)
    return fields


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if "type" in tool or "input_schema" in tool:
        return tool
    schema: Any = tool.get("parameters") or {"type": "object", "properties": {}}
    rest = {key: value for key, value in tool.items() if key != "parameters"}
    return {**rest, "input_schema": schema}


def _tool_choice(choice: str) -> dict[str, Any]:
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    return {"type": kinds[choice]} if choice in kinds else {"type": "tool", "name": choice}


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        content: Any = message.content
        if not isinstance(message.content, str):
            content = [_part(part) for part in message.content]
        # All results of one turn's tool calls have to stand in the one user turn that follows it.
        if message.role == "tool" and turns and turns[-1]["role"] == "user" and isinstance(content, list):
            before: Any = turns[-1]["content"]
            if isinstance(before, list):
                cast(list[Any], before).extend(cast(list[Any], content))
                continue
        turns.append({"role": role, "content": content})
    return turns


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": dict(part.arguments)}
    if isinstance(part, ToolResult):
        return {"type": "tool_result", "tool_use_id": part.id, "content": part.content}
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    data = base64.b64encode(part.data or b"").decode()
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": data}}


def _whole_call(block: _Block) -> tuple[str, str, str]:
    return block.id or "", block.name or "", msgspec.json.encode(block.input or {}).decode()
