"""The checks of `aikit doctor` and `kit.check()`: what was looked at, how it is, and what to do next."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aikit.errors import AikitError, ConfigError, CredentialError

if TYPE_CHECKING:
    from aikit.config import Config, ProviderConfig
    from aikit.credentials import Keyring
    from aikit.log import Log

__all__ = ["Finding", "as_json", "as_table", "check", "doctor", "exit_code", "init"]

_ENOUGH_DISK = 1_000_000_000
_TOO_LITTLE_DISK = 100_000_000
_SKEW = 60.0
"""Seconds by which a clock may be off before budgets' days and servers' resets go wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    """`settings`, `files`, `keys`, `models`, `clock`, `log`, `versions`, `disk` or `network`."""
    subject: str
    state: Literal["ok", "warning", "problem", "skipped"]
    detail: str
    advice: str = ""
    """What to do next; empty where nothing is to be done."""


def doctor(
    *,
    home: Path | str | None = None,
    start: Path | None = None,
    environ: Mapping[str, str] | None = None,
    network: bool = True,
) -> list[Finding]:
    """Check everything from the outside, without a kit; `network=False` asks no provider.

    Opens the log only where there is one. Never raises for what it finds.
    """
    from aikit.config import Config

    environ = os.environ if environ is None else environ
    try:
        config = Config.load(start=start, environ=environ, home=home)
    except ConfigError as error:
        found = [
            Finding("settings", line.split(": ")[0], "problem", line, "correct it") for line in str(error).splitlines()
        ]
        return [*found, *_versions(), *_clock(time.time), *_disk(Path(home or start or Path.cwd())), *_proxies()]
    return check(config, network=network)


def check(
    config: Config, *, log: Log | None = None, network: bool = True, keyring: Callable[[], Keyring | None] | None = None
) -> list[Finding]:
    """Check a configuration and what it names, and the log: the open one of a kit, else the one in its home."""
    found = [*_settings(config), *_files(config), *_keys(config, network, keyring), *_models(config)]
    return [*found, *_clock(time.time), *_log(config, log), *_versions(), *_disk(config.home), *_proxies()]


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 when there is a problem, 0 otherwise: warnings do not stop a pipeline."""
    return int(any(one.state == "problem" for one in findings))


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON document with `ok` and `findings`."""
    rows = [asdict(one) for one in findings]
    return json.dumps({"ok": exit_code(findings) == 0, "findings": rows}, indent=2, ensure_ascii=False)


def as_table(findings: Sequence[Finding]) -> str:
    """Return the findings as lines for a terminal, each with what to do next."""
    signs = {"ok": "ok", "warning": "!", "problem": "✗", "skipped": "-"}
    width = max((len(one.subject) for one in findings), default=0)
    lines: list[str] = []
    for one in findings:
        lines.append(
            f"{signs[one.state]:>2}  {one.area:<8}  {_printable(one.subject):<{width}}  {_printable(one.detail)}"
        )
        if one.advice and one.state != "ok":
            lines.append(f"    {'':<8}  {'':<{width}}  → {_printable(one.advice)}")
    counts = [f"{sum(one.state == state for one in findings)} {state}" for state in ("problem", "warning")]
    return "\n".join([*lines, "", ", ".join(counts)])


def init(folder: Path) -> str:
    """Write a commented `aikit.toml` into the folder and say so; `ConfigError` where there is one."""
    from aikit.config.template import init

    return init(folder)


