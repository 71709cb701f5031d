"""Ways to drive any adapter, for the conformance suite.

An adapter that speaks HTTP is found by its base class and driven against a loopback server that answers every dialect
we know by the request's path: a new file in `aikit/providers/` is tested without a line here, unless it brings a
dialect of its own.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aikit import providers
from aikit.config import ProviderConfig
from aikit.messages import Completion, GenerationOptions, Message, Usage
from aikit.providers.base import Adapter
from tests import servers
from tests.servers import CUT, HOLD, Reply, Request, Server

WORDS = "alpha beta gamma delta epsilon"
NONE = GenerationOptions()


@dataclass(frozen=True)
class Question:
    """What to ask for `answer` to be said."""

    prompt: str | Sequence[Message]
    options: GenerationOptions
    answer: str


class Drive(ABC):
    """One adapter under test; its methods give an adapter whose next stream behaves as the name says."""

    can_break = True
    """Whether its stream can break off; a replay's can't."""

    def question(self, words: str = WORDS) -> Question:
        return Question(f"say: {words}.", NONE, words)

    @abstractmethod
    def whole(self) -> Adapter: ...

    @abstractmethod
    def broken(self) -> Adapter:
        """Breaks off after some text, without its end marker."""

    @abstractmethod
    def held(self) -> Adapter:
        """Says something and then stays open."""

    @abstractmethod
    def refusing(self) -> Iterator[Adapter]:
        """Adapters whose next call fails, each in another way."""

    @abstractmethod
    def open_now(self, adapter: Adapter) -> int:
        """Streams or connections that are open at the other end, after a moment to close."""


def said_in(body: bytes) -> list[str]:
    """Return the words that a request asks for, each with the space before it."""
    wanted = re.findall(r"say: ([a-z ]+)\.", json.dumps(json.loads(body)))[-1]
    return re.findall(r"\s*\S+", wanted)


def dialect(request: Request) -> tuple[str, list[bytes], object]:
    """Return content type, stream and whole answer in the dialect of the request's path."""
    words = said_in(request.body)
    text = "".join(words)
    if request.path.endswith("/chat/completions"):
        return "text/event-stream", servers.chat_stream(*words), servers.chat_whole(text)
    if request.path.endswith("/responses"):
        return "text/event-stream", servers.responses_stream(*words), servers.responses_whole(text)
    if request.path.split("?")[0].endswith("/messages"):
        return "text/event-stream", servers.messages_stream(*words), servers.messages_whole(text)
    if request.path.endswith("/api/chat"):
        lines = servers.ollama_stream(*words)
        whole = {**json.loads(lines[-1]), "message": {"role": "assistant", "content": text}}
        return "application/x-ndjson", lines, whole
    raise AssertionError(f"tests/providers/drives.py knows no dialect for {request.path}: teach it the new one")


class NetworkDrive(Drive):
    """An adapter that speaks HTTP, and a server that speaks all dialects."""

    def __init__(self, kind: str, server: Server) -> None:
        self.kind, self.server = kind, server

    def _adapter(self, reply: object) -> Adapter:
        self.server.replies = reply  # type: ignore[assignment]
        # A server of the OpenAI dialect has its API under /v1, the others add their own path.
        base = self.server.url + ("/v1" if providers.adapter_class(self.kind).address.endswith("/v1") else "")
        config = ProviderConfig(kind=self.kind, base_url=base, timeouts={"progress": 30, "total": 120})
        return providers.adapter_class(self.kind)(config, name=self.kind, model="m-1", key="sk-test-0123456789")

    def whole(self) -> Adapter:
        def reply(request: Request) -> Reply:
            if request.method == "GET":
                return servers.json_reply({"object": "list", "data": [], "models": []})
            kind, stream, whole = dialect(request)
            wants_stream = json.loads(request.body).get("stream", self.kind == "ollama")
            return servers.streamed(*stream, content_type=kind) if wants_stream else servers.json_reply(whole)

        return self._adapter(reply)

    def broken(self) -> Adapter:
        return self._adapter(lambda request: self._until_text(request, CUT))

    def held(self) -> Adapter:
        return self._adapter(lambda request: self._until_text(request, HOLD))

    def _until_text(self, request: Request, end: object) -> Reply:
        kind, stream, _ = dialect(request)
        first = next(number for number, event in enumerate(stream) if b" beta" in event)
        return [*servers.streamed(*stream[: first + 1], content_type=kind, end=False), end]  # type: ignore[list-item]

    def refusing(self) -> Iterator[Adapter]:
        error = {"error": {"message": "no", "type": "invalid_request_error"}}
        for status in (400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529):
            yield self._adapter(lambda _, status=status: servers.json_reply(error, status))
        for body in (b"", b"<html>busy</html>", b"{", b"[]", b"null", b'{"error":{"message":"x"}}', b"\xff\xfe\x00"):
            yield self._adapter(lambda _, body=body: servers.plain(body, content_type="application/json"))
            yield self._adapter(lambda _, body=body: servers.streamed(b"data: " + body + b"\n\n"))
        yield self._adapter(lambda _: [CUT])
        yield self._adapter(lambda _: [servers.RESET])
        yield self._adapter(lambda _: [b"HTTP/1.1 nonsense\r\n\r\n", CUT])

    def open_now(self, adapter: Adapter) -> int:
        self.server.wait_until_closed(3.0)
        return self.server.open


