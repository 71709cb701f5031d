"""The log: rows go in without waiting, frames come out, and nothing is lost or counted twice on the way.

log = Log.open(home)
log.record(CallRow(call_id=new_id(), started_at=time.time(), provider="local", model="smollm2", text="blue"))
log.calls(since="7d")
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aikit.log import queries
from aikit.log.archive import ArchiveFile, archive_files
from aikit.log.check import CheckReport, check
from aikit.log.database import Database
from aikit.log.forks import at_exit, in_child
from aikit.log.housekeeping import Housekeeping, compact, settle_dead
from aikit.log.ingest import Ingest
from aikit.log.payloads import RowEncoder, StoreText
from aikit.log.queries import Filter, Since, checked_limit, instant
from aikit.log.reading import Reading
from aikit.log.schema import AttemptRow, CallRow, EventRow, TrialRow
from aikit.log.spool import Spool
from aikit.log.spool_file import Durability
from aikit.log.tail import Tail

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Log"]


class Log:
    """The calls of one home folder: a spool that takes them, a DuckDB file that keeps them, frames that show them.

    Every method may be called from any thread. `record…` return at once; the frames touch the disk.
    """

    def __init__(self, spool: Spool, *, clock: Callable[[], float], ingest_seconds: float) -> None:
        self.spool = spool
        """Where finished rows go, and where `budgets`, `prompts` and `experiments` keep their small tables."""
        self.home = spool.home
        self._clock = clock
        self._encoder: RowEncoder | None = None
        self._database = Database(spool.home)
        self._tail = Tail(spool)
        self._ingest = Ingest(spool, self._database, self._tail)
        self._reading = Reading(spool, self._database, self._tail, self._ingest)
        self.on_dead: list[Callable[[sqlite3.Connection, set[str]], object]] = []
        """Called inside a transaction with the ids of the living owners: settle what the others hold. May run again."""
        self.audits: list[Callable[[sqlite3.Connection], Iterable[str]]] = []
        """Called by `check()`: each sentence says what differs, and by how much."""
        self._housekeeping = Housekeeping(
            spool, self._database, self._ingest, on_dead=self.on_dead, seconds=ingest_seconds
        )
        at_exit(self, lambda log: log.close(timeout=10.0))
        in_child(self, Log._forked)

    @classmethod
    def open(
        cls,
        home: Path | str,
        *,
        durability: Durability = "full",
        store_text: StoreText = "full",
        redact: Callable[[str], str] | None = None,
        scrub: Callable[[bytes], bytes] | None = None,
        clock: Callable[[], float] = time.time,
        ingest_seconds: float = 5.0,
    ) -> Self:
        """Open the log in the folder `home`, made if it is missing.

        `store_text` keeps prompts and answers in full, as a hash only, or not at all. `redact(text)` returns what may
        be stored of a text, before anything is written or hashed; where it raises, the row says so and has no text.
        `scrub(data)` masks the keys in whatever is about to be written.
        The caller closes it. Raises LogUnwritable, LogTooNew.
        """
        encoder = RowEncoder(store_text=store_text, redact=redact, scrub=scrub)
        spool = Spool.open(home, durability=durability, clock=clock, encode=encoder)
        log = cls(spool, clock=clock, ingest_seconds=ingest_seconds)
        log._encoder = encoder
        return log

    def store_texts(self, store_text: StoreText) -> None:
        """Keep prompts and answers in full, as a hash only, or not at all, from the next row written on."""
        if self._encoder is not None:
            self._encoder.store_text = store_text

    def record(self, call: CallRow) -> None:
        """Hand over a finished call, its `prompt` and `text` with it."""
        self.spool.put("call", call)

    def record_attempt(self, attempt: AttemptRow) -> None:
        """Hand over a finished attempt."""
        self.spool.put("attempt", attempt)

    def record_trial(self, trial: TrialRow) -> None:
        """Hand over a scored trial; a later row of the same id replaces it."""
        self.spool.put("trial", trial)

    def record_event(self, event: EventRow) -> None:
        """Hand over something worth remembering."""
        self.spool.put("event", event)

    def calls(
        self,
        *,
        since: Since = None,
        model: str | None = None,
        tags: str | Sequence[str] | None = None,
        experiment: str | None = None,
        limit: int | None = None,
        texts: bool = False,
        wait: float = 0,
    ) -> pd.DataFrame:
        """Return calls as a frame, oldest first; with `limit`, the latest ones.

        `model` is `"provider:model"` or a model; a call has all of `tags`; `texts` adds `prompt` (the messages' JSON)
        and `text`. `cost` is float US dollars, times are UTC, counts Int64, seconds float. While a foreign
        process holds the file for longer than `wait` seconds, only the spool's rows are there and
        `frame.attrs["complete"]` is False.
        """
        wanted = Filter(since=instant(since, self._clock()), model=model, tags=tags, experiment=experiment)
        rows = checked_limit(limit)
        return self._frame(
            lambda connection: queries.calls(connection, wanted, limit=rows, archive=self._archive(texts)), wait
        )

    def attempts(
        self,
        *,
        since: Since = None,
        model: str | None = None,
        tags: str | Sequence[str] | None = None,
        experiment: str | None = None,
        limit: int | None = None,
        texts: bool = False,
        wait: float = 0,
    ) -> pd.DataFrame:
        """Return the attempts of the calls that `calls()` would return with the same filters."""
        wanted = Filter(since=instant(since, self._clock()), model=model, tags=tags, experiment=experiment)
        rows = checked_limit(limit)
        return self._frame(
            lambda connection: queries.attempts(connection, wanted, limit=rows, archive=self._archive(texts)), wait
        )

    def trials(
        self, run: str | None = None, *, experiment: str | None = None, texts: bool = False, wait: float = 0
    ) -> pd.DataFrame:
        """Return the last row of each trial of a run; `scores` and `score_details` are mappings."""
        return self._frame(
            lambda connection: queries.trials(connection, run=run, experiment=experiment, archive=self._archive(texts)),
            wait,
        )

    def query(self, sql: str, parameters: Sequence[Any] | None = None, *, wait: float = 0) -> pd.DataFrame:
        """Run aikit's own SQL over the views; for a person's, use `sql()`."""
        return self._frame(lambda connection: connection.execute(sql, parameters).df(), wait)

    def sql(self, query: str, parameters: Sequence[Any] | None = None, *, wait: float = 0) -> pd.DataFrame:
        """Run a SELECT over `calls attempts trials events payloads quarantine` and the copied small tables.

        It reads, and does nothing else: no file, no network, no setting. `cost` is DECIMAL US dollars. Raises LogError.
        """
        frame, complete = self._reading.sql(query, parameters, wait=wait)
        frame.attrs["complete"] = complete
        return frame

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every row so far is on the disk. Raises LogUnwritable when it can't be written."""
        self.spool.flush(timeout)

    def ingest_now(self, *, wait: float = 0) -> int:
        """Flush, copy everything to the DuckDB file, and return how many rows that were. Raises LogBusy."""
        self.spool.flush()
        return self._ingest.run(wait=wait, blocking=True)

    def settle_dead(self) -> list[str]:
        """Settle what processes that are gone left open; return their owner ids. Runs by itself with every ingest."""
        return settle_dead(self.spool, self.on_dead)

    def check(self) -> CheckReport:
        """Compare spool, archive, log and budgets, and say what differs and by how much."""
        return check(self.spool, self._reading, self._ingest, audits=self.audits)

    def recover(self) -> int:
        """Take in a spool that was put back to an older state, without what the log has of it; return how many rows."""
        return self._ingest.recover()

    def compact(self) -> dict[str, int]:
        """Archive and trim the spool, write the log anew without its gaps; return bytes `before` and `after`."""
        self.spool.flush()
        return compact(self.spool, self._database, self._ingest)

    def close(self, timeout: float | None = None) -> None:
        """Write and ingest what is there, and let the files go; twice does no harm."""
        self._housekeeping.close()
        self.spool.close(timeout)
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _frame(self, work: Callable[[Any], pd.DataFrame], wait: float) -> pd.DataFrame:
        frame, complete = self._reading.run(work, wait=wait)
        frame.attrs["complete"] = complete
        return frame

    def _archive(self, texts: bool) -> list[ArchiveFile] | None:
        """Return the files in which archived texts are, listed within the read, or None when none are wanted."""
        return archive_files(self.home) if texts else None

    def _forked(self) -> None:
        self._database.forked()
        self._ingest.lock.abandon()
        self._housekeeping.forked()
