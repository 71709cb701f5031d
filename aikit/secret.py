"""A secret: text that shows itself only when asked to, and the scrubber that takes it out of what leaves."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Self, TypeVar, cast
from urllib.parse import quote

__all__ = ["MASK", "Scrubber", "Secret", "checked_key", "is_secret_name"]

MASK = "**********"

_E = TypeVar("_E", bound=BaseException)

_SHORTEST_SCRUBBED = 8
"""Characters; a shorter secret would take ordinary words out of a text."""

_SECRET_WORDS = frozenset(
    ("auth", "authorization", "apikey", "cookie", "credential", "credentials", "key", "password", "secret", "token")
)


def is_secret_name(name: str) -> bool:
    """Say whether a header or variable of this name usually holds a secret."""
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def _mask(value: object) -> str:
    return MASK


class Secret:
    """Text that no repr, format, `vars()`, JSON or pickle shows; `reveal()` gives it.

    It lives in a closure, not in an attribute, so that tools which walk objects do not meet it.
    """

    __slots__ = ("_length", "reveal")

    reveal: Callable[[], str]
    """Return the text itself; hand it to the request and keep it nowhere."""

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "reveal", lambda: text)
        object.__setattr__(self, "_length", len(text))

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that tell keys apart in the log; the text can't be found from them."""
        return hashlib.sha256(b"aikit-key-id\0" + self.reveal().encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __len__(self) -> int:
        return cast("int", self._length)  # pyright: ignore[reportAttributeAccessIssue]  # a slot, set around __setattr__

    def __bool__(self) -> bool:
        return len(self) > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret does not change")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: read the key again where it is needed")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: read the key again where it is needed")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from pydantic_core import core_schema

        def read(value: object) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str):
                return cls(value)
            raise ValueError("a key is a string")

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _mask, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )


def checked_key(text: str | Secret) -> Secret:
    """Return the key without the blanks around it; `ValueError`, which does not show it, for what no header may hold.

    A line break inside a key makes the SDKs print the whole header in their traceback.
    """
    key = (text.reveal() if isinstance(text, Secret) else text).strip()
    if not key:
        raise ValueError("the key is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key holds a blank, a line break or a character that no key has; copy it again")
    return Secret(key)


class Scrubber:
    """Takes the secrets it was told of out of texts, exceptions and log records."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets: dict[str, Secret] = {}
        self._quoted: frozenset[str] = frozenset()
        for secret in secrets:
            self.add(secret)

    def __repr__(self) -> str:
        return f"Scrubber({len(self._secrets)} secrets)"

    def add(self, secret: Secret) -> None:
        """Scrub this secret from now on; one shorter than eight characters is left alone."""
        if len(secret) >= _SHORTEST_SCRUBBED:
            if quote(secret.reveal(), safe="") != secret.reveal():
                self._quoted |= {secret.id}
            self._secrets = {**self._secrets, secret.id: secret}

    def text(self, text: str) -> str:
        """Return the text with every known secret masked, as it is or quoted for an address."""
        for id_, secret in self._secrets.items():
            plain = secret.reveal()
            if plain in text:
                text = text.replace(plain, MASK)
            if id_ in self._quoted:
                text = text.replace(quote(plain, safe=""), MASK)
        return text

    def data(self, data: bytes) -> bytes:
        """Return text as bytes with every known secret masked."""
        for id_, secret in self._secrets.items():
            plain = secret.reveal()
            data = data.replace(plain.encode(), MASK.encode())
            if id_ in self._quoted:
                data = data.replace(quote(plain, safe="").encode(), MASK.encode())
        return data

    def exception(self, error: _E) -> _E:
        """Mask known secrets in the messages of an exception, its causes, contexts and groups; return it."""
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            self._mask(one)
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                waiting += list(cast("BaseExceptionGroup[BaseException]", one).exceptions)
        return error

    def _mask(self, error: BaseException) -> None:
        error.args = tuple(self.text(one) if isinstance(one, str) else one for one in error.args)
        for name, value in list(vars(error).items()):
            if isinstance(value, str) and self.text(value) != value:
                setattr(error, name, self.text(value))

    def watch(self, *loggers: str) -> Callable[[], None]:
        """Mask known secrets in what these loggers log; return what ends that."""
        keep = self.log_filter()
        for name in loggers:
            logging.getLogger(name).addFilter(keep)

        def end() -> None:
            for name in loggers:
                logging.getLogger(name).removeFilter(keep)

        return end

    def log_filter(self) -> Callable[[logging.LogRecord], bool]:
        """Return a filter for `logging.Handler.addFilter` that masks known secrets in records."""

        def keep(record: logging.LogRecord) -> bool:
            message = record.getMessage()
            if (clean := self.text(message)) != message:
                record.msg, record.args = clean, None
            if record.exc_info and record.exc_info[1] is not None:
                self.exception(record.exc_info[1])
            return True

        return keep
