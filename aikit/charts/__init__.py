"""Charts: a frame in, an Altair chart out.

Every chart shows in JupyterLab without a network, has a picture for viewers that run no scripts, and saves to PNG,
SVG, PDF or a self-contained HTML file: `chart.save("costs.png")`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aikit.charts.cost import spend
    from aikit.charts.effects import differences, forest
    from aikit.charts.latency import latency

__all__ = ["differences", "forest", "latency", "spend"]

_HOMES = {"differences": "effects", "forest": "effects", "latency": "latency", "spend": "cost"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aikit.charts' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"aikit.charts.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
