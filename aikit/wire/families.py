"""What model families can do: data, as far as the official SDKs tell in November 2026; the rest is unknown.

The first pattern that fits the beginning of a model's name counts, so the narrower ones stand first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

from aikit.errors import UnknownSetting, did_you_mean
from aikit.messages import ProviderCapabilities

__all__ = ["capabilities", "overridden"]

Families = tuple[tuple[re.Pattern[str], ProviderCapabilities], ...]

_OPENAI = ProviderCapabilities(
    streaming=True, system=True, tools=True, prefill=False, responses=True, reasoning=False, seed=True, stop=True
)
_OPENAI_REASONING = replace(
    _OPENAI, images=True, json_schema=True, reasoning=True, temperature=False, seed=None, stop=None
)
_ANTHROPIC = ProviderCapabilities(
    streaming=True, system=True, tools=True, images=True, seed=False, stop=True, resume=False, responses=False
)
_ANTHROPIC_OLD = replace(_ANTHROPIC, json_schema=False, reasoning=False, prefill=True, context_window=200_000)


def _family(pattern: str, base: ProviderCapabilities, **known: Any) -> tuple[re.Pattern[str], ProviderCapabilities]:
    return re.compile(pattern), replace(base, **known)


RESPONSES_ONLY = re.compile(r"(gpt-5(\.\d+)?-(pro|codex)|o\d-pro|codex-|o\d(-mini)?-deep-research|computer-use)")
"""OpenAI's models that chat completions does not serve."""

OPENAI: Families = (
    _family(r"gpt-3\.5", _OPENAI, images=False, json_schema=False, context_window=16_385, max_output_tokens=4_096),
    _family(r"gpt-4-(turbo|1106|0125|vision)", _OPENAI, json_schema=False, context_window=128_000,
            max_output_tokens=4_096),
    _family(r"gpt-4o-2024-05-13", _OPENAI, images=True, json_schema=False, context_window=128_000,
            max_output_tokens=4_096),
    _family(r"(gpt-4o|chatgpt-4o)", _OPENAI, images=True, json_schema=True, context_window=128_000,
            max_output_tokens=16_384),
    _family(r"gpt-4\.1", _OPENAI, images=True, json_schema=True, context_window=1_047_576, max_output_tokens=32_768),
    _family(r"gpt-4(-0314|-0613)?$", _OPENAI, images=False, json_schema=False, context_window=8_192,
            max_output_tokens=8_192),
    _family(r"o1-(mini|preview)", _OPENAI_REASONING, images=False, tools=False, json_schema=False, system=False,
            context_window=128_000),
    _family(r"o3-mini", _OPENAI_REASONING, images=False, context_window=200_000, max_output_tokens=100_000),
    _family(r"o[134](-|$)", _OPENAI_REASONING, context_window=200_000, max_output_tokens=100_000),
    _family(r"gpt-5(\.\d+)?-chat", _OPENAI, images=True, reasoning=None, temperature=None, tools=None,
            context_window=128_000, max_output_tokens=16_384),
    _family(r"gpt-5-", _OPENAI_REASONING, context_window=400_000, max_output_tokens=128_000),
    _family(r"gpt-5$", _OPENAI_REASONING, context_window=400_000, max_output_tokens=128_000),
    # From 5.1 on the temperature is taken where the reasoning effort is "none": not known before the call.
    _family(r"gpt-(5\.\d|6)", _OPENAI_REASONING, temperature=None, context_window=400_000, max_output_tokens=128_000),
)  # fmt: skip

ANTHROPIC: Families = (
    _family(r"claude-3-(opus|sonnet|haiku)", _ANTHROPIC_OLD, max_output_tokens=4_096),
    _family(r"claude-3-5", _ANTHROPIC_OLD, max_output_tokens=8_192),
    _family(r"claude-3-7", _ANTHROPIC_OLD, reasoning=True, max_output_tokens=64_000),
    _family(r"claude-opus-4-1", _ANTHROPIC_OLD, reasoning=True, json_schema=True, max_output_tokens=32_000),
    _family(r"claude-opus-4-(0|2025)", _ANTHROPIC_OLD, reasoning=True, max_output_tokens=32_000),
    _family(r"claude-sonnet-4-(0|2025)", _ANTHROPIC_OLD, reasoning=True, max_output_tokens=64_000),
    _family(r"claude-(opus|sonnet|haiku)-4-5", _ANTHROPIC_OLD, reasoning=True, json_schema=True,
            max_output_tokens=64_000),
    _family(r"claude-opus-4-", _ANTHROPIC, reasoning=True, json_schema=True, prefill=False, context_window=1_000_000,
            max_output_tokens=128_000),
    _family(r"claude-sonnet-4-", _ANTHROPIC, reasoning=True, json_schema=True, prefill=False, context_window=1_000_000,
            max_output_tokens=64_000),
    _family(r"claude-[a-z]+-5", _ANTHROPIC, reasoning=True, json_schema=True, prefill=False, context_window=1_000_000),
)  # fmt: skip


ANTHROPIC_UNKNOWN = replace(_ANTHROPIC, images=None, tools=None)
"""What the API can do, whatever the model."""


def capabilities(model: str, families: Families) -> ProviderCapabilities | None:
    """Return what is known of a model's family; None when nothing is."""
    return next((known for pattern, known in families if pattern.match(model)), None)


def overridden(known: ProviderCapabilities, model: str, settings: Any) -> ProviderCapabilities:
    """Return capabilities with the user's own word over them.

    `settings` is the provider's option `capabilities`: fields for all its models, or by model name a table of fields.
    """
    if not isinstance(settings, Mapping):
        return known
    names = [field.name for field in fields(ProviderCapabilities)]
    changes: dict[str, Any] = {}
    for key, value in cast(Mapping[str, Any], settings).items():
        if isinstance(value, Mapping):
            changes |= cast(Mapping[str, Any], value) if key == model else {}
        else:
            changes.setdefault(key, value)
    for name in changes:
        if name not in names:
            raise UnknownSetting(f"no capability {name!r}{did_you_mean(name, names)}")
    return replace(known, **changes)
