"""A log in a fresh folder; the background ingest is put off, so that a test says when it happens."""

import contextlib

import pytest

from aikit.log import Log


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def open_log(home):
    """Open logs that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def opened(where=home, *, ingest_seconds=3600.0, **settings):
            return stack.enter_context(Log.open(where, ingest_seconds=ingest_seconds, **settings))

        yield opened


@pytest.fixture
def log(open_log):
    return open_log()
