"""What every provider does alike. The modules in `aikit/providers/` are found, not listed."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from aikit import providers
from aikit.config import ProviderConfig
from aikit.errors import AikitError, ProviderError, StreamInterrupted, UnknownProvider
from aikit.events import Event, Finished, TextDelta
from aikit.messages import Completion, ProviderCapabilities
from aikit.providers.base import Adapter, LLMProvider
from tests.providers.drives import Drive, Question, drive_of

KINDS = [pytest.param(kind, marks=[pytest.mark.local_model] * (kind == "local")) for kind in providers.kinds()]


@pytest.fixture(params=KINDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    if request.param == "local":
        request.getfixturevalue("local_model")
    with drive_of(request.param) as drive:
        yield drive


def run(adapter: Adapter, work: Callable[[Adapter], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        try:
            await work(adapter)
        finally:
            await adapter.close()

    asyncio.run(all_of_it())


async def read_on(stream: AsyncIterator[Event]) -> None:
    async for _ in stream:
        pass


async def text_of(adapter: Adapter, question: Question) -> str:
    events = [event async for event in adapter.generate_stream(question.prompt, question.options)]
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("kind", providers.kinds())
def test_a_providers_file_holds_one_documented_adapter_of_its_own_name(kind: str) -> None:
    adapter = providers.adapter_class(kind)
    assert issubclass(adapter, Adapter)
    assert adapter.kind == kind
    assert (inspect.getmodule(adapter).__doc__ or "").strip()
    assert (adapter.__doc__ or "").strip()


@pytest.mark.parametrize("kind", providers.kinds())
def test_an_adapter_is_made_without_opening_anything_and_copied_with_its_client(kind: str) -> None:
    adapter = providers.adapter_class(kind)(ProviderConfig(kind=kind), name="mine", model="m-1")
    assert isinstance(adapter, LLMProvider)
    other = adapter.bound(model="m-2", key="k-2")
    assert (adapter.name, adapter.model, adapter.key) == ("mine", "m-1", None)
    assert (other.name, other.model, other.key) == ("mine", "m-2", "k-2")
    assert isinstance(other.get_capabilities(), ProviderCapabilities)
    assert isinstance(other.get_capabilities("m-3"), ProviderCapabilities)
    asyncio.run(adapter.close())


def test_an_unknown_kind_of_provider_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownProvider, match="did you mean 'anthropic'"):
        providers.adapter_class("antropic")


def test_the_deltas_add_up_to_the_completion(drive: Drive) -> None:
    question = drive.question()

    async def work(adapter: Adapter) -> None:
        streamed = await text_of(adapter, question)
        answer = await adapter.generate_completion(question.prompt, question.options)
        assert isinstance(answer, Completion)
        assert streamed == answer.text == question.answer
        assert answer.finish_reason == "stop"
        assert (answer.provider, answer.model) == (adapter.name, adapter.model)

    run(drive.whole(), work)


def test_a_stream_ends_with_exactly_one_final_event_that_tells_usage_and_reason(drive: Drive) -> None:
    question = drive.question()

    async def work(adapter: Adapter) -> None:
        events = [event async for event in adapter.generate_stream(question.prompt, question.options)]
        assert [type(event) for event in events].count(Finished) == 1
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.finish_reason == "stop"
        assert (last.usage.input_tokens or 0) > 0
        assert (last.usage.output_tokens or 0) > 0
        assert last.usage_source in ("reported", "replayed")

    run(drive.whole(), work)


def test_an_interruption_raises_with_the_text_so_far(drive: Drive) -> None:
    if not drive.can_break:
        return  # its answer is whole before it begins
    question = drive.question()

    async def work(adapter: Adapter) -> None:
        got: list[str] = []
        with pytest.raises(StreamInterrupted) as caught:
            async for event in adapter.generate_stream(question.prompt, question.options):
                assert not isinstance(event, Finished)
                if isinstance(event, TextDelta):
                    got.append(event.text)
        assert caught.value.partial == "".join(got)
        assert 0 < len(caught.value.partial) < len(question.answer)
        assert question.answer.startswith(caught.value.partial)

    run(drive.broken(), work)


def test_two_interleaved_streams_stay_apart(drive: Drive) -> None:
    first, second = drive.question("one two three four"), drive.question("five six seven eight")

    async def work(adapter: Adapter) -> None:
        texts = ["", ""]
        streams = [adapter.generate_stream(question.prompt, question.options) for question in (first, second)]
        running = [0, 1]
        while running:
            for number in list(running):
                event = await anext(streams[number], None)
                if event is None:
                    running.remove(number)
                elif isinstance(event, TextDelta):
                    texts[number] += event.text
        assert texts == [first.answer, second.answer]

    run(drive.whole(), work)


@pytest.mark.parametrize("way", ["closed", "cancelled", "abandoned"])
def test_a_stream_that_is_left_closes_its_connection(drive: Drive, way: str) -> None:
    question = drive.question()

    async def work(adapter: Adapter) -> None:
        stream = adapter.generate_stream(question.prompt, question.options)
        while not isinstance(await anext(stream), TextDelta):
            pass
        if way == "closed":
            await stream.aclose()
        elif way == "cancelled":
            reading = asyncio.create_task(read_on(stream))
            await asyncio.sleep(0.02)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        del stream
        gc.collect()
        for _ in range(20):
            await asyncio.sleep(0)
        assert await asyncio.to_thread(drive.open_now, adapter) == 0

    run(drive.held(), work)


def test_only_errors_of_aikit_come_out_and_none_is_taken_for_an_answer(drive: Drive) -> None:
    question = drive.question()

    async def work(adapter: Adapter) -> None:
        with pytest.raises(AikitError) as streamed:
            await text_of(adapter, question)
        assert str(streamed.value)
        if isinstance(streamed.value, ProviderError):
            assert streamed.value.provider == adapter.name

    async def whole(adapter: Adapter) -> None:
        with pytest.raises(AikitError):
            await adapter.generate_completion(question.prompt, question.options)

    for adapter in drive.refusing():
        run(adapter, work)
    for adapter in drive.refusing():
        run(adapter, whole)
