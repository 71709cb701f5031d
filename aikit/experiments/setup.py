"""Setting an experiment up: from what a person wrote to a checked plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from aikit.errors import UnknownSetting
from aikit.experiments.experiment import Experiment
from aikit.experiments.plan import Plan, Stopping
from aikit.experiments.samples import load
from aikit.experiments.scorers import as_scorers
from aikit.experiments.variants import as_arms

if TYPE_CHECKING:
    from aikit.experiments.bench import Bench

__all__ = ["experiment"]


def experiment(
    name: str,
    *,
    bench: Bench,
    variants: Mapping[str, Any],
    samples: Any,
    scorers: Sequence[Any],
    primary: str | None = None,
    model: Any = None,
    id: str | None = None,  # noqa: A002  the name that users write
    target: str | None = None,
    cluster: str | None = None,
    epochs: int = 1,
    guardrails: Mapping[str, Any] | None = None,
    goal: Literal["better", "cheaper"] = "better",
    direction: Literal["higher", "lower"] = "higher",
    margin: Any = None,
    mde: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    stopping: Stopping = "fixed",
    looks: int = 5,
    seed: int | None = None,
    budget: float | None = None,
    options: Mapping[str, Any] | None = None,
    hypothesis: str = "",
) -> Experiment:
    """Plan an experiment; nothing is sent. The first variant is the control.

    `samples` is a path, a frame, a list or a query; `target` names the column a scorer compares with, `cluster` the one
    that says what hangs together. `primary` is a scorer's name, the only scorer's when left out. `guardrails` maps
    metrics to `aikit.stats.margin(…)`. `margin` is how much worse still counts as equal. `mde` is the smallest effect
    worth finding. `id` names the run: the same id goes on with the same run. Raises DatasetError, PromptError,
    UnknownSetting.
    """
    made = as_scorers(scorers)
    if primary is None and len(made) != 1:
        raise UnknownSetting(f"primary= says which of {', '.join(one.name for one in made) or 'no scorers'} decides")
    dataset = load(samples, target=target, cluster=cluster, run_sql=bench.run_sql)
    arms = as_arms(
        variants,
        model=model if model is not None else bench.default_model(),
        options=options or {},
        save=lambda variant, template: bench.prompts.save(f"{name}: {variant}".replace("@", " at "), template),
    )
    for arm in arms:
        dataset.check_variables(arm.prompt.required, prompt=f"{arm.prompt.label} ({arm.name!r})")
    plan = Plan(
        name=name,
        arms=arms,
        dataset=dataset,
        scorers=made,
        primary=primary if primary is not None else made[0].name,
        epochs=epochs,
        guardrails=_margins(guardrails or {}),
        goal=goal,
        direction=direction,
        margin=_margin("margin", margin),
        mde=mde,
        power=power,
        alpha=alpha,
        stopping=stopping,
        looks=looks,
        seed=seed,
        budget=budget,
        hypothesis=hypothesis,
    )
    return Experiment(plan, bench, run_id=id)


def _margins(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _margin(f"guardrail {name!r}", one) for name, one in given.items()}


def _margin(what: str, given: Any) -> Any:
    from aikit.stats.results import Margin

    if given is None or isinstance(given, Margin):
        return given
    raise UnknownSetting(
        f"{what} is {cast('object', given)!r}: say aikit.stats.margin(relative=…) or margin(absolute=…)"
    )
