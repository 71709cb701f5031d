"""Prices: usage × model → nano-dollars, or None where no price is known."""

from aikit.prices.book import PriceBook
from aikit.prices.price import CacheTTL, Price, Processing, Rates, Tier, dollars, longest_answer, nano
from aikit.prices.published import Snapshot

__all__ = [
    "CacheTTL",
    "Price",
    "PriceBook",
    "Processing",
    "Rates",
    "Snapshot",
    "Tier",
    "dollars",
    "longest_answer",
    "nano",
]
