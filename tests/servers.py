"""A loopback server for tests: what it sends is bytes under the test's control, what it got is there to be counted.

    with Server([json_reply({...})]) as server:          # the replies in order, the last one again and again
        ... server.url ... server.requests ... server.connections

A reply is a list of steps: bytes are written at once, a number is a pause in seconds, `CUT` ends the connection,
`RESET` breaks it, `HOLD` keeps it open until the client goes. After the last step the connection serves on. Instead of
a list, a function from `Request` to a reply can be given. `GET` requests are answered with `models` and use up no
reply. The server runs on a thread of its own, so that it serves tests with and without an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

__all__ = [
    "CUT",
    "HOLD",
    "RESET",
    "Reply",
    "Request",
    "Server",
    "chat_stream",
    "chat_whole",
    "chunked",
    "header_lines",
    "json_reply",
    "messages_stream",
    "messages_whole",
    "ollama_stream",
    "plain",
    "responses_stream",
    "responses_whole",
    "sse",
    "streamed",
]


class Act(Enum):
    CUT = auto()
    RESET = auto()
    HOLD = auto()


CUT, RESET, HOLD = Act.CUT, Act.RESET, Act.HOLD
Reply = Sequence[bytes | float | Act]


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Number of the connection it came on, counted from 1."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """The server: a context manager; `url` has no path."""

    replies: Sequence[Reply] | Callable[[Request], Reply]
    models: Sequence[str] = ()
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    """All but the `GET`s, in order of arrival."""
    gets: list[Request] = field(default_factory=list)
    connections: int = 0
    """Connections accepted so far."""
    open: int = 0
    """Connections open now."""
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def wait_until_closed(self, seconds: float = 3.0, *, left: int = 0) -> bool:
        """Wait until no more than `left` connections are open; False when they still are."""
        until = time.monotonic() + seconds
        while self.open > left and time.monotonic() < until:
            time.sleep(0.005)
        return self.open <= left

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=4096, limit=2**26, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            begin = await reader.readexactly(1)
            if begin == b"\x16":  # a TLS hello on a plain port
                writer.write(header_lines(400, content_length="0", connection="close"))
                return
            head = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = first.split(" ", 2)
            if not await self._play(self._reply(Request(method, path, headers, body, number)), reader, writer):
                return

    def _reply(self, request: Request) -> Reply:
        if request.method == "GET" and not callable(self.replies):
            self.gets.append(request)
            return json_reply({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})
        self.requests.append(request)
        if callable(self.replies):
            return self.replies(request)
        return self.replies[min(len(self.requests), len(self.replies)) - 1]

    async def _play(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for step in reply:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif step is HOLD:
                await reader.read()
                return False
            elif step is RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return False
            elif step is CUT:
                with contextlib.suppress(ConnectionError):
                    writer.close()
                    await writer.wait_closed()
                return False
            else:
                await self._pause(float(step), reader)
        return True

    async def _pause(self, seconds: float, reader: asyncio.StreamReader) -> None:
        """Pause, but end at once when the client goes."""
        until = self._loop.time() + seconds
        while (left := until - self._loop.time()) > 0:
            if reader.at_eof() or reader.exception() is not None:
                raise ConnectionError("the client is gone")
            await asyncio.sleep(min(left, 0.01))


def header_lines(status: int = 200, **headers: str) -> bytes:
    """Return a status line and headers; `_` in a name stands for `-`."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1")


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """Return a reply whose body is JSON."""
    return plain(json.dumps(value).encode(), status, **{"content_type": "application/json", **headers})


def plain(body: bytes, status: int = 200, **headers: str) -> Reply:
    """Return a reply with a body of known length."""
    return [header_lines(status, content_length=str(len(body)), **headers) + body]


