"""Puts the tables and charts that the benchmarks have written together as docs/performance.md.

Measures nothing: each benchmark leaves a file beside itself, and this one copies them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
HEAD = """\
# Performance

What the benchmarks in `benchmarks/` printed, each with the command that prints it. They run on one
machine, against servers on loopback; your own figures come from the same commands. Ratios in one
table compare what ran in the same minutes; the machine's speed varied by half between tables.
"""


class Section(NamedTuple):
    """A benchmark's part of the page."""

    title: str
    command: str
    folder: str
    table: str
    charts: tuple[str, ...] = ()


SECTIONS = (
    Section("Stages at 1, 10 and 100 million rows", "make bench-stages", "stages", "stages.md",
            ("stages.svg",)),
    Section("The engine beside a bare loop", "make bench-engine", "engine", "speeds.md"),
    Section("One task, beside what people use", "make bench-peers", "peers", "side_by_side.md",
            ("side_by_side.svg",)),
    Section("Normalising", "make bench-normalise", "normalise", "speeds.md"),
    Section("The rate", "make bench-pacing", "pacing", "rates.md", ("rates.svg",)),
    Section("Limits that are found", "make bench-limits", "pacing", "limits.md", ("limits.svg",)),
    Section("Starting a command", "make bench-startup", ".", "startup.md"),
)  # fmt: skip


def main() -> None:
    parts = [HEAD]
    for section in SECTIONS:
        folder = HERE / section.folder
        if not (folder / section.table).exists():
            continue
        parts.append(f"## {section.title}\n\n`{section.command}`\n")
        for name in section.charts:
            copy = f"{folder.name}-{name}"
            shutil.copyfile(folder / name, PAGE.with_name(copy))
            parts.append(f"![{section.title}]({copy})\n")
        parts.append((folder / section.table).read_text("utf-8"))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
