"""The layers of the settings: file, its environment overlay, variables, arguments, runtime; the later one wins."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from aikit.config.problems import Path, Problem, problems_of, raise_problems
from aikit.config.settings import KINDS, Settings
from aikit.config.toml_lines import lines_of
from aikit.errors import ConfigError, did_you_mean
from aikit.secret import Secret

__all__ = [
    "FILE_NAME",
    "File",
    "Layer",
    "at_path",
    "environment_layer",
    "file_layers",
    "find_file",
    "merged",
    "plain",
    "validated",
]

FILE_NAME = "aikit.toml"

_PREFIX = "AIKIT_"
_DELIMITER = "__"


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings."""

    name: str
    """What to call it: `aikit.toml`, `environment`, `arguments`, `configure`."""
    values: Mapping[str, Any] = field(repr=False)
    place: Callable[[Path], str] = field(default=lambda path: "", repr=False)
    """Says where a setting stands, such as `aikit.toml, line 3`; empty when not known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _sealed(self.values))


@dataclass(frozen=True)
class File:
    """The text of an `aikit.toml`, read once."""

    path: FilePath
    text: str = field(repr=False)

    @cached_property
    def lines(self) -> dict[Path, int]:
        """The line of each setting."""
        return lines_of(self.text)

    def place(self, path: Path) -> str:
        """Return `aikit.toml, line 3` for a setting, or the line of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return f"{self.path.name}, line {line}"
        return self.path.name


def find_file(start: FilePath) -> FilePath | None:
    """Return the `aikit.toml` in `start` or the nearest folder above it; None where there is none."""
    for folder in (start, *start.parents):
        if (candidate := folder / FILE_NAME).is_file():
            return candidate
    return None


def file_layers(path: FilePath, environment: str | None) -> list[Layer]:
    """Read the file and the overlay named by `AIKIT_ENV`; all overlays are checked, the chosen one or not."""
    file = File(path, _read(path))
    data = _parsed(file)
    overlays = data.pop("env", {})
    if not isinstance(overlays, dict) or not all(
        isinstance(one, dict) for one in cast("dict[str, Any]", overlays).values()
    ):
        raise ConfigError(f"{file.place(('env',))}: env: an overlay is a table, such as [env.production.defaults]")
    overlays = cast("dict[str, dict[str, Any]]", overlays)
    layers = [Layer(FILE_NAME, data, file.place)]
    for name, values in overlays.items():
        overlay = Layer(f"{FILE_NAME} [env.{name}]", values, lambda path, name=name: file.place(("env", name, *path)))
        if name == environment:
            layers.append(overlay)
        else:
            validated([layers[0], overlay])
    if environment and environment not in overlays:
        known = ", ".join(sorted(overlays)) or "none"
        near = did_you_mean(environment, overlays)
        raise ConfigError(
            f"AIKIT_ENV={environment!r}, but {path.name} has no [env.{environment}]{near}; overlays: {known}"
        )
    return layers


