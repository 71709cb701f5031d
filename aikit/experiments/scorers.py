"""The scorers: each function here makes one, its name is its column in `run.trials`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal

from aikit.errors import UnknownSetting
from aikit.experiments.scorers_function import Function, Ratings, parameters_of
from aikit.experiments.scorers_json import JsonFields, JsonSchema
from aikit.experiments.scorers_text import Contains, Exact, Label, MaxWords, Numeric, OneWord, Regex
from aikit.experiments.scores import Score, Scorer

if TYPE_CHECKING:
    from aikit.experiments.judge import Judge, Pairwise

__all__ = [
    "Score",
    "Scorer",
    "as_scorers",
    "contains",
    "exact",
    "function",
    "json_fields",
    "json_schema",
    "judge",
    "label",
    "max_words",
    "normalised_exact",
    "numeric",
    "one_word",
    "pairwise",
    "ratings",
    "regex",
]


def exact(*, name: str = "exact") -> Exact:
    """Pass when the answer, stripped of outer spaces, is the target."""
    return Exact(name)


def normalised_exact(*, name: str = "normalised_exact") -> Exact:
    """Pass when the answer is the target, case, punctuation, articles and spaces aside."""
    return Exact(name, normalised=True)


def label(*, choices: Sequence[str], name: str = "label") -> Label:
    """Pass when the label found in the answer is the target.

    The label is the only one of `choices` that the answer mentions as a word; among several, the one it begins with.
    """
    if isinstance(choices, str) or len(set(map(str.casefold, choices))) < 2 or not all(one.strip() for one in choices):
        raise UnknownSetting(f"label takes two or more different choices, not {choices!r}")
    return Label(tuple(choices), name)


def one_word(*, name: str = "one_word") -> OneWord:
    """Pass when the answer is a single word."""
    return OneWord(name)


def contains(text: str | None = None, *, ignore_case: bool = True, name: str = "contains") -> Contains:
    """Pass when the answer holds `text`, or the target where none is given."""
    return Contains(text, ignore_case, name)


def regex(
    pattern: str, *, group: int | str | None = None, whole: bool = False, ignore_case: bool = False, name: str = "regex"
) -> Regex:
    """Pass when the pattern is found in the answer; with `group`, when that group is the target."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UnknownSetting(f"the pattern {pattern!r} is no regular expression: {error}") from error
    if (isinstance(group, int) and group > compiled.groups) or (
        isinstance(group, str) and group not in compiled.groupindex
    ):
        raise UnknownSetting(f"the pattern {pattern!r} has no group {group!r}")
    return Regex(pattern, group, whole, ignore_case, name)


def numeric(
    *,
    tolerance: float = 0.0,
    relative: float = 0.0,
    which: Literal["first", "last", "only"] = "last",
    name: str = "numeric",
) -> Numeric:
    """Pass when a number of the answer is within a tolerance of the target: absolute, or a share of the target."""
    if tolerance < 0 or relative < 0 or which not in ("first", "last", "only"):
        raise UnknownSetting("numeric takes tolerances of 0 and more, and which='first', 'last' or 'only'")
    return Numeric(tolerance, relative, which, name)


def max_words(words: int, *, name: str = "max_words") -> MaxWords:
    """Pass when the answer has at most `words` words."""
    if words < 1:
        raise UnknownSetting(f"max_words takes 1 or more, not {words}")
    return MaxWords(words, name)


def json_schema(schema: Mapping[str, Any], *, strict: bool = True, name: str = "json_schema") -> JsonSchema:
    """Pass when the answer is JSON that fulfils the schema; not `strict`, a fence or words around it are allowed."""
    return JsonSchema(schema, strict, name)


def json_fields(
    fields: Sequence[str] | None = None, *, tolerance: float = 1e-9, strict: bool = False, name: str = "json_fields"
) -> JsonFields:
    """Score the share of the target's fields that the answer has right; each field is a column `name.field` too."""
    return JsonFields(tuple(fields) if fields is not None else None, tolerance, strict, name)


def function(
    function: Callable[..., Any], *, name: str = "", version: str = "", executor: Executor | None = None
) -> Function:
    """Score with a Python function, synchronous or not.

    It takes any of `text`, `target`, `sample`, `inputs`, `completion` by name, else text and target in that order, and
    returns a boolean, a number, a `Score`, or None to abstain. Whatever it raises makes that trial a failure. It runs
    in a thread, or in `executor` (a process pool for CPU-bound work; then function and arguments are pickled).
    """
    parameters_of(function)
    return Function(function, name or getattr(function, "__name__", "function").strip("<>"), version, executor)


def ratings(
    frame: Any, *, value: str = "rating", sample: str = "sample", variant: str | None = "variant", name: str = "rating"
) -> Ratings:
    """Take human ratings from a frame: a row per rating, with the sample's id (or `text`), variant and value."""
    return Ratings.of(frame, value=value, sample=sample, variant=variant, name=name)


def judge(
    rubric: str,
    *,
    model: str | None = None,
    scale: tuple[int, int] = (1, 5),
    choices: Mapping[str, float] | None = None,
    name: str = "judge",
    options: Mapping[str, Any] | None = None,
) -> Judge:
    """Let a model score each answer by a rubric: a whole number on `scale`, or one of `choices` with their values.

    Judgements are cached by answer, sample, rubric and model; their cost is counted apart; the judge may abstain.
    """
    from aikit.experiments.judge import Judge

    return Judge.of(rubric, model=model, scale=scale, choices=choices, name=name, options=options or {})


def pairwise(
    question: str, *, model: str | None = None, name: str = "preference", options: Mapping[str, Any] | None = None
) -> Pairwise:
    """Let a model choose between each variant's answer and the control's, in both orders, ties allowed.

    The score is the mean over the two orders, 1 for a win, ½ for a tie, 0 for a loss: a judge that follows the
    position comes out at ½. The control's own rows have ½.
    """
    from aikit.experiments.judge import Pairwise

    return Pairwise.of(question, model=model, name=name, options=options or {})


def as_scorers(given: Sequence[Any]) -> tuple[Scorer, ...]:
    """Return scorers, plain functions made into some; raises UnknownSetting for doubled names and what is no scorer."""
    made: list[Scorer] = []
    for one in given:
        if isinstance(one, Scorer):
            made.append(one)
        elif callable(one):
            made.append(function(one))
        else:
            raise UnknownSetting(f"{one!r} is no scorer: use aikit.scorers, or a function of the answer's text")
    names = [one.name for one in made]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UnknownSetting(f"two scorers are called {doubled!r}: give one a name=")
    return tuple(made)
