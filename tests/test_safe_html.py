"""Hostile text: what a model says may neither run, nor fetch, nor pretend."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aikit.safe_html import escape, markdown, plain

HARMLESS_TAGS = frozenset(
    "div p br hr em strong s a code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td".split()  # noqa: SIM905
)
HARMLESS_ATTRIBUTES = {"href", "rel", "target", "dir", "title", "start", "class", "style"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    parser.close()
    return parser.seen


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe src='https://evil.example'></iframe>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:msgbox)",
        "[x](file:///etc/passwd)",
        "![x](https://evil.example/pixel.png?secret)",
        "![x](data:image/svg+xml;base64,AAAA)",
        '![a"onerror=alert(1) b](https://evil.example/p.png)',
        '[x](https://ok.example/"onmouseover="alert(1))',
        '[x](https://ok.example "t\\" onmouseover=alert(1)")',
        "<a href='javascript:alert(1)'>x</a>",
        "<javascript:alert(1)>",
        "```html\n<script>alert(1)</script>\n```",
        '```"><script>alert(1)</script>\nx\n```',
        "[x]: javascript:alert(1)\n\n[x]",
        "<style>*{background:url(https://evil.example)}</style>",
        "<meta http-equiv=refresh content='0;url=https://evil.example'>",
        "| a |\n|---|\n| <script>alert(1)</script> |",
    ],
)
def test_markdown_of_an_attack_holds_nothing_that_runs_or_fetches(attack: str) -> None:
    assert_harmless(markdown(attack))


def assert_harmless(page: str) -> None:
    for tag, attributes in tags(page):
        assert tag in HARMLESS_TAGS
        assert set(attributes) <= HARMLESS_ATTRIBUTES
        if "href" in attributes:
            assert (attributes["href"] or "").lower().startswith(("http://", "https://", "mailto:"))


@given(st.text(alphabet=st.sampled_from("<>&\"'[]()!`*_#|:/=\\\n\t\x1b\u202ejavscriptonload "), max_size=80))
def test_markdown_of_any_text_is_harmless(text: str) -> None:
    assert_harmless(markdown(text))


@given(st.text(max_size=60))
def test_escaped_text_is_no_markup_and_reads_as_the_plain_text(text: str) -> None:
    page = escape(text)
    assert tags(f"<b>{page}</b>") == [("b", {})]
    assert not {'"', "'", "<", ">"} & set(page)


@given(st.text(max_size=60))
def test_plain_text_is_plain_after_one_pass(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert once.encode("utf-8").decode("utf-8") == once


def test_formatting_links_and_tables_survive() -> None:
    page = markdown(
        "# Title\n\n**bold** and `code`, [a link](https://example.org/a?b=c)\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    )
    kinds = [tag for tag, _ in tags(page)]
    assert {"h1", "strong", "code", "a", "table"} <= set(kinds)
    link = next(attributes for tag, attributes in tags(page) if tag == "a")
    assert link["href"] == "https://example.org/a?b=c"
    assert link["rel"] == "noopener noreferrer nofollow"


def test_a_picture_is_shown_as_words() -> None:
    page = markdown("![a cat](https://example.org/cat.png)")
    assert "a cat" in page
    assert "https://example.org/cat.png" in page
    assert "<img" not in page


def test_terminal_escapes_are_dropped() -> None:
    assert plain("\x1b[31mred\x1b[0m") == "red"
    assert plain("\x1b]8;;https://evil.example\x07click\x1b]8;;\x07") == "click"
    assert plain("\x1b]0;title\x1b\\text") == "text"
    assert plain("\x9b2Jcleared") == "cleared"
    assert plain("shown \x1b]never ended") == "shown never ended"
    assert "\x1b" not in plain("\x1b\x1b\x1b[")


def test_text_can_neither_turn_its_order_around_nor_overwrite_its_line() -> None:
    assert plain("user\u202e\u2066nimda\u2069") == "usernimda"
    assert plain("safe\rEVIL") == "safe\nEVIL"
    assert plain("a\x00b\x08c") == "a\ufffdb\ufffdc"
    assert plain("lone \ud800 half") == "lone \ufffd half"
    assert plain("tab\tand\nline") == "tab\tand\nline"


def test_right_to_left_writing_stays() -> None:
    assert plain("שלום عالم") == "שלום عالم"
