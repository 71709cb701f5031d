"""The head of a Markdown file: the small part of YAML that prompts need, written so that any YAML reader agrees.

Written: one `key: value` a line, the value as JSON (which YAML reads as it is). Read: that, and by hand also plain
and quoted words, block lists and one level of nested mappings. Anything else is an error with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aikit.errors import PromptError

__all__ = ["read_head", "write_head"]

_KEY = re.compile(r"""^(?P<key>[A-Za-z_][\w.-]*|"(?:[^"\\]|\\.)*")\s*:(?:\s+(?P<value>.*))?$""")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
# What UTF-8, an editor or YAML would not give back as it was is written as an escape.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_REFUSED = ("&", "*", "!", "|", ">", "%", "@", "`")


def write_head(values: Mapping[str, Any]) -> str:
    """Return the head's lines, without the dashes around them."""
    return "".join(f"{_written_key(key)}: {_written(value)}\n" for key, value in values.items())


def read_head(text: str) -> dict[str, Any]:
    """Return the head's values; raises PromptError with the line's number for what is not in the small part."""
    lines = [
        (number, line.rstrip())
        for number, line in enumerate(text.split("\n"), start=2)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    found, rest = _mapping(lines, 0)
    if rest:
        raise PromptError(f"line {rest[0][0]} of the head: not indented as the lines around it")
    return found


Lines = list[tuple[int, str]]


def _mapping(lines: Lines, indent: int) -> tuple[dict[str, Any], Lines]:
    found: dict[str, Any] = {}
    while lines and _indent(lines[0]) == indent:
        number, line = lines[0]
        match = _KEY.match(line.strip())
        if match is None:
            raise PromptError(f"line {number} of the head: expected `key: value`, found {line.strip()[:60]!r}")
        key = _key(match["key"])
        if key in found:
            raise PromptError(f"line {number} of the head: {key!r} is there twice")
        value = (match["value"] or "").strip()
        lines = lines[1:]
        if value and not value.startswith("#"):
            found[key] = _scalar(value, number)
        else:
            found[key], lines = _block(lines, indent)
    return found, lines


def _block(lines: Lines, indent: int) -> tuple[Any, Lines]:
    if not lines:
        return None, lines
    deeper = _indent(lines[0])
    if lines[0][1].lstrip().startswith("- ") and deeper >= indent:
        items: list[Any] = []
        while lines and _indent(lines[0]) == deeper and lines[0][1].lstrip().startswith("- "):
            items.append(_scalar(lines[0][1].lstrip()[2:].strip(), lines[0][0]))
            lines = lines[1:]
        return items, lines
    if deeper > indent:
        return _mapping(lines, deeper)
    return None, lines


def _indent(line: tuple[int, str]) -> int:
    number, text = line
    stripped = text.lstrip(" ")
    if stripped.startswith("\t"):
        raise PromptError(f"line {number} of the head is indented with a tab; YAML takes spaces")
    return len(text) - len(stripped)


def _scalar(text: str, number: int) -> Any:
    if text[0] in '"[{':
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if text[0] == "[" and text.endswith("]"):  # [a, b] with bare words
                return [_scalar(one.strip(), number) for one in text[1:-1].split(",") if one.strip()]
            raise PromptError(f"line {number} of the head: {text[:60]!r} is not JSON: {error}") from error
    if text[0] == "'":
        if len(text) < 2 or not text.endswith("'"):
            raise PromptError(f"line {number} of the head: the quote is never closed")
        return text[1:-1].replace("''", "'")
    if text[0] in _REFUSED:
        raise PromptError(
            f"line {number} of the head: put quotes around {text[:60]!r}; anchors and blocks are not read"
        )
    word = text.split(" #", 1)[0].rstrip()
    if word in ("true", "false"):
        return word == "true"
    if word in ("null", "~"):
        return None
    if _NUMBER.fullmatch(word):
        return int(word) if re.fullmatch(r"[-+]?\d+", word) else float(word)
    return word


def _written(value: Any) -> str:
    readable = json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=True) if _UNSAFE.search(readable) else readable


def _key(written: str) -> str:
    return json.loads(written) if written.startswith('"') else written


def _written_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][\w.-]*", key, re.ASCII) else json.dumps(key)
