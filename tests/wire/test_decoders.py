"""The decoders: any split of the bytes gives the same events."""

from __future__ import annotations

import itertools
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aikit.wire import sse
from aikit.wire.ndjson import NDJSONDecoder
from aikit.wire.sse import EventTooLongError, SSEDecoder
from aikit.wire.surrogates import SurrogateJoiner, without_surrogates

ENDS = [b"\n", b"\r\n", b"\r"]


def read(decoder, pieces):
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    last = decoder.end()
    return frames + ([last] if last else [])


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(points)]


def reference(text: str) -> list[tuple[str, bytes]]:
    """The events of a whole text, by the words of the HTML standard and as slowly as one likes."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events, name, data = [], "", []
    for line in [*text.split("\n"), ""]:
        if not line:
            if data:
                events.append((name, "\n".join(data).encode()))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return events


LINES = st.sampled_from(
    [
        "data: {}", "data:{}", "data", "data: ", "data:  two", "event: ping", "event:x", "id: 7", "retry: 1", ": hi",
        ":", "unknown: y", "", "", "data: é\u2028😀", "data: a:b", "\x00data: z", "data: \x1b[0m",
    ]
)  # fmt: skip


@given(st.lists(st.tuples(LINES, st.sampled_from(ENDS))), st.lists(st.integers(0, 400)), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_split_of_a_stream_gives_the_events_that_the_standard_says(lines, cuts, bom):
    data = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line.encode() + end for line, end in lines)
    expected = reference(data.decode())
    assert read(SSEDecoder(), split(data, cuts)) == expected
    assert read(SSEDecoder(), [data[i : i + 1] for i in range(len(data))]) == expected


@given(st.lists(st.text(max_size=12)), st.sampled_from([b"\n", b"\r\n"]), st.lists(st.integers(0, 300)))
@settings(max_examples=200, deadline=None)
def test_any_split_of_json_lines_gives_the_same_lines(values, end, cuts):
    data = b"".join(json.dumps({"v": value}).encode() + end for value in values)
    assert [json.loads(line)["v"] for _, line in read(NDJSONDecoder(), split(data, cuts))] == values
    assert [json.loads(line)["v"] for _, line in read(NDJSONDecoder(), [data[:-1]])] == values


@pytest.mark.parametrize("end", ENDS)
def test_a_cr_and_its_lf_in_different_reads_are_one_end_of_line(end):
    data = b"data: a" + end + b"data: b" + end + end + b"data: c" + end + end
    for cut in range(len(data)):
        assert read(SSEDecoder(), [data[:cut], data[cut:]]) == [("", b"a\nb"), ("", b"c")]


def test_events_with_only_an_id_or_a_retry_are_skipped():
    assert read(SSEDecoder(), [b"id: 1\n\nretry: 5\n\nevent: x\n\n: ping\n\ndata: 1\n\n"]) == [("", b"1")]


def test_a_megabyte_in_one_event_takes_time_in_proportion_even_byte_by_byte():
    data = b"data: " + b"x" * 200_000 + b"\n\n"
    started = time.process_time()
    assert read(SSEDecoder(), [data[i : i + 1] for i in range(len(data))]) == [("", b"x" * 200_000)]
    assert time.process_time() - started < 2
    assert read(SSEDecoder(), [b"data: " + b"x" * 1_000_000, b"\n", b"\n"]) == [("", b"x" * 1_000_000)]


def test_an_event_without_an_end_is_not_collected_for_ever(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    decoder = SSEDecoder()
    with pytest.raises(EventTooLongError):
        for _ in range(100):
            decoder.feed(b"data: " + b"x" * 50)


@given(st.text(alphabet="a\ud83d\ude00é\udc00\ud800😀", max_size=20), st.lists(st.integers(0, 20)))
@settings(max_examples=300, deadline=None)
def test_surrogate_halves_are_joined_over_any_split_and_lone_ones_replaced(text, cuts):
    points = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    joiner = SurrogateJoiner()
    joined = "".join(joiner.feed(text[a:b]) for a, b in itertools.pairwise(points)) + joiner.end()
    assert joined == without_surrogates(text) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    joined.encode()
