"""The dialect of OpenAI's chat completions, which most other servers speak too."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

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
    text_content,
)
from aikit.wire.answers import Answer, AnswerReader, decode, encode, known_usage
from aikit.wire.status import unexpected
from aikit.wire.surrogates import without_surrogates

__all__ = ["ChatReader", "answer", "body", "image_url", "is_strict", "schema_name"]

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "error": "error",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    index: int | None = 0


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    id: str | None = None
    system_fingerprint: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_SAFE_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def body(
    messages: Sequence[Message],
    options: GenerationOptions,
    *,
    model: str,
    stream: bool,
    tokens_field: str = "max_tokens",
) -> bytes:
    """Return the request's body. A field of `options.extra` replaces ours; one that is None removes it."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": [turn for message in messages for turn in _turns(message)],
        tokens_field: options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "stop": list(options.stop) if options.stop else None,
        "reasoning_effort": options.reasoning_effort,
    }
    if options.json_schema is not None:
        fields["response_format"] = {"type": "json_schema", "json_schema": _schema(options.json_schema)}
    if options.tools:
        fields["tools"] = [_tool(tool) for tool in options.tools]
    if options.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(options.tool_choice)
    if stream:
        fields["stream"] = True
        fields["stream_options"] = {"include_usage": True}
    fields.update(options.extra)
    return encode({name: value for name, value in fields.items() if value is not None})


def answer(data: bytes, *, provider: str, model: str) -> Answer:
    """Return the whole answer that a response's body is; raise a `ProviderError` for any other shape."""
    what = "sent no chat completion"
    whole = decode(_decode, data, _Chunk, provider=provider, model=model, what=what)
    choice = whole.choices[0] if whole.choices else None
    if choice is None or choice.message is None or whole.error:
        raise unexpected(what, data, provider=provider, model=model)
    said = choice.message
    text = _text(said)
    calls = tuple(_whole_call(call) for call in said.tool_calls or ())
    return Answer(
        text=text,
        finish_reason="refusal" if said.refusal else FINISH_REASONS.get(choice.finish_reason or "", "unknown"),
        raw_finish_reason=choice.finish_reason or "",
        reasoning=without_surrogates(_reasoning(said)),
        tool_calls=calls,
        usage=_usage(whole.usage, text=bool(text)) if whole.usage else Usage(),
        response_model=whole.model or "",
        request_id=whole.id or "",
        fingerprint=whole.system_fingerprint or "",
    )


