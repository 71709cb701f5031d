"""Environment variables as settings: names split at `__`, values decoded by the type of their field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from aikit.config.settings import Budgets, Defaults, LogSettings, ProviderConfig
from aikit.errors import ConfigError

__all__ = ["read_variables"]


class _Variables(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="AIKIT_", env_nested_delimiter="__", hide_input_in_errors=True)

    providers: dict[str, ProviderConfig] = {}
    defaults: Defaults = Defaults()
    budgets: Budgets = Budgets()
    log: LogSettings = LogSettings()


class _Source(EnvSettingsSource):
    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(_Variables)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables  # the environment that was passed in, not the process's


def read_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables as a mapping like the file's; `ConfigError` names the one that is not readable."""
    reason = ""
    try:
        return _Source(variables)()
    except SettingsError as error:
        reason = str(error)
    raise ConfigError(f"environment variables AIKIT_…: {reason}")
