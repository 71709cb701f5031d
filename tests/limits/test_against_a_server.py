"""Against a server that enforces its own sliding window: never refused, and the limit used."""

import asyncio

import pytest

from aikit.limits import Limits, RateLimiter
from tests.limits.strict_server import StrictServer, ask


async def send_all(calls: int, limit: int, window: float) -> StrictServer:
    async with StrictServer(limit, window).serving() as server:
        limiter = RateLimiter(Limits(requests_per_minute=limit, window=window))

        async def call() -> None:
            lease = await limiter.reserve(1)
            limiter.observe(await ask(server.address), {})
            lease.settle(1)

        await asyncio.gather(*(call() for _ in range(calls)))
        return server


def test_a_strict_server_refuses_nothing_and_its_limit_is_used():
    server = asyncio.run(send_all(120, limit=60, window=1.0))
    assert server.refused == 0
    assert len(server.accepted) == 120
    assert server.used() >= 0.8


@pytest.mark.slow
def test_five_hundred_calls_at_sixty_in_two_seconds():
    server = asyncio.run(send_all(500, limit=60, window=2.0))
    assert server.refused == 0
    assert len(server.accepted) == 500
    assert server.used() >= 0.9
    print(f"used {server.used():.3f} of the limit")
