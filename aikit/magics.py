"""The cell's commands: `%load_ext aikit`, then `%%ask`, `%%prompt NAME` and `%aikit status|budget|cost`."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from aikit.errors import PromptError, UnknownSetting, did_you_mean

if TYPE_CHECKING:
    from aikit.kit import Kit
    from aikit.messages import Completion
    from aikit.prompts import PromptVersion

__all__ = ["Magics", "load_ipython_extension"]

WORDS = ("budget", "cost", "status")


class Magics:
    """The commands of one shell; they use the notebook's own `kit` where it has one, else open one at first use."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._own: Kit | None = None

    @property
    def kit(self) -> Kit:
        """The kit that the commands use."""
        from aikit.kit import Kit, open  # noqa: A004 — `aikit.open`

        found = self._shell.user_ns.get("kit")
        if isinstance(found, Kit):
            return found
        if self._own is None:
            self._own = open()
        return self._own

    def ask(self, line: str, cell: str) -> Completion:
        """Send the cell as a prompt and stream the answer; `%%ask --model openai:gpt-5-mini --max-tokens 200`.

        `{{ name }}` takes the notebook's variable of that name.
        """
        parser = argparse.ArgumentParser(prog="%%ask", add_help=False, exit_on_error=False)
        parser.add_argument("--model", default=None)
        parser.add_argument("--system", default=None)
        parser.add_argument("--max-tokens", type=int, default=None, dest="max_tokens")
        parser.add_argument("--temperature", type=float, default=None)
        given = vars(_parsed(parser, line))
        with self.kit.stream(cell.strip(), variables=self._variables(cell) or None, **given) as stream:
            for text in stream:
                print(text, end="", flush=True)  # noqa: T201 — the answer as it comes
        print()  # noqa: T201 — the answer's last line
        print(stream.completion.summary)  # noqa: T201 — its figures
        self._shell.user_ns["_answer"] = stream.completion
        return stream.completion

    def _variables(self, cell: str) -> dict[str, Any]:
        """Return the notebook's values of the variables that a cell names."""
        from aikit.prompts.templates import inspect_source

        try:
            names, _, _ = inspect_source(cell, label="the cell")
        except PromptError:
            return {}  # braces of another kind: the cell is sent as it is
        return {name: self._shell.user_ns[name] for name in names if name in self._shell.user_ns}

    def prompt(self, line: str, cell: str) -> PromptVersion:
        """Save the cell as the next version of a prompt; `%%prompt classify -m "what changed"`."""
        parser = argparse.ArgumentParser(prog="%%prompt", add_help=False, exit_on_error=False)
        parser.add_argument("name")
        parser.add_argument("-m", "--message", default="")
        given = _parsed(parser, line)
        return self.kit.prompts.save(given.name, cell.strip("\n"), message=given.message)

    def aikit(self, line: str) -> Any:
        """Show how things stand: `%aikit status`, `%aikit budget`, `%aikit cost`."""
        match line.strip():
            case "status" | "":
                return self.kit
            case "budget":
                return self.kit.budgets.status()
            case "cost":
                return self.kit.costs(by=["model"], since="30d")
            case other:
                raise UnknownSetting(f"%aikit knows {', '.join(WORDS)}; not {other!r}{did_you_mean(other, WORDS)}")


def _parsed(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    try:
        return parser.parse_args(shlex.split(line))
    except (argparse.ArgumentError, SystemExit, ValueError) as error:
        raise UnknownSetting(f"{parser.format_usage().strip()}: {error}") from None


def load_ipython_extension(shell: Any) -> None:
    """Add the commands to a shell: what `%load_ext aikit` calls."""
    magics = Magics(shell)

    def ask(line: str, cell: str) -> None:
        magics.ask(line, cell)

    shell.register_magic_function(ask, magic_kind="cell", magic_name="ask")
    shell.register_magic_function(magics.prompt, magic_kind="cell", magic_name="prompt")
    shell.register_magic_function(magics.aikit, magic_kind="line", magic_name="aikit")
