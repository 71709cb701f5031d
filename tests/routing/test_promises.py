"""What failover, retries, switches and streams promise, at small counts; the full ones with `-m slow`."""

import asyncio
import gc
import subprocess
import sys
import time

import pytest

import aikit
from aikit import AsyncKit, errors
from tests.servers import (
    HOLD,
    Server,
    chat_stream,
    chat_whole,
    json_reply,
    messages_stream,
    messages_whole,
    ollama_stream,
    plain,
    streamed,
)

OPENAI = "openai:gpt-4o"
counts = pytest.mark.parametrize("count", [60, pytest.param(1_000, marks=pytest.mark.slow)])


def config(server, **more):
    openai = {"api_key": "sk-test", "base_url": f"{server.url}/v1", **more}
    anthropic = {"api_key": "sk-test", "base_url": server.url}
    return {
        "providers": {
            "openai": openai,
            "anthropic": anthropic,
            "ollama": {"base_url": server.url},
            "compatible": {"kind": "openai", "base_url": f"{server.url}/v1"},
        }
    }


def failing(status, code="server_error", **headers):
    return json_reply({"error": {"message": "no", "code": code, "type": code}}, status, **headers)


@counts
def test_retries_stay_at_a_tenth_of_the_calls_to_a_server_that_is_down(tmp_path, count):
    async def many(server):
        async with AsyncKit(home=tmp_path / "home", config=config(server)) as kit:
            await kit.ready()
            kinds = {}
            for start in range(0, count, 50):
                calls = [kit.ask("hi", model=OPENAI, timeout=2) for _ in range(min(50, count - start))]
                for outcome in await asyncio.gather(*calls, return_exceptions=True):
                    assert isinstance(outcome, errors.AikitError), outcome
                    kinds[type(outcome).__name__] = kinds.get(type(outcome).__name__, 0) + 1
            return kinds, len(await kit.calls()), await kit.attempts()

    with Server([failing(503)]) as server:
        kinds, calls, attempts = asyncio.run(many(server))
    # The breaker spares the server most of the calls, and the quota most of the retries of the others.
    assert len(server.requests) <= 1.1 * count
    assert calls == count
    assert len(attempts) == len(server.requests)
    assert kinds.get("CircuitOpen", 0) > 0


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failing(429, "insufficient_quota"), errors.QuotaExhausted),
        (failing(402, "billing"), errors.QuotaExhausted),
        (failing(401, "invalid_api_key"), errors.AuthenticationFailed),
    ],
)
def test_what_money_or_a_key_would_mend_is_one_request(tmp_path, reply, kind):
    with Server([reply]) as server, aikit.open(home=tmp_path / "home", config=config(server)) as kit:
        with pytest.raises(kind):
            kit.ask("hi", model=OPENAI)
        with pytest.raises(kind):
            list(kit.stream("hi", model="anthropic:claude-haiku-4-5", max_tokens=9))
        assert len(server.requests) == 2


def test_a_server_that_says_tomorrow_is_not_waited_for(tmp_path):
    async def asked(server):
        async with AsyncKit(home=tmp_path / "home", config=config(server)) as kit:
            await kit.ready()
            began = time.process_time(), time.monotonic()
            with pytest.raises(errors.RateLimited) as caught:
                await kit.ask("hi", model=OPENAI)
            return caught.value, time.monotonic() - began[1]

    with Server([failing(429, "rate_limit_exceeded", retry_after="86400")]) as server:
        error, seconds = asyncio.run(asked(server))
    assert seconds < 1
    assert error.retry_at.timestamp() - time.time() > 80_000
    assert len(server.requests) == 1


SWITCHES = """
import asyncio, sys, time, aikit
from collections import Counter
imported = Counter()
class Watching:
    def find_spec(self, name, path=None, target=None):
        if name in ("openai", "anthropic", "aiohttp", "httpx2"):
            imported[name] += 1
sys.meta_path.insert(0, Watching())
async def main():
    url = sys.argv[2]
    config = {"providers": {"openai": {"api_key": "sk-t", "base_url": url + "/v1"},
                            "anthropic": {"api_key": "sk-t", "base_url": url}}}
    async with aikit.AsyncKit(home=sys.argv[1], config=config) as kit:
        assert not imported, imported
        await kit.ready()
        after = dict(imported)
        times = []
        for turn in range(20):
            model = ("openai:gpt-4o", "anthropic:claude-haiku-4-5")[turn % 2]
            began, cpu = time.perf_counter(), time.process_time()
            adapter, gate = kit._parts.targets.find(model)
            await kit.ask("hi", model=model, max_tokens=9)
            times.append((time.perf_counter() - began, time.process_time() - cpu))
        assert dict(imported) == after and after["openai"] == after["anthropic"] == 1, imported
        print(max(wall for wall, _ in times), max(cpu for _, cpu in times))
asyncio.run(main())
"""


def by_path(request):
    return json_reply(messages_whole() if request.path.startswith("/v1/messages") else chat_whole())


