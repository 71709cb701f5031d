"""The bench: what an experiment needs of the kit, and nothing else of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aikit.messages import Completion, Estimate
from aikit.requests import Request

if TYPE_CHECKING:
    from aikit.experiments.journal import Journal
    from aikit.experiments.run import Run
    from aikit.prices import Price
    from aikit.prompts import Prompts

__all__ = ["Bench", "Portal"]

T = TypeVar("T")


class Portal(Protocol):
    """A loop in another thread, for synchronous callers; `aikit.background.Background` is one."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for its result."""
        ...

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine there and return at once."""
        ...


@dataclass(slots=True)
class Bench:
    """What the kit lends to its experiments."""

    call: Callable[[Request], Awaitable[Completion]]
    """Makes one call: `Client.call`."""
    estimate: Callable[[Request], Awaitable[Estimate]]
    """What a call would cost; nothing is sent."""
    journal: Journal
    """Where trials and runs are kept."""
    prompts: Prompts
    default_model: Callable[[], str]
    portal: Portal | None = None
    """The background loop of `Kit`; None for `AsyncKit`, whose caller has a loop of its own."""
    run_sql: Callable[[str], Any] | None = None
    """Runs a read-only query on the log and returns a frame: `Log.sql`."""
    price: Callable[[Any], Price | None] | None = None
    """Returns a model's price, None where none is known; without it recommendations have no dollars."""
    concurrency: Callable[[Any], int] = lambda model: 16
    """How many calls to a model may be under way at once; the rate limits decide when each is sent."""
    ask: Callable[[Any, Callable[[], None]], bool] | None = None
    """Shows a notebook's button for a preview and calls back when it is pressed; None where there is no notebook."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; only differences mean something."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970."""
    running: dict[str, Run] = field(default_factory=dict[str, "Run"])
    """The runs that are under way in this kit, by id; the kit ends them when it is closed."""
