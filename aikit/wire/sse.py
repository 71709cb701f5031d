"""Server-sent events: bytes in, whatever their split, and events out."""

from __future__ import annotations

__all__ = ["EventTooLongError", "SSEDecoder"]

MAX_EVENT = 64 * 1024 * 1024
"""Bytes of one event; more is no answer but a fault."""

Frame = tuple[str, bytes]
"""The event's name (empty when it has none) and its data."""

_BOM = b"\xef\xbb\xbf"


class EventTooLongError(ValueError):
    """One event has more than `MAX_EVENT` bytes."""


class SSEDecoder:
    """An incremental decoder of one stream of server-sent events.

    Lines end with LF, CR or CRLF, also mixed, also with the CR and its LF in different reads. Comments are dropped, and
    so are events without data (`id:` or `retry:` alone). Several `data:` lines are joined by LF.
    """

    __slots__ = ("_after_cr", "_pending", "_searched", "_started")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._searched = 0
        self._started = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[Frame]:
        """Return the events that `data` completes."""
        if not self._started and not (data := self._begin(data)):
            return []
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        pending = self._pending
        if not pending:
            # What almost every read is: one event of one line.
            size = len(data) - 2
            if data.find(b"\n") == size and data[-1:] == b"\n" and data[:6] == b"data: ":
                return [("", data[6:size])]
        else:
            pending += data
            # Only what is new can hold the blank line: one byte per read stays linear in the event's length.
            if pending.find(b"\n\n", self._searched) < 0:
                return self._wait()
            data = bytes(pending)
            pending.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            pending += rest
            self._searched = len(rest) - 1
        return [frame for block in blocks if (frame := _frame(block)) is not None]

    def end(self) -> Frame | None:
        """Return the last event when the body ended without the blank line behind it; None when there is none."""
        rest = bytes(self._pending)
        self._pending.clear()
        return _frame(rest) if rest else None

    def _begin(self, data: bytes) -> bytes:
        """Return `data` without a leading byte order mark, or nothing while that is still open."""
        data = bytes(self._pending) + data
        self._pending.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._pending += data
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _wait(self) -> list[Frame]:
        size = len(self._pending)
        if size > MAX_EVENT:
            raise EventTooLongError(f"an event of more than {MAX_EVENT} bytes")
        self._searched = size - 1
        return []


def _frame(block: bytes) -> Frame | None:
    if block[:5] == b"data:" and b"\n" not in block:
        return "", block[6:] if block[5:6] == b" " else block[5:]
    head, _, tail = block.partition(b"\n")
    if head[:7] == b"event: " and tail[:6] == b"data: " and b"\n" not in tail:
        return head[7:].decode("utf-8", "replace"), tail[6:]
    name = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return (name, b"\n".join(data)) if data else None
