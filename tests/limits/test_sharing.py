"""Limits that processes share through the spool: under them together, and what a dead process held comes back."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from aikit.errors import RateLimitExceeded
from aikit.limits import Limits, RateLimiter
from aikit.log.limits_store import SpoolLimits
from aikit.log.spool import Spool
from tests.limits.strict_server import StrictServer

HERE = Path(__file__).parent


@pytest.fixture
def spool(tmp_path):
    opened = Spool.open(tmp_path / "home", durability="os")
    yield opened
    opened.close()


async def share(home: Path, processes: int, calls: int, limit: int, window: float) -> StrictServer:
    async with StrictServer(limit, window).serving() as server:
        paths = str(HERE.parent.parent)
        arguments = [str(one) for one in (home, *server.address, calls, limit, window)]
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "share_worker.py"), *arguments, env={**os.environ, "PYTHONPATH": paths}
            )
            for _ in range(processes)
        ]
        assert [await worker.wait() for worker in workers] == [0] * processes
        return server


def test_two_processes_stay_under_one_limit_together(tmp_path):
    server = asyncio.run(share(tmp_path / "home", 2, calls=60, limit=60, window=1.0))
    assert server.refused == 0
    assert len(server.accepted) == 120
    assert server.used() >= 0.5


@pytest.mark.slow
def test_two_processes_use_the_limit_they_share(tmp_path):
    server = asyncio.run(share(tmp_path / "home", 2, calls=250, limit=60, window=2.0))
    assert server.refused == 0
    assert len(server.accepted) == 500
    print(f"used {server.used():.3f} of the limit")
    assert server.used() >= 0.8


def test_two_limiters_of_one_name_share_and_another_name_is_free(spool):
    async def main():
        store = SpoolLimits(spool)
        limits = Limits(concurrent=1)
        one, two, other = (RateLimiter(limits, name=name, store=store) for name in ("x", "x", "y"))
        lease = await one.reserve(1)
        waiting = asyncio.create_task(two.reserve(1))
        (await asyncio.wait_for(other.reserve(1), 5)).settle(1)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        lease.settle(1)
        (await asyncio.wait_for(waiting, 5)).settle(1)

    asyncio.run(main())


def test_tokens_given_back_by_one_are_there_for_the_other(spool):
    async def main():
        store = SpoolLimits(spool)
        one, two = (RateLimiter(Limits(tokens_per_minute=1_000), name="x", store=store) for _ in range(2))
        lease = await one.reserve(100, output_tokens=900)
        with pytest.raises(RateLimitExceeded):
            await two.reserve(500, deadline=two._clock() + 0.3)
        lease.cancel()
        (await asyncio.wait_for(two.reserve(500), 5)).settle(500)

    asyncio.run(main())


def test_a_refusal_by_the_server_stops_all_processes(spool):
    async def main():
        store = SpoolLimits(spool)
        one, two = (RateLimiter(Limits(requests_per_minute=100), name="x", store=store) for _ in range(2))
        (await one.reserve(1)).settle(1)
        one.observe(429, {"retry-after": "0.5"})
        start = asyncio.get_running_loop().time()
        (await two.reserve(1)).settle(1)
        return asyncio.get_running_loop().time() - start

    assert asyncio.run(main()) >= 0.4


def test_calls_of_a_process_that_died_no_longer_count_as_running(spool):
    limits = Limits(concurrent=1)
    spool.submit(
        lambda connection: connection.execute(
            "INSERT INTO limit_entries (name, owner, granted_at, leaves_at, kept_until, running, requests, tokens,"
            " input_tokens, output_tokens) VALUES ('x', 'dead', 0, 0, 0, 1, 1, 0, 0, 0)"
        )
    ).result()

    async def main():
        await asyncio.wait_for(RateLimiter(limits, name="x", store=SpoolLimits(spool)).reserve(1), 5)

    asyncio.run(main())


def test_a_store_that_can_not_be_asked_refuses(tmp_path):
    spool = Spool.open(tmp_path / "home", durability="os")
    store = SpoolLimits(spool)

    async def main():
        limiter = RateLimiter(Limits(concurrent=5), name="x", store=store)
        spool.submit(lambda connection: connection.execute("DROP TABLE limit_entries")).result()
        with pytest.raises(RateLimitExceeded, match="its store can't be asked"):
            await asyncio.wait_for(limiter.reserve(1), 5)

    asyncio.run(main())
    spool.close()
