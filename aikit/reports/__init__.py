"""Reports: frames in, files out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aikit.reports.costs import CostReport
    from aikit.reports.page import Page
    from aikit.reports.run import run_report

__all__ = ["CostReport", "Page", "run_report"]

_HOMES = {"CostReport": "costs", "Page": "page", "run_report": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aikit.reports' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"aikit.reports.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
