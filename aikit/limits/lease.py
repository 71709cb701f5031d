"""A lease: one admitted request, from its grant until it is settled or cancelled."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Amounts", "Lease", "Lessor"]

Amounts = tuple[int, int, int, int]
"""Requests, tokens in all, input tokens, output tokens."""


class Lessor(Protocol):
    """Who gave the lease and takes it back."""

    def answered(self, lease: Lease) -> None:
        """Take note that the server has stamped the request by now."""
        ...

    def settled(self, lease: Lease, amounts: Amounts) -> None:
        """Replace what was set aside by what was used."""
        ...

    def cancelled(self, lease: Lease) -> None:
        """Take everything back."""
        ...


class Lease:
    """The right to send one request; settle or cancel it exactly once, from any thread."""

    __slots__ = ("_lessor", "amounts", "counted", "day", "ended", "granted", "stamp", "ticket")

    def __init__(self, lessor: Lessor, amounts: Amounts, granted: float) -> None:
        self._lessor = lessor
        self.amounts = amounts
        """What it holds of each dimension."""
        self.granted = granted
        """When it was granted, on the limiter's clock."""
        self.stamp = 0.0
        """The latest time at which the server may have counted it; 0 until the server answered."""
        self.counted = True
        """False once it has left the window."""
        self.ended = False
        """True once it is settled or cancelled."""
        self.day: list[float] | None = None
        """Its cell in the count of the day; None where no day is counted."""
        self.ticket: int | None = None
        """Its row in a store that processes share; None without one."""

    def __repr__(self) -> str:
        requests, tokens, _, _ = self.amounts
        return f"Lease({requests} request, {tokens} tokens, {'ended' if self.ended else 'open'})"

    def answered(self) -> None:
        """Say that the response has begun: the server counted the request before now, so its window ends sooner.

        Calling it is optional; it makes room earlier where answers take long. `settle` implies it.
        """
        self._lessor.answered(self)

    def settle(self, tokens: int, output_tokens: int = 0) -> None:
        """Count the input and output tokens that were really used in place of those set aside.

        A request that was sent and not billed is settled with 0: the server has counted the request all the same.
        Raises `RuntimeError` when the lease has ended already.
        """
        self._lessor.settled(self, (1, tokens + output_tokens, tokens, output_tokens))

    def cancel(self) -> None:
        """Give everything back, for a request that was never sent; `RuntimeError` when the lease has ended already."""
        self._lessor.cancelled(self)