def chunked(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def streamed(
    *pieces: bytes | float | Act, content_type: str = "text/event-stream", end: bool = True, **headers: str
) -> Reply:
    """Return a chunked reply, each piece a chunk (and a write) of its own; `end=False` leaves the body open."""
    steps: list[bytes | float | Act] = [
        header_lines(200, content_type=content_type, transfer_encoding="chunked", **headers)
    ]
    steps += [chunked(piece) if isinstance(piece, bytes) else piece for piece in pieces]
    return [*steps, b"0\r\n\r\n"] if end else steps


def sse(value: Any, event: str = "") -> bytes:
    """Return one server-sent event with JSON in it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


CHAT_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chat_chunk(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    """Return one event of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x-2026"}
    return sse({**head, "system_fingerprint": "fp_1", "choices": [choice], **more})


def chat_stream(*words: str, finish: str = "stop", usage: Any = CHAT_USAGE) -> list[bytes]:
    """Return the events of a streamed chat completion."""
    events = [chat_chunk({"role": "assistant", "content": ""})]
    events += [chat_chunk({"content": word}) for word in words]
    events.append(chat_chunk({}, finish))
    if usage is not None:
        events.append(chat_chunk({}, choices=[], usage=usage))
    return [*events, sse("[DONE]")]


def chat_whole(
    text: str = "Hello you", finish: str = "stop", usage: Any = CHAT_USAGE, **message: Any
) -> dict[str, Any]:
    """Return a chat completion that was not streamed."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish, "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-x-2026"}
    return {**head, "system_fingerprint": "fp_1", "choices": [choice], "usage": usage}


def named(kind: str, **fields: Any) -> bytes:
    """Return one server-sent event that carries its name in its data too."""
    return sse({"type": kind, **fields}, kind)


MESSAGE_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 5,
    "output_tokens": 7,
}


def messages_whole(
    text: str = "Hello you", stop: str | None = "end_turn", usage: Any = MESSAGE_USAGE
) -> dict[str, Any]:
    """Return an Anthropic message that was not streamed."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-2026", "stop_sequence": None}
    return {**head, "content": [{"type": "text", "text": text}], "stop_reason": stop, "usage": usage}


def messages_stream(*words: str, stop: str = "end_turn") -> list[bytes]:
    """Return the events of a streamed Anthropic message."""
    message = {**messages_whole(stop=None, usage={**MESSAGE_USAGE, "output_tokens": 1}), "content": []}
    events = [
        named("message_start", message=message),
        named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        named("ping"),
    ]
    events += [named("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words]
    events += [
        named("content_block_stop", index=0),
        named("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 7}),
        named("message_stop"),
    ]
    return events


def ollama_stream(*words: str, done: str = "stop", **last: Any) -> list[bytes]:
    """Return the lines of Ollama's streamed answer."""
    head = {"model": "llama-x", "created_at": "2026-11-22T07:00:00Z"}
    lines = [{**head, "message": {"role": "assistant", "content": word}, "done": False} for word in words]
    counts = {"prompt_eval_count": 12, "eval_count": 7, **last}
    lines.append({**head, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": done, **counts})
    return [json.dumps(line).encode() + b"\n" for line in lines]


RESPONSE_USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 19,
}


def responses_whole(text: str = "Hello you", status: str = "completed", **more: Any) -> dict[str, Any]:
    """Return a response that was not streamed."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "item_1", "role": "assistant", "status": status, "content": content}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-x-2026", "error": None}
    head |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return {**head, "status": status, "output": [message], "usage": RESPONSE_USAGE, "incomplete_details": None, **more}


def responses_stream(*words: str) -> list[bytes]:
    """Return the events of a streamed response, numbered as the API numbers them."""
    whole = responses_whole("".join(words))
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    item = {"item_id": "item_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "item_1"}},
    ]
    events += [{"type": "response.output_text.delta", **item, "delta": word, "logprobs": []} for word in words]
    events.append({"type": "response.output_text.done", **item, "text": "".join(words), "logprobs": []})
    events.append({"type": "response.completed", "response": whole})
    return [sse({**event, "sequence_number": number}, event["type"]) for number, event in enumerate(events)]
