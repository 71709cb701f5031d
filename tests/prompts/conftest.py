"""A prompt library on a bare SQLite file, without the rest of aikit."""

import sqlite3
from concurrent.futures import Future

import pytest

from aikit.log import prompts_store
from aikit.prompts import Prompts


class PlainStore:
    """The two methods of the spool that the library uses, on one connection."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path)
        prompts_store.create_tables(self.connection)

    def submit(self, operation):
        future = Future()
        try:
            with self.connection:
                future.set_result(operation(self.connection))
        except Exception as error:
            future.set_exception(error)
        return future

    def read(self, operation):
        return operation(self.connection)


@pytest.fixture
def store(tmp_path):
    made = PlainStore(tmp_path / "prompts.sqlite")
    yield made
    made.connection.close()


@pytest.fixture
def prompts(store):
    return Prompts(store)


@pytest.fixture
def other_prompts(tmp_path):
    made = PlainStore(tmp_path / "other.sqlite")
    yield Prompts(made)
    made.connection.close()
