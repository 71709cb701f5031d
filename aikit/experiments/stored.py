"""A stored run, taken up again by its id: its plan from the store, its trials from the log."""

from __future__ import annotations

import importlib
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from aikit.errors import DataError, UnknownSetting
from aikit.experiments.plan import Plan
from aikit.experiments.run import Run
from aikit.experiments.samples import Dataset
from aikit.experiments.scorers_function import Function
from aikit.experiments.scores import Scored, Scorer
from aikit.experiments.variants import Arm
from aikit.requests import options_from

if TYPE_CHECKING:
    from aikit.experiments.bench import Bench
    from aikit.experiments.samples import Sample
    from aikit.messages import Completion

__all__ = ["StoredScorer", "stored_plan", "stored_run"]


@dataclass(frozen=True, slots=True)
class StoredScorer:
    """A scorer of a stored plan: its scores are in the log, and its name and settings are known."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    blocking: ClassVar[bool] = False

    def score(self, answer: Completion, sample: Sample) -> Scored | Awaitable[Scored]:
        """Refuse: the scorer itself was not stored."""
        raise UnknownSetting(f"the scorer {self.name!r} can't be made again from the store: plan the experiment anew")

    def spec(self) -> Mapping[str, Any]:
        """Return the settings as they were stored."""
        return self.settings


def stored_run(bench: Bench, run_id: str) -> Run:
    """Return a run by its id, as it stands in the log: read it, report it, or go on with it. Raises DataError."""
    row = bench.journal.find(run_id)
    if row is None:
        known = ", ".join(str(one["id"]) for one in bench.journal.runs()[:8])
        raise DataError(f"no run {run_id!r}; the latest: {known or 'none yet'}")
    return Run(stored_plan(bench, row), run_id, bench).finished(row)


def stored_plan(bench: Bench, row: Mapping[str, Any]) -> Plan:
    """Return a run's plan, made again from the store; raises DataError when a part of it is gone."""
    from aikit.stats.results import Margin

    spec = json.loads(row["spec"])
    samples = bench.journal.samples(str(row["dataset"]))
    if samples is None:
        raise DataError(f"the samples of run {row['id']!r} are not in the store any more")
    source = str(spec["dataset"]["source"])
    margins = {name: Margin.from_dict(one) if one else None for name, one in spec["guardrails"].items()}
    return Plan(
        name=spec["name"],
        arms=tuple(_arm(bench, name, one) for name, one in spec["variants"].items()),
        dataset=Dataset(samples, source, spec["dataset"]["hash"], spec["target"], spec["cluster"]),
        scorers=tuple(_scorer(name, one) for name, one in spec["scorers"].items()),
        guardrails=margins,
        margin=Margin.from_dict(spec["margin"]) if spec["margin"] else None,
        seed=spec["seed"],
        **{name: spec[name] for name in _PLAIN},
    )


_PLAIN = (
    *("primary", "epochs", "goal", "direction", "mde", "power", "alpha"),
    *("stopping", "looks", "budget", "hypothesis"),
)


def _arm(bench: Bench, name: str, spec: Mapping[str, Any]) -> Arm:
    prompt = bench.prompts.get(str(spec["prompt"]), int(spec["version"]))
    if prompt.hash != spec["prompt_hash"]:
        raise DataError(f"variant {name!r}: {prompt.label} is not the prompt that the run had")
    return Arm(name, prompt, str(spec["model"]), options_from(spec["options"]))


def _scorer(name: str, spec: Mapping[str, Any]) -> Scorer:
    from aikit.experiments import scorers_json, scorers_text

    settings = {key: _tuples(value) for key, value in spec.items() if key != "scorer"}
    for module in (scorers_text, scorers_json):
        for kind in vars(module).values():
            if isinstance(kind, type) and getattr(kind, "kind", None) == spec["scorer"]:
                return cast("Scorer", kind(**settings))
    return _function(spec) or StoredScorer(name, spec)


def _function(spec: Mapping[str, Any]) -> Scorer | None:
    """Import a scoring function again, where the same version of it is still at the same place."""
    if spec["scorer"] != "function" or "<" in str(spec["path"]):
        return None
    module, _, name = str(spec["path"]).partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    made = Function(found, str(spec["name"]))
    return cast("Scorer", made) if made.spec() == dict(spec) else None


def _tuples(value: Any) -> Any:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value