class ChatReader(AnswerReader):
    """Reads one streamed chat completion; its end marker is a `finish_reason`, then `[DONE]` or the body's end."""

    _calls: int = -1

    def feed(self, name: str, data: bytes) -> Sequence[Event]:
        """Return the events that one event of the stream holds."""
        if data[:1] == b"[" and data.strip() == b"[DONE]":
            self.ended = self.understood = True
            return ()
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            what = "sent a malformed event"
            chunk = decode(_decode, data, _Chunk, provider=self.provider, model=self.model, what=what)
        if chunk.choices:
            choice = chunk.choices[0]
            if (said := choice.delta) is not None and not choice.index:
                text = said.content
                # What almost every chunk is: text and nothing else.
                if type(text) is str and text and choice.finish_reason is None and self._plain(said, chunk):
                    return self.text(text)
        return self._rest(name, data, chunk)

    def whole(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole although a stream was asked for."""
        return self.take(answer(body, provider=self.provider, model=self.model))

    def _plain(self, said: _Said, chunk: _Chunk) -> bool:
        alone = said.tool_calls is None and said.reasoning_content is None and said.reasoning is None
        return alone and self.understood and chunk.usage is None

    def _rest(self, name: str, data: bytes, chunk: _Chunk) -> Sequence[Event]:
        if chunk.error or name == "error":
            self.fail(data)
        if chunk.choices is None and chunk.usage is None:
            return ()
        self.understood = True
        self.response_model = chunk.model or self.response_model or self.model
        self.request_id = chunk.id or self.request_id
        self.fingerprint = chunk.system_fingerprint or self.fingerprint
        events: list[Event] = []
        for choice in chunk.choices or ():
            if not choice.index:
                events += self._said(choice.delta or choice.message)
                if choice.finish_reason:
                    self._end_with(choice.finish_reason)
        if chunk.usage is not None:
            events.append(self.told(_usage(chunk.usage, text=bool(self.parts))))
            # Usage alone comes last: only [DONE] can follow, and some servers never send it.
            self.ended = self.complete and not chunk.choices
        return events

    def _end_with(self, reason: str) -> None:
        self.complete = True
        self.raw_finish_reason = reason
        self.finish_reason = FINISH_REASONS.get(reason, "unknown")

    def _said(self, said: _Said | None) -> Sequence[Event]:
        if said is None:
            return ()
        events: list[Event] = []
        if reasoning := _reasoning(said):
            events += self.reasoning(reasoning)
        self.refused = self.refused or bool(said.refusal)
        if text := _raw_text(said):
            events += self.text(text)
        events += [self._call(call) for call in said.tool_calls or ()]
        return events

    def _call(self, call: _Call) -> Event:
        if call.index is not None:
            self._calls = max(self._calls, call.index)
        elif call.id or self._calls < 0:  # a server that numbers none: a new id begins a new call
            self._calls += 1
        index = self._calls if call.index is None else call.index
        made = call.function or _Function()
        return self.tool(index, call.id or "", made.name or "", made.arguments or "")


def image_url(image: Image) -> str:
    """Return a picture's address, its bytes as a `data:` address."""
    if image.url is not None:
        return image.url
    return f"data:{image.media_type};base64,{base64.b64encode(image.data or b'').decode()}"


def is_strict(schema: Any) -> bool:
    """Tell whether a JSON schema fulfils what strict output asks for: closed objects, all fields required."""
    if isinstance(schema, Mapping):
        node = cast(Mapping[str, Any], schema)
        properties: Any = node.get("properties")
        if node.get("type") == "object" or properties is not None:
            names = set(cast(Mapping[str, Any], properties or {}))
            if node.get("additionalProperties") is not False or set(node.get("required", ())) != names:
                return False
        return all(is_strict(value) for key, value in node.items() if key not in ("enum", "const", "default"))
    if isinstance(schema, list):
        return all(is_strict(item) for item in cast(list[Any], schema))
    return True


def schema_name(schema: Mapping[str, Any]) -> str:
    """Return a name for a schema as the API takes one, from its title."""
    return _SAFE_NAME.sub("_", str(schema.get("title") or "answer"))[:64] or "answer"


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": schema_name(schema), "schema": schema, "strict": is_strict(schema)}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return tool if "type" in tool else {"type": "function", "function": dict(tool)}


def _tool_choice(choice: str) -> Any:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}


def _turns(message: Message) -> Iterable[dict[str, Any]]:
    if isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
        return
    for part in message.content:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.id, "content": part.content}
    calls = [_said_call(part) for part in message.content if isinstance(part, ToolCall)]
    rest = [part for part in message.content if isinstance(part, Text | Image)]
    if calls:
        yield {"role": message.role, "content": text_content(message) or None, "tool_calls": calls}
    elif rest:
        yield {"role": message.role, "content": [_part(part) for part in rest]}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": image_url(part)}}
    return {"type": "text", "text": cast(Text, part).text}


def _said_call(call: ToolCall) -> dict[str, Any]:
    arguments = msgspec.json.encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _whole_call(call: _Call) -> tuple[str, str, str]:
    made = call.function or _Function()
    return call.id or "", made.name or "", without_surrogates(made.arguments or "")


def _text(said: _Said) -> str:
    return without_surrogates(_raw_text(said))


def _raw_text(said: _Said) -> str:
    if isinstance(said.content, list):  # Mistral's reasoning models answer in parts
        parts = [cast(dict[str, Any], part) for part in said.content if isinstance(part, dict)]
        return "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
    return said.content or said.refusal or ""


def _reasoning(said: _Said) -> str:
    return said.reasoning_content or said.reasoning or ""


def _usage(usage: _Usage, *, text: bool) -> Usage:
    given = usage.prompt_tokens_details or _InputDetails()
    made = usage.completion_tokens_details or _OutputDetails()
    read = given.cached_tokens if given.cached_tokens is not None else usage.prompt_cache_hit_tokens
    return known_usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        text=text,
        read=read,
        written=given.cache_write_tokens,
        reasoning=made.reasoning_tokens,
    )
