"""How long it takes until the command line says something, and which imports take the time.

And the CPU of the smallest run, of ten numbers against its own sandbox, which is imports mostly.

Writes ``startup.md`` beside this file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import tables

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).with_name("batch-screen"))
SHOWN = (
    ("--help",),
    ("--version",),
    ("run", "--help"),
    ("check", "--help"),
    ("plan", "--help"),
    ("sandbox", "--help"),
    ("validate", "--help"),
    ("status", "--help"),
    ("doctor", "--help"),
    ("purge", "--help"),
    ("init", "--help"),
    ("config", "--help"),
    ("completion", "zsh"),
)
TEN = "phone\n" + "".join(f"+49151000000{row:02}\n" for row in range(10))
MODULES = 12
NOTES = """\
Milliseconds over {runs} starts each, files in the system's cache: until the first line, and until
the process has ended. *bare Python*: the interpreter with nothing to do, in the same environment.
`run --sandbox` over ten numbers takes {cpu:.2f} s of CPU, in the middle of {runs} starts.
"""
IMPORTS = """\
What importing the command line takes, by `python -X importtime`, in the middle of {runs}; the whole
is {whole:.0f} ms. *Own* leaves out what a module imports in turn. Measuring makes it slower.
"""


class Import(NamedTuple):
    """A module and the milliseconds of its import, by itself and with what it imports."""

    name: str
    own_ms: float
    with_others_ms: float


def imports_in(report: str) -> list[Import]:
    """The lines of ``-X importtime``; headings and anything else are passed over.

    >>> imports_in("import time: self [us] | cumulative | package\\nimport time: 500 | 1500 | re")
    [Import(name='re', own_ms=0.5, with_others_ms=1.5)]
    """
    found = []
    for line in report.splitlines():
        own, *others = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and len(others) == 2 and own.strip().isdigit():
            found.append(Import(others[1].strip(), int(own) / 1000, int(others[0]) / 1000))
    return found


def middles(reports: Iterable[list[Import]]) -> list[Import]:
    """Every module once, with the middle of its times; the slowest by itself comes first.

    >>> middles([[Import("a", 1, 2)], [Import("a", 3, 4)], [Import("a", 2, 9)]])
    [Import(name='a', own_ms=2, with_others_ms=4)]
    """
    by_name: dict[str, list[Import]] = {}
    for report in reports:
        for each in report:
            by_name.setdefault(each.name, []).append(each)
    found = [
        Import(name, median(e.own_ms for e in all_), median(e.with_others_ms for e in all_))
        for name, all_ in by_name.items()
    ]
    return sorted(found, key=lambda each: -each.own_ms)


def environment() -> dict[str, str]:
    """This one, but modules are compiled once: an installed package's are, too."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def timed(command: list[str]) -> tuple[float, float]:
    """Milliseconds until the first line, if one comes, and until the end."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        if process.stdout is None:
            raise RuntimeError("the process was started without a pipe")
        process.stdout.readline()
        first = time.perf_counter()
        process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return 1000 * (first - began), 1000 * (time.perf_counter() - began)


def run_of_ten() -> float:
    """CPU seconds of a run of ten numbers."""
    with tempfile.TemporaryDirectory(prefix="batch-screen-startup-") as folder:
        Path(folder, "ten.csv").write_text(TEN)
        command = [COMMAND, "run", "ten.csv", "--sandbox", "--out", "out"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def starts(runs: int) -> tables.Table:
    """Every help, so many times."""
    table = tables.Table("command", "first line", "slowest", "ended")
    commands = {f"`batch-screen {' '.join(shown)}`": [COMMAND, *shown] for shown in SHOWN}
    commands["bare Python"] = [sys.executable, "-c", "pass"]
    for name, command in commands.items():
        timed(command)  # the first reads files that are in no cache yet
        firsts, ends = zip(*(timed(command) for _ in range(runs)), strict=True)
        table.add(name, *(f"{ms:,.0f}" for ms in (median(firsts), max(firsts), median(ends))))
    return table


def imports(runs: int) -> tuple[tables.Table, str]:
    """The slowest modules and a word about them."""
    command = [sys.executable, "-X", "importtime", "-c", "import batch_screen.cli.main"]
    reports = []
    for _ in range(runs):
        done = subprocess.run(
            command, stderr=subprocess.PIPE, text=True, check=True, env=environment()
        )
        reports.append(imports_in(done.stderr))
    found = middles(reports)
    table = tables.Table("module", "own ms", "with its imports")
    for each in found[:MODULES]:
        table.add(f"`{each.name}`", f"{each.own_ms:.1f}", f"{each.with_others_ms:.1f}")
    return table, IMPORTS.format(runs=runs, whole=sum(each.own_ms for each in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    chosen = parser.parse_args()
    head = tables.machine()
    print(head)
    shown = starts(chosen.runs)
    cpu = median(run_of_ten() for _ in range(chosen.runs))
    notes = NOTES.format(runs=chosen.runs, cpu=cpu)
    print(notes)
    slowest, word = imports(chosen.runs)
    tables.save(HERE / "startup.md", head, shown, notes, slowest, word)


if __name__ == "__main__":
    main()
