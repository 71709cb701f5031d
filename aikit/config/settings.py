"""The settings: what `aikit.toml`, the environment and arguments may say, each field with its unit and default."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_serializer,
    field_validator,
)

from aikit.config.problems import problems_of, raise_problems
from aikit.errors import UnknownProvider, did_you_mean
from aikit.secret import MASK, Secret, checked_key, is_secret_name

__all__ = [
    "BUILT_IN",
    "Budgets",
    "CostLimits",
    "Defaults",
    "LogSettings",
    "Origin",
    "PriceTable",
    "ProviderConfig",
    "RateLimits",
    "Settings",
    "Timeouts",
    "WeightedKey",
    "origin_of",
]

_ADDRESSES = {
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com/v1",
}


def _kinds() -> dict[str, str | None]:
    # By the files' names, so that a new provider is one file; importing the package would turn the layers upside down.
    files = (FilePath(__file__).parent.parent / "providers").glob("[!_]*.py")
    return {name: _ADDRESSES.get(name) for name in sorted(file.stem for file in files) if name != "base"}


KINDS: dict[str, str | None] = _kinds()
"""Kinds of provider and the public address of each; None where there is none to talk to, or the adapter knows it."""

BUILT_IN = frozenset(KINDS)
"""Providers that exist without being configured."""

Origin = str
"""Scheme, host and port, such as `https://api.openai.com:443`: what a key is bound to."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]
PricePerMillion = Annotated[Decimal, Field(ge=0, le=100_000, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is meant, not true or false")  # noqa: TRY004  # pydantic collects ValueErrors
    return value


Count = Annotated[int, BeforeValidator(_no_truth), Field(gt=0)]


def origin_of(url: str) -> Origin:
    """Return scheme, host and port of an address; `ValueError` for what is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http(s) address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _default(model: type[BaseModel], name: str | None) -> Any:
    return model.model_fields[name].default if name else None


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show what differs from the defaults."""
        return [(name, value) for name, value in super().__repr_args__() if value != _default(type(self), name)]


def _key(value: Any) -> Secret:
    if not isinstance(value, str | Secret):
        raise ValueError("a key is a string")  # noqa: TRY004  # pydantic collects ValueErrors
    return checked_key(value)


class WeightedKey(_Table):
    """One key of a ring."""

    key: Annotated[Secret, BeforeValidator(_key)]
    weight: Positive = 1.0
    """Its share of the calls, relative to the other keys of the ring."""
    name: str | None = None
    """What to call it in lists; None for its id alone."""


def _key_or_ring(value: Any) -> str:
    return "<ring>" if isinstance(value, list | tuple) else "<key>"


def _ring(value: Any) -> Any:
    many = cast("Sequence[Any]", value)
    return tuple({"key": one} if isinstance(one, str | Secret) else one for one in many)


ApiKey = Annotated[
    Annotated[Secret, BeforeValidator(_key), Tag("<key>")]
    | Annotated[tuple[WeightedKey, ...], BeforeValidator(_ring), Field(min_length=1), Tag("<ring>")],
    Discriminator(_key_or_ring),
]
"""A key, or several of them; each may be a string or a table with `key`, `weight` and `name`."""


class RateLimits(_Table):
    """What may be sent in `window` seconds; None does not limit."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    """Input and output together."""
    input_tokens_per_minute: Count | None = None
    output_tokens_per_minute: Count | None = None
    requests_per_day: Count | None = None
    concurrent: Count | None = None
    """Calls under way at once."""
    window: Positive = 60.0
    """Seconds in which a per-minute figure may be used."""
    shared: bool = False
    """True when every process that uses the same home shares these limits."""
    models: dict[str, RateLimits] = {}
    """Further limits of single models, beside the provider's."""

    def figures(self) -> dict[str, Any]:
        """Return the figures as keyword arguments of `aikit.limits.Limits`."""
        return self.model_dump(exclude={"shared", "models"})


class CostLimits(_Table):
    """Hard budgets of one provider."""

    daily_budget: Dollars | None = None
    """US dollars a day; None does not limit."""
    monthly_budget: Dollars | None = None
    """US dollars a month; None does not limit."""


class PriceTable(_Table):
    """What one model costs, in US dollars per million tokens; None where the published price holds."""

    input: PricePerMillion | None = None
    output: PricePerMillion | None = None
    cache_read: PricePerMillion | None = None
    cache_write: PricePerMillion | None = None
    """Cache writes that live five minutes."""
    cache_write_1h: PricePerMillion | None = None
    """Cache writes that live an hour."""


class Timeouts(_Table):
    """Seconds that a call may take."""

    connect: Positive = 10.0
    """Seconds until the connection is there."""
    progress: Positive = 60.0
    """Seconds since the last content or usage event; a ping does not count."""
    total: Positive = 600.0
    """Seconds from the first byte sent to the end of the answer."""


class ProviderConfig(_Table):
    """One provider: the keys of `[providers.NAME]`."""

    kind: str = ""
    """Which adapter speaks to it; empty for the provider's name where that is a kind, else `openai`."""
    api_key: ApiKey | None = Field(default=None, repr=False)
    """The key, or several with weights; None: looked for in the environment, the keyring and `.env` at use."""
    base_url: str | None = None
    """Address of the API; https, or http on this machine. None for the kind's public address."""
    default_model: str | None = None
    """The model when only the provider is named; None where one must be named."""
    rate_limits: RateLimits = RateLimits()
    cost_limits: CostLimits = CostLimits()
    prices: dict[str, PriceTable] = {}
    """Prices by model, over the published ones."""
    timeouts: Timeouts = Timeouts()
    headers: dict[str, str] = Field(default={}, repr=False)
    """Sent with each request."""
    options: dict[str, Any] = {}
    """Whatever else the adapter of this kind takes."""

    if not TYPE_CHECKING:  # pyright keeps the fields' own signature

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = problems_of(error, type(self))
            else:
                return
            raise_problems(problems)  # outside the handler: the chain must not carry the input

        # pydantic must go on validating nested tables itself: only then does a problem know its whole path.
        __init__.__pydantic_base_init__ = True

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind and kind not in KINDS:
            raise ValueError(f"no kind of provider {kind!r}{did_you_mean(kind, KINDS)}; kinds: {', '.join(KINDS)}")
        return kind

    @field_validator("base_url")
    @classmethod
    def _safe_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        origin_of(url)
        if parts.username or parts.password:
            raise ValueError("an address holds no user or password; put the key under api_key")
        if parts.query or parts.fragment:
            raise ValueError("an address ends with its path: no '?' and no '#'")
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise ValueError(
                f"{url!r} would send key and prompts unencrypted; use https://, or a tunnel to http://127.0.0.1"
            )
        return url.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _clean_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name!r} is not a header's name")
            if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise ValueError(f"the value of header {name!r} holds a line break or a control character")
        return headers

    @field_serializer("headers", when_used="json")
    def _masked_headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {name: MASK if is_secret_name(name) else value for name, value in headers.items()}

    @property
    def origin(self) -> Origin | None:
        """Scheme, host and port that the key is bound to; None where nothing is sent."""
        return origin_of(self.base_url) if self.base_url else None


class Defaults(_Table):
    """What holds where a call does not say."""

    model: str = "local:smollm2"
    """`provider:model`."""
    wait_at_most: Positive = 60.0
    """Seconds that a server may ask to wait before the call gives up instead."""


class Budgets(_Table):
    """Spending limits over all providers, in US dollars; None does not limit."""

    daily: Dollars | None = None
    weekly: Dollars | None = None
    monthly: Dollars | None = None
    hard: bool = True
    """True: a call that could pass a limit is not sent. False: it is sent, and an alert is given."""
    alert_at: tuple[Annotated[float, Field(gt=0, le=10)], ...] = (0.5, 0.8, 1.0)
    """Shares of a limit at which an alert is given, once each and period."""
    timezone: str = "UTC"
    """IANA name of the time zone whose days, weeks and months count."""
    webhook: str | None = None
    """https address that gets the alerts as JSON; None for none."""
    max_tokens: Count = 4096
    """Sent under a hard budget when the call does not say."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no time zone {name!r}{did_you_mean(name, zoneinfo.available_timezones())}") from error
        return name


class LogSettings(_Table):
    """Where calls are logged, and how much of them."""

    home: str | None = None
    """Folder of log, prompts and budgets; relative to the file that says so; None for `.aikit` beside it."""
    durability: Literal["full", "os"] = "full"
    """`full` survives a power cut; `os` only a crash of the process, and is quicker."""
    store_text: Literal["full", "hash", "none"] = "full"
    """Prompts and answers: kept, kept as hashes, or not at all."""
    redact: Annotated[Callable[[str], str] | None, Field(exclude=True, repr=False)] = None
    """What may be stored of a text: a function that is given each text before it is written; in code only."""


class Settings(_Table):
    """All settings at one moment."""

    sections: ClassVar[tuple[str, ...]] = ("providers", "defaults", "budgets", "log")

    providers: dict[Name, ProviderConfig] = {}
    defaults: Defaults = Defaults()
    budgets: Budgets = Budgets()
    log: LogSettings = LogSettings()

    @field_validator("providers")
    @classmethod
    def _completed(cls, providers: dict[str, ProviderConfig]) -> dict[str, ProviderConfig]:
        return {name: _completed(name, one) for name, one in providers.items()}

    def provider(self, name: str) -> ProviderConfig:
        """Return a provider's settings: the configured ones, else the built-in's; `UnknownProvider` otherwise."""
        if (found := self.providers.get(name)) is not None:
            return found
        if name in BUILT_IN:
            return _completed(name, ProviderConfig())
        near = did_you_mean(name, {*self.providers, *BUILT_IN})
        configured = ", ".join(sorted(self.providers)) or "none"
        raise UnknownProvider(
            f"no provider {name!r}{near}; configured: {configured}; built in: {', '.join(sorted(BUILT_IN))}."
            f" Another takes [providers.{name}] with a base_url in aikit.toml"
        )


def _completed(name: str, provider: ProviderConfig) -> ProviderConfig:
    """Fill kind and address in: the kind is the name where that is one, else `openai`."""
    if provider.base_url is None and name not in KINDS and not provider.kind:
        raise ValueError(f"{name!r} is no built-in provider: it needs a base_url, or a kind ({', '.join(KINDS)})")
    kind = provider.kind or (name if name in KINDS else "openai")
    return provider.model_copy(update={"kind": kind, "base_url": provider.base_url or KINDS[kind]})
