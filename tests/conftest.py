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


LEAST_IN_CI = {"local_model": 25}
"""Marker → how many of its tests a whole run in CI has to have, none of them skipped."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a whole run in CI that has lost the tests which need the local model."""
    whole = not config.option.keyword and not config.option.markexpr.startswith("slow") and len(items) > 2_000
    if not os.environ.get("CI") or not whole:
        return
    for marker, least in LEAST_IN_CI.items():
        found = sum(item.get_closest_marker(marker) is not None for item in items)
        if found < least:
            raise pytest.UsageError(f"CI runs at least {least} tests marked {marker}; collected {found}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Turn a skip into a failure where CI must not skip."""
    report = yield
    if os.environ.get("CI") and report.skipped and any(item.get_closest_marker(one) for one in LEAST_IN_CI):
        report.outcome = "failed"
        report.longrepr = f"must not be skipped in CI: {report.longrepr}"
    return report