def _printable(text: str) -> str:
    """Make control characters visible: a name from a file must not steer the terminal."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


# -- settings and files


def _settings(config: Config) -> Iterator[Finding]:
    settings = config.settings
    names = ", ".join(sorted(settings.providers)) or "only the built-in ones"
    file = str(config.file) if config.file else "no aikit.toml"
    if config.problem:
        yield Finding(
            "settings", "aikit.toml", "problem", config.problem, "correct it: the former settings are in force"
        )
    else:
        advice = "" if config.file else "`aikit init` writes one"
        yield Finding("settings", "aikit.toml", "ok", f"{file}; providers: {names}", advice)
    yield Finding("settings", "home", "ok", str(config.home))


def _files(config: Config) -> Iterator[Finding]:
    toml_has_key = any(provider.api_key is not None for provider in config.settings.providers.values())
    if config.file and toml_has_key:
        yield _mode(config.file, "holds a key", or_else="warning")
    if (config.folder / ".env").exists():
        yield _mode(config.folder / ".env", "may hold keys", or_else="problem")
    if config.home.exists():
        yield _mode(config.home, "holds prompts and answers", or_else="warning", private="700")


def _mode(path: Path, why: str, *, or_else: Literal["warning", "problem"], private: str = "600") -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name != "posix" or not mode & 0o077:
        return Finding("files", path.name, "ok", f"{path} is private (mode {mode:04o})")
    detail = f"{path} {why} and others can read it (mode {mode:04o})"
    return Finding("files", path.name, or_else, detail, f"chmod {private} {path}")


# -- keys and models


def _keys(config: Config, network: bool, keyring: Callable[[], Keyring | None] | None) -> Iterator[Finding]:
    from aikit.credentials import find_keys

    settings = config.settings
    for name in sorted(_named(config)):
        provider = settings.provider(name)
        if provider.kind in ("local", "scripted", "replay"):
            continue
        if provider.kind == "ollama":
            yield Finding("keys", name, "ok", "needs none")
            continue
        try:
            ring = find_keys(name, provider, environ=config.environ, folder=config.folder, keyring=keyring)
            if not len(ring) and _is_here(provider):
                yield Finding("keys", name, "ok", f"no key, and {provider.base_url} on this machine needs none")
                continue
            ring.pick()
        except CredentialError as error:
            yield Finding("keys", name, "problem", str(error), f"aikit keys set {name}")
            continue
        for state in ring.state():
            place = f"{state.origin} {state.where}".strip()
            yield Finding("keys", f"{name} {state.id}", "ok", f"from {place}")
        if network:
            yield from _tested(name, provider, config, keyring)


def _tested(
    name: str, provider: ProviderConfig, config: Config, keyring: Callable[[], Keyring | None] | None
) -> Iterator[Finding]:
    from aikit.credentials import find_keys, keys_test

    ring = find_keys(name, provider, environ=config.environ, folder=config.folder, keyring=keyring)
    for key in ring:
        told = keys_test(provider.kind, name, provider.base_url, key, timeout=provider.timeouts.connect)
        state: Literal["ok", "warning", "problem"] = "warning"
        if told.outcome in ("accepted", "refused"):
            state = "ok" if told.outcome == "accepted" else "problem"
        advice = {"refused": f"aikit keys rotate {name}", "unreachable": "check address, network and proxy"}
        yield Finding("keys", f"{name} {key.id}", state, f"{told.outcome}: {told.detail}", advice.get(told.outcome, ""))
        if told.skew is not None and abs(told.skew) > _SKEW:
            detail = f"this machine's clock is {told.skew:+.0f} s off {name}'s"
            yield Finding("clock", "offset", "warning", detail, "set the clock: days of budgets and waits depend on it")


def _named(config: Config) -> set[str]:
    return {*config.settings.providers, config.settings.defaults.model.partition(":")[0]}


def _is_here(provider: ProviderConfig) -> bool:
    return bool(provider.base_url) and str(provider.base_url).startswith(("http://", "https://localhost"))


def _models(config: Config) -> Iterator[Finding]:
    from aikit.errors import UnknownProvider

    settings = config.settings
    wanted = {settings.defaults.model: "the default model"}
    for name, provider in settings.providers.items():
        if provider.default_model:
            wanted.setdefault(f"{name}:{provider.default_model}", f"the default model of {name}")
    for model, role in wanted.items():
        try:
            settings.provider(model.partition(":")[0])
        except UnknownProvider as error:
            yield Finding("models", model, "problem", f"{role}: {error}", "correct [defaults] model")
            continue
        yield _priced(config, model, role)
        if model.startswith("local:"):
            yield from _local(model)


def _priced(config: Config, model: str, role: str) -> Finding:
    from aikit.prices import PriceBook

    name, _, rest = model.partition(":")
    if PriceBook(_price_settings(config)).price(name, rest) is not None:
        return Finding("models", model, "ok", f"{role}; its price is known")
    advice = (
        f'providers.{name}.prices."{rest}" = {{ input = …, output = … }} (US dollars per million tokens) in aikit.toml'
    )
    if _is_limited(config, name):
        detail = f"{role}: a hard budget applies and no price is known, so its calls will be refused"
        return Finding("models", model, "problem", detail, advice)
    return Finding("models", model, "warning", f"{role}: no price is known, so its cost will be missing", advice)


def _price_settings(config: Config) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "kind": one.kind,
            "base_url": one.base_url,
            "prices": {model: table.model_dump(exclude_none=True) for model, table in one.prices.items()},
        }
        for name, one in config.settings.providers.items()
    }


def _is_limited(config: Config, provider: str) -> bool:
    budgets = config.settings.budgets
    if budgets.hard and any(one is not None for one in (budgets.daily, budgets.weekly, budgets.monthly)):
        return True
    costs = config.settings.provider(provider).cost_limits
    return costs.daily_budget is not None or costs.monthly_budget is not None


def _local(model: str) -> Iterator[Finding]:
    from aikit import local_model

    if model != "local:smollm2":
        path = Path(model.removeprefix("local:"))
        state = "ok" if path.is_file() else "problem"
        yield Finding("models", "model file", state, f"{path} {'is there' if path.is_file() else 'is missing'}")
        return
    try:
        path = local_model.find()
    except ConfigError as error:
        yield Finding("models", "model file", "problem", str(error), "correct AIKIT_LOCAL_MODEL")
        return
    if path is None:
        yield Finding("models", "model file", "warning", "the local model is not installed", "aikit local install")
    else:
        yield Finding("models", "model file", "ok", str(path))


# -- log, clock, versions, disk, network


def _log(config: Config, log: Log | None) -> Iterator[Finding]:
    from aikit.log import Log

    if log is not None:
        yield from _log_report(log)
    elif not (config.home / "spool.sqlite").exists():
        yield Finding("log", "log", "skipped", f"nothing is logged in {config.home} yet")
    else:
        try:
            opened = Log.open(config.home, durability=config.settings.log.durability)
        except AikitError as error:
            yield Finding("log", "log", "problem", str(error), "see the message")
            return
        with opened:
            yield from _log_report(opened)


def _log_report(log: Log) -> Iterator[Finding]:
    try:
        report = log.check()
    except AikitError as error:
        yield Finding("log", "log", "problem", str(error), "see the message")
        return
    for found in report.findings:
        yield Finding("log", found.what, "problem", found.message, "kit.log.check() has the details")
    if not report.complete:
        yield Finding("log", "log", "warning", "another program holds log.duckdb", "close it, and check again")
    if report.ok:
        counts = ", ".join(f"{number:,} {name}" for name, number in report.rows.items() if number) or "empty"
        yield Finding("log", "log", "ok", counts)


def _clock(now: Callable[[], float]) -> Iterator[Finding]:
    import zoneinfo

    sane = now() > 1_760_000_000  # October 2025: before this was written
    detail = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now()))
    yield Finding("clock", "time", "ok" if sane else "problem", detail, "" if sane else "set the clock")
    if not zoneinfo.available_timezones():
        yield Finding("clock", "time zones", "problem", "there is no time zone database", "pip install tzdata")


def _versions() -> Iterator[Finding]:
    import duckdb

    import aikit

    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", "aikit", "ok", f"{getattr(aikit, '__version__', '?')} on Python {python}")
    yield Finding("versions", "SQLite", "ok", sqlite3.sqlite_version)
    version = tuple(int(part) for part in duckdb.__version__.split(".")[:2] if part.isdigit())
    fits = (1, 5) <= version < (3, 0)
    advice = "" if fits else "pip install 'duckdb>=1.5.5,<3'"
    yield Finding("versions", "DuckDB", "ok" if fits else "problem", duckdb.__version__, advice)


def _disk(home: Path) -> Iterator[Finding]:
    folder = next(one for one in (home.absolute(), *home.absolute().parents) if one.exists())
    free = shutil.disk_usage(folder).free
    state = "ok" if free >= _ENOUGH_DISK else "warning" if free >= _TOO_LITTLE_DISK else "problem"
    yield Finding("disk", str(folder), state, f"{free / 1e9:.1f} GB free", "" if state == "ok" else "make room")
    if not os.access(folder, os.W_OK):
        yield Finding("disk", str(folder), "problem", "the folder can't be written", "choose another with AIKIT_HOME")


def _proxies() -> Iterator[Finding]:
    for scheme, address in sorted(urllib.request.getproxies().items()):
        if scheme == "no":
            yield Finding("network", "no proxy for", "ok", address)
        else:
            shown = address.rpartition("@")[2]  # without user and password
            yield Finding("network", f"{scheme} proxy", "ok", shown)
