"""What missing outcomes could hide: the best and the worst they allow, and what dropping them assumes."""

from __future__ import annotations

from aikit.errors import DataError
from aikit.stats.results import Estimate

__all__ = ["missing_bounds"]


def missing_bounds(pass_a: int, fail_a: int, missing_a: int, pass_b: int, fail_b: int, missing_b: int) -> Estimate:
    """Return P(b passes) − P(a passes) counting missing answers as fail, and the bounds that need no assumption.

    `low` and `high` are not a confidence interval but Horowitz & Manski's bounds (2000): all missing answers of b fail
    and all of a pass, and the reverse. `details`: `itt_missing_as_fail`, `complete_case` (missing rows dropped, valid
    only if they are missing by chance; None when an arm has no other rows). None without rows in an arm.
    """
    counts = {"pass_a": pass_a, "fail_a": fail_a, "missing_a": missing_a}
    counts |= {"pass_b": pass_b, "fail_b": fail_b, "missing_b": missing_b}
    for name, count in counts.items():
        if count < 0:
            raise DataError(f"{name} is {count}: counts can't be negative")
    n_a, n_b = pass_a + fail_a + missing_a, pass_b + fail_b + missing_b
    if not (n_a and n_b):
        return Estimate(None, method="missing as fail", warnings=("an arm has no rows",))
    as_fail = pass_b / n_b - pass_a / n_a
    low, high = pass_b / n_b - (pass_a + missing_a) / n_a, (pass_b + missing_b) / n_b - pass_a / n_a
    seen_a, seen_b = pass_a + fail_a, pass_b + fail_b
    complete = pass_b / seen_b - pass_a / seen_a if seen_a and seen_b else None
    details = {"itt_missing_as_fail": as_fail, "complete_case": complete}
    return Estimate(as_fail, low, high, n=n_a + n_b, method="missing as fail, Manski bounds", details=details)
