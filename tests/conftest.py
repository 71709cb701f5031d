"""What all tests share: the local model's file, and a clock that moves only when told to."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aikit import local_model as model_file
from aikit.errors import ConfigError


@dataclass
class FakeClock:
    """A clock and a sleep that take no time: `clock()` tells it, `await clock.sleep(3)` moves it."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def local_model() -> Path:
    """The embedded model's file, fetched when it is missing; without it the test is skipped, in CI it fails."""
    try:
        return model_file.install()
    except ConfigError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs the tests of the local model: {missing}", pytrace=False)
        pytest.skip(str(missing))
