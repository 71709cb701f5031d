"""The limits that calls pass: one that learns for each model, the provider's own beside it, changed while calls run."""

import asyncio
import time

import pytest

import aikit
from aikit import AsyncKit, errors
from aikit.providers.scripted import Scripted
from tests.servers import Server, chat_whole, json_reply


def config(server, **more):
    return {"providers": {"openai": {"api_key": "sk-test", "base_url": f"{server.url}/v1", **more}}}


def limiters(kit):
    return kit._kit._parts.targets.limiters()


def test_each_model_of_a_server_learns_its_own_limits(tmp_path):
    def reply(request):
        if request.json["model"] == "full":
            left = {"x_ratelimit_limit_requests": "100", "x_ratelimit_remaining_requests": "0"}
            return json_reply(chat_whole(), **left, x_ratelimit_reset_requests="60s")
        return json_reply(chat_whole())

    with Server(reply) as server, aikit.open(home=tmp_path / "home", config=config(server)) as kit:
        kit.ask("hi", model="openai:full")
        with pytest.raises(errors.RateLimitExceeded):
            kit.ask("hi", model="openai:full", timeout=0.3)
        assert kit.ask("hi", model="openai:other").text
        assert [(provider, model) for provider, model, _ in limiters(kit)] == [("openai", "full"), ("openai", "other")]


def test_a_provider_wide_limit_stands_beside_and_learns_nothing_from_one_model(tmp_path):
    left = {
        "x_ratelimit_remaining_requests": "1",
        "x_ratelimit_limit_requests": "2",
        "x_ratelimit_reset_requests": "9s",
    }
    limits = {"requests_per_minute": 3000, "window": 30, "models": {"b": {"requests_per_minute": 1, "window": 30}}}
    with (
        Server([json_reply(chat_whole(), **left), json_reply(chat_whole())]) as server,
        aikit.open(home=tmp_path / "home", config=config(server, rate_limits=limits)) as kit,
    ):
        for model in ("a", "b"):
            kit.ask("hi", model=f"openai:{model}")
        assert {model for _, model, _ in limiters(kit)} == {None, "a", "b"}
        with pytest.raises(errors.RateLimitExceeded, match="openai/b"):
            kit.ask("hi", model="openai:b", timeout=0.3)


def test_the_scripted_provider_is_limited_only_where_somebody_says_so(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:
        provider = Scripted(reply="ok")
        kit.ask("hi", model=provider)
        assert limiters(kit) == {}
        kit.limit("scripted", requests_per_minute=1)
        kit.ask("hi", model=provider)
        with pytest.raises(errors.RateLimitExceeded):
            kit.ask("hi", model=provider, timeout=0.3)
        kit.limit("scripted", requests_per_minute=100_000, window=1)
        assert kit.ask("hi", model=provider, timeout=3).text == "ok"


@pytest.mark.parametrize("how", ["limit", "configure"])
def test_who_waits_for_a_limit_goes_when_it_is_raised(tmp_path, how):
    async def both(server):
        limits = {"requests_per_minute": 1, "window": 600}
        async with AsyncKit(home=tmp_path / "home", config=config(server, rate_limits=limits)) as kit:
            await kit.ask("hi", model="openai:a")
            waiting = asyncio.ensure_future(kit.ask("hi", model="openai:a"))
            await asyncio.sleep(0.2)
            assert len(kit.queue) == 1
            started = time.monotonic()
            if how == "limit":
                kit.limit("openai", requests_per_minute=600_000, window=600)
            else:
                kit.configure({"providers.openai.rate_limits.requests_per_minute": 600_000})
            await asyncio.wait_for(waiting, 10)
            assert time.monotonic() - started < 5
            kit.limit("openai", concurrent=5)
            kit.configure({"providers.openai.rate_limits.requests_per_minute": 2})
            with pytest.raises(errors.RateLimitExceeded):  # the last word counts
                await kit.ask("hi", model="openai:a", timeout=0.3)

    with Server([json_reply(chat_whole())]) as server:
        asyncio.run(both(server))


def test_two_kits_of_one_home_share_a_shared_limit(tmp_path):
    limits = {"requests_per_minute": 2, "window": 8, "shared": True}
    with (
        Server([json_reply(chat_whole())]) as server,
        aikit.open(home=tmp_path / "home", config=config(server, rate_limits=limits)) as one,
        aikit.open(home=tmp_path / "home", config=config(server, rate_limits=limits)) as two,
    ):
        one.limit("openai", requests_per_minute=2, window=8, shared=True)
        for kit in (one, two):
            kit.ask("hi", model="openai:a")
        with pytest.raises(errors.RateLimitExceeded):
            one.ask("hi", model="openai:a", timeout=1)
        assert len(server.requests) == 2
