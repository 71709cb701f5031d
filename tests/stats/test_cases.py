"""The reference cases from independent sources, through the adapter."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.stats.adapter import METHODS

ROWS = json.loads((Path(__file__).parent / "cases.json").read_text())
WITH_FIGURES = [row for row in ROWS if "expected" in row]
KEYS_ONLY = [row for row in ROWS if "expected" not in row]


def far(found: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, dict):
        return any(far(found[key], one, tolerance) for key, one in expected.items())
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return len(found) != len(expected) or any(far(*pair, tolerance) for pair in zip(found, expected, strict=True))
    if isinstance(expected, str) or expected is None:
        return found != expected
    if not math.isfinite(expected):
        return found != expected
    return not abs(found - expected) / max(1.0, abs(expected)) <= tolerance


@pytest.mark.parametrize("row", WITH_FIGURES, ids=[row["id"] for row in WITH_FIGURES])
def test_a_reference_case_holds_at_its_tolerance(row: dict[str, Any]):
    found = METHODS[row["method"]](**row["inputs"])
    wrong = {
        key: (found.get(key), one) for key, one in row["expected"].items() if far(found[key], one, row["tolerance"])
    }
    assert not wrong


def test_every_method_named_in_the_cases_is_there():
    assert {row["method"] for row in ROWS} <= set(METHODS)
