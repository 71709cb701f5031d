"""Token counts: exact where they can be, and an estimate that is never too low where not."""

from __future__ import annotations

import base64
import struct

import pytest

from aikit import tokens
from aikit.messages import GenerationOptions, Image, Message, Text, TokenCount, ToolCall, ToolResult
from aikit.tokens import Calibration
from aikit.tokens.encodings import encoding_of, rough
from aikit.tokens.pictures import size

PLAIN = GenerationOptions()


def count(text: str, model: str, provider: str = "openai", **options) -> TokenCount:
    return tokens.count((Message("user", text),), GenerationOptions(**options), provider=provider, model=model)


def test_openai_s_published_example_is_counted_exactly():
    # The cookbook's example: 129 tokens for gpt-4 and gpt-3.5, 124 for gpt-4o; names cost one more, and we have none.
    told = [
        (
            "system",
            "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
        ),
        ("user", "This late pivot means we don't have time to boil the ocean for the client deliverable."),
    ]
    messages = tuple(Message(role, text) for role, text in told)
    four = tokens.count(messages, PLAIN, provider="openai", model="gpt-4")
    omni = tokens.count(messages, PLAIN, provider="openai", model="gpt-4o")
    assert four.source == omni.source == "exact"
    words = sum(tokens.count_text(text, provider="openai", model="gpt-4o").tokens for _, text in told)
    assert omni.tokens == words + 3 * 2 + 2 + 3  # three a message, one for its role, three for the reply


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5.4-mini", "o200k_base"),
        ("o3", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("gpt-oss-20b", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("claude-haiku-4-5", None),
        ("ollama-something", None),
    ],
)
def test_each_model_has_its_encoding(model, encoding):
    assert encoding_of(model) == encoding


def test_a_fine_tuned_or_routed_model_is_counted_as_what_it_is_made_from():
    plain = count("Why is the sky blue?", "gpt-4o-mini")
    assert count("Why is the sky blue?", "ft:gpt-4o-mini:acme::abc") == plain
    assert count("Why is the sky blue?", "openai/gpt-4o-mini", "openrouter") == plain


def test_text_that_looks_like_a_control_token_is_counted_as_text():
    assert count("<|endoftext|>", "gpt-4o").tokens > count("x", "gpt-4o").tokens


def test_a_lone_surrogate_does_no_harm():
    assert count("broken \ud800 half", "gpt-4o").tokens > 0
    assert rough("broken \ud800 half") > 0


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "gpt-5-mini", "smollm2", "gemini-2.5-pro"])
def test_an_estimate_says_that_it_is_one_and_its_upper_bound_is_higher(model):
    counted = count("Why is the sky blue?", model)
    assert counted.source == "estimated"
    assert counted.error > 0
    assert tokens.upper(counted) >= counted.tokens * 1.1


def test_an_exact_count_is_its_own_upper_bound():
    assert tokens.upper(TokenCount(100, "exact")) == 100
    assert tokens.upper(TokenCount(100, "estimated", 0.02)) == 111  # 10 % at least; 110.00000000000001 is rounded up
    assert tokens.upper(TokenCount(100, "estimated", 0.5)) == 150


TEXTS = {
    "English": "The quick brown fox jumps over the lazy dog, while seven wizards discuss the weather of the week. ",
    "German": "Der Himmel erscheint blau, weil kurzwelliges Licht stärker gestreut wird als langwelliges. ",
    "Chinese": "天空为什么是蓝色的？因为大气分子对短波长的光散射更强。",
    "Russian": "Почему небо голубое? Потому что молекулы воздуха рассеивают коротковолновый свет сильнее. ",
    "code": "def total(rows: list[int]) -> int:\n    return sum(row for row in rows if row > 0)\n\n",
    "JSON": '{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}\n',
    "numbers": "3.14159 271828 1000000 42 17 2026-11-18\n",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_rough_count_is_within_its_stated_error_of_the_tokenizer_s(kind):
    text = TEXTS[kind] * 20
    exact = tokens.count_text(text, provider="openai", model="gpt-4o").tokens
    assert 0.65 <= rough(text) / exact <= 1.4


def test_tools_schemas_and_tool_turns_are_counted():
    tool = {"name": "weather", "description": "Tell the weather of a city", "parameters": {"type": "object"}}
    bare, tooled = count("Hi", "gpt-4o"), count("Hi", "gpt-4o", tools=(tool,))
    assert bare.source == "exact"
    assert tooled.source == "estimated"
    assert tooled.tokens > bare.tokens + 15
    assert count("Hi", "claude-haiku-4-5", "anthropic", tools=(tool,)).tokens > 346
    assert count("Hi", "gpt-4o", json_schema={"type": "object"}).tokens > bare.tokens
    turns = (
        Message("assistant", (ToolCall("1", "weather", {"city": "Paris"}),)),
        Message("tool", (ToolResult("1", "sunny"),)),
    )
    assert tokens.count(turns, PLAIN, provider="openai", model="gpt-4o").tokens > 25


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)


