"""The configuration of a running kit: layered, explained, changed while calls run."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Self, cast

from pydantic import BaseModel

from aikit.config.layers import (
    FILE_NAME,
    Layer,
    at_path,
    environment_layer,
    file_layers,
    find_file,
    merged,
    plain,
    validated,
)
from aikit.config.problems import Path, dotted
from aikit.config.settings import BUILT_IN, Settings
from aikit.errors import ConfigError, UnknownSetting, did_you_mean
from aikit.secret import MASK, Secret, is_secret_name

__all__ = ["Change", "Config", "Explanation", "Said"]

_log = logging.getLogger("aikit.config")

_CHECK_EVERY = 1.0
"""Seconds between two looks at the file."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one layer says about a setting."""

    layer: str
    value: Any
    """Secrets stay masked."""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which layer gave a setting its value, and what the others say."""

    path: str
    value: Any
    layer: str
    """The layer that won; `default` when none says anything."""
    place: str
    overridden: tuple[Said, ...] = ()
    """What lost, the nearest first."""

    def __repr__(self) -> str:
        lines = [f"{self.path} = {self.value!r}", f"  from {_named(self.layer, self.place)}"]
        lines += [f"  over {one.value!r} from {_named(one.layer, one.place)}" for one in self.overridden]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that has another value than before; secrets appear as their ids."""

    path: str
    old: str
    new: str
    layer: str


@dataclass(frozen=True, slots=True)
class _State:
    """Everything that is swapped at once."""

    settings: Settings
    layers: tuple[Layer, ...]
    file: FilePath | None
    stamp: tuple[int, int, int] | None


