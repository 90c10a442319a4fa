"""The report's page and its chart as text that can be compared."""

from __future__ import annotations

import re
from html import unescape

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_PACE = re.compile(r'<section id="pace">.*?</section>\n?', re.DOTALL)
_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_CELL = re.compile(r"</t[dh]><t[dh][^>]*>")
_TAG = re.compile(r"<[^>]+>")


def whole_page(html: str) -> str:
    """The page but for its style, which is a text of its own."""
    return _STYLE.sub("<style></style>", html)


def style_of(html: str) -> str:
    """What the page looks like."""
    found = _STYLE.search(html)
    assert found, "the page has lost its style"
    return found[1]


def page_words(html: str) -> str:
    """What can be read on the page, without the pace: a line for each row of a table."""
    text = _PACE.sub("", _STYLE.sub("", html))
    text = _SVG.sub("[chart]", text)
    text = _CELL.sub(" | ", text)
    lines = (unescape(_TAG.sub(" ", line)).strip() for line in text.splitlines())
    return "\n".join(re.sub(r" {2,}", " ", line) for line in lines if line) + "\n"
