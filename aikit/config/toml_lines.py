"""The line on which each setting of a TOML text stands; `tomllib` does not keep it."""

from __future__ import annotations

import ast

__all__ = ["lines_of"]

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Return the line (from 1) of every table and key; the text has to be valid TOML."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text + "\n"
        self.at = 0
        self.lines: dict[tuple[str, ...], int] = {}
        self.tables: dict[tuple[str, ...], int] = {}

    def scan(self) -> dict[tuple[str, ...], int]:
        table: tuple[str, ...] = ()
        while self._skip_blank() < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _skip_blank(self) -> int:
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                self.at = self.text.index("\n", self.at)
            elif self.text[self.at] in " \t\r\n,":
                self.at += 1
            else:
                break
        return self.at

    def _note(self, path: tuple[str, ...], start: int) -> None:
        line = self.text.count("\n", 0, start) + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _header(self) -> tuple[str, ...]:
        start = self.at
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        path = self._key("]")
        self.at = self.text.index("]", self.at) + (2 if many else 1)
        if many:
            self.tables[path] = number = self.tables.get(path, -1) + 1
            path = (*path, str(number))
        self._note(path, start)
        return path

    def _pair(self, table: tuple[str, ...]) -> None:
        start = self.at
        path = (*table, *self._key("="))
        self._note(path, start)
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _key(self, end: str) -> tuple[str, ...]:
        names: list[str] = []
        while self.text[self.at] != end:
            character = self.text[self.at]
            if character in "\"'":
                names.append(self._string())
            elif character in _BARE:
                start = self.at
                while self.text[self.at] in _BARE:
                    self.at += 1
                names.append(self.text[start : self.at])
            else:
                self.at += 1
        return tuple(names)

    def _value(self, path: tuple[str, ...]) -> None:
        while self.text[self.at] in " \t":
            self.at += 1
        character = self.text[self.at]
        if character in "\"'":
            self._string()
        elif character == "{":
            self._inside("}", path)
        elif character == "[":
            self._inside("]", path)
        else:
            while self.text[self.at] not in ",]}\n#":
                self.at += 1

    def _inside(self, end: str, path: tuple[str, ...]) -> None:
        self.at += 1
        number = 0
        while self.text[self._skip_blank()] != end:
            if end == "}":
                self._pair(path)
                continue
            self._note((*path, str(number)), self.at)
            self._value((*path, str(number)))
            number += 1
        self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        delimiter = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        start = self.at + len(delimiter)
        self.at = start
        while not self.text.startswith(delimiter, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        while self.text.startswith(quote, self.at + len(delimiter)) and len(delimiter) == 3:
            self.at += 1  # up to two quotes may stand before a closing triple
        inner = self.text[start : self.at]
        self.at += len(delimiter)
        if quote == "'" or "\\" not in inner:
            return inner
        try:
            return str(ast.literal_eval(f'"""{inner}"""'))
        except (SyntaxError, ValueError):
            return inner
