"""What each stage takes at 1, 10 and 100 million rows: rows a second, memory, disk.

For each size: a list is written, ``batch-screen run`` reads, normalises and plans it against a
sandbox on loopback and is stopped by ``--max-requests 1``; then outcomes are made up for all
lookups but a tenth of the last shard (``answered.py``), and the same command goes on: it finds what
is done, asks for the rest and writes results, lookups, errors and summary. Beside both, polars
alone does as much with the same bytes (``alone.py``): machines differ, what we add to it hardly
does. Writes ``stages.md``.

Only the standard library is imported: the kernel counts the memory of the process that starts a
command into that command's peak, so this one must stay small.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import memory, tables

HERE = Path(__file__).parent
MILLION = 1_000_000
STOPPED_BY_BUDGET = 4
CONFIG = """
[input]
phone_column = "phone"
region_column = "country"
keep_columns = ["customer_id"]

[pacing]
rate_per_second = 100_000
ramp_up_seconds = 0

[logging]
format = "text"

[output]
heartbeat_seconds = 1
"""
NOTES = """\
*read, normalise, plan* is the first start, from CSV to the plan on disk, digests of the input
included. *resume* is from the second start to its first request, with all but a tenth of one shard
done: the input, the plan and what was answered are checked by their digests. *enrich, report* is
from the last answer to the end: results, lookups and errors as Parquet, errors.csv, summary,
manifest. Outcomes were made up for all shards but the last, a tenth of which was asked for. Peaks
are sampled every 20 ms; *whole* is the kernel's figure. Disk: what the run's state and output take.

