"""Hostile text made harmless: for a terminal, for a page, and as formatted HTML."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt

__all__ = ["escape", "markdown", "plain"]

_LINKS = ("http", "https", "mailto")

# CSI, OSC/DCS/PM/APC strings and two-character escapes of ECMA-48; of a string that never ends only its opening.
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]?|[\x90\x98\x9d-\x9f]"
)
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Marks, embeddings, overrides and isolates: with them text shows in another order than it is in (CVE-2021-42574)."""
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|[\ud800-\udfff]|[\ufff9-\ufffb]|[\U000e0000-\U000e007f]")
"""All but tab and line breaks; lone surrogates; interlinear annotation; tag characters, which hide whole texts."""


def plain(text: str) -> str:
    """Return the text without anything that moves a cursor, colours, or turns its order around.

    Terminal escapes and bidirectional controls are dropped, other control characters become U+FFFD; a carriage
    return, which would overwrite its line, becomes a line break.
    """
    text = _ESCAPES.sub("", text)
    text = _BIDI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\ufffd", text)


def escape(text: object) -> str:
    """Return the text for a place inside an element or a quoted attribute of a page: plain, and no markup."""
    return html.escape(plain(str(text)), quote=True)


def markdown(text: str) -> str:
    """Return Markdown as HTML in which nothing runs and nothing is fetched.

    Raw HTML shows as text; links go to http, https and mailto only, open apart and tell the page nothing; a picture
    is shown as its description and its address in words.
    """
    return f'<div dir="auto">{_renderer().render(plain(text))}</div>'


def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20})
    renderer.enable(["table", "strikethrough"])
    renderer.validateLink = _is_harmless  # type: ignore[method-assign]
    renderer.add_render_rule("image", _image)
    renderer.add_render_rule("link_open", _link)
    return renderer


def _is_harmless(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme.lower() in _LINKS
    except ValueError:
        return False


def _image(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    return f"[image: {escape(token.content)} {escape(token.attrGet('src'))}]"


def _link(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    token.attrSet("rel", "noopener noreferrer nofollow")
    token.attrSet("target", "_blank")
    return renderer.renderToken(tokens, index, options, env)
