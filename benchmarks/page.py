"""Puts the tables and charts that the benchmarks have written together as docs/performance.md.

Measures nothing: each benchmark leaves a file beside itself, and this one copies them.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from batch_screen.diagnostics.place import needed_bytes

HERE = Path(__file__).parent
GIB = 1 << 30
PAGE = HERE.parent / "docs" / "performance.md"
HEAD = """\
# Performance

What the benchmarks in `benchmarks/` printed, each with the command that prints it. They run on one
machine, against servers on loopback; your own figures come from the same commands. Ratios in one
table compare what ran in the same minutes; the machine's speed varied by half between tables.

## What a list needs

| rows | memory, measured | disk for 1 endpoint | for 2 | for 5 |
| --: | --: | --: | --: | --: |
{sizes}

*Memory* is the peak of a whole run at one endpoint, from the next chapter. *Disk* is the free space
that `batch-screen doctor` asks for: state and output with something to spare. One core asks; a
second one helps reading and writing.

Memory hardly grows with the list: a longer list is cut into more shards (of 160,000 rows), and
only a few shards are in memory at once. `output.memory_mib`, by default 1,024, makes them smaller.
`make bench-memory` fails if a run over a million rows with 300,000 numbers takes more than 600 MiB.
"""
ROWS = (1_000_000, 10_000_000, 100_000_000)


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


def sizes() -> str:
    """The rows of the table of what a list needs, by what was measured and what doctor asks for."""
    measured = (HERE / "stages" / "stages.md").read_text("utf-8")
    lines = []
    for rows in ROWS:
        [peak] = re.findall(rf"^\| {rows:,} \| whole \|.* ([\d,]+) \| +\|$", measured, re.MULTILINE)
        disks = [f"{needed_bytes(rows, count) / GIB:.1f} GiB" for count in (1, 2, 5)]
        lines.append(f"| {rows:,} | {peak} MiB | {' | '.join(disks)} |")
    return "\n".join(lines)


def main() -> None:
    parts = [HEAD.format(sizes=sizes())]
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
