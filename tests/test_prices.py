"""Prices: golden sums from the providers' published rules, and the wrong answers that other tools give.

Rules: https://platform.claude.com/docs/en/about-claude/pricing (cache writes 1.25 × for 5 minutes and 2 × for an hour,
reads 0.1 ×, batches half; above 200,000 input tokens the long rate for the whole request),
https://openai.com/api/pricing (cached input inside the prompt count; reasoning is output; flex and batch half),
https://ai.google.dev/gemini-api/docs/pricing (above 200,000 tokens the long rate).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aikit.errors import ConfigError, ConnectionFailed, UnknownPrice, UnknownSetting
from aikit.messages import Usage
from aikit.prices import PriceBook, Snapshot, dollars, longest_answer, nano

NOV = datetime(2026, 11, 18, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook(clock=lambda: NOV)


def cost(book: PriceBook, model: str, usage: Usage, **how) -> Decimal | None:
    provider, _, name = model.partition(":")
    price = book.price(provider, name)
    assert price is not None
    amount = price.cost(usage, **how)
    return None if amount is None else dollars(amount)


@pytest.mark.parametrize(
    ("model", "usage", "how", "expected"),
    [
        # cached tokens are inside the prompt: 500 at $0.25, 500 at $0.025, 100 out at $2, per million
        ("openai:gpt-5-mini", Usage(1000, 100, 500), {}, "0.0003375"),
        # reasoning is inside the output: nothing is added for it
        ("openai:gpt-5-mini", Usage(1000, 1000, 0, 0, 900), {}, "0.00225"),
        ("openai:gpt-5-mini", Usage(1000, 100, 500), {"processing": "flex"}, "0.00016875"),
        ("openai:gpt-5-mini", Usage(1000, 100, 500), {"processing": "batch"}, "0.00016875"),
        ("openai:gpt-5-mini", Usage(1000, 100, 500), {"processing": "priority"}, "0.0006075"),
        ("openai:gpt-5-mini", Usage(1000, 100, 500), {"processing": "default"}, "0.0003375"),
        # long context: the whole request, output too, from the first token above the threshold
        ("openai:gpt-5.4", Usage(272_000, 1000), {}, "0.695"),
        ("openai:gpt-5.4", Usage(272_001, 1000), {}, "1.382505"),
        ("anthropic:claude-sonnet-4-5", Usage(200_000, 1000), {}, "0.615"),
        ("anthropic:claude-sonnet-4-5", Usage(200_001, 1000), {}, "1.222506"),
        # writes of 5 minutes and of an hour, and reads, all out of the prompt count
        ("anthropic:claude-haiku-4-5", Usage(10_000, 100, 6000, 3000), {}, "0.00585"),
        ("anthropic:claude-haiku-4-5", Usage(10_000, 100, 6000, 3000), {"cache_ttl": "1h"}, "0.0081"),
        ("anthropic:claude-haiku-4-5", Usage(10_000, 100, 6000, 3000), {"processing": "batch"}, "0.002925"),
        # Perplexity charges for the request as well
        ("perplexity:sonar", Usage(1000, 100), {}, "0.0131"),
        ("local:smollm2", Usage(1000, 100), {}, "0"),
        ("ollama:llama3:8b", Usage(None, None), {}, "0"),
    ],
)
def test_published_rules_give_published_sums(book, model, usage, how, expected):
    assert cost(book, model, usage, **how) == Decimal(expected)


def test_a_gemini_call_with_cached_tokens_is_not_billed_as_if_none_were(book):
    # Gemini 2.5 Pro below 200,000 tokens ($1.25, cached $0.125, out $10): 130,000 of 150,000 were cached.
    usage = Usage(150_000, 14_365, 130_000)
    right = cost(book, "google:gemini-2.5-pro", usage)
    assert right == Decimal("0.1849")
    assert right != cost(book, "google:gemini-2.5-pro", Usage(150_000, 14_365))


def test_an_anthropic_cache_write_is_charged_once(book):
    # Claude Sonnet 4: 9,840 tokens written at $3.75, 500 more at $3, 1,000 out at $15.
    usage = Usage(10_340, 1000, 0, 9840)
    right = Decimal("0.0534")
    assert cost(book, "anthropic:claude-sonnet-4-0", usage) == right
    twice = right + 9840 * Decimal(3) / 1_000_000  # as if the written tokens were in the plain input too
    assert twice > right


def test_cached_prompt_tokens_are_not_billed_in_full(book):
    assert cost(book, "openai:gpt-4o-mini", Usage(2006, 300, 1920)) == Decimal("0.0003369")


def test_cached_tokens_beside_the_prompt_are_never_forgotten(book):
    # An adapter that did not normalise: 10 plain tokens and 5,000 read beside them. They are charged all the same.
    assert cost(book, "anthropic:claude-haiku-4-5", Usage(10, 0, 5000)) == Decimal("0.0005")


def test_an_unknown_usage_costs_none_and_never_zero(book):
    assert cost(book, "openai:gpt-5-mini", Usage(None, 100)) is None
    assert cost(book, "openai:gpt-5-mini", Usage(100, None)) is None


def test_a_model_without_a_published_price_has_none(book):
    assert book.price("openai", "no-such-model") is None
    assert book.price("nobody", "gpt-5-mini") is None
    assert book.price("openai", "whisper-1") is None  # by the minute, not by the token


def test_a_processing_without_a_price_is_unknown_but_a_discount_is_bounded_by_the_standard_rate(book):
    price = book.price("anthropic", "claude-haiku-4-5")
    assert price.cost(Usage(1000, 10), processing="priority") is None
    with pytest.raises(UnknownPrice, match="priority"):
        price.upper(1000, 10, processing="priority")
    assert price.cost(Usage(1000, 10), processing="flex") == price.cost(Usage(1000, 10))


def test_prices_follow_their_dates(book):
    before = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    usage = Usage(300_000, 0)
    old, new = (book.price("anthropic", "claude-sonnet-4-6", at=at) for at in (before, NOV))
    assert dollars(old.cost(usage)) == Decimal("1.8")  # long context at $6 until 12 March 2026
    assert dollars(new.cost(usage)) == Decimal("0.9")
    assert old.id != new.id
    assert new.id.startswith("genai-prices@")
    assert "2026-03-13" in book.price("anthropic", "claude-sonnet-4-6", at=before + 20 * 86400).id


def test_prices_follow_the_hour_where_they_do(book):
    midday = datetime(2025, 3, 1, 12, tzinfo=UTC).timestamp()
    night = datetime(2025, 3, 1, 20, tzinfo=UTC).timestamp()
    day, cheap = (book.price("deepseek", "deepseek-chat", at=at) for at in (midday, night))
    assert day.cost(Usage(1_000_000, 0)) != cheap.cost(Usage(1_000_000, 0))


def test_a_dated_model_has_its_family_s_price(book):
    assert cost(book, "openai:gpt-4o-mini-2024-07-18", Usage(1_000_000, 0)) == Decimal("0.15")


def test_who_serves_the_address_sets_the_price():
    book = PriceBook(
        {
            "work": {"kind": "openai"},
            "mine": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1"},
            "router": {"kind": "openai", "base_url": "https://openrouter.ai/api/v1"},
            "openai": {"kind": "openai", "base_url": "http://127.0.0.1:9000/v1"},
        }
    )
    assert "/openai/" in book.price("work", "gpt-5-mini").id
    assert book.price("mine", "gpt-5-mini") is None  # somebody's own server: no price is known, not zero
    assert "/openrouter/" in book.price("router", "openai/gpt-5-mini").id
    assert "/openai/" in book.price("openai", "gpt-5-mini").id


def own(**table) -> PriceBook:
    return PriceBook({"openai": {"prices": {"gpt-x": table}}})


def test_a_price_of_one_s_own_goes_before_the_published_one():
    book = own(input=2.5, cache_read=1.25, cache_write=3.1, output=10)
    assert cost(book, "openai:gpt-x", Usage(1000, 100, 200, 300)) == Decimal("0.00343")
    assert book.price("openai", "gpt-x").id.startswith("config/openai/gpt-x@")
    assert book.price("openai", "gpt-x").id != own(input=2.5, output=11).price("openai", "gpt-x").id


def test_what_a_price_of_one_s_own_leaves_out_is_charged_as_input():
    assert cost(own(input=2, output=10), "openai:gpt-x", Usage(1000, 0, 500, 300)) == Decimal("0.002")


def test_a_price_of_one_s_own_may_state_a_batch_rate():
    book = own(input=2, output=10, batch={"input": 1, "output": 5})
    assert cost(book, "openai:gpt-x", Usage(1000, 100), processing="batch") == Decimal("0.0015")


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"input": -1, "output": 1}, ConfigError, "can't be negative"),
        ({"input": float("nan"), "output": 1}, ConfigError, "a number"),
        ({"input": True, "output": 1}, ConfigError, "a number"),
        ({"input": "2.5", "output": 1}, ConfigError, "a number"),
        ({"input": 0.0000025, "output": 1}, ConfigError, "not per token"),
        ({"input": 2_500_000, "output": 1}, ConfigError, "no model costs that"),
        ({"input": 2.5}, ConfigError, "names no 'output'"),
        ({"input": 2.5, "output": 1, "cached_read": 1}, UnknownSetting, "did you mean 'cache_read'"),
        (3, ConfigError, "per million tokens"),
    ],
)
def test_an_implausible_price_is_refused_and_the_message_says_where(table, error, message):
    with pytest.raises(error, match=message) as raised:
        PriceBook({"openai": {"prices": {"gpt-x": table}}})
    assert "providers.openai.prices.'gpt-x'" in str(raised.value)


def test_a_refresh_replaces_the_snapshot_and_its_id():
    book = PriceBook(clock=lambda: NOV)
    before = book.price("openai", "gpt-5-mini")
    assert book.refresh(lambda: Snapshot("genai-prices@later", book.snapshot.providers)) == "genai-prices@later"
    after = book.price("openai", "gpt-5-mini")
    assert after.tiers == before.tiers
    assert after.id.startswith("genai-prices@later/")


def test_a_refresh_that_fails_leaves_the_prices_alone():
    def fails() -> Snapshot:
        raise ConnectionFailed("no network")

    book = PriceBook(clock=lambda: NOV)
    before = book.price("openai", "gpt-5-mini")
    with pytest.raises(ConnectionFailed):
        book.refresh(fails)
    assert book.price("openai", "gpt-5-mini") is before


MODELS = ["openai:gpt-5-mini", "openai:gpt-5.4", "anthropic:claude-sonnet-4-5", "anthropic:claude-haiku-5-5",
          "google:gemini-2.5-pro", "perplexity:sonar"]  # fmt: skip
SHARED = PriceBook(clock=lambda: NOV)


@given(st.sampled_from(MODELS), st.integers(0, 400_000), st.integers(0, 5000), st.floats(0, 1), st.floats(0, 1))
def test_no_call_costs_more_than_its_upper_bound(model, input_tokens, output_tokens, read, written):
    provider, _, name = model.partition(":")
    price = SHARED.price(provider, name)
    cached = int(input_tokens * read)
    usage = Usage(input_tokens, output_tokens, cached, int((input_tokens - cached) * written), output_tokens // 2)
    bound = price.upper(input_tokens, output_tokens)
    assert price.cost(usage) <= bound
    assert price.cost(usage, cache_ttl="1h") <= bound
    assert price.upper(input_tokens, output_tokens, cache_ttl="5m") <= bound


@given(st.decimals(0, 10**6, places=9))
def test_dollars_and_nano_dollars_are_the_same_money(amount):
    assert dollars(nano(amount)) == amount


def test_nano_dollars_round_up_and_floats_mean_what_they_show():
    assert nano(0.1) == 100_000_000
    assert nano(Decimal("0.0000000001")) == 1


def test_the_longest_answer_is_the_smaller_of_what_is_asked_and_what_the_model_can():
    assert longest_answer(100, 4096) == 100
    assert longest_answer(10_000, 4096) == 4096
    assert longest_answer(None, 4096) == 4096
    assert longest_answer(None, None) == 131_072
