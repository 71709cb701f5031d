"""Newline-delimited JSON: bytes in, whatever their split, and lines out."""

from __future__ import annotations

from aikit.wire.sse import MAX_EVENT, EventTooLongError, Frame

__all__ = ["NDJSONDecoder"]


class NDJSONDecoder:
    """An incremental decoder of one stream of JSON lines; blank lines are dropped, lines end with LF or CRLF."""

    __slots__ = ("_pending", "_started")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._started = False

    def feed(self, data: bytes) -> list[Frame]:
        """Return the lines that `data` completes, each as a nameless event."""
        pending = self._pending
        if b"\n" not in data:
            pending += data
            if len(pending) > MAX_EVENT:
                raise EventTooLongError(f"a line of more than {MAX_EVENT} bytes")
            return []
        if pending:
            data = bytes(pending) + data
            pending.clear()
        if not self._started:
            self._started = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        lines = data.split(b"\n")
        pending += lines.pop()
        return [("", line) for raw in lines if (line := raw.strip(b" \t\r"))]

    def end(self) -> Frame | None:
        """Return the last line when the body ended without a line feed behind it; None when there is none."""
        rest = bytes(self._pending).strip(b" \t\r")
        self._pending.clear()
        if not self._started:
            rest = rest.removeprefix(b"\xef\xbb\xbf")
        return ("", rest) if rest else None
