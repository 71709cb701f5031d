"""The providers: one adapter a file, none knows another."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from aikit.errors import UnknownProvider, did_you_mean

if TYPE_CHECKING:
    from aikit.providers.base import Adapter

__all__ = ["adapter_class", "kinds"]


def kinds() -> tuple[str, ...]:
    """Return the kinds of provider there are, which are the names of the files here; imports none of them."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if name != "base" and not name.startswith("_")))


def adapter_class(kind: str) -> type[Adapter]:
    """Return the adapter for a kind of provider; its file is imported now, its SDK at the first call.

    Raises `UnknownProvider` with the nearest kinds.
    """
    known = kinds()
    if kind not in known:
        raise UnknownProvider(f"no kind of provider {kind!r}; there are: {', '.join(known)}{did_you_mean(kind, known)}")
    module = importlib.import_module(f"{__name__}.{kind}")
    (name,) = module.__all__
    return getattr(module, name)
