"""Markdown tables and marks, independent of their content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table; vertical bars and line breaks in cells are escaped.

    >>> print(table(["Sign", "Means"], [["|", "a bar"]]))
    | Sign | Means |
    |---|---|
    | \| | a bar |
    """
    cells = [
        [str(value).replace("|", "\\|").replace("\n", " ") for value in line]
        for line in (heads, *rows)
    ]
    drawn = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([drawn[0], f"|{'---|' * len(heads)}", *drawn[1:]])


def code(text: object) -> str:
    """The text as code; empty for an empty text.

    >>> code("a"), code("")
    ('`a`', '')
    """
    return f"`{text}`" if str(text) else ""


def one_of(texts: Iterable[object]) -> str:
    """Texts as code, side by side."""
    return ", ".join(code(text) for text in texts)


def page(title: str, *parts: str) -> str:
    """A whole page: a note on its origin, its title, and its parts."""
    note = "<!-- `make docs` writes this page from the code: change the code, not the page. -->"
    return "\n\n".join([note, f"# {title}", *(part.strip("\n") for part in parts)]) + "\n"
