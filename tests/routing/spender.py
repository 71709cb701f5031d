"""One of several processes that stream on one hard budget: `python -m tests.routing.spender home count url url`."""

import asyncio
import json
import sys

import aikit
from aikit import AsyncKit, errors

PRICES = {"m": {"input": 100, "output": 1_000}}
DEARER = {"m": {"input": 200, "output": 3_000}}


def settings(first, second):
    """Return two providers, the second three times as dear."""
    timeouts = {"progress": 20}
    return {
        "first": {"kind": "openai", "base_url": f"{first}/v1", "prices": PRICES, "timeouts": timeouts},
        "second": {"kind": "openai", "base_url": f"{second}/v1", "prices": DEARER, "timeouts": timeouts},
    }


async def spend(home, count, first, second):
    """Stream `count` answers at once over a route; print how they ended."""
    route = aikit.failover("first:m", "second:m")
    ends = {}
    async with AsyncKit(home=home, config={"providers": settings(first, second)}) as kit:
        await kit.ready()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

        async def one(number):
            try:
                stream = kit.stream(f"question {number}", model=route, max_tokens=8, timeout=120)
                async for _ in stream:
                    pass
                end = "ok"
            except errors.AikitError as error:
                end = type(error).__name__
            ends[end] = ends.get(end, 0) + 1

        await asyncio.gather(*(one(number) for number in range(count)))
    print(json.dumps(ends), flush=True)


if __name__ == "__main__":
    asyncio.run(spend(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
