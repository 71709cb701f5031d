"""Budgets: may this call be afforded, what was spent, and what will be."""

from aikit.budgets.alerts import Alert
from aikit.budgets.limits import Budgets
from aikit.budgets.tracker import CostTracker, Reservation, Scopes, Seen

__all__ = ["Alert", "Budgets", "CostTracker", "Reservation", "Scopes", "Seen"]
