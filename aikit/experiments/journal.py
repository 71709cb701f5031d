"""The journal of runs: trials, plans, looks and deviations, in the log and its spool."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from aikit.experiments.plan import Plan
from aikit.experiments.samples import Sample
from aikit.experiments.trials import Trial
from aikit.log import runs_queries as queries
from aikit.log import runs_store as store
from aikit.log.owners import living_owners
from aikit.log.schema import TrialRow
from aikit.messages import Completion, Usage

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    import pandas as pd

__all__ = ["Cell", "Journal", "LogPart", "SpoolPart"]

T = TypeVar("T")
Cell = tuple[str, str, int]
"""A variant's name or fingerprint, a sample's id, an epoch."""
_EXTRA = (
    *("cost", "duration", "time_to_first_token", "input_tokens", "output_tokens", "model", "response_model"),
    *("finish_reason", "attempts", "replayed", "fingerprint", "judge_cost", "cluster"),
)


class SpoolPart(Protocol):
    """What the journal needs of the spool."""

    home: Path

    @property
    def owner(self) -> str:
        """The id that this process's rows are filed under."""
        ...

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run a write in the next transaction."""
        ...

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run a read on the calling thread's own connection."""
        ...

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything is on the disk."""
        ...


class LogPart(Protocol):
    """What the journal needs of the log."""

    @property
    def spool(self) -> SpoolPart:
        """Where the small tables are."""
        ...

    def record_trial(self, trial: TrialRow) -> None:
        """Hand a trial's row over."""
        ...

    def query(self, sql: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Run aikit's own SQL."""
        ...

    def settle_dead(self) -> list[str]:
        """Settle what processes that are gone left open."""
        ...


class Journal:
    """Keeps runs. `record` and `note…` return at once; what reads or begins touches the disk."""

    def __init__(self, log: Any, *, clock: Callable[[], float] | None = None) -> None:
        self._log = cast("LogPart", log)
        self._spool = self._log.spool
        self._clock = clock or log.spool.clock

    # -- trials

    def record(self, trial: Trial, *, experiment: str) -> None:
        """Hand a trial over; a later one of the same id replaces it."""
        self._log.record_trial(
            TrialRow(
                trial_id=trial.trial_id,
                run=trial.run,
                experiment=experiment,
                variant=trial.variant,
                sample=trial.sample,
                epoch=trial.epoch,
                call_id=trial.call_id,
                status=trial.status,
                scores=dict(trial.scores),
                score_details={name: dict(one) for name, one in trial.details.items()},
                error=trial.error,
                stitched=trial.stitched,
                scored_at=self._clock(),
                extra={name: getattr(trial, name) for name in _EXTRA},
                text=trial.text,
            )
        )

    def trials(self, run: str) -> dict[str, Trial]:
        """Return a run's finished trials by id, those that failed with what their calls cost."""
        self._spool.flush()
        found = [_trial(row) for row in _records(queries.trials(self._log, run))]
        failed = any(one.status != "ok" and not one.call_id for one in found)
        costs = self.failed_calls(run) if failed else {}
        return {one.trial_id: with_call(one, costs.get((one.variant, one.sample, one.epoch))) for one in found}

    def failed_calls(self, run: str) -> dict[Cell, dict[str, Any]]:
        """Return what the calls without an answer took, by variant, sample and epoch."""
        self._spool.flush()
        rows = _records(queries.failed_calls(self._log, run))
        return {(str(row["variant"]), str(row["sample"]), int(row["epoch"])): row for row in rows}

    def answers(self, run: str) -> dict[Cell, Completion]:
        """Return answers of a run that no trial was made of, by variant, sample and epoch."""
        rows = _records(queries.unscored_calls(self._log, run))
        return {(str(row["variant"]), str(row["sample"]), int(row["epoch"])): _completion(row) for row in rows}

    def unknown(self, run: str) -> set[str]:
        """Return the keys of trials whose call was sent by a process that died before the answer."""
        self._log.settle_dead()
        self._spool.flush()
        return {one.rpartition("-")[0] for one in queries.unknown_attempts(self._log, run)}

    def replayable(self, fingerprints: Sequence[str]) -> dict[Cell, Trial]:
        """Return answered trials of any run by fingerprint, sample and epoch; the latest where there are several."""
        self._spool.flush()
        rows = _records(queries.replayable(self._log, list(fingerprints)))
        found = [_trial(row) for row in rows if row["text"] is not None]
        return {(one.fingerprint, one.sample, one.epoch): one for one in found}

    def speeds(self, models: Sequence[str]) -> dict[str, float]:
        """Return the median seconds of a call to each of the models that the log knows."""
        known = queries.median_durations(self._log)
        return {name: known[name] for name in models if name in known}

    def price_ids(self, run: str) -> list[str]:
        """Return the ids of the prices that a run's calls were charged by."""
        return queries.price_ids(self._log, run)

    # -- runs

    def begin(self, run: str, plan: Plan) -> dict[str, Any]:
        """Store a run that begins or goes on, and lock its plan; return the locked plan's row."""
        spec = json.dumps(plan.spec(), default=str)
        rows = (plan.dataset.hash, _packed(plan))
        now = self._clock()

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            owner = self._spool.owner
            store.add_run(
                connection, run=run, experiment=plan.name, plan=plan.hash, spec=spec, dataset=rows, owner=owner, now=now
            )
            return store.lock_plan(connection, experiment=plan.name, plan=plan.hash, spec=spec, now=now)

        return self._spool.submit(work).result()

    def find(self, run: str) -> dict[str, Any] | None:
        """Return a run's row; None when there is none."""
        return self._spool.read(lambda connection: store.find_run(connection, run))

    def runs(self, *, experiment: str | None = None, plan: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of runs, the newest first."""
        return self._spool.read(lambda connection: store.runs(connection, experiment=experiment, plan=plan))

    def is_foreign(self, row: Mapping[str, Any]) -> bool:
        """Say whether another living process is at work on a run."""
        owner = str(row["owner"])
        return row["status"] == "running" and owner != self._spool.owner and owner in living_owners(self._spool.home)

    def note_status(self, run: str, status: str, message: str) -> None:
        """Store how a run stands."""
        now = self._clock()
        self._spool.submit(lambda connection: store.set_status(connection, run, status, message, now=now))

    def note_look(self, run: str, *, number: int, samples: int, result: Mapping[str, Any]) -> None:
        """Store what a look saw."""
        written, now = json.dumps(result, default=str), self._clock()
        self._spool.submit(
            lambda c: store.add_look(c, run=run, number=number, samples=samples, result=written, now=now)
        )

    def looks(self, run: str) -> list[dict[str, Any]]:
        """Return a run's looks: number, samples, result, at."""
        rows = self._spool.read(lambda connection: store.looks(connection, run))
        return [{**row, "result": json.loads(row["result"]), "at": _time(row["at"])} for row in rows]

    def note_deviation(self, run: str, kind: str, sentence: str) -> None:
        """Store that a run did not go by its plan."""
        now = self._clock()
        self._spool.submit(lambda c: store.add_deviation(c, run=run, kind=kind, sentence=sentence, now=now))

    def deviations(self, run: str) -> list[dict[str, Any]]:
        """Return a run's deviations: kind, sentence, at."""
        rows = self._spool.read(lambda connection: store.deviations(connection, run))
        return [{**row, "at": _time(row["at"])} for row in rows]

    def samples(self, dataset: str) -> tuple[Sample, ...] | None:
        """Return a stored dataset's samples by its hash; None when it is not there."""
        packed = self._spool.read(lambda connection: store.dataset(connection, dataset))
        if packed is None:
            return None
        return tuple(Sample(**row) for row in json.loads(zlib.decompress(packed)))

    # -- judgements

    def judgement(self, key: str) -> Mapping[str, Any] | None:
        """Return what a judge answered to the same question before."""
        found = self._spool.read(lambda connection: store.judgements(connection, [key]))
        return json.loads(found[key]) if key in found else None

    def add_judgement(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a judge's answer."""
        written, now = json.dumps(result), self._clock()
        self._spool.submit(lambda connection: store.add_judgement(connection, key=key, result=written, now=now))

    def flush(self) -> None:
        """Wait until everything is on the disk."""
        self._spool.flush()


def with_call(trial: Trial, call: Mapping[str, Any] | None) -> Trial:
    """Return a failed trial with what its call took; as it is where that is known already."""
    from dataclasses import replace

    if call is None or trial.status == "ok" or trial.call_id:
        return trial
    return replace(
        trial,
        call_id=str(call["call_id"] or ""),
        cost=call["cost"],
        duration=call["duration"],
        attempts=int(call["attempts"] or 1),
        input_tokens=None if call["input_tokens"] is None else int(call["input_tokens"]),
        output_tokens=None if call["output_tokens"] is None else int(call["output_tokens"]),
    )


def _packed(plan: Plan) -> bytes:
    rows = [
        {
            "inputs": dict(sample.inputs),
            "target": sample.target,
            "cluster": sample.cluster,
            "metadata": dict(sample.metadata),
            "id": sample.id,
        }
        for sample in plan.dataset.samples
    ]
    return zlib.compress(json.dumps(rows, ensure_ascii=True, default=str).encode("ascii"))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as plain values, missing ones as None."""
    columns = {str(name): [_plain(value) for value in frame[name].tolist()] for name in frame.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    if (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and math.isnan(value))
    ):
        return None
    return value


def _trial(row: Mapping[str, Any]) -> Trial:
    extra = json.loads(row["extra"] or "{}")
    return Trial(
        trial_id=str(row["trial_id"]),
        run=str(row["run"]),
        variant=str(row["variant"]),
        sample=str(row["sample"]),
        epoch=int(row["epoch"]),
        status=str(row["status"]),
        text=row["text"] or "",
        scores=json.loads(row["scores"] or "{}"),
        details=json.loads(row["details"] or "{}"),
        error=str(row["error"] or ""),
        call_id=str(row["call_id"] or ""),
        stitched=bool(row["stitched"]),
        **{name: extra[name] for name in _EXTRA if extra.get(name) is not None},
    )


def _completion(row: Mapping[str, Any]) -> Completion:
    cost = row["cost"]
    return Completion(
        text=row["text"],
        finish_reason=row["finish_reason"] or "unknown",
        usage=Usage(*(None if row[name] is None else int(row[name]) for name in ("input_tokens", "output_tokens"))),
        usage_source="reported",
        cost=None if cost is None else Decimal(str(cost)),
        model=str(row["model"]),
        response_model=str(row["response_model"] or ""),
        provider=str(row["provider"]),
        call_id=str(row["call_id"]),
        attempts=int(row["attempts"] or 1),
        duration=row["duration"] or 0.0,
        time_to_first_token=row["time_to_first_token"],
        stitched=bool(row["stitched"]),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
