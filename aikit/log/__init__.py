"""The log: where every call is kept, and the only SQL of aikit."""

from aikit.log.store import Log

__all__ = ["Log"]
