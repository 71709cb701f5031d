"""One of several processes that share a limit: `share_worker.py HOME HOST PORT CALLS LIMIT WINDOW`."""

import asyncio
import sys
from pathlib import Path

from aikit.limits import Limits, RateLimiter
from aikit.log.limits_store import SpoolLimits
from aikit.log.spool import Spool
from tests.limits.strict_server import ask


async def main(home: str, host: str, port: str, calls: str, limit: str, window: str) -> None:
    spool = Spool.open(Path(home), durability="os")
    limits = Limits(requests_per_minute=int(limit), window=float(window))
    limiter = RateLimiter(limits, name="shared", store=SpoolLimits(spool))

    async def call() -> None:
        lease = await limiter.reserve(1)
        status = await ask((host, int(port)))
        lease.answered()
        limiter.observe(status, {})
        lease.settle(1)

    await asyncio.gather(*(call() for _ in range(int(calls))))
    spool.close()


asyncio.run(main(*sys.argv[1:]))
