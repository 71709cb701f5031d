"""How a run stands: counted as it goes, read at any time from any thread."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aikit.experiments.trials import Trial

__all__ = ["Counts", "RunState"]

_RECENT = 64


@dataclass(frozen=True, slots=True)
class RunState:
    """A snapshot of a run."""

    status: str
    """`waiting` (for a confirmation), `running`, `stopped`, `halted` (by an error), `done`."""
    message: str
    """Why it stands as it does; empty while it runs."""
    done: int
    """Trials finished."""
    total: int
    """Trials of the whole plan, dropped variants' left out."""
    samples: int
    """Samples on which every variant is done."""
    planned: int
    """Samples of the whole plan."""
    rate: float
    """Trials per second, lately; 0 before two have finished."""
    eta: float | None
    """Seconds to the end of the plan at this rate; None when not known."""
    spent: float
    """US dollars of this run's own calls; replayed answers cost nothing."""
    judge_spent: float
    unpriced: int
    """Trials whose cost is not known; they are missing in `spent`."""
    failures: Mapping[str, int]
    """Failed trials by kind."""
    replayed: int
    in_flight: int
    look: Any = None
    """The latest comparison that may be looked at while the run goes on; None before the first."""

    @property
    def share(self) -> float:
        """Done as a share of the total."""
        return self.done / self.total if self.total else 1.0

    def __str__(self) -> str:
        eta = f" · {_time(self.eta)} left" if self.eta is not None and self.status == "running" else ""
        failed = sum(self.failures.values())
        return (
            f"{self.done}/{self.total} ({self.share:.0%}) · {self.rate:.1f}/s{eta} · ${self.spent:.4f}"
            f"{f' · {failed} failed' if failed else ''}{f' · {self.status}' if self.status != 'running' else ''}"
        )


@dataclass(slots=True)
class Counts:
    """The counters behind the snapshots; one task writes, anybody reads."""

    total: int
    planned: int
    clock: Callable[[], float]
    per_sample: int
    """Trials that make a sample complete."""
    done: int = 0
    samples: int = 0
    spent: float = 0.0
    judge_spent: float = 0.0
    unpriced: int = 0
    replayed: int = 0
    in_flight: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    status: str = "waiting"
    message: str = ""
    look: Any = None
    _finished: deque[float] = field(default_factory=lambda: deque[float](maxlen=_RECENT))
    _by_sample: Counter[str] = field(default_factory=Counter[str])

    def count(self, trial: Trial, *, fresh: bool) -> None:
        """Count a finished trial; one that an earlier session finished is not `fresh` and says nothing of the rate."""
        self.done += 1
        self.judge_spent += trial.judge_cost
        self.replayed += trial.replayed
        if trial.cost is None:
            self.unpriced += 1
        else:
            self.spent += trial.cost
        if trial.status != "ok":
            self.failures[trial.status] += 1
        self._by_sample[trial.sample] += 1
        if self._by_sample[trial.sample] == self.per_sample:
            self.samples += 1
        if fresh:
            self._finished.append(self.clock())

    def snapshot(self) -> RunState:
        """Return how things stand now."""
        rate = self._rate()
        left = self.total - self.done
        return RunState(
            status=self.status,
            message=self.message,
            done=self.done,
            total=self.total,
            samples=self.samples,
            planned=self.planned,
            rate=rate,
            eta=left / rate if rate > 0 else None,
            spent=self.spent,
            judge_spent=self.judge_spent,
            unpriced=self.unpriced,
            failures=dict(self.failures),
            replayed=self.replayed,
            in_flight=self.in_flight,
            look=self.look,
        )

    def _rate(self) -> float:
        times = list(self._finished)
        if len(times) < 2:
            return 0.0
        # Up to now while running: a provider that hangs shows as a falling rate.
        end = self.clock() if self.status == "running" else times[-1]
        return (len(times) - 1) / max(end - times[0], 1e-9)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
