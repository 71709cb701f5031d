"""The shell's commands: `aikit demo`, `aikit report`, `aikit keys`, `aikit doctor` and what belongs to them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aikit.errors import AikitError, ConfigError

__all__ = ["main"]


Commands = Any
"""What `add_subparsers` returns: argparse keeps the type to itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 refused or failed with a message, 130 interrupted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not hasattr(given, "run"):
        parser.print_help()
        return 2
    try:
        return given.run(given)
    except AikitError as error:
        print(f"aikit: {error}", file=sys.stderr)  # noqa: T201 — a command's answer
        return 1
    except OSError as error:
        print(f"aikit: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)  # noqa: T201 — a command's answer
        return 1
    except KeyboardInterrupt:
        print("\naikit: stopped; what was finished is kept", file=sys.stderr)  # noqa: T201 — a command's answer
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aikit", description="Prompt experiments: ask a model, change the prompt, and know whether it is better."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_local(commands)
    _add_report(commands)
    _add_keys(commands)
    _add_house(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="run a prompt A/B test on a real model, without a key")
    demo.add_argument("--samples", type=int, default=None, metavar="N", help="reviews to use, of 128 (default: 64)")
    demo.add_argument("--replay", action="store_true", help="answer from the log of an earlier demo, at no cost")
    demo.add_argument("--out", type=Path, default=Path("aikit-demo.html"), help="the report's file")
    demo.add_argument("--home", type=Path, default=None, help="folder of the log (default: .aikit)")
    demo.set_defaults(run=_demo)


def _demo(given: argparse.Namespace) -> int:
    from aikit.demo import run_demo

    run_demo(samples=given.samples, replay=given.replay, out=given.out, home=given.home)
    return 0


def _add_local(commands: Commands) -> None:
    local = commands.add_parser("local", help="the language model that runs in the process")
    actions = local.add_subparsers(metavar="ACTION", required=True)
    install = actions.add_parser("install", help="download the model's file (98 MB) into the user's cache")
    install.set_defaults(run=_install)
    where = actions.add_parser("path", help="say where the model's file is")
    where.set_defaults(run=_where)


def _install(given: argparse.Namespace) -> int:
    from aikit import local_model

    with local_model.progress_line() as progress:
        path = local_model.install(progress=progress)
    print(path)  # noqa: T201 — a command's answer
    return 0


def _where(given: argparse.Namespace) -> int:
    from aikit import local_model

    path = local_model.find()
    if path is None:
        print("not installed; run: aikit local install", file=sys.stderr)  # noqa: T201 — a command's answer
        return 1
    print(path)  # noqa: T201 — a command's answer
    return 0


def _add_report(commands: Commands) -> None:
    report = commands.add_parser("report", help="write what calls cost to a file")
    report.add_argument("--since", default="30d", help="a span such as 30d or 12h, or a date (default: 30d)")
    report.add_argument("--by", default="model", help="columns to group by, with commas (default: model)")
    report.add_argument("--out", type=Path, required=True, help="csv, parquet, xlsx, html, md or json, by its ending")
    report.add_argument("--timezone", default=None, help="whose days count, such as Europe/Berlin (default: UTC)")
    report.add_argument("--home", type=Path, default=None, help="folder of the log (default: .aikit)")
    report.set_defaults(run=_report)


def _report(given: argparse.Namespace) -> int:
    from aikit.config import Config
    from aikit.kit import Kit

    home = Config.load(home=given.home).home
    if not (home / "spool.sqlite").exists():  # a mistyped folder must not become a log
        raise ConfigError(f"nothing is logged in {home}; another folder: --home, or AIKIT_HOME")
    with Kit(home=given.home) as kit:
        report = kit.costs(by=given.by.split(","), since=given.since, timezone=given.timezone)
        print(report.export(given.out))  # noqa: T201 — a command's answer
    return 0


def _add_keys(commands: Commands) -> None:
    from aikit.cli_keys import add_keys

    add_keys(commands)


def _add_house(commands: Commands) -> None:
    doctor = commands.add_parser("doctor", help="check settings, keys, files, models, clock, log and disk")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument("--home", type=Path, default=None, help="folder of the log (default: .aikit)")
    doctor.set_defaults(run=_doctor)
    init = commands.add_parser("init", help="write a commented aikit.toml into this folder")
    init.set_defaults(run=_init)


def _doctor(given: argparse.Namespace) -> int:
    from aikit import checks

    findings = checks.doctor(home=given.home)
    print(checks.as_json(findings) if given.json else checks.as_table(findings))  # noqa: T201 — a command's answer
    return checks.exit_code(findings)


def _init(given: argparse.Namespace) -> int:
    from aikit import checks

    print(checks.init(Path.cwd()))  # noqa: T201 — a command's answer
    return 0
