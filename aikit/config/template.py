"""The `aikit.toml` that `aikit init` writes: every setting with its default, commented out."""

from __future__ import annotations

import os
from pathlib import Path

from aikit.errors import ConfigError

__all__ = ["TEMPLATE", "init"]

TEMPLATE = """\
# Settings of aikit. What is commented out is the default. Changes are taken over while a notebook runs.
# `aikit doctor` checks them; `kit.config.explain("defaults.model")` says where a value comes from.
# Keys do not belong here: `aikit keys set openai`, or OPENAI_API_KEY in the environment or in .env (mode 0600).

[defaults]
# model = "local:smollm2"              # provider:model; needs no key and costs nothing
# wait_at_most = 60                    # seconds that a server may ask to wait before a call gives up

[budgets]                              # US dollars over all providers; without a figure there is no limit
# daily = 2.00
# weekly = 10.00
# monthly = 30.00
# hard = true                          # what could pass a limit is not sent; false: it is, with an alert
# alert_at = [0.5, 0.8, 1.0]
# timezone = "UTC"                     # whose days, weeks and months count
# max_tokens = 4096                    # sent under a hard budget when a call does not say

[log]
# home = ".aikit"                      # prompts, budgets and every call; relative to this file
# durability = "full"                  # "os" is quicker, and may lose the last moments in a power cut
# store_text = "full"                  # "hash" or "none" keep no prompts and answers

# A provider: openai, anthropic, ollama and local need no entry; it changes what holds for them.
# [providers.openai]
# default_model = "gpt-5-mini"         # for model="openai"
# rate_limits = { requests_per_minute = 500, tokens_per_minute = 200_000, concurrent = 32 }
# cost_limits = { daily_budget = 1.00, monthly_budget = 20.00 }
# timeouts = { connect = 10, progress = 60, total = 600 }      # seconds; progress: since the last text
# prices."my-fine-tune" = { input = 2.5, cache_read = 1.25, output = 10 }    # US dollars per million tokens

# Any server that speaks OpenAI's protocol (llama.cpp, vLLM, LM Studio):
# [providers.lab]
# base_url = "http://127.0.0.1:8000/v1"

# What differs elsewhere, chosen by AIKIT_ENV=production:
# [env.production.budgets]
# daily = 50.00
"""


def init(folder: Path) -> str:
    """Write a commented `aikit.toml` into the folder; return what was done. Never replaces one: `ConfigError`."""
    path = folder / "aikit.toml"
    try:
        # 0600: somebody will put a key into it all the same.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        reason = f"{path} is there already; `aikit doctor` checks it"
    except OSError as error:
        reason = f"{path} can't be written: {error.strerror or error}"
    else:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(TEMPLATE)
        return f"wrote {path}: every setting is in it, commented out. Next: aikit doctor"
    raise ConfigError(reason)
