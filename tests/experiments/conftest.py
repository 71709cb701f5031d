"""Kits on the scripted provider, closed in the end."""

import pytest

import aikit
from tests.experiments.setting import classify


@pytest.fixture(scope="session")
def make_kit(tmp_path_factory):
    opened = []

    def make(home=None, **options):
        options.setdefault("reply", classify())
        kit = aikit.open(
            home=home or tmp_path_factory.mktemp("home"),
            config={"providers": {"scripted": {"options": options}}, "defaults": {"model": "scripted:one"}},
        )
        opened.append(kit)
        return kit

    yield make
    for kit in opened:
        kit.close()


@pytest.fixture(scope="module")
def kit(make_kit):
    return make_kit()