def jpeg(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(640, 480), (640, 480)),
        (jpeg(1024, 768), (1024, 768)),
        (b"GIF89a" + struct.pack("<HH", 10, 20), (10, 20)),
        (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + (99).to_bytes(3, "little") + (49).to_bytes(3, "little"), (100, 50)),
        (b"not a picture", (2048, 2048)),
        (b"\x89PNG\r\n\x1a\n", (2048, 2048)),
        (base64.b64decode("/9j/4A=="), (2048, 2048)),
    ],
)
def test_a_picture_s_size_is_read_from_its_head(data, expected):
    assert size(data) == expected


@pytest.mark.parametrize(
    ("model", "width", "height", "expected"),
    [
        ("gpt-4o", 1024, 1024, 765),  # OpenAI's own examples: 85 + 4 × 170 …
        ("gpt-4o", 2048, 4096, 1105),  # … and 85 + 6 × 170
        ("gpt-4o-mini", 1024, 1024, 2833 + 4 * 5667),
        ("gpt-4.1-mini", 1024, 1024, 1659),  # 1,024 patches × 1.62
        ("claude-haiku-4-5", 1000, 1000, 1334),  # Anthropic's own example: about 1,334
        ("claude-haiku-4-5", 200, 200, 54),
    ],
)
def test_pictures_are_counted_by_the_published_rules(model, width, height, expected):
    with_picture = (Message("user", (Text("x"), Image(data=png(width, height)))),)
    without = (Message("user", (Text("x"),)),)
    from aikit.tokens import pictures

    assert pictures.tokens(Image(data=png(width, height)), model) == expected
    assert (
        tokens.count(with_picture, PLAIN, provider="p", model=model).tokens
        > tokens.count(without, PLAIN, provider="p", model=model).tokens + 50
    )


def test_a_calibration_learns_from_what_is_reported_and_says_how_sure_it_is():
    calibration = Calibration()

    def counted() -> TokenCount:
        messages = (Message("user", "Why is the sky blue? " * 50),)
        return tokens.count(messages, PLAIN, provider="anthropic", model="claude-x", calibration=calibration)

    first = counted()
    true = round(first.tokens * 0.8)
    for _ in range(4):
        calibration.observe("anthropic", "claude-x", counted(), true)
    assert counted() == first  # four observations are too few
    for _ in range(20):
        calibration.observe("anthropic", "claude-x", counted(), true)
    assert abs(counted().tokens - true) <= 1
    assert counted().error < 0.02
    restored = Calibration(calibration.rows())
    assert restored.ratio("anthropic", "claude-x") == calibration.ratio("anthropic", "claude-x")


def test_a_calibration_over_unsteady_prompts_states_a_larger_error():
    calibration = Calibration()
    for place in range(40):
        calibration.observe("anthropic", "claude-x", TokenCount(100, "estimated", 0.25), 130 if place % 2 else 90)
    _, error = calibration.ratio("anthropic", "claude-x")
    assert error > 0.2


def test_an_exact_count_or_a_missing_report_teaches_nothing():
    calibration = Calibration()
    calibration.observe("openai", "gpt-4o", TokenCount(100, "exact"), 90)
    calibration.observe("openai", "gpt-5", TokenCount(100, "estimated", 0.05), None)
    assert calibration.rows() == []
