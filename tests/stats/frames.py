"""Frames of trials for tests: two or more variants on the same samples."""

from __future__ import annotations

import numpy as np
import pandas as pd


def trials(n=120, *, variants=("zero", "few"), lift=0.8, epochs=1, seed=0, paired=True):
    """Rows as `run.trials` has them: pass/fail `label`, `score`, `grade` 1-5, `cost`, `duration`, `output_tokens`."""
    random = np.random.default_rng(seed)
    rows = []
    ease = random.normal(1, 1.5, n)
    for place, name in enumerate(variants):
        if not paired:
            ease = random.normal(1, 1.5, n)
        for epoch in range(epochs):
            drawn = ease + lift * place + random.normal(0, 1, n)
            rows.append(
                pd.DataFrame(
                    {
                        "variant": name,
                        "sample": [f"s{i:04d}" if paired else f"{name}{i:04d}" for i in range(n)],
                        "epoch": epoch,
                        "status": "ok",
                        "label": drawn > 0.5,
                        "score": drawn,
                        "grade": np.clip(np.round(drawn + 2), 1, 5).astype(int),
                        "cost": np.exp(random.normal(-6 - 0.2 * place, 0.3, n)),
                        "duration": np.exp(random.normal(0, 0.5, n)),
                        "output_tokens": random.integers(20, 80, n),
                        "call_id": [f"{name}-{i}-{epoch}" for i in range(n)],
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def pass_fail(pairs, *, names=("A", "B")):
    """One row per variant and pair of outcomes: `pairs` is a sequence of (A passed, B passed)."""
    return pd.DataFrame(
        [
            {"variant": name, "sample": i, "label": bool(pair[k])}
            for i, pair in enumerate(pairs)
            for k, name in enumerate(names)
        ]
    )


def table(both, a_only, b_only, neither):
    """Pass/fail pairs with the counts of a 2 × 2 table."""
    return pass_fail([(1, 1)] * both + [(1, 0)] * a_only + [(0, 1)] * b_only + [(0, 0)] * neither)


def numbers(a, b, **more):
    """One row per variant and sample with a number `value`."""
    frame = pd.DataFrame(
        {
            "variant": ["A"] * len(a) + ["B"] * len(b),
            "sample": [*range(len(a)), *range(len(b))],
            "value": [*a, *b],
        }
    )
    return frame.assign(**more)
