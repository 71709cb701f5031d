"""Figures as people read them: dollars, seconds, shares and counts."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["count", "dollars", "ordinal", "seconds", "share"]


def dollars(amount: Decimal | float | None) -> str:
    """Return US dollars with two significant digits below a cent: `$12.40`, `$0.0011`, `$0`."""
    if amount is None:
        return "price unknown"  # never $0
    value = Decimal(str(amount)) if isinstance(amount, float) else Decimal(amount)
    sign, size = ("−" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= Decimal("0.1"):
        return f"{sign}${size:,.2f}"
    digits = 1 - size.adjusted()
    return f"{sign}${size:.{min(digits, 9)}f}"


def seconds(value: float | None) -> str:
    """Return a duration: `0.21 s`, `38 s`, `4 min 5 s`, `2 h 10 min`; None is `–`."""
    if value is None:
        return "–"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 59.5:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def share(value: float | None, *, digits: int = 1) -> str:
    """Return a share as a percentage: .765 is `76.5 %`; None is `–`."""
    return "–" if value is None else f"{value * 100:.{digits}f} %".replace("-", "−")


def count(value: float | None) -> str:
    """Return a count with separators: `12,400`; None is `?`, because it is not known."""
    return "?" if value is None else f"{value:,.0f}"


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `3rd`, `4th` …"""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
