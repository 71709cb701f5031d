"""A plan: everything that is fixed before the first call, as plain values with a hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, get_args

from aikit.errors import UnknownSetting, did_you_mean
from aikit.experiments.samples import Dataset, Sample, content_hash
from aikit.experiments.scores import Scorer
from aikit.experiments.variants import Arm

__all__ = ["Plan", "PlannedTrial", "Stopping", "trial_key"]

Stopping = Literal["fixed", "group", "anytime"]
Goal = Literal["better", "cheaper"]
_COST_LIKE = ("cost", "duration", "input_tokens", "output_tokens", "time_to_first_token")


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One cell of the plan: a variant, a sample, an epoch."""

    key: str
    variant: str
    sample: Sample
    epoch: int
    position: int
    """The sample's place in the order of the run, counted from 0."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment asks, of what, and how it will be judged."""

    name: str
    arms: tuple[Arm, ...]
    """The first is the control."""
    dataset: Dataset
    scorers: tuple[Scorer, ...]
    primary: str
    epochs: int = 1
    guardrails: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Metric → the margin by which it may be worse."""
    goal: Goal = "better"
    direction: Literal["higher", "lower"] = "higher"
    margin: Any = None
    """How much worse the primary metric may be for "equivalent" and goal "cheaper"; None without one."""
    mde: float | None = None
    """The smallest effect worth finding, in the metric's unit; None when nobody said."""
    power: float = 0.8
    alpha: float = 0.05
    stopping: Stopping = "fixed"
    looks: int = 5
    seed: int | None = None
    """None takes one from the plan's hash."""
    budget: float | None = None
    """US dollars a run may cost; None leaves it to the budgets."""
    hypothesis: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def control(self) -> str:
        """The first variant's name."""
        return self.arms[0].name

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants' names, the control first."""
        return tuple(arm.name for arm in self.arms)

    @property
    def calls(self) -> int:
        """The number of trials of the whole plan."""
        return len(self.arms) * len(self.dataset) * self.epochs

    @property
    def shuffle_seed(self) -> int:
        """The seed of the orders: the plan's, else one made from its hash."""
        return self.seed if self.seed is not None else int(content_hash(self._asked())[:8], 16)

    @property
    def hash(self) -> str:
        """The hash of everything that could alter the result."""
        return content_hash({**self._asked(), "seed": self.shuffle_seed})

    def spec(self) -> dict[str, Any]:
        """Return the plan as plain values, for the store, the report and other processes."""
        return {**self._asked(), "seed": self.shuffle_seed, "budget": self.budget, "hash": self.hash}

    def arm(self, name: str) -> Arm:
        """Return a variant's arm."""
        return next(arm for arm in self.arms if arm.name == name)

    def ordered_samples(self) -> tuple[Sample, ...]:
        """Return the samples in the order of the run: shuffled by the seed, so that each look sees a random part."""
        shuffled = list(self.dataset.samples)
        Random(f"{self.shuffle_seed}:samples").shuffle(shuffled)  # noqa: S311  an order, no secret
        return tuple(shuffled)

    def trials(self, run: str) -> Iterator[PlannedTrial]:
        """Yield a run's trials in their order: sample by sample, the variants in random order within each."""
        for position, sample in enumerate(self.ordered_samples()):
            for epoch in range(1, self.epochs + 1):
                order = list(self.variants)
                # A provider's cache and drift favour a fixed place, so each sample draws its own order.
                Random(f"{self.shuffle_seed}:{sample.id}:{epoch}").shuffle(order)  # noqa: S311
                for variant in order:
                    yield PlannedTrial(trial_key(run, variant, sample.id, epoch), variant, sample, epoch, position)

    def _asked(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "variants": {arm.name: arm.spec() for arm in self.arms},
            "dataset": {"source": self.dataset.source, "hash": self.dataset.hash, "samples": len(self.dataset)},
            "target": self.dataset.target,
            "cluster": self.dataset.cluster,
            "scorers": {scorer.name: dict(scorer.spec()) for scorer in self.scorers},
            "primary": self.primary,
            "epochs": self.epochs,
            "guardrails": {name: _plain(margin) for name, margin in self.guardrails.items()},
            "goal": self.goal,
            "direction": self.direction,
            "margin": _plain(self.margin),
            "mde": self.mde,
            "power": self.power,
            "alpha": self.alpha,
            "stopping": self.stopping,
            "looks": self.looks,
            "hypothesis": self.hypothesis,
        }


def trial_key(run: str, variant: str, sample: str, epoch: int) -> str:
    """Return a trial's id: the same whenever the same cell of the same run is asked for."""
    return content_hash([run, variant, sample, epoch])


def _plain(margin: Any) -> Any:
    return margin.to_dict() if hasattr(margin, "to_dict") else margin


def _check(plan: Plan) -> None:
    if not plan.name.strip():
        raise UnknownSetting("an experiment needs a name")
    for word, given, known in (
        ("stopping", plan.stopping, get_args(Stopping)),
        ("goal", plan.goal, get_args(Goal)),
        ("direction", plan.direction, ("higher", "lower")),
    ):
        if given not in known:
            raise UnknownSetting(f"no {word} {given!r}; known: {', '.join(known)}{did_you_mean(str(given), known)}")
    if not 0 < plan.alpha < 1 or not 0 < plan.power < 1:
        raise UnknownSetting(f"alpha={plan.alpha} and power={plan.power} lie between 0 and 1")
    if plan.epochs < 1 or not 1 <= plan.looks <= 10:
        raise UnknownSetting(f"epochs={plan.epochs} is 1 or more, looks={plan.looks} is 1 to 10")
    if plan.mde is not None and not plan.mde > 0:
        raise UnknownSetting(f"mde={plan.mde}: the smallest effect worth finding is above 0")
    if plan.goal == "cheaper" and plan.margin is None:
        raise UnknownSetting("goal='cheaper' needs margin=: how much worse the primary metric may be")
    _check_primary(plan)


def _check_primary(plan: Plan) -> None:
    known = [scorer.name for scorer in plan.scorers] + list(_COST_LIKE)
    base = plan.primary.partition(".")[0]
    if plan.primary not in known and base not in known and not plan.primary.endswith("_per_success"):
        raise UnknownSetting(
            f"the primary metric {plan.primary!r} is no scorer's name; scorers: "
            f"{', '.join(known[: len(plan.scorers)]) or 'none'}{did_you_mean(plan.primary, known)}"
        )
