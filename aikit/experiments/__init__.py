"""Experiments: variants on samples, scored, compared, and a verdict."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aikit.experiments import scorers
    from aikit.experiments.experiment import Experiment
    from aikit.experiments.preview import Preview
    from aikit.experiments.progress import RunState
    from aikit.experiments.recommend import Recommendation
    from aikit.experiments.run import Run
    from aikit.experiments.rundata import RunData
    from aikit.experiments.samples import Dataset, Sample
    from aikit.experiments.scores import Score, Scorer
    from aikit.experiments.variants import Variant

__all__ = [
    "Dataset",
    "Experiment",
    "Preview",
    "Recommendation",
    "Run",
    "RunData",
    "RunState",
    "Sample",
    "Score",
    "Scorer",
    "Variant",
    "scorers",
]

_HOMES = {
    "Dataset": "samples",
    "Experiment": "experiment",
    "Preview": "preview",
    "Recommendation": "recommend",
    "Run": "run",
    "RunData": "rundata",
    "RunState": "progress",
    "Sample": "samples",
    "Score": "scores",
    "Scorer": "scores",
    "Variant": "variants",
}


def __getattr__(name: str) -> Any:
    if name == "scorers":
        return importlib.import_module("aikit.experiments.scorers")
    if name not in _HOMES:
        raise AttributeError(f"module 'aikit.experiments' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"aikit.experiments.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
