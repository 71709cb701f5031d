"""The local provider on its real model: what it answers, and what is said of files that it can't serve."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aikit.config import ProviderConfig
from aikit.errors import AikitError, ConfigError, ContextTooLong, ModelNotFound, UnknownSetting
from aikit.events import TextDelta
from aikit.local_server import SERVERS, LocalServer, Servers, Serving, check_file
from aikit.messages import GenerationOptions, Message
from aikit.providers.local import Local

SHORT = GenerationOptions(max_tokens=8, temperature=0.0, seed=1)


def local(model: str = "", **options: Any) -> Local:
    return Local(ProviderConfig(kind="local", options=options), name="local", model=model)


def run(provider: Local, work: Callable[[Local], Awaitable[Any]]) -> Any:
    async def all_of_it() -> Any:
        try:
            return await work(provider)
        finally:
            await provider.close()

    return asyncio.run(all_of_it())


@pytest.mark.local_model
@pytest.mark.usefixtures("local_model")
class TestWithTheModel:
    def test_it_answers_and_reports_what_it_took(self) -> None:
        answer = run(local(), lambda provider: provider.generate_completion("Say hello.", SHORT))
        assert answer.text.strip()
        assert answer.finish_reason in ("length", "stop")
        assert answer.usage_source == "reported"
        assert answer.usage.output_tokens <= 8
        assert (answer.model, answer.response_model, answer.provider) == ("smollm2", "smollm2", "local")

    def test_it_counts_tokens_exactly(self) -> None:
        async def both(provider: Local) -> tuple[Any, Any]:
            prompt = [Message("system", "Be brief."), Message("user", "Why is the sky blue?")]
            return await provider.count_tokens(prompt, SHORT), await provider.generate_completion(prompt, SHORT)

        count, answer = run(local(), both)
        assert count.source == "exact"
        assert count.tokens == answer.usage.input_tokens

    def test_a_schema_holds_the_answer_to_its_shape(self) -> None:
        schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
        options = GenerationOptions(max_tokens=40, temperature=0.0, json_schema=schema)
        answer = run(local(), lambda provider: provider.generate_completion("A person as JSON", options))
        assert isinstance(answer.data["age"], int)
        assert json.loads(answer.text) == answer.data

    def test_a_stop_string_ends_the_answer(self) -> None:
        options = GenerationOptions(max_tokens=60, temperature=0.0, stop=("hat",), json_schema={"enum": ["this hat"]})
        answer = run(local(), lambda provider: provider.generate_completion("x", options))
        assert answer.text == '"this '
        assert answer.finish_reason == "stop"

    def test_more_requests_than_slots_are_all_answered(self) -> None:
        async def many(provider: Local) -> list[str]:
            words = [f"word{number}" for number in range(6)]
            asks = [
                provider.generate_completion("x", GenerationOptions(max_tokens=20, json_schema={"enum": [word]}))
                for word in words
            ]
            return [json.loads(answer.text) for answer in await asyncio.gather(*asks)]

        assert run(local(), many) == [f"word{number}" for number in range(6)]

    def test_kits_loops_and_threads_share_one_server(self) -> None:
        before = SERVERS.running()
        texts: list[str] = []

        def ask() -> None:
            texts.append(run(local(), lambda provider: provider.generate_completion("Say hello.", SHORT)).text)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 3
        assert len(SERVERS.running()) == max(1, len(before))

    def test_a_prompt_beyond_the_context_is_told_as_such(self) -> None:
        with pytest.raises(ContextTooLong, match="context"):
            run(local(), lambda provider: provider.generate_completion("word " * 4000, SHORT))

    def test_a_seed_of_the_configuration_holds_where_a_call_names_none(self) -> None:
        hot = GenerationOptions(max_tokens=12, temperature=1.5)

        async def twice(provider: Local) -> tuple[str, str]:
            one = await provider.generate_completion("Tell me something.", hot)
            return one.text, (await provider.generate_completion("Tell me something.", hot)).text

        one, other = run(local(seed=7), twice)
        assert one == other

    def test_the_event_loop_runs_on_while_the_model_answers(self) -> None:
        async def beats(provider: Local) -> int:
            answering = asyncio.create_task(provider.generate_completion("Tell me a story.", SHORT))
            count = 0
            while not answering.done():
                await asyncio.sleep(0.005)
                count += 1
            return count

        assert run(local(), beats) > 8

    def test_a_stream_delivers_its_text_as_it_comes(self) -> None:
        async def times(provider: Local) -> list[float]:
            events = provider.generate_stream("Tell me a story.", SHORT)
            return [time.perf_counter() async for event in events if isinstance(event, TextDelta)]

        arrived = run(local(), times)
        assert len(arrived) > 3
        assert arrived[-1] > arrived[0]

    def test_a_script_that_ends_in_the_middle_of_it_ends_cleanly(self) -> None:
        source = (
            "import asyncio\nfrom aikit.config import ProviderConfig\nfrom aikit.messages import GenerationOptions\n"
            "from aikit.providers.local import Local\n"
            "async def main():\n"
            "    local = Local(ProviderConfig(kind='local'), name='local')\n"
            "    stream = local.generate_stream('Hi', GenerationOptions())\n"
            "    await anext(stream)\n    print('said', flush=True)\n"
            "asyncio.run(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, timeout=120, text=True)
        assert (done.stdout.strip(), done.returncode) == ("said", 0), done.stderr

    def test_a_cut_file_is_told_and_the_next_try_is_a_new_one(self, local_model: Path, tmp_path: Path) -> None:
        path = tmp_path / "model.gguf"
        with local_model.open("rb") as whole:
            path.write_bytes(whole.read(20_000_000))
        with pytest.raises(ConfigError, match="cut short"):
            run(local(str(path), context=256, parallel=1), lambda provider: provider.ready())
        path.unlink()
        path.symlink_to(local_model)
        provider = local(str(path), context=256, parallel=1)
        assert run(provider, lambda provider: provider.generate_completion("Hi", SHORT)).text
        for server in SERVERS.running():
            if server.serving.context == 256:
                server.close()
        gc.collect()


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        ("smollm3", ModelNotFound, "did you mean 'smollm2'"),
        ("/nowhere/model.gguf", ConfigError, r"/nowhere/model\.gguf can't be read: No such file"),
        (__file__ + "/model.gguf", ConfigError, "can't be read"),
    ],
)
def test_a_model_that_is_not_there_is_told(model: str, error: type[AikitError], said: str) -> None:
    with pytest.raises(error, match=said):
        run(local(model), lambda provider: provider.ready())


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"<html>404 not found</html>" * 100)
    with pytest.raises(ConfigError, match="is not a GGUF model file"):
        run(local(str(path)), lambda provider: provider.ready())
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="0 bytes"):
        check_file(path, memory=None)


def test_a_model_larger_than_the_memory_is_told_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF")
        file.truncate(64_000_000_000)  # a sparse file: it takes no room
    with pytest.raises(ConfigError, match=r"more than 64\.0 GB of memory and this machine has 8\.0 GB"):
        check_file(path, memory=8_000_000_000)


@pytest.mark.parametrize("options", [{"threads": 0}, {"context": "many"}, {"parallel": 1.5}])
def test_an_option_of_the_wrong_kind_is_told(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"option '{next(iter(options))}' is a whole number"):
        run(local(str(tmp_path / "x.gguf"), **options), lambda provider: provider.ready())


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownSetting, match="did you mean 'threads'"):
        local(thread=2)


def test_capabilities_tell_the_context_that_was_set() -> None:
    capabilities = local(context=4096).get_capabilities()
    assert capabilities.context_window == 4096
    assert capabilities.json_schema is True
    assert capabilities.images is False


def test_a_server_is_started_once_for_all_who_wait_and_again_after_a_failure() -> None:
    starts: list[Serving] = []
    serving = Serving(Path("x.gguf"), "x")

    def start(wanted: Serving) -> LocalServer:
        starts.append(wanted)
        time.sleep(0.05)
        if len(starts) == 1:
            raise ConfigError("the first start fails")
        return LocalServer("http://127.0.0.1:1", "key", wanted, object())

    servers = Servers(start)
    first = [servers.get(serving) for _ in range(5)]
    assert all(isinstance(future.exception(5), ConfigError) for future in first)
    second = [servers.get(serving).result(5) for _ in range(5)]
    assert len(starts) == 2
    assert len({id(server) for server in second}) == 1
    second[0].close()
    assert servers.running() == ()
    assert servers.get(serving).result(5) is not second[0]
    servers.close()
    assert servers.running() == ()


def test_who_stops_waiting_does_not_stop_the_others() -> None:
    serving = Serving(Path("x.gguf"), "x")
    go = threading.Event()

    def start(wanted: Serving) -> LocalServer:
        go.wait(5)
        return LocalServer("http://127.0.0.1:1", "key", wanted, object())

    servers = Servers(start)

    async def work() -> LocalServer:
        impatient = asyncio.wrap_future(servers.get(serving))
        patient = asyncio.wrap_future(servers.get(serving))
        impatient.cancel()
        await asyncio.sleep(0)
        go.set()
        return await patient

    assert asyncio.run(work()).serving == serving
    servers.close()


def test_the_key_of_a_server_is_not_shown() -> None:
    assert "secret" not in repr(LocalServer("http://127.0.0.1:1", "secret", Serving(Path("x"), "x"), object()))
