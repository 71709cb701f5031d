"""One call on its way: what its attempts, on whichever targets, have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aikit.limits import Priority
from aikit.messages import GenerationOptions, Message, TokenCount
from aikit.providers.base import Adapter
from aikit.streams import Attempt

__all__ = ["Admit", "Call", "Check", "OnInterrupt", "Record", "Reservation"]

OnInterrupt = Literal["raise", "resume", "continue", "restart"]


@dataclass(slots=True)
class Call:
    """What the attempts of one call share; made anew for each call."""

    call_id: str
    started: float
    """The clock's time at the start of the call."""
    priority: Priority = "interactive"
    group: str = ""
    """Calls of one run share a group, so that runs are served fairly."""
    deadline: float | None = None
    """The clock's time by which the call has to end; None without one."""
    on_interrupt: OnInterrupt = "raise"
    key: str = ""
    """What the ids of the attempts are made from; the call's own id unless the caller has a steadier one."""
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    stitched: bool = False
    input_tokens: int | None = None
    """Counted input tokens; None until somebody counted."""
    counted: tuple[tuple[Message, ...], str, TokenCount] | None = None
    """The last exact count: of what, for which target."""

    def time_left(self, now: float) -> float | None:
        """Return the seconds left, None without a deadline."""
        return None if self.deadline is None else self.deadline - now


class Reservation(Protocol):
    """Money held for one attempt, to be settled or given back exactly once."""

    options: GenerationOptions
    """The options to send: a hard budget always sets `max_tokens`."""

    def settle(self, cost: int | None, *, estimated: bool = False) -> None:
        """Book the cost in nano-dollars; None when there is no price."""
        ...

    def release(self) -> None:
        """Give it back: provably nothing was billed."""
        ...


Admit = Callable[[Attempt, Adapter, tuple[Message, ...], GenerationOptions], Awaitable[Reservation]]
"""Admits an attempt to the budget: returns its reservation or raises a `Refused`."""

Check = Callable[[Adapter, tuple[Message, ...], GenerationOptions], Awaitable[None]]
"""Refuses what no waiting would make affordable, before a key or a limit is asked for."""

Record = Callable[[Attempt], None]
"""Takes a finished attempt; never blocks."""