class Config:
    """Settings in layers: file < overlay < environment < arguments < runtime.

    `settings` is one immutable object: whoever holds it keeps it while the next call sees the changed file.
    """

    def __init__(
        self,
        *,
        start: FilePath,
        overrides: Mapping[str, Any],
        environ: Mapping[str, str],
        home: FilePath | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._environ = environ
        self._home = home
        self._clock = clock
        self._arguments = Layer("arguments", _opened(overrides))
        self._runtime = Layer("configure", {})
        self._lock = threading.RLock()
        self._listeners: list[Callable[[Sequence[Change]], None]] = []
        self._checked_at = clock()
        self._refused: object = None
        self.problem: str | None = None
        """Why the changed file is not in force; None when it is."""
        self._state = self._read()

    @classmethod
    def load(
        cls,
        *,
        start: FilePath | str | None = None,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        home: FilePath | str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Find `aikit.toml` from `start` (the working directory) upwards and read all layers.

        `ConfigError` has one line for each problem, with its place.
        """
        return cls(
            start=FilePath(start or FilePath.cwd()).absolute(),
            overrides=overrides or {},
            environ=os.environ if environ is None else environ,
            home=FilePath(home) if home is not None else None,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"Config(file={str(self._state.file or 'none')!r}, home={str(self.home)!r})"

    @property
    def file(self) -> FilePath | None:
        """The `aikit.toml` in force; None where there is none."""
        return self._state.file

    @property
    def folder(self) -> FilePath:
        """Where `.env` and relative paths belong: beside the file, else where the search began."""
        return self._state.file.parent if self._state.file else self._start

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that was read."""
        return self._environ

    @property
    def home(self) -> FilePath:
        """Folder of log, prompts and budgets: argument, `AIKIT_HOME`, `[log] home`, else `.aikit` beside the file."""
        if self._home is not None:
            return self._home.expanduser().absolute()
        if said := self._environ.get("AIKIT_HOME"):
            return FilePath(said).expanduser().absolute()
        if said := self._state.settings.log.home:
            return (self.folder / FilePath(said).expanduser()).absolute()
        return self.folder / ".aikit"

    @property
    def settings(self) -> Settings:
        """The settings in force now; the file is looked at again at most once a second."""
        if self._clock() - self._checked_at >= _CHECK_EVERY:
            self._look()
        return self._state.settings

    def on_change(self, listener: Callable[[Sequence[Change]], None]) -> None:
        """Call `listener` with the changes after each swap, on the thread that noticed them."""
        self._listeners.append(listener)

    def configure(self, changes: Mapping[str, Any]) -> Sequence[Change]:
        """Change settings of this process at once, over every other layer; all of them or, on `ConfigError`, none.

        `{"defaults": {"model": "openai:gpt-5"}}` and `{"defaults.model": "openai:gpt-5"}` say the same.
        """
        with self._lock:
            runtime = Layer("configure", merged([self._runtime, Layer("", _opened(changes))]))
            layers = (*self._state.layers[:-1], runtime)
            settings = validated(list(layers))
            self._runtime = runtime
            found = self._swap(_State(settings, layers, self._state.file, self._state.stamp))
        self._tell(found)
        return found

    def explain(self, path: str) -> Explanation:
        """Say which layer gave the setting `a.b.c` its value, where, and what the other layers say."""
        names = _split(path)
        value = _masked(names, self._value(names))
        said = [found for layer in reversed(self._state.layers) if (found := _said(layer, names)) is not None]
        if not said:
            return Explanation(dotted(names), value, "default", "")
        return Explanation(dotted(names), value, said[0].layer, said[0].place, tuple(said[1:]))

    def _value(self, names: Path) -> Any:
        here: Any = self._state.settings
        for number, name in enumerate(names):
            if names[:number] == ("providers",) and name in BUILT_IN:
                here = self._state.settings.provider(name)
            elif isinstance(here, BaseModel) and name in type(here).model_fields:
                here = getattr(here, name)
            elif isinstance(here, Mapping) and name in here:
                here = cast("Mapping[str, Any]", here)[name]
            else:
                raise _unknown(names[: number + 1], here)
        return here

    def _read(self) -> _State:
        file = find_file(self._start)
        stamp = _stamp(file)
        layers = file_layers(file, self._environ.get("AIKIT_ENV") or None) if file else []
        layers += [environment_layer(self._environ), self._arguments, self._runtime]
        return _State(validated(layers), tuple(layers), file, stamp)

    def _look(self) -> None:
        with self._lock:
            self._checked_at = self._clock()
            file = self._state.file or find_file(self._start)
            stamp = _stamp(file)
            if (file, stamp) in ((self._state.file, self._state.stamp), self._refused):
                return
            try:
                found = self._swap(self._read_again(file))
            except ConfigError as error:
                self._refused = (file, stamp)
                self.problem = str(error)
                _log.warning("%s keeps its former settings: %s", FILE_NAME, error)
                return
            self.problem = self._refused = None
        self._tell(found)

    def _read_again(self, file: FilePath | None) -> _State:
        if file is not None and not file.is_file():
            raise ConfigError(f"{file} is gone")
        return self._read()

    def _swap(self, state: _State) -> Sequence[Change]:
        old, self._state = self._state, state
        return _changes(old, state)

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            _log.info("%s: %s → %s (%s)", change.path, change.old, change.new, change.layer)
        if changes:
            for listener in self._listeners:
                listener(changes)


def _stamp(file: FilePath | None) -> tuple[int, int, int] | None:
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None


def _opened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain nested mappings, with dotted names of the root opened up."""
    layers: list[Layer] = []
    for name, value in values.items():
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance] — a person's mapping
            raise ConfigError(f"{name!r} is no setting's name; write {{'defaults.model': 'openai:gpt-5-mini'}}")
        nested: Any = plain(value)
        for one in reversed(_split(name)):
            nested = {one: nested}
        layers.append(Layer("", nested))
    return merged(layers)


def _split(path: str) -> Path:
    """Split `providers.openai.prices."gpt-4.1"` at the dots that are not quoted."""
    names: list[str] = []
    rest = path
    while rest:
        quote = rest[0] if rest[0] in "\"'" else ""
        name, _, rest = rest[1:].partition(quote) if quote else rest.partition(".")
        names.append(name)
        rest = rest.removeprefix(".") if quote else rest
    return tuple(names)


def _unknown(path: Path, here: Any) -> UnknownSetting:
    known = _known(here)
    near = did_you_mean(path[-1], known)
    return UnknownSetting(f"no setting {dotted(path)}{near}; known here: {', '.join(known) or 'nothing'}")


def _known(here: Any) -> list[str]:
    if isinstance(here, BaseModel):
        return sorted(type(here).model_fields)
    return sorted(map(str, cast("Mapping[Any, Any]", here))) if isinstance(here, Mapping) else []


def _said(layer: Layer, path: Path) -> Said | None:
    try:
        return Said(layer.name, _masked(path, at_path(layer.values, path)), layer.place(path))
    except KeyError:
        return None


def _masked(path: Path, value: Any) -> Any:
    """Return the value with keys and the values of secret headers masked."""
    name = path[-1] if path else ""
    if "api_key" in path or ({"headers", "options"} & {*path} and isinstance(value, str) and is_secret_name(name)):
        return _id(value)
    if isinstance(value, BaseModel):
        return {key: _masked((*path, key), getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _masked((*path, str(key)), one) for key, one in cast("Mapping[Any, Any]", value).items()}
    return value


def _id(value: Any) -> str | None:
    if value is None:
        return None
    return f"key {value.id}" if isinstance(value, Secret) else MASK


def _named(layer: str, place: str) -> str:
    return place if place.startswith(layer) else f"{layer} ({place})" if place else layer


def _changes(old: _State, new: _State) -> list[Change]:
    before, after = _leaves((), _masked((), old.settings)), _leaves((), _masked((), new.settings))
    found: list[Change] = []
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            layer = next((one.name for one in reversed(new.layers) if _said(one, path)), "default")
            found.append(Change(dotted(path), repr(before.get(path)), repr(after.get(path)), layer))
    return found


def _leaves(path: Path, value: Any) -> dict[Path, Any]:
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    return {
        leaf: one
        for name, inner in cast("Mapping[str, Any]", value).items()
        for leaf, one in _leaves((*path, name), inner).items()
    }
