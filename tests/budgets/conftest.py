"""What the tests of budgets share: a spool in a fresh folder, a tracker on it, and a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aikit.budgets import Budgets, CostTracker
from aikit.log.spool import Spool


class Clock:
    """Unix seconds, moved by the test."""

    def __init__(self, moment: str = "2026-11-18T12:00:00+00:00") -> None:
        self.set(moment)

    def set(self, moment: str) -> None:
        self.now = datetime.fromisoformat(moment).astimezone(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


class Till:
    """A spool, a tracker and its budgets, opened together."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self.clock = clock
        self.spool = Spool.open(home, durability="os", clock=clock)
        self.tracker = CostTracker(self.spool, clock=clock)
        self.budgets = Budgets(self.tracker)

    def close(self) -> None:
        self.tracker.close()
        self.spool.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def till(tmp_path: Path, clock: Clock) -> Iterator[Till]:
    till = Till(tmp_path / "home", clock)
    yield till
    till.close()
