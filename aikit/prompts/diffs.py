"""What changed between two versions of a prompt."""

from __future__ import annotations

import difflib
import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from aikit.prompts.versions import PromptVersion

__all__ = ["Diff"]


@dataclass(frozen=True, slots=True)
class Diff:
    """The lines that differ, from an older text to a newer one."""

    before: str
    """What is compared, e.g. `classify v1`."""
    after: str
    lines: tuple[str, ...]
    """Unified diff lines without the two headings: `+` added, `-` removed, a space where nothing changed."""
    variables_added: tuple[str, ...] = ()
    variables_removed: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: PromptVersion, after: PromptVersion) -> Diff:
        """Compare two versions; each turn of a chat starts with a line that names its role."""
        unified = difflib.unified_diff(_lines(before), _lines(after), lineterm="", n=3)
        old, new = before.variables, after.variables
        return cls(
            before=before.label,
            after=after.label,
            lines=tuple(line for line in unified if not line.startswith(("--- ", "+++ "))),
            variables_added=tuple(name for name in new if name not in old),
            variables_removed=tuple(name for name in old if name not in new),
        )

    @property
    def added(self) -> int:
        """Number of lines added."""
        return sum(line.startswith("+") for line in self.lines)

    @property
    def removed(self) -> int:
        """Number of lines removed."""
        return sum(line.startswith("-") for line in self.lines)

    @property
    def sentence(self) -> str:
        """The change in one line of words."""
        if not self.lines and not self.variables_added and not self.variables_removed:
            return f"{self.before} and {self.after} have the same text"
        words = [f"{self.before} → {self.after}: {self.added} lines added, {self.removed} removed"]
        words += [f"new variables: {', '.join(self.variables_added)}"] if self.variables_added else []
        words += [f"variables gone: {', '.join(self.variables_removed)}"] if self.variables_removed else []
        return "; ".join(words)

    def __bool__(self) -> bool:
        return bool(self.lines or self.variables_added or self.variables_removed)

    def __str__(self) -> str:
        return "\n".join([f"--- {self.before}", f"+++ {self.after}", *self.lines])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        from aikit.prompts.versions import shown

        # Marked by the sign and by weight, so that the colours are not needed to read it.
        rows = "".join(
            f'<div dir="auto" style="white-space:pre-wrap;{_style(line)}">{html.escape(shown(line)) or "&nbsp;"}</div>'
            for line in self.lines
        )
        return (
            f'<div class="aikit-diff"><div>{html.escape(shown(self.sentence))}</div>'
            f'<div style="font-family:monospace">{rows}</div></div>'
        )


def _lines(version: PromptVersion) -> list[str]:
    if isinstance(version.template, str):
        return version.template.split("\n")
    lines: list[str] = []
    for turn in version.template:
        lines += [f"[{turn.role}]", *cast("str", turn.content).split("\n")]
    return lines


def _style(line: str) -> str:
    if line.startswith("+"):
        return "font-weight:600;background:rgba(0,158,115,.18)"
    if line.startswith("-"):
        return "background:rgba(213,94,0,.18)"
    return "opacity:.75"