def _read(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"{path} is not UTF-8 text (byte {error.start})"
    except OSError as error:
        reason = f"{path} can't be read: {error.strerror or error}"
    raise ConfigError(reason)


def _parsed(file: File) -> dict[str, Any]:
    try:
        return tomllib.loads(file.text, parse_float=_number)
    except tomllib.TOMLDecodeError as error:
        reason = f"{file.path}: {error}"
    raise ConfigError(reason)  # outside the handler: tomllib's error may hold the text, and so a key


def _number(text: str) -> float:
    return float(text.replace("_", ""))


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Read `AIKIT_SECTION__SETTING` variables, such as `AIKIT_PROVIDERS__OPENAI__TIMEOUTS__PROGRESS=30`."""
    ours = {name: value for name, value in environ.items() if name.startswith(_PREFIX) and _DELIMITER in name}
    for name in ours:
        section = name.removeprefix(_PREFIX).split(_DELIMITER)[0].lower()
        if section not in Settings.sections:
            raise_problems([_unknown_section(name, section)])
    if not ours:
        return Layer("environment", {})
    from aikit.config.variables import read_variables  # pydantic-settings costs more to import than all of this

    return Layer("environment", read_variables(ours), lambda path: _PREFIX + _DELIMITER.join(path).upper())


def _unknown_section(variable: str, section: str) -> Problem:
    known = ", ".join(Settings.sections)
    return Problem((variable,), f"unknown section{did_you_mean(section, Settings.sections)}; sections: {known}", True)


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """Return all layers in one mapping; a later layer wins, setting by setting."""
    result: dict[str, Any] = {}
    for layer in layers:
        _merge(result, layer.values)
    return result


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        old = into.get(name)
        if isinstance(value, Mapping):
            into[name] = dict(cast("dict[str, Any]", old)) if isinstance(old, dict) else {}
            _merge(into[name], cast("Mapping[str, Any]", value))
        else:
            into[name] = value


def plain(value: Any) -> Any:
    """Return the value with settings objects as mappings of what was set, and `a.b` keys of the root opened up."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(exclude_unset=True))
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in cast("Mapping[Any, Any]", value).items()}
    return value


def _sealed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with the providers' keys sealed, so that no debugger or `vars()` shows them."""
    providers: Any = values.get("providers")
    if not isinstance(providers, Mapping):
        return values
    tables = cast("Mapping[str, Any]", providers)
    return {**values, "providers": {name: _sealed_in(table, "api_key") for name, table in tables.items()}}


def _sealed_in(table: Any, name: str) -> Any:
    """Return a table with what stands under a name sealed; anything else, as it is."""
    fields = cast("Mapping[str, Any]", table)
    if not isinstance(table, Mapping) or name not in fields:
        return cast("Any", table)
    return {**fields, name: _sealed_key(fields[name])}


def _sealed_key(value: Any) -> Any:
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, list | tuple):
        return [_sealed_key(one) for one in cast("list[Any]", value)]
    return _sealed_in(value, "key")


def at_path(values: Any, path: Path) -> Any:
    """Return what stands at a path of mappings and lists, or `KeyError`."""
    for name in path:
        if isinstance(values, list | tuple) and name.isdigit() and int(name) < len(cast("list[Any]", values)):
            values = cast("list[Any]", values)[int(name)]
        elif isinstance(values, Mapping) and name in values:
            values = cast("Mapping[str, Any]", values)[name]
        else:
            raise KeyError(name)
    return values


def validated(layers: list[Layer]) -> Settings:
    """Return the settings that the layers give, or raise one error with a line for each problem and its place."""
    data = merged(layers)
    problems = list(_nowhere(data.get("providers")))
    try:
        settings = Settings.model_validate(data) if not problems else None
    except ValidationError as error:
        settings, problems = None, problems_of(error, Settings)
    if settings is None:
        raise_problems([_placed(problem, layers) for problem in problems])
    return settings


def _nowhere(providers: Any) -> Iterator[Problem]:
    """Find the providers of which neither name, kind nor address says where they are."""
    if not isinstance(providers, dict):
        return
    for name, provider in cast("dict[str, Any]", providers).items():
        if (
            name not in KINDS
            and isinstance(provider, dict)
            and not {"kind", "base_url"} & {*cast("dict[str, Any]", provider)}
        ):
            message = f"{name!r} is no built-in provider: it needs a base_url, or a kind ({', '.join(KINDS)})"
            yield Problem(("providers", name), message + did_you_mean(name, KINDS))


def _placed(problem: Problem, layers: list[Layer]) -> Problem:
    """Add where the setting stands, or the nearest table around it that some layer holds."""
    for length in range(len(problem.path), 0, -1):
        for layer in reversed(layers):
            if _holds(layer, problem.path[:length]):
                place = layer.place(problem.path) or layer.name
                return Problem(problem.path, problem.message, problem.unknown, place)
    return problem


def _holds(layer: Layer, path: Path) -> bool:
    try:
        at_path(layer.values, path)
    except KeyError:
        return False
    return True
