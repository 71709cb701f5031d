"""Scorers that read the answer's text: exact, label, one word, contains, regex, numeric, word count."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from aikit.errors import DatasetError
from aikit.experiments.scores import Score

if TYPE_CHECKING:
    from aikit.experiments.samples import Sample
    from aikit.messages import Completion

__all__ = ["Contains", "Exact", "Label", "MaxWords", "Numeric", "OneWord", "Regex", "TextScorer", "normalise"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’«»–—…")
_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:[,\u202f\u00a0']\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?%?")


@dataclass(frozen=True, slots=True)
class TextScorer:
    """Base of the scorers that need the text only and take microseconds."""

    kind: ClassVar[str] = ""
    blocking: ClassVar[bool] = False

    def spec(self) -> Mapping[str, Any]:
        """Return the kind and the settings."""
        return {"scorer": self.kind, **asdict(self)}


def normalise(text: str) -> str:
    """Return the text in lower case, without punctuation, articles and doubled spaces, in Unicode's NFKC form."""
    lower = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", lower).split())


def target_of(sample: Sample, scorer: str) -> Any:
    """Return the sample's target; raises DatasetError when it has none."""
    if sample.target is None:
        raise DatasetError(
            f"the scorer {scorer!r} compares with a target, and sample {sample.id} has none: pass target=…"
        )
    return sample.target


def texts_of(target: Any) -> list[str]:
    """Return the accepted texts: the entries of a list, or the one value."""
    return [str(one) for one in cast("list[Any]", target)] if isinstance(target, list) else [str(target)]


@dataclass(frozen=True, slots=True)
class Exact(TextScorer):
    """Pass when the answer is the target."""

    kind: ClassVar[str] = "exact"
    name: str = "exact"
    normalised: bool = False

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Compare the stripped texts; a list as target takes any of its entries."""
        target = target_of(sample, self.name)
        wanted = texts_of(target)
        change = normalise if self.normalised else str.strip
        given = change(answer.text)
        return Score(given in [change(one) for one in wanted], label=given[:200])


@dataclass(frozen=True, slots=True)
class Label(TextScorer):
    """Pass when the label found in the answer is the target."""

    kind: ClassVar[str] = "label"
    choices: tuple[str, ...] = ()
    name: str = "label"

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Look for the one choice that the answer begins with, else the only one it mentions."""
        target = str(target_of(sample, self.name)).strip().casefold()
        found = self.find(answer.text)
        if found is None:
            return Score(False, explanation="no label, or several, in the answer")
        return Score(found.casefold() == target, label=found)

    def find(self, text: str) -> str | None:
        """Return the label that the text gives; None when there is none, or no telling which."""
        # Longest first: "very positive" is not "positive".
        ordered = sorted(self.choices, key=len, reverse=True)
        pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, ordered))})(?!\w)", re.IGNORECASE)
        first = pattern.match(text.lstrip(string.whitespace + string.punctuation))
        by_folded = {choice.casefold(): choice for choice in self.choices}
        mentioned = {match.group(1).casefold() for match in pattern.finditer(text)}
        if len(mentioned) == 1:
            return by_folded.get(mentioned.pop())
        return by_folded.get(first.group(1).casefold()) if first else None


@dataclass(frozen=True, slots=True)
class OneWord(TextScorer):
    """Pass when the answer is a single word, punctuation around it aside."""

    kind: ClassVar[str] = "one_word"
    name: str = "one_word"

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Count the words."""
        words = answer.text.split()
        return Score(len(words) == 1 and any(map(str.isalnum, words[0])), label=str(len(words)))


@dataclass(frozen=True, slots=True)
class Contains(TextScorer):
    """Pass when the answer holds a text: a fixed one, or the target."""

    kind: ClassVar[str] = "contains"
    text: str | None = None
    """None takes the sample's target."""
    ignore_case: bool = True
    name: str = "contains"

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Look for the text; a list as target takes any of its entries."""
        wanted = self.text if self.text is not None else target_of(sample, self.name)
        fold = str.casefold if self.ignore_case else str
        entries = texts_of(wanted)
        found = next((one for one in entries if fold(one) in fold(answer.text)), None)
        return Score(found is not None, label=found or "")


@dataclass(frozen=True, slots=True)
class Regex(TextScorer):
    """Pass when a pattern is found in the answer; with `group`, when that group is the target."""

    kind: ClassVar[str] = "regex"
    pattern: str = ""
    group: int | str | None = None
    """None only looks for the pattern."""
    whole: bool = False
    """The pattern has to cover the stripped answer."""
    ignore_case: bool = False
    name: str = "regex"

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Search the answer."""
        flags = re.IGNORECASE if self.ignore_case else 0
        text = answer.text.strip()
        match = re.fullmatch(self.pattern, text, flags) if self.whole else re.search(self.pattern, text, flags)
        if match is None:
            return Score(False, explanation="the pattern is not in the answer")
        if self.group is None:
            return Score(True, label=match.group(0)[:200])
        found = (match.group(self.group) or "").strip()
        target = str(target_of(sample, self.name)).strip()
        fold = str.casefold if self.ignore_case else str
        return Score(fold(found) == fold(target), label=found[:200])


@dataclass(frozen=True, slots=True)
class Numeric(TextScorer):
    """Pass when a number in the answer is within a tolerance of the target."""

    kind: ClassVar[str] = "numeric"
    tolerance: float = 0.0
    """Absolute, in the number's own unit."""
    relative: float = 0.0
    """As a share of the target; the larger of the two tolerances counts."""
    which: Literal["first", "last", "only"] = "last"
    name: str = "numeric"

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Take the first, the last or the only number of the answer. Raises DatasetError for a target that is none."""
        target = _number(target_of(sample, self.name), sample)
        found = numbers_in(answer.text)
        if not found or (self.which == "only" and len(found) > 1):
            return Score(False, explanation=f"{len(found) or 'no'} numbers in the answer")
        value = found[0] if self.which == "first" else found[-1]
        allowed = max(self.tolerance, self.relative * abs(target))
        close = value == target or abs(value - target) <= allowed * (1 + 1e-12)
        return Score(close, label=f"{value:.15g}", explanation="" if close else f"off by {value - target:.6g}")


@dataclass(frozen=True, slots=True)
class MaxWords(TextScorer):
    """Pass when the answer has at most so many words."""

    kind: ClassVar[str] = "max_words"
    words: int = 1
    name: str = "max_words"

    def score(self, answer: Completion, sample: Sample) -> Score:
        """Count the words; an empty answer fails."""
        count = len(answer.text.split())
        return Score(0 < count <= self.words, label=str(count))


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a text in order; thousands separators are read, a per cent sign divides by 100."""
    found: list[float] = []
    for match in _NUMBER.finditer(text):
        written = match.group(0)
        before = text[match.start() - 1 : match.start()] if match.start() else ""
        if not any(map(str.isdigit, written)):
            continue
        if written[0] in "-+−" and (before.isalnum() or before == ")"):  # a hyphen or a minus between two things
            written = written[1:]
        value = float(re.sub("[,'\u202f\u00a0%]", "", written).replace("−", "-"))
        found.append(value / 100 if written.endswith("%") else value)
    return found


def _number(target: Any, sample: Sample) -> float:
    if isinstance(target, int | float):
        return float(target)
    found = numbers_in(str(target))
    if len(found) != 1 or not math.isfinite(found[0]):
        raise DatasetError(f"sample {sample.id}: the target {str(target)[:40]!r} is not a number")
    return found[0]
