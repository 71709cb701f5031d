"""A variant: a prompt version, a model and settings; what an experiment compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, cast

from aikit.errors import PromptError, UnknownSetting
from aikit.experiments.samples import content_hash
from aikit.messages import GenerationOptions
from aikit.prompts import PromptVersion
from aikit.requests import options_from

if TYPE_CHECKING:
    from aikit.providers.base import LLMProvider
    from aikit.routing.routes import Route

__all__ = ["Arm", "Variant", "as_arms", "model_name"]


@dataclass(frozen=True, slots=True)
class Variant:
    """What one arm of an experiment is made of."""

    prompt: PromptVersion | str | Any
    """A saved version; or a template, which is then saved under the experiment's and the variant's name."""
    model: str | Route | LLMProvider | None = None
    """None takes the experiment's model."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Generation options over those of the experiment."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant with everything settled."""

    name: str
    prompt: PromptVersion
    model: str | Route | LLMProvider
    options: GenerationOptions

    @property
    def model_name(self) -> str:
        """The model's id, or the route's in words."""
        return model_name(self.model)

    @property
    def settings(self) -> dict[str, Any]:
        """The generation options that are set."""
        named = {one.name: getattr(self.options, one.name) for one in fields(self.options)}
        return {name: value for name, value in named.items() if value is not None and value != {}}

    @property
    def fingerprint(self) -> str:
        """Hash of prompt content, model and options: an answer to an equal one can be used again."""
        return content_hash([self.prompt.hash, self.model_name, self.settings])

    def spec(self) -> dict[str, Any]:
        """Return plain values for the plan."""
        return {
            "prompt": self.prompt.name,
            "version": self.prompt.number,
            "prompt_id": self.prompt.id,
            "prompt_hash": self.prompt.hash,
            "model": self.model_name,
            "options": self.settings,
        }


def model_name(model: Any) -> str:
    """Return a model's id; for a route its kind and its targets."""
    if isinstance(model, str):
        return model
    targets = getattr(model, "targets", None)
    if targets is not None:
        return f"{getattr(model, 'kind', 'route')}({', '.join(model_name(one) for one in targets)})"
    name, own = str(getattr(model, "name", type(model).__name__)), str(getattr(model, "model", "") or "")
    return f"{name}:{own}" if own else name


def as_arms(
    variants: Mapping[str, Any],
    *,
    model: Any,
    options: Mapping[str, Any],
    save: Callable[[str, Any], PromptVersion],
) -> tuple[Arm, ...]:
    """Return the arms in their order, the control first; templates go through `save(variant, template)`."""
    if len(variants) < 2:
        raise UnknownSetting(f"an experiment compares two or more variants, not {len(variants)}")
    arms: list[Arm] = []
    for name, given in variants.items():
        if not isinstance(cast("Any", name), str) or not name.strip():
            raise UnknownSetting(f"a variant's name is text, not {name!r}")
        variant = given if isinstance(given, Variant) else Variant(given)
        prompt = variant.prompt if isinstance(variant.prompt, PromptVersion) else _saved(save, name, variant.prompt)
        chosen = variant.model if variant.model is not None else model
        arms.append(Arm(name, prompt, chosen, options_from({**options, **variant.options})))
    return tuple(arms)


def _saved(save: Callable[[str, Any], PromptVersion], name: str, template: Any) -> PromptVersion:
    try:
        return save(name, template)
    except PromptError as error:
        raise PromptError(f"variant {name!r}: {error}") from error
