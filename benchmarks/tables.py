"""Tables in Markdown, printed a row at a time and kept for a file."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from math import isnan
from pathlib import Path


class Table:
    """Prints its head at once and each row as it comes."""

    def __init__(self, *names: str) -> None:
        self._lines: list[str] = []
        self._show(names)
        # Names stand on the left, figures on the right.
        self._show([":--", *("--:" for _ in names[1:])])

    def add(self, *cells: object) -> None:
        """A row."""
        self._show([str(cell) for cell in cells])

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _show(self, cells: Sequence[str]) -> None:
        self._lines.append(f"| {' | '.join(cells)} |")
        print(self._lines[-1], flush=True)


def percent(share: float) -> str:
    """A share to read.

    >>> percent(0.98765), percent(float("nan"))
    ('98.8 %', '–')
    """
    return "–" if isnan(share) else f"{100 * share:.1f} %"


def machine() -> str:
    """What the figures depend on: cores, Python, and what else was going on before."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}; "
        f"load average {load:.2f} at the start."
    )


def save(path: Path, *parts: object) -> None:
    """Writes the parts, an empty line between each two."""
    path.write_text(
        "\n".join(f"{part}\n" if not isinstance(part, Table) else str(part) for part in parts),
        encoding="utf-8",
    )
    print(f"wrote {path.name}")