def test_after_ready_a_switch_of_provider_is_quick_and_imports_nothing(tmp_path):
    def reply(request):
        return json_reply({"data": []}) if request.method == "GET" else by_path(request)

    with Server(reply) as server:
        ran = subprocess.run(
            [sys.executable, "-c", SWITCHES, str(tmp_path / "home"), server.url], capture_output=True, text=True
        )
    assert ran.returncode == 0, ran.stderr
    wall, cpu = map(float, ran.stdout.split())
    print(f"slowest of 20 whole calls, each after a switch: {wall * 1e3:.1f} ms, of which CPU {cpu * 1e3:.1f} ms")
    assert cpu < 0.1


# -- streams that are given up

ENDLESS = streamed(*chat_stream("one ", "two ")[:3], HOLD, end=False)


async def given_up(kit, how, number):
    stream = kit.stream(f"count {number}", model=OPENAI, max_tokens=50)
    texts = aiter(stream)
    await anext(texts)
    if how == "close":
        await stream.close()
    elif how == "cancel":
        task = asyncio.ensure_future(anext(texts))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # else: abandoned, its last reference goes with this frame


@counts
@pytest.mark.parametrize("how", ["close", "cancel", "abandon"])
def test_streams_given_up_leave_no_connection_and_no_attempt_unlogged(tmp_path, how, count):
    async def many(server):
        async with AsyncKit(home=tmp_path / "home", config=config(server)) as kit:
            for start in range(0, count, 100):
                await asyncio.gather(*(given_up(kit, how, n) for n in range(start, min(count, start + 100))))
            gc.collect()
            for _ in range(100):
                if server.open == 0:
                    break
                await asyncio.sleep(0.05)
            left = server.open
            held = (await kit.spent("all"), kit.providers["in_flight"].sum())
            return left, await kit.calls(), await kit.attempts(), held

    with Server([ENDLESS]) as server:
        left, calls, attempts, (spent, in_flight) = asyncio.run(many(server))
    assert left == 0
    assert in_flight == 0
    assert calls["status"].tolist() == ["cancelled"] * count
    assert attempts["status"].tolist() == ["cancelled"] * count
    assert (attempts["output_tokens"] > 0).all()
    assert (attempts["usage_source"] == "estimated").all()
    assert float(spent) == pytest.approx(attempts["cost"].sum())


# -- one script, only the model's name changed

NAMES = ["openai:gpt-4o", "anthropic:claude-haiku-4-5", "ollama:llama3", "compatible:my-model"]


def script(kit, model):
    """Ask, stream, talk in turns, and read what it took."""
    answer = kit.ask("Say hello.", model=model, system="Be brief.", max_tokens=20, stop=["END"], tags=["script"])
    turns = [aikit.Message("user", "hi"), aikit.Message("assistant", "yes?"), aikit.Message("user", "more")]
    stream = kit.stream(turns, model=model, max_tokens=20)
    text = "".join(stream)
    calls = kit.calls(tags="script")
    return answer, text, stream.completion, calls


def any_dialect(request):
    asked = request.json
    if request.path == "/api/chat":
        lines = ollama_stream("Hello", " you") if asked.get("stream", True) else [ollama_stream("Hello you")[0]]
        if not asked.get("stream", True):
            return plain(lines[0].replace(b'"done": false', b'"done": true, "prompt_eval_count": 12, "eval_count": 7'))
        return streamed(*lines, content_type="application/x-ndjson")
    anthropic = request.path.startswith("/v1/messages")
    if not asked.get("stream"):
        return json_reply(messages_whole() if anthropic else chat_whole())
    return streamed(*(messages_stream if anthropic else chat_stream)("Hello", " you"))


@pytest.mark.parametrize("model", NAMES)
def test_one_script_runs_on_every_provider_with_only_the_models_name_changed(tmp_path, model):
    with Server(any_dialect) as server, aikit.open(home=tmp_path / "home", config=config(server)) as kit:
        answer, text, completion, calls = script(kit, model)
        assert answer.text == text == completion.text == "Hello you"
        assert f"{answer.provider}:{answer.model}" == model
        assert answer.usage.output_tokens == completion.usage.output_tokens == 7
        assert answer.finish_reason == completion.finish_reason == "stop"
        assert completion.time_to_first_token > 0
        assert calls["status"].tolist() == ["ok"]


@pytest.mark.local_model
def test_the_script_runs_on_a_real_model_in_each_dialect_its_server_speaks(tmp_path):
    with aikit.open(home=tmp_path / "home") as kit:
        kit.ready()
        kit.ask("hi", model="local:smollm2", max_tokens=2)
        from aikit.local_server import SERVERS

        running = SERVERS.running()[0]
        own = {"api_key": running.key, "base_url": f"{running.url}/v1"}
        settings = {
            "chat": {"kind": "openai", **own},
            "responses": {"kind": "openai", **own, "options": {"api": "responses"}},
            "messages": {"kind": "anthropic", "api_key": running.key, "base_url": running.url},
        }
        kit.configure({f"providers.{name}": one for name, one in settings.items()})
        for model in ("local:smollm2", "chat:smollm2", "responses:smollm2", "messages:smollm2"):
            options = {"max_tokens": 8}
            answer = kit.ask("Say hello.", model=model, system="Be brief.", **options)
            stream = kit.stream("Say hello.", model=model, **options)
            text = "".join(stream)
            assert answer.text and text == stream.completion.text, model
            assert answer.usage_source == stream.completion.usage_source == "reported", model
            assert 0 < stream.completion.usage.output_tokens <= 9, model
        assert set(kit.calls()["status"]) == {"ok"}
