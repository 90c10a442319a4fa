"""Where output files lie, and how one Parquet part is written: whole, private, typed.

Only Parquet lies in the data folders, whose readers take every file they find; what grows
lies beside them meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from batch_screen.config.output import Compression, Output
from batch_screen.dealing import Spool
from batch_screen.files import (
    check_could_write,
    make_folder,
    sweep,
    sync_folder,
    translated,
    whole,
)
from batch_screen.frames import write_frame

RESULTS, LOOKUPS, ERRORS = "results", "lookups", "errors"
TABLES = (RESULTS, LOOKUPS, ERRORS)
"""What every run writes; ``CHANGES`` only one that has an earlier run to be compared with."""

CHANGES = "changes"
DATA_FOLDERS = (*TABLES, CHANGES)
SHARDS_MARK = "batch-screen.shards"
"""In the metadata of a part that holds several shards: how many there are in the run."""

_LEVELS = {Compression.ZSTD: 1}
"""Of ours, higher ones take a third longer and save no space."""


class Layout:
    """The paths of one run below the output folder."""

    def __init__(self, folder: Path, run_id: str, run_date: str) -> None:
        self.folder = folder
        self.run_id = run_id
        self.run_date = run_date
        self.run = folder / "runs" / run_id
        self.summary = self.run / "summary.json"
        self.errors_csv = self.run / "errors.csv"
        self.schema = self.run / "schema.json"
        self.pace = self.run / "pace.svg"
        self.html = self.run / "report.html"
        self.in_order = self.run / "results_in_order.parquet"
        self.manifest = self.run / "manifest.json"
        self.marker = self.run / "_SUCCESS"
        self.latest = folder / "latest.json"

    @property
    def reports(self) -> tuple[Path, ...]:
        """What the manifest lists beside the parts, in the order of writing."""
        optional = (self.in_order,) if self.in_order.exists() else ()
        return (self.summary, self.errors_csv, self.pace, self.schema, *optional, self.html)

    def part(self, table: str, number: int) -> Path:
        """Path of a part: unique to the run, never written again under the same name."""
        name = f"{self.run_id}-{number:05d}.parquet"
        return self.folder / table / f"run_date={self.run_date}" / name

    def parts(self, table: str) -> list[Path]:
        """The run's parts of a table that exist."""
        day = self.folder / table / f"run_date={self.run_date}"
        return sorted(day.glob(f"{self.run_id}-[0-9][0-9][0-9][0-9][0-9].parquet"))

    def check_writable(self) -> None:
        """Raises ``OutputError`` if a file of the run could not be written; makes none."""
        days = (self.part(table, 0).parent for table in DATA_FOLDERS)
        for folder in (self.run, *days):
            check_could_write(folder)

    def clear(self) -> None:
        """Removes what an earlier report left, the marker first: some may not come again."""
        with translated("replace", self.marker):
            if self.marker.exists():
                self.marker.unlink()
                sync_folder(self.run)  # it must not come back when the parts have gone
        sweep(self.run)
        parts = [path for table in DATA_FOLDERS for path in self.parts(table)]
        for path in [*parts, self.in_order] if self.in_order.exists() else parts:
            with translated("replace", path):
                path.unlink()

    @contextmanager
    def growing_part(self, table: str, number: int, shards: int, output: Output) -> Iterator[Spool]:
        """A part to which shards are added, a row group each, of so many ``shards`` in all."""
        path = self.part(table, number)
        make_folder(path.parent)
        how = {"compression": output.compression.value}
        marks = {SHARDS_MARK: str(shards)}
        with (
            whole(path, staging=make_folder(self.run)) as file,
            Spool(path, file, how, marks) as spool,
        ):
            yield spool

    def write_part(self, table: str, number: int, frame: pl.DataFrame, output: Output) -> Path:
        """Writes a part and returns its path."""
        path = self.part(table, number)
        make_folder(path.parent)
        write_frame(
            path,
            frame,
            staging=make_folder(self.run),
            compression=output.compression.value,
            compression_level=_LEVELS.get(output.compression),
            row_group_size=output.row_group_rows,
            statistics=True,
        )
        return path


def row_groups(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a part, a row group at a time: those of large runs hold many shards."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield pl.DataFrame(file.read_row_group(group))
