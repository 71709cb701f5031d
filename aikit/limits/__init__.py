"""Limits: how much may be sent when, who waits for it, and which targets are worth a request."""

from aikit.limits.breaker import BreakerState, CircuitBreaker, Outcome
from aikit.limits.figures import Limits
from aikit.limits.lease import Lease
from aikit.limits.limiter import RateLimiter
from aikit.limits.queue import Priority, Waiting
from aikit.limits.shared import LimitStore, Taken

__all__ = [
    "BreakerState",
    "CircuitBreaker",
    "Lease",
    "LimitStore",
    "Limits",
    "Outcome",
    "Priority",
    "RateLimiter",
    "Taken",
    "Waiting",
]
