"""The four dialects, as tests see them: an adapter, a recorded stream, a whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from aikit import errors
from aikit.config import ProviderConfig
from aikit.events import Event, Finished, TextDelta
from aikit.messages import GenerationOptions, Usage
from aikit.providers.anthropic import Anthropic
from aikit.providers.base import Adapter
from aikit.providers.ollama import Ollama
from aikit.providers.openai import OpenAI
from tests import servers
from tests.servers import Reply, Server

NONE = GenerationOptions()
KEY = "sk-test-0123456789"


@dataclass(frozen=True)
class Dialect:
    name: str
    adapter: type[Adapter]
    base: str
    options: dict[str, Any]
    stream: Callable[..., list[bytes]]
    """The events of a streamed answer, from its words."""
    whole: Callable[..., dict[str, Any]]
    usage: Usage
    """Of both."""
    ping: bytes
    """What the server may send without its being progress."""
    content_type: str = "text/event-stream"

    def make(self, server: Server | str, *, timeouts: dict[str, float] | None = None, **config: Any) -> Adapter:
        url = server if isinstance(server, str) else server.url
        given = {"kind": self.adapter.kind, "base_url": url + self.base, "options": self.options}
        settings = ProviderConfig(**{**given, "timeouts": timeouts or {}, **config})
        return self.adapter(settings, name=self.adapter.kind, model="m-1", key=KEY)

    def reply(self, *pieces: Any, end: bool = True, **headers: str) -> Reply:
        return servers.streamed(*pieces, content_type=self.content_type, end=end, **headers)


def ollama_whole(text: str = "Hello you") -> dict[str, Any]:
    counts = {"prompt_eval_count": 12, "eval_count": 7}
    said = {"role": "assistant", "content": text}
    return {"model": "llama-x", "message": said, "done": True, "done_reason": "stop", **counts}


REASONED = Usage(12, 7, cache_read_tokens=4, reasoning_tokens=2)
CHAT = Dialect("chat", OpenAI, "/v1", {}, servers.chat_stream, servers.chat_whole, REASONED, b": ping\n\n")
RESPONSES = Dialect(
    "responses",
    OpenAI,
    "/v1",
    {"api": "responses"},
    servers.responses_stream,
    servers.responses_whole,
    REASONED,
    servers.sse({"type": "keepalive", "sequence_number": -1}, "keepalive"),
)
MESSAGES = Dialect(
    "messages",
    Anthropic,
    "",
    {},
    servers.messages_stream,
    servers.messages_whole,
    Usage(20, 7, cache_read_tokens=5, cache_write_tokens=3),
    servers.named("ping"),
)
OLLAMA = Dialect(
    "ollama", Ollama, "", {}, servers.ollama_stream, ollama_whole, Usage(12, 7), b"\n", "application/x-ndjson"
)
ALL = [CHAT, RESPONSES, MESSAGES, OLLAMA]

each = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
both = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
sdks = pytest.mark.parametrize("dialect", [CHAT, MESSAGES], ids=lambda dialect: dialect.name)


async def collect(adapter: Adapter, prompt: Any = "hi", options: GenerationOptions = NONE) -> list[Event]:
    return [event async for event in adapter.generate_stream(prompt, options)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    return events[-1]


def run(adapter: Adapter, work: Callable[[Adapter], Any], *, settle: float = 0.0) -> Any:
    """Return what `work` gives on a fresh event loop, the adapter closed at its end."""

    async def all_of_it() -> Any:
        try:
            return await work(adapter)
        finally:
            await asyncio.sleep(settle)
            await adapter.close()

    return asyncio.run(all_of_it())


async def ask(adapter, *, streaming, options=NONE):
    if streaming:
        return text_of(await collect(adapter, options=options))
    return (await adapter.generate_completion("hi", options)).text


def asked(dialect, replies, *, streaming, times=1, **config):
    """Return the error that a call ends with and the server's requests."""
    with Server(replies) as server:
        adapter = dialect.make(server, **config)

        async def work(adapter):
            return [await ask(adapter, streaming=streaming) for _ in range(times)]

        with pytest.raises(errors.AikitError) as caught:
            run(adapter, work)
        return caught.value, server


def all_errors(dialect, replies, streaming):
    """Return the errors of as many calls as there are replies, one request each."""

    async def work(adapter):
        told = []
        for _ in replies:
            with pytest.raises(errors.ProviderError) as caught:
                await ask(adapter, streaming=streaming)
            told.append(caught.value)
        return told

    with Server(replies) as server:
        told = run(dialect.make(server), work)
        assert len(server.requests) == len(replies)
    return told
