"""Budgets: may this call be afforded, what was spent, and what will be."""

from aikit.budgets.alerts import Alert
from aikit.budgets.tracker import CostTracker, Reservation, Scopes, Seen

__all__ = ["Alert", "CostTracker", "Reservation", "Scopes", "Seen"]
