"""How fast lists are normalised, from CSV to Parquet: batch-screen, phonenumbers, rphonenumbers.

Each reads the same three lists, batch-screen the whole of them and the others their first rows,
for they need hours; each twice in one process. Writes ``speeds.md`` beside this file.

Only the standard library is imported: the kernel counts the memory of the process that starts a
command into that command's peak, so this one must stay small.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks import tables

HERE = Path(__file__).parent
KINDS = ("ten regions", "all regions", "one region")
OURS, OTHERS = "batch-screen", ("phonenumbers", "rphonenumbers")
MIB = 1024
NOTES = """\
*Cold*: from the start of the process, imports and tables included; *warm*: the same list once more
in the same process. *Ratio*: batch-screen's rows a second over this one's, both warm. The others
read the first rows of the same file. Half of the numbers start with + or 00; those of one region
are written nationally. phonenumbers parses, checks validity and asks for E.164, region and type,
as batch-screen does; batch-screen also finds ambiguous, damaged and doubled cells.
"""


class Speed(NamedTuple):
    """What one contestant did with one list."""

    rows: int
    cold_seconds: float
    warm_seconds: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="of each list")
    parser.add_argument("--others-rows", type=int, default=200_000)
    chosen = parser.parse_args()
    head = tables.machine()
    print(head)
    table = tables.Table(
        "list", "contestant", "rows", "cold rows/s", "warm rows/s", "peak", "ratio"
    )
    with tempfile.TemporaryDirectory(prefix="batch-screen-normalise-") as folder:
        for kind in KINDS:
            compare(kind, chosen.rows, chosen.others_rows, Path(folder), table)
    tables.save(HERE / "speeds.md", head, table, NOTES)


def compare(kind: str, rows: int, others_rows: int, folder: Path, table: tables.Table) -> None:
    """All contestants on one list."""
    whole, begin = folder / "list.csv", folder / "begin.csv"
    python("benchmarks.normalise.lists", kind, str(rows), str(whole))
    with whole.open("rb") as source, begin.open("wb") as target:
        target.writelines(islice(source, others_rows + 1))
    ours = measured(OURS, whole, rows)
    show(table, kind, OURS, ours, ours)
    for name in OTHERS:
        show(table, kind, name, measured(name, begin, min(rows, others_rows)), ours)


def show(table: tables.Table, kind: str, name: str, speed: Speed, ours: Speed) -> None:
    """Its row."""
    ratio = (ours.rows / ours.warm_seconds) / (speed.rows / speed.warm_seconds)
    table.add(
        *(kind, name, f"{speed.rows:,}", f"{speed.rows / speed.cold_seconds:,.0f}"),
        *(f"{speed.rows / speed.warm_seconds:,.0f}", f"{speed.peak_mib:,.0f} MiB"),
        f"{ratio:,.1f} ×",
    )


def measured(name: str, source: Path, rows: int) -> Speed:
    """What the contestant's process says, and the kernel of its memory."""
    target = source.with_suffix(".parquet")
    command = [sys.executable, "-m", "benchmarks.normalise.clients", name, source, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    cold, warm = json.loads(said)
    target.unlink()
    return Speed(rows, cold, warm, usage.ru_maxrss / MIB)


def python(*arguments: str) -> None:
    """Runs a module in a process of its own."""
    subprocess.run([sys.executable, "-m", *arguments], check=True)


if __name__ == "__main__":
    main()
