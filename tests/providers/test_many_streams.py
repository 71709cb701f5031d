"""Many streams at once: none leaves a connection behind, and a switch of provider costs nothing."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time

import pytest

from aikit.events import TextDelta
from tests.providers.dialects import ALL, CHAT, MESSAGES, NONE, OLLAMA, collect, each, text_of
from tests.servers import HOLD, Server, streamed

counts = pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])


@each
@counts
@pytest.mark.parametrize("way", ["close", "cancel", "abandon"])
def test_streams_left_early_leave_no_connection_open(dialect, count, way):
    pieces = dialect.stream("Hel", "lo")
    first = next(i for i, piece in enumerate(pieces) if b"Hel" in piece)

    async def leave(adapter, begun):
        stream = adapter.generate_stream("hi", NONE)
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        begun.append(1)
        if way == "cancel":
            await anext(stream)
        if way == "close":
            await stream.aclose()

    async def work(url, server):
        adapter, begun = dialect.make(url), []
        if dialect is OLLAMA and count > 90:
            return  # its pool holds 100, and these streams hold on
        tasks = [asyncio.create_task(leave(adapter, begun)) for _ in range(count)]
        while len(begun) < count:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gc.collect()
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(server.wait_until_closed, 10.0)
        await adapter.close()

    with Server([dialect.reply(*pieces[: first + 1], HOLD, end=False)]) as server:
        asyncio.run(work(server.url, server))
        assert server.connections == (0 if dialect is OLLAMA and count > 90 else count)


def test_switches_between_providers_cost_milliseconds_once_they_are_ready():
    def reply(request):
        kinds = {"/v1/chat/completions": CHAT, "/v1/messages": MESSAGES, "/api/chat": OLLAMA}
        kind = kinds.get(request.path)
        return kind.reply(*kind.stream("Hi")) if kind else streamed(b"{}", content_type="application/json")

    async def work(url):
        adapters = [dialect.make(url) for dialect in ALL if dialect.name != "responses"]
        for adapter in adapters:
            await adapter.ready()
        spent = []
        for turn in range(21):
            began = time.process_time()
            assert text_of(await collect(adapters[turn % 3].bound(model=f"m-{turn}"))) == "Hi"
            spent.append(time.process_time() - began)
        for adapter in adapters:
            await adapter.close()
        return spent

    with Server(reply) as server:
        spent = asyncio.run(work(server.url))
    assert max(spent[3:]) < 0.1
    assert sorted(spent)[len(spent) // 2] < 0.02


def test_importing_the_adapters_imports_no_sdk():
    code = (
        "import sys, aikit.providers.openai, aikit.providers.anthropic, aikit.providers.ollama;"
        "print([name for name in ('openai', 'anthropic', 'httpx', 'httpx2', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
