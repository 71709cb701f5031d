"""A canary key goes through whole calls, good and bad, and is found in nothing that they leave behind."""

import asyncio
import gc
import io
import logging
import pickle
import traceback
import types

import pytest

import aikit
from aikit import errors
from aikit.secret import MASK, Secret
from tests.servers import CUT, RESET, Server, chat_chunk, chat_stream, chat_whole, json_reply, messages_whole, streamed

CANARY = "sk-canary-9b1e7c44d0a2"
HEADER = f"{CANARY}-header"
"""A key that is given as a header is plain text in the settings; elsewhere it is masked like any other."""


def told_by_the_server(status):
    """A server that quotes the key in its error, as some gateways do."""
    return json_reply({"error": {"message": f"bad key {CANARY} at Bearer {CANARY}", "code": "x"}}, status)


def config(server):
    return {
        "providers": {
            "openai": {"api_key": CANARY, "base_url": f"{server.url}/v1"},
            "anthropic": {"api_key": CANARY, "base_url": server.url},
            "ollama": {"base_url": server.url, "headers": {"X-Api-Key": HEADER}},
        }
    }


def everything(error):
    """Return the traceback of an error, and the arguments and attributes of all it came from."""
    text = io.StringIO()
    traceback.print_exception(error, file=text)
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        text.write(repr(one.args) + repr(vars(one)) + "".join(getattr(one, "__notes__", [])))
        waiting += [one.__cause__, one.__context__]
    return text.getvalue()


def reachable(*roots):
    """Yield every object that can be reached from these through attributes and containers, as a debugger walks."""
    waiting, seen = list(roots), set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | types.ModuleType | types.FunctionType | types.CodeType):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += list(one)
        elif not isinstance(one, str | bytes | int | float | Secret):
            waiting += list(getattr(one, "__dict__", {}).values())
            for kind in type(one).__mro__:
                for name in getattr(kind, "__slots__", ()):
                    waiting.append(getattr(one, name, None))


@pytest.fixture
def logs():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    names = ("", "openai", "anthropic", "httpx", "httpx2", "httpcore", "aiohttp", "asyncio", "aikit")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


REPLIES = [
    json_reply(chat_whole(f"your key is {CANARY}")),
    told_by_the_server(400),
    told_by_the_server(404),
    told_by_the_server(429),
    told_by_the_server(503),
    [RESET],
    streamed(chat_chunk({"content": "one "}), CUT, end=False),
    streamed(*chat_stream("fine")),
    json_reply(messages_whole()),
    told_by_the_server(401),
]


def test_a_key_is_found_in_nothing_that_calls_leave_behind(tmp_path, logs):
    home = tmp_path / "home"
    shown = []
    with Server(lambda _: REPLIES[number[0]]) as server, aikit.open(home=home, config=config(server)) as kit:
        number = [0]
        for number[0] in range(len(REPLIES)):
            for model in ("openai:gpt-4o", "anthropic:claude-haiku-4-5", "ollama:x"):
                try:
                    stream = kit.stream(f"is {CANARY} a key?", model=model, max_tokens=9, timeout=5)
                    list(stream) if number[0] in (6, 7) else kit.ask("hi", model=model, max_tokens=9, timeout=0.3)
                except errors.AikitError as error:
                    shown.append(everything(error))
        assert len(shown) > 15
        for text in shown:
            assert CANARY not in text
        shown = [kit.providers.to_csv(), kit.queue.to_csv(), repr(kit), kit.check(network=False).to_csv()]
        shown += [kit.calls(texts=True).to_csv(), kit.attempts().to_csv(), kit.sql("SELECT * FROM payloads").to_csv()]
        shown += [
            kit.sql("SELECT * FROM calls").to_csv(),
            repr(kit.config.settings),
            repr(kit.config.explain("providers")),
        ]
        for text in shown:
            assert CANARY not in text
        assert MASK in kit.calls(texts=True).to_csv()
        kit.costs(by="model").export(tmp_path / "costs.html")
        kit.costs(by="model").export(tmp_path / "costs.csv")
        for holder in (kit._kit._parts.targets, kit._kit._parts.client, kit.config):
            with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
                pickle.dumps(holder)
        texts = [one for one in reachable(kit) if isinstance(one, str | bytes) and one != HEADER]
        found = [one for one in texts if (CANARY if isinstance(one, str) else CANARY.encode()) in one]
        assert found == []
        kit.log.ingest_now()
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        for file in files:
            assert CANARY.encode() not in file.read_bytes(), file
    assert {"spool.sqlite", "log.duckdb", "costs.html"} <= {file.name for file in files}
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file
    assert MASK in logs.getvalue()
    assert CANARY not in logs.getvalue()


def test_no_key_is_reachable_from_an_error(tmp_path):
    async def failing(server):
        async with aikit.AsyncKit(home=tmp_path / "home", config=config(server)) as kit:
            for model in ("openai:gpt-4o", "anthropic:claude-haiku-4-5"):
                with pytest.raises(errors.AikitError) as caught:
                    await kit.ask("hi", model=model, max_tokens=9, timeout=5)
                chain, error = [], caught.value
                while error is not None:
                    error.__traceback__ = None  # frames hold what runs, keys included: a traceback shows no locals
                    chain.append(error)
                    error = error.__cause__ or error.__context__
                gc.collect()
                texts = [str(one) for one in reachable(*chain) if isinstance(one, str | bytes)]
                assert not any(CANARY in text for text in texts)

    for reply in (told_by_the_server(401), told_by_the_server(400), [RESET]):
        with Server([reply]) as server:
            asyncio.run(failing(server))


def test_texts_are_stored_as_the_user_redacts_them(tmp_path):
    settings = {"log": {"redact": lambda text: text.replace("Ada", "[name]")}}
    with aikit.open(home=tmp_path / "home", config=settings) as kit:
        kit.ask("I am Ada", model=aikit_scripted("Hello Ada"))
        frame = kit.calls(texts=True)
        assert "Ada" not in frame.to_csv() and "[name]" in frame["text"].iloc[0]


def aikit_scripted(reply):
    from aikit.providers.scripted import Scripted

    return Scripted(reply=reply)
