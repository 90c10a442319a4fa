"""Shows how long load takes and how much memory: 100,000 rows of results and of lookups by default.

    python benchmarks/warehouse.py [ROWS] [--to TARGET]...

Screens a small list against the sandbox and multiplies its run, with numbers of its own for each
row, in a temporary folder. Each target is loaded by the installed command in a process of its own;
PostgreSQL is a server of this benchmark's on a socket. Exits with 1 where a promise is not kept.

The numbers are made up by counting, and stay in the temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from msgspec import structs

import batch_screen
from batch_screen import Job, Settings
from batch_screen.config.screening import Input
from batch_screen.config.sections import Output
from batch_screen.config.settings import Pacing
from batch_screen.runs.layout import LOOKUPS, RESULTS, Layout, layout_of_run
from batch_screen.tables.manifest import list_files, read_manifest, write_manifest, write_marker

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.postgres_server import postgres_server

COMMAND = str(Path(sys.executable).with_name("batch-screen"))
SEED_ROWS = 5_000
PART_ROWS = 250_000
LIMIT_MIB = 400
SECONDS = {"postgres": 6.0, "duckdb": 3.0, "delta": 4.0, "iceberg": 6.0}
"""Promised for 200,000 rows of both tables together, on two cores."""


class Figures(NamedTuple):
    """What one load took: the clock, the processors, and the peak of its memory."""

    wall: float
    cpu: float
    mib: float


def seed(folder: Path) -> Layout:
    """A run of the sandbox over a small list."""
    numbers = [f"+4420794{60_000 + n:05}" for n in range(SEED_ROWS)]
    customers = [f"C-{n:07}" for n in range(SEED_ROWS)]
    pl.DataFrame({"phone": numbers, "customer_id": customers}).write_csv(folder / "list.csv")
    settings = Settings(
        input=Input(keep_columns=("customer_id",)),
        pacing=Pacing(rate_per_second=5_000, ramp_up_seconds=0),
        output=Output(folder=str(folder / "screened")),
    )
    job = Job((str(folder / "list.csv"),), settings, run_date=date(2026, 11, 23), sandbox=True)
    done = batch_screen.run(job)
    return layout_of_run(folder / "screened", done.summary.run_id)


def multiply(layout: Layout, rows: int) -> None:
    """The run with so many rows in results and lookups, each with a number of its own."""
    small = {table: pl.read_parquet(layout.part(table, 0)) for table in (RESULTS, LOOKUPS)}
    for part, first in enumerate(range(0, rows, PART_ROWS)):
        count = min(PART_ROWS, rows - first)
        for table, frame in small.items():
            at = pl.int_range(first, first + count, dtype=pl.Int64)
            own = ("+999" + at.cast(pl.String).str.zfill(9)).alias("e164")
            many = pl.concat([frame] * (count // frame.height + 1)).head(count).with_columns(own)
            if table == RESULTS:
                many = many.with_columns(row_index=at, source_row=at + 1)
            many.write_parquet(
                layout.part(table, part), row_group_size=100_000, compression_level=1
            )
    manifest = read_manifest(layout)
    assert manifest is not None
    facts = {k: v for k, v in structs.asdict(manifest).items() if k != "files"}
    head = type(manifest).__mro__[1](**facts)
    write_manifest(layout, list_files(layout), head)
    write_marker(layout)


def load(out: Path, to: str, environment: dict[str, str]) -> Figures:
    began = time.perf_counter()
    command = [COMMAND, "load", str(out), "--to", to, "--sandbox", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment})
    assert process.stdout is not None
    told = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    assert status == 0, told
    assert told["runs"][0]["state"] == "loaded", told
    return Figures(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("--to", action="append", choices=[*SECONDS], default=[])
    asked: Any = parser.parse_args()
    is_kept = True
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        layout = seed(folder)
        multiply(layout, asked.rows)
        print(
            f"{asked.rows:,} rows of results and as many of lookups, load {os.getloadavg()[0]:.1f}"
        )
        for target in asked.to or SECONDS:
            environment: dict[str, str] = {}
            to = f"{target}:{folder / target}"
            if target == "postgres":
                environment, to = stack.enter_context(postgres_server()), "postgresql://"
            elif target == "iceberg":
                environment = {
                    "PYICEBERG_CATALOG__BENCH__TYPE": "sql",
                    "PYICEBERG_CATALOG__BENCH__URI": f"sqlite:///{folder}/catalog.db",
                    "PYICEBERG_CATALOG__BENCH__WAREHOUSE": f"file://{folder}/iceberg",
                }
                to = "iceberg:bench"
            figures = load(layout.folder, to, environment)
            allowed = SECONDS[target] * asked.rows / 100_000
            is_fine = figures.wall <= allowed and figures.mib <= LIMIT_MIB
            is_kept &= is_fine
            print(
                f"{target:9} {figures.wall:6.1f} s (promised {allowed:.0f}), "
                f"{figures.cpu:6.1f} s of CPU, {figures.mib:5.0f} MiB (promised {LIMIT_MIB})"
                f"{'' if is_fine else '  NOT KEPT'}"
            )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
