"""A server that counts in its own sliding window and refuses what is over it: the judge of a client's limiter."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class StrictServer:
    """Answers `429` to a request that would be more than `limit` in `window` seconds; a refused one is not counted."""

    def __init__(self, limit: int, window: float, *, latency: float = 0.02) -> None:
        self.limit = limit
        self.window = window
        self.latency = latency
        self.accepted: list[float] = []
        self.refused = 0
        self.address = ("", 0)
        self._recent: deque[float] = deque()
        self._random = random.Random(7)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[StrictServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1_000)
        self.address = server.sockets[0].getsockname()[:2]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        status = self._count(time.monotonic())
        await asyncio.sleep(self._random.uniform(0, self.latency))
        writer.write(b"%d\n" % status)
        await writer.drain()
        writer.close()

    def _count(self, now: float) -> int:
        while self._recent and self._recent[0] <= now - self.window:
            self._recent.popleft()
        if len(self._recent) >= self.limit:
            self.refused += 1
            return 429
        self._recent.append(now)
        self.accepted.append(now)
        return 200

    def used(self) -> float:
        """Return the share of the limit that was used, from the first to the last request."""
        seconds = self.accepted[-1] - self.accepted[0]
        return (len(self.accepted) - 1) / (self.limit * seconds / self.window)


async def ask(address: tuple[str, int]) -> int:
    """Send one request and return the status."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"ask\n")
    status = int(await reader.readline())
    writer.close()
    return status
