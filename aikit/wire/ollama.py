"""The dialect of Ollama's `/api/chat`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from aikit.errors import UnsupportedFeature
from aikit.events import Event
from aikit.messages import (
    FinishReason,
    GenerationOptions,
    Image,
    Message,
    ToolCall,
    ToolResult,
    text_content,
)
from aikit.wire.answers import Answer, AnswerReader, decode, encode, known_usage
from aikit.wire.status import unexpected
from aikit.wire.surrogates import without_surrogates

__all__ = ["OllamaReader", "answer", "body"]

FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Any = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    message: _Said | None = None
    done: bool = False
    done_reason: str | None = None
    model: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Line).decode


def body(messages: Sequence[Message], options: GenerationOptions, *, model: str, stream: bool) -> bytes:
    """Return the request's body; raise `UnsupportedFeature` for what the API can't be told.

    A field of `options.extra` replaces ours, one that is None removes it; its `options` are merged into ours.
    """
    given: dict[str, Any] = {
        "num_predict": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "stop": list(options.stop) if options.stop else None,
    }
    extra = dict(options.extra)
    given.update(extra.pop("options", None) or {})
    fields: dict[str, Any] = {
        "model": model,
        "messages": _turns(messages),
        "stream": stream,
        "options": {name: value for name, value in given.items() if value is not None} or None,
        "format": options.json_schema,
        "think": _think(options.reasoning_effort),
        "tools": _tools(options),
    }
    fields.update(extra)
    return encode({name: value for name, value in fields.items() if value is not None})


def answer(data: bytes, *, provider: str, model: str) -> Answer:
    """Return the whole answer that a response's body is; raise a `ProviderError` for any other shape."""
    what = "sent no answer"
    whole = decode(_decode, data, _Line, provider=provider, model=model, what=what)
    if whole.message is None or not whole.done or whole.error:
        raise unexpected(what, data, provider=provider, model=model)
    said = whole.message
    text = without_surrogates(said.content or "")
    calls = tuple(_whole_call(i, call) for i, call in enumerate(said.tool_calls or ()))
    reason = FINISH_REASONS.get(whole.done_reason or "stop", "unknown")
    return Answer(
        text=text,
        finish_reason="tool_call" if calls and reason == "stop" else reason,
        raw_finish_reason=whole.done_reason or "",
        reasoning=without_surrogates(said.thinking or ""),
        tool_calls=calls,
        usage=known_usage(whole.prompt_eval_count, whole.eval_count, text=bool(text)),
        response_model=whole.model or "",
    )


class OllamaReader(AnswerReader):
    """Reads one streamed answer; its end marker is a line with `"done": true`."""

    _calls: int = 0

    def feed(self, name: str, data: bytes) -> Sequence[Event]:
        """Return the events that one line of the stream holds."""
        try:
            line = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            what = "sent a malformed line"
            line = decode(_decode, data, _Line, provider=self.provider, model=self.model, what=what)
        said = line.message
        if said is not None and said.content and not line.done and said.thinking is None and said.tool_calls is None:
            self.understood = True
            return self.text(said.content)
        if line.error:
            self.fail(data)
        return self._rest(line)

    def whole(self, body: bytes) -> Sequence[Event]:
        """Return the events of an answer that came whole although a stream was asked for."""
        # Ollama calls a stream's type `application/x-ndjson`, but proxies before it say `application/json`.
        if body.strip().count(b"\n"):
            return [event for line in body.splitlines() if line.strip() for event in self.feed("", line)]
        return self.take(answer(body, provider=self.provider, model=self.model))

    def _rest(self, line: _Line) -> Sequence[Event]:
        if line.message is None and not line.done:
            return ()
        self.understood = True
        events: list[Event] = []
        said = line.message or _Said()
        if said.thinking:
            events += self.reasoning(said.thinking)
        if said.content:
            events += self.text(said.content)
        for call in said.tool_calls or ():
            events.append(self.tool(self._calls, *_whole_call(self._calls, call)))
            self._calls += 1
        if line.done:
            events.append(self._done(line))
        return events

    def _done(self, line: _Line) -> Event:
        self.complete = self.ended = True
        self.response_model = line.model or ""
        self.raw_finish_reason = line.done_reason or ""
        reason = FINISH_REASONS.get(line.done_reason or "stop", "unknown")
        self.finish_reason = "tool_call" if self._calls and reason == "stop" else reason
        # A prompt that was in the cache is left out of the counts: not known, and not 0.
        return self.told(known_usage(line.prompt_eval_count, line.eval_count, text=bool(self.parts)))


def _think(effort: str | None) -> bool | str | None:
    return {None: None, "none": False}.get(effort, effort)


def _tools(options: GenerationOptions) -> list[Mapping[str, Any]] | None:
    if options.tool_choice not in (None, "auto", "none"):
        raise UnsupportedFeature(f"Ollama can't be told tool_choice={options.tool_choice!r}; leave it out")
    if not options.tools or options.tool_choice == "none":
        return None
    return [tool if "type" in tool else {"type": "function", "function": dict(tool)} for tool in options.tools]


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    """Id of a tool call → its tool: Ollama wants a result under the tool's name."""
    return [turn for message in messages for turn in _turn(message, names)]


def _turn(message: Message, names: dict[str, str]) -> Iterable[dict[str, Any]]:
    if isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
        return
    for part in message.content:
        if isinstance(part, ToolResult):
            name = names.get(part.id)
            yield {"role": "tool", "content": part.content, **({"tool_name": name} if name else {})}
    calls = [part for part in message.content if isinstance(part, ToolCall)]
    names.update({call.id: call.name for call in calls})
    images = [_image(part) for part in message.content if isinstance(part, Image)]
    turn: dict[str, Any] = {"role": message.role, "content": text_content(message)}
    if calls:
        turn["tool_calls"] = [{"function": {"name": c.name, "arguments": dict(c.arguments)}} for c in calls]
    if images:
        turn["images"] = images
    if calls or images or turn["content"]:
        yield turn


def _image(image: Image) -> str:
    if image.data is None:
        raise UnsupportedFeature("Ollama takes a picture's bytes, not its address: use Image(data=…)")
    return base64.b64encode(image.data).decode()


def _whole_call(index: int, call: _Call) -> tuple[str, str, str]:
    arguments: Any = call.function.arguments
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    return call.id or f"call_{index}", call.function.name, without_surrogates(text)
