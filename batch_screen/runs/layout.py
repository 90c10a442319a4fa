"""Where a run's files lie, which run a path means, and how a part is written.

Only Parquet lies in the data folders, whose readers take every file they find; what grows
lies beside them meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq

from batch_screen.config.sections import Compression, Output
from batch_screen.errors import ExitCode, InputError
from batch_screen.storage.atomic import (
    check_could_write,
    make_folder,
    sweep,
    sync_folder,
    translated,
    whole,
    write_frame,
)
from batch_screen.storage.partition import RowGroupWriter

# Where output files lie, and how one Parquet part is written: whole, private, typed.
#
# Only Parquet lies in the data folders, whose readers take every file they find; what grows
# lies beside them meanwhile.

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
    def growing_part(
        self, table: str, number: int, shards: int, output: Output
    ) -> Iterator[RowGroupWriter]:
        """A part to which shards are added, a row group each, of so many ``shards`` in all."""
        path = self.part(table, number)
        make_folder(path.parent)
        how = {"compression": output.compression.value}
        marks = {SHARDS_MARK: str(shards)}
        with (
            whole(path, staging=make_folder(self.run)) as file,
            RowGroupWriter(path, file, how, marks) as spool,
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


RUN_ID = r"\d{8}-[0-9a-f]{10}(?:-\d+)?"


def is_run_id(name: str) -> bool:
    """Whether a run could have this name.

    >>> is_run_id("20261123-0123456789-2"), is_run_id("../20261123-0123456789")
    (True, False)
    """
    return re.fullmatch(RUN_ID, name) is not None


def layout_of_run(folder: Path, run_id: str) -> Layout:
    """Where the run's files lie; the name of a run begins with its date."""
    return Layout(folder, run_id, f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}")


def latest_run(folder: Path) -> str | None:
    """The run that latest.json names, or None where it names none."""
    try:
        named = msgspec.json.decode((folder / "latest.json").read_bytes(), type=dict[str, str])
    except (OSError, ValueError):
        return None
    run_id = named.get("run_id", "")
    return run_id if is_run_id(run_id) else None


# Which run is meant by a path: an output folder's latest, one it names, or a run's own folder.


def run_at(folder: Path, run_id: str | None = None) -> Layout:
    """The run named, or the folder's own, or the one that latest.json names.

    Raises ``InputError`` where there is no such folder or run.
    """
    out, own = place_of(folder)
    return layout_of_run(out, _known(out, own if run_id is None else run_id))


def runs_at(folder: Path) -> list[str]:
    """Every run that began to write into the output folder, oldest date first.

    Raises ``InputError`` if there is none.
    """
    out, own = place_of(folder)
    found = sorted(path.name for path in (out / "runs").glob("*") if is_run_id(path.name))
    if not found:
        raise InputError(
            f"{folder}: no run has written there; check the path", exit_code=ExitCode.NO_INPUT
        )
    return [own] if own else found


def place_of(folder: Path) -> tuple[Path, str | None]:
    """The output folder, and the run if it was a run's folder."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; check the path", exit_code=ExitCode.NO_INPUT
        )
    whole = folder.resolve()  # "." may be a run's folder
    if whole.parent.name == "runs" and is_run_id(whole.name):
        return whole.parent.parent, whole.name
    return folder, None


def _known(out: Path, run_id: str | None) -> str:
    if run_id is None:
        return _latest(out)
    if is_run_id(run_id) and (out / "runs" / run_id).is_dir():
        return run_id
    raise InputError(
        f"{out}: there is no run {run_id}; ls {out}/runs shows its runs",
        exit_code=ExitCode.NO_INPUT,
    )


def _latest(out: Path) -> str:
    run_id = latest_run(out)
    if run_id is not None and (out / "runs" / run_id).is_dir():
        return run_id
    if run_id is not None or (out / "latest.json").exists():
        raise InputError(
            f"{out}/latest.json is damaged or names a run that is not there; name a run with "
            "--run, or take --all"
        )
    raise InputError(
        f"{out}: no latest.json, so no run was completed there; check the path, or name a run with "
        "--run",
        exit_code=ExitCode.NO_INPUT,
    )


ShardOf = Callable[[pl.Expr, int], pl.Expr]
"""The shard a number lies in, of so many shards."""
