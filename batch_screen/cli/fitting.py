"""Blocks of text fitted to a terminal: long lines go on below what they say it of.

Only for who reads: in a pipe a line stays a line, and what is to be copied stays whole.
"""

from __future__ import annotations

import re
import textwrap

_LEAST_COLUMNS = 40
_HANG_WITHIN = 45
_GAPS = re.compile(r" \.{2,} |(?<=\S) {2,}(?=\S)")
_TO_COPY = re.compile(r"^ *(?:look|resume) \.|batch-screen [a-z]+ |/run_date=")


def fitted(text: str, columns: int) -> str:
    """The text in so many columns.

    >>> print(fitted("  rejected ... empty 70, too_short 5, too_long 15", 40))
      rejected ... empty 70, too_short 5,
                   too_long 15
    """
    width = max(_LEAST_COLUMNS, columns)
    return "\n".join(_fitted(line, width) for line in text.split("\n"))


def _fitted(line: str, width: int) -> str:
    if len(line) <= width or _TO_COPY.search(line):
        return line
    hang = _hang(line)
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * hang,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def _hang(line: str) -> int:
    """Where its last column begins; else a little further in than the line."""
    ends = [gap.end() for gap in _GAPS.finditer(line) if gap.end() <= _HANG_WITHIN]
    return ends[-1] if ends else len(line) - len(line.lstrip()) + 2
