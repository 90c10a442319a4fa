"""Text without what steers a terminal."""

from __future__ import annotations

import unicodedata


def plain(text: str, limit: int = 200) -> str:
    r"""One line of printable text: control, bidi and line-break characters become spaces.

    >>> plain("a\x1b[31mb\nc")
    'a [31mb c'
    """
    kept = " ".join(printable(text[: limit * 4]).split())
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def printable(text: str) -> str:
    """The text with a space for every character that prints nothing; as long as before."""
    return "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