class ScriptedDrive(Drive):
    """The scripted provider."""

    @staticmethod
    def _reply(messages: Sequence[Message], options: GenerationOptions) -> str:
        return str(messages[-1].content).removeprefix("say: ").removesuffix(".")

    def _adapter(self, **script: object) -> Adapter:
        from aikit.providers.scripted import Scripted

        return Scripted(**{"reply": self._reply, **script})

    def whole(self) -> Adapter:
        return self._adapter()

    def broken(self) -> Adapter:
        return self._adapter(failures=[2])

    def held(self) -> Adapter:
        return self._adapter(chunk_delay=30.0)

    def refusing(self) -> Iterator[Adapter]:
        yield self._adapter(failures=[0])
        yield self._adapter(failure_rate=1.0)
        for reply in ({}, [], 7, lambda messages, options: 1 / 0, OSError("reset"), lambda messages, options: None):
            yield self._adapter(reply=reply)

    def open_now(self, adapter: Adapter) -> int:
        return adapter.open_streams  # type: ignore[attr-defined]


class ReplayDrive(Drive):
    """The replay provider over a log of one answer per question."""

    can_break = False

    def _adapter(self, *wanted: str) -> Adapter:
        from aikit.messages import as_messages
        from aikit.providers.replay import Replay
        from aikit.request_key import request_key

        logged = {
            request_key(as_messages(self.question(words).prompt), NONE): Completion(
                words, finish_reason="stop", usage=Usage(7, 5), response_model="m-1"
            )
            for words in wanted
        }
        return Replay(lookup=logged.get)

    def whole(self) -> Adapter:
        return self._adapter(WORDS, "one two three four", "five six seven eight")

    def broken(self) -> Adapter:
        raise NotImplementedError

    def held(self) -> Adapter:
        return self.whole()

    def refusing(self) -> Iterator[Adapter]:
        yield self._adapter()

    def open_now(self, adapter: Adapter) -> int:
        return 0


class LocalDrive(Drive):
    """The embedded model, made to say given words by a schema that allows nothing else."""

    def question(self, words: str = WORDS) -> Question:
        options = GenerationOptions(max_tokens=60, temperature=0.0, seed=1, json_schema={"enum": [words]})
        return Question(f"Say: {words}", options, json.dumps(words))

    def _adapter(self, **options: int) -> Adapter:
        from aikit.providers.local import Local

        return Local(ProviderConfig(kind="local", options=options), name="local")

    def whole(self) -> Adapter:
        return self._adapter()

    def broken(self) -> Adapter:
        return Dying(self._adapter(context=512, parallel=1))

    def held(self) -> Adapter:
        return self.whole()

    def refusing(self) -> Iterator[Adapter]:
        yield self._adapter().bound(model="smollm3")
        yield self._adapter().bound(model="/nowhere/model.gguf")
        yield self._adapter().bound(model=__file__ + "/x.gguf")
        yield Impatient(self._adapter())

    def open_now(self, adapter: Adapter) -> int:
        import time

        import httpx

        from aikit.local_server import SERVERS

        busy = 0
        for _ in range(100):
            for server in SERVERS.running():
                slots = httpx.get(f"{server.url}/slots", headers={"Authorization": f"Bearer {server.key}"}, timeout=60)
                busy = sum(slot["is_processing"] for slot in slots.json())
                if busy:
                    break
            if not busy:
                return 0
            time.sleep(0.05)
        return busy


class Dying(Adapter):
    """A local adapter whose server is dropped under the stream, once there is text."""

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner.config, name=inner.name, model=inner.model)
        self._inner = inner

    async def generate_stream(self, prompt, options):  # type: ignore[no-untyped-def, override]
        from contextlib import aclosing

        from aikit.local_server import SERVERS

        async with aclosing(self._inner.generate_stream(prompt, options)) as events:
            async for event in events:
                yield event
                for server in SERVERS.running():
                    if server.serving.context == self.config.options["context"]:
                        server.close()

    async def close(self) -> None:
        await self._inner.close()


class Impatient(Adapter):
    """A local adapter asked for more than its context holds."""

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner.config, name=inner.name, model=inner.model)
        self._inner = inner

    def generate_stream(self, prompt, options):  # type: ignore[no-untyped-def, override]
        return self._inner.generate_stream("word " * 5000, options)

    async def close(self) -> None:
        await self._inner.close()


@contextmanager
def drive_of(kind: str) -> Iterator[Drive]:
    """Give what drives a kind of provider."""
    if kind in ("scripted", "replay", "local"):
        yield {"scripted": ScriptedDrive, "replay": ReplayDrive, "local": LocalDrive}[kind]()
        return
    with Server([]) as server:
        yield NetworkDrive(kind, server)