*× polars*: our CPU over that of polars alone in the same run, in a process of its own: a straight
script that reads the same CSV and writes its text and row numbers into as many files by a hash of
the number, as the plan has; and one that joins the same rows and outcomes and writes both tables
with the same columns, in as many files. Neither parses, checks, counts, digests or syncs anything.
"""


class Size(NamedTuple):
    """What one size took."""

    planning: memory.Finished
    finishing: memory.Finished
    state_bytes: int
    output_bytes: int
    plan_alone: memory.Stage
    write_alone: memory.Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--folder", type=Path, help="where to work; needs 130 bytes a row")
    chosen = parser.parse_args()
    head = tables.machine()
    print(head)
    table = tables.Table(
        "rows", "stage", "seconds", "rows/s", "CPU s", "× polars", "peak MiB", "disk"
    )
    drawn: list[tuple[int, Size]] = []
    for millions in chosen.millions:
        with tempfile.TemporaryDirectory(prefix="batch-screen-stages-", dir=chosen.folder) as work:
            size = measure(millions * MILLION, Path(work))
        show(table, millions * MILLION, size)
        drawn.append((millions * MILLION, size))
    grown = growth(drawn)
    print(grown)
    tables.save(HERE / "stages.md", head, table, grown, NOTES)
    draw(drawn)


def measure(rows: int, folder: Path) -> Size:
    """One size, from the list to the report."""
    source, config, out = folder / "customers.csv", folder / "config.toml", folder / "out"
    python("benchmarks.stages.lists", str(rows), str(source))
    config.write_text(CONFIG)
    with memory.sandbox() as (url, _):
        run = ("run", str(source), "--config", str(config), "--out", str(out), "--base-url", url)
        planning = memory.measured(*run, "--max-requests", "1", ends_with=STOPPED_BY_BUDGET)
        python("benchmarks.stages.answered", str(out / ".state"), "--left", "1")
        finishing = memory.measured(*run)
    [run_folder] = (out / ".state" / "runs").iterdir()
    files = len(list(run_folder.glob("plan/rows-*.parquet")))
    plan_alone = alone("plan", str(source), str(folder / "plan"), str(files))
    write_alone = alone("write", str(run_folder), str(out), str(folder / "written"))
    state = size_of(out / ".state")
    return Size(planning, finishing, state, size_of(out) - state, plan_alone, write_alone)


def alone(stage: str, *arguments: str) -> memory.Stage:
    """What polars alone takes for a stage."""
    command = [sys.executable, "-m", "benchmarks.stages.alone", stage, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    # Nothing bounds its memory: where the kernel ends it, our own figures still count.
    took = "nan nan nan" if done.returncode else done.stdout
    return memory.Stage(f"polars alone: {stage}", *map(float, took.split()))


def show(table: tables.Table, rows: int, size: Size) -> None:
    """Its rows."""
    planning, finishing = stages(size.planning), stages(size.finishing)
    reading = planning["reading"]
    started = joined(stage for name, stage in finishing.items() if name in ("starting", "reading"))
    named = f"{rows:,}"
    state, output = (f"{count / 1e9:.2f} GB" for count in (size.state_bytes, size.output_bytes))
    table.add(named, "read, normalise, plan", *figures(reading, rows, size.plan_alone), state)
    table.add(named, "resume", *figures(started), "")
    writing = figures(finishing["writing"], rows, size.write_alone)
    table.add(named, "enrich, report", *writing, output)
    for each in (size.plan_alone, size.write_alone):
        table.add(named, each.name, *figures(each, rows), "")
    whole = peak(size)
    seconds = size.planning.seconds + size.finishing.seconds
    cpu = size.planning.cpu_seconds + size.finishing.cpu_seconds
    table.add(named, "whole", *figures(memory.Stage("whole", seconds, cpu, whole)), "")


def draw(sizes: Sequence[tuple[int, Size]]) -> None:
    """stages.svg: both stages over all sizes. Matplotlib comes last, for it takes memory."""
    from benchmarks.stages.charts import chart  # noqa: PLC0415

    rows = [count for count, _ in sizes]
    planning = [stages(size.planning)["reading"] for _, size in sizes]
    writing = [stages(size.finishing)["writing"] for _, size in sizes]
    lines = {"read, normalise, plan": planning, "enrich, report": writing}
    speeds = {
        name: [count / stage.seconds for count, stage in zip(rows, each, strict=True)]
        for name, each in lines.items()
    }
    peaks = {name: [stage.peak_mib for stage in each] for name, each in lines.items()}
    chart(HERE / "stages.svg", rows, speeds, peaks)


def figures(
    stage: memory.Stage, rows: int = 0, beside: memory.Stage | None = None
) -> tuple[str, ...]:
    """Seconds, rows a second, CPU seconds, their multiple of those ``beside``, and peak."""
    return (
        f"{stage.seconds:,.1f}",
        f"{rows / stage.seconds:,.0f}" if rows else "–",
        f"{stage.cpu_seconds:,.1f}",
        f"{stage.cpu_seconds / beside.cpu_seconds:.2f}" if beside else "",
        f"{stage.peak_mib:,.0f}",
    )


def peak(size: Size) -> float:
    return max(size.planning.peak_mib, size.finishing.peak_mib)


def growth(sizes: Sequence[tuple[int, Size]]) -> str:
    """How the peak grows with the list."""
    (fewest, small), (most, large) = sizes[-2:] if len(sizes) > 1 else (*sizes, *sizes)
    return (
        f"Peak memory at {most:,} rows: {peak(large):,.0f} MiB, {peak(large) / peak(small):.2f} × "
        f"that at {fewest:,}."
    )


def stages(finished: memory.Finished) -> dict[str, memory.Stage]:
    """The stages by name."""
    return {stage.name: stage for stage in finished.stages}


def joined(parts: Iterable[memory.Stage]) -> memory.Stage:
    """Stages that follow each other as one."""
    each = list(parts)
    return memory.Stage(
        each[0].name,
        sum(stage.seconds for stage in each),
        sum(stage.cpu_seconds for stage in each),
        max(stage.peak_mib for stage in each),
    )


def size_of(folder: Path) -> int:
    """The bytes of all files below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def python(*arguments: str) -> None:
    """Runs a module in a process of its own."""
    subprocess.run([sys.executable, "-m", *arguments], check=True)


if __name__ == "__main__":
    main()
