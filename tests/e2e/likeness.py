"""Whether a page shows what a command prints now, but for what differs from run to run."""

from __future__ import annotations

import re

LEFT_OUT = "…"
"""A line of its own that stands for any lines, or none."""

_PASSING = (
    (re.compile(r"\b\d{8}-[0-9a-f]{10}\b"), "RUN"),
    # A run that names none has the day of its start.
    (re.compile(r"(run[_-]date[= ])\d{4}-\d\d-\d\d"), r"\1DAY"),
    (re.compile(r"(batch-screen|version) \d+\.\d+\.\d+\S*"), r"\1 VERSION"),
    (re.compile(r'"time": "[^"]*"'), "TIME"),
    (re.compile(r'"(?:started|completed)_at": "[^"]*"'), "AT"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "AT"),
    (re.compile(r'"bytes": \d+'), "BYTES"),
    (re.compile(r'"sha256": "[^"]*"'), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\bkey [0-9a-f]{8}\b"), "KEY"),
    (re.compile(r'"seconds": [\d.]+'), "SECONDS"),
    (re.compile(r"\b[\d.]+ KiB\b"), "SIZE"),
    # By how long the runs before took, it is a minute more or less.
    (re.compile(r"with one of up to [\d,]+ min"), "GAP"),
    (re.compile(r"p50=\S+ p95=\S+ p99=\S+"), "TIMES"),
    # Not said at all of a start that took less than a second.
    (re.compile(r"^  rate \.+ .*\n", re.MULTILINE), ""),
    (re.compile(r"^  pace \.+ .*?(?=^  \w+ \.+ )", re.MULTILINE | re.DOTALL), ""),
)


def is_like(shown: str, printed: str) -> bool:
    """Whether the text shown is the one printed.

    >>> is_like("run 20260302-0123456789\\n…\\nb 2\\n", "run 20260303-fedcba9876\\na 1\\nb 2\\n")
    True
    >>> is_like("a 1\\n", "a 2\\n"), is_like("a 1\\n", "a 1\\nb 2\\n")
    (False, False)
    """
    pieces = re.split(rf"^{LEFT_OUT}\n", lasting(shown), flags=re.MULTILINE)
    pattern = "(?:.*\n)*?".join(map(re.escape, pieces))
    return re.fullmatch(pattern, lasting(printed)) is not None


def lasting(text: str) -> str:
    """The text with words in place of what is another in the next run."""
    for pattern, word in _PASSING:
        text = pattern.sub(word, text)
    return text
