"""Seconds that erase takes for each run: python -m benchmarks.erase [RUNS] [ROWS].

Screens a list once for each date against the sandbox, in a temporary folder, and erases one person
who is in all of these runs. Every run is real, so the command meets what it meets in a year of
nights; 365 of them would take an hour to make, so the time of all of them is reckoned from a few.
Exits with 1 where a promise is not kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

import batch_screen
from batch_screen import Job, Settings
from batch_screen.commands.erase import erase_people
from batch_screen.config.screening import Input, Screening
from batch_screen.config.sections import Guards, Output
from batch_screen.config.settings import Pacing
from batch_screen.erasure.people import People
from batch_screen.model import Endpoint

_RUNS, _ROWS = 5, 100_000
_YEAR, _MOST_MINUTES = 365, 15


def main() -> int:
    given = [int(each) for each in sys.argv[1:]]
    runs, rows = (*given, *(_RUNS, _ROWS)[len(given) :])
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        out = Path(folder) / "screened"
        numbers = _make(Path(folder), runs, rows)
        read = 0
        read_row_group = pq.ParquetFile.read_row_group

        def counted(file: pq.ParquetFile, *args: object, **named: object) -> object:
            nonlocal read
            read += 1
            return read_row_group(file, *args, **named)

        groups = sum(pq.read_metadata(path).num_row_groups for path in out.glob("*/*/*.parquet"))
        nobody = People(pl.Series(["+15005550100"]))  # below all of the list
        pq.ParquetFile.read_row_group = counted
        erase_people(nobody, out, Path(folder) / "no-state", dry_run=True)
        pq.ParquetFile.read_row_group = read_row_group
        began = time.perf_counter()
        report = erase_people(People(pl.Series([numbers[rows // 2]])), out, out / ".state")
        seconds = (time.perf_counter() - began) / runs
        assert len(report.runs) == runs
        assert all(batch_screen.validate(out, run.run_id).is_whole for run in report.runs)
    minutes = seconds * _YEAR / 60
    sys.stdout.write(
        f"{runs} runs of {rows:,} rows, load {os.getloadavg()[0]:.1f}: {seconds:.2f} s a run, so "
        f"{minutes:.1f} minutes for {_YEAR} (promised {_MOST_MINUTES}); of {groups} row groups "
        f"{read} were read for somebody whom their statistics exclude, all for their kept cells\n"
    )
    return 0 if minutes <= _MOST_MINUTES and read <= runs else 1


def _make(folder: Path, runs: int, rows: int) -> list[str]:
    """The runs; the numbers of their list."""
    numbers = [f"+4915112{n:06}" for n in range(rows)]
    listed = pl.DataFrame({"phone": numbers, "customer_id": [f"C-{n:07}" for n in range(rows)]})
    listed.write_parquet(folder / "list.parquet")
    settings = Settings(
        screening=Screening(endpoints=(Endpoint.SIM_SWAP_CHECK,)),
        # Kept columns are read in full, whoever is sought: a cell may hold anybody's number.
        input=Input(keep_columns=("customer_id",)),
        pacing=Pacing(rate_per_second=20_000, ramp_up_seconds=0),
        guards=Guards(max_failure_share=1.0),
        output=Output(folder=str(folder / "screened")),
    )
    for n in range(runs):
        day, inputs = date(2026, 1, 1) + timedelta(days=n), (str(folder / "list.parquet"),)
        batch_screen.run(Job(inputs, settings, run_date=day, sandbox=True))
    return numbers


if __name__ == "__main__":
    sys.exit(main())
