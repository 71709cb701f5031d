"""The entry point itself, from frame to verdict: it cries wolf no more often than its method promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aikit.stats import compare, false_positive_rate
from aikit.stats.proportions import mcnemar
from tests.stats.simulations.bands import at_most, logistic

FEW = pytest.mark.parametrize("runs", [200, pytest.param(2000, marks=pytest.mark.slow)])


def frame(a: np.ndarray, b: np.ndarray, status_b: np.ndarray | None = None) -> pd.DataFrame:
    n = len(a)
    status = np.full(n, "ok") if status_b is None else status_b
    return pd.DataFrame(
        {
            "sample": np.tile(np.arange(n), 2),
            "variant": np.repeat(["A", "B"], n),
            "label": np.concatenate([a, b]),
            "status": np.concatenate([np.full(n, "ok"), status]),
        }
    )


@FEW
@pytest.mark.parametrize("stopping", ["group", "anytime"])
def test_a_run_that_is_looked_at_five_times_rarely_ends_in_a_wrong_claim(runs: int, stopping: str):
    random = np.random.default_rng(1)
    wrong = naive = 0
    for _ in range(runs):
        difficulty = random.normal(0, 2, 300)
        a, b = (random.random(300) < logistic(difficulty) for _ in range(2))
        claims: list[bool] = []
        peeked: list[bool] = []
        for n in (60, 120, 180, 240, 300):
            part = frame(a[:n], b[:n])
            found = compare(part, metric="label", stopping=stopping, planned=300)
            claims.append(found.verdict.decision == "ship" or (found.verdict.decision == "keep" and found.high < 0))
            peeked.append(mcnemar(0, found.losses, found.wins, 0).p < 0.05)
        wrong += any(claims)
        naive += any(peeked)
    assert at_most(wrong / runs, 0.05, runs)
    assert naive / runs > 0.08


@FEW
def test_a_prompt_that_refuses_the_hard_inputs_is_not_shipped(runs: int):
    random = np.random.default_rng(2)
    shipped = naive = 0
    for _ in range(runs):
        difficulty = random.normal(0, 2, 1000)
        hard = difficulty < np.quantile(difficulty, 0.11)
        a, b = (random.random(1000) < logistic(difficulty + 1) for _ in range(2))
        all_rows = frame(a, b, np.where(hard, "refusal", "ok"))
        shipped += compare(all_rows, metric="label").verdict.decision == "ship"
        dropped = all_rows[all_rows["status"] == "ok"]
        shares = dropped.groupby("variant")["label"].agg(["mean", "size"])
        pooled = dropped["label"].mean()
        z = (shares["mean"]["B"] - shares["mean"]["A"]) / np.sqrt(pooled * (1 - pooled) * (1 / shares["size"]).sum())
        naive += z > 1.96
    assert at_most(shipped / runs, 0.03, runs)
    assert naive / runs > 0.3


def test_label_swaps_on_clustered_calls_show_what_pooling_would_have_claimed():
    random = np.random.default_rng(3)
    rows = []
    for name in ("A", "B"):
        lean = random.normal(0, 1.5, 60)
        for epoch in range(8):
            passed = random.random(60) < logistic(lean)
            rows.append(pd.DataFrame({"variant": name, "sample": np.arange(60), "epoch": epoch, "label": passed}))
    found = false_positive_rate(pd.concat(rows), metric="label", draws=400)
    assert found.low <= 0.05 <= found.high
    assert found.naive_rate > 0.1
    assert "within samples" in found.sentence
