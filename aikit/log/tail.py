"""The tail: the spool's rows that the DuckDB file has not, parsed once and kept in memory as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aikit.log.loading import SpoolRow, insert, parse
from aikit.log.schema import QUARANTINE, TABLES
from aikit.log.spool import Spool
from aikit.log.spool_file import spool_id

if TYPE_CHECKING:
    import sqlite3

    from duckdb import DuckDBPyConnection

__all__ = ["Tail"]

_CHUNK = 20_000


class Tail:
    """Keep the rows past a watermark in the schema `tail` of an in-memory instance, each with its spool id `_id`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._generation = -1
        self._spool_id: str = ""
        self._low = 0
        self.high = 0
        """Id of the last row that is in the tables."""

    def refresh(self, connection: DuckDBPyConnection, generation: int, watermark: int) -> None:
        """Have exactly the rows past `watermark` in the tables, up to the spool's last one."""
        self._begin(connection, generation, watermark)
        while rows := self._spool.read(lambda reader: _rows(reader, self.high)):
            insert(connection, "tail", parse(rows))
            self.high = rows[-1][0]
            if len(rows) < _CHUNK:
                break

    def _begin(self, connection: DuckDBPyConnection, generation: int, watermark: int) -> None:
        name = self._spool.read(spool_id)
        if generation != self._generation or name != self._spool_id or watermark < self._low:
            self._clear(connection)
            self._generation, self._spool_id = generation, name
            self._low = self.high = watermark
            return
        if watermark > self._low:
            for table in (*TABLES.values(), QUARANTINE):
                connection.execute(f"DELETE FROM tail.{table.name} WHERE _id <= {watermark:d}")
            self._low, self.high = watermark, max(watermark, self.high)

    def _clear(self, connection: DuckDBPyConnection) -> None:
        self._generation = -1  # until the tables are there
        connection.execute("DROP SCHEMA IF EXISTS tail CASCADE")
        connection.execute("CREATE SCHEMA tail")
        for table in (*TABLES.values(), QUARANTINE):
            connection.execute(f"CREATE TABLE tail.{table.name} (_id BIGINT, {table.ddl})")


def _rows(connection: sqlite3.Connection, after: int) -> list[SpoolRow]:
    query = "SELECT id, kind, body FROM spool WHERE id > ? ORDER BY id LIMIT ?"
    return connection.execute(query, (after, _CHUNK)).fetchall()
