"""Layout of the output folder: paths of a run's files, lookup of runs, writing of parts.

Only finished Parquet lies in the data folders, because their readers take every file they find;
unfinished parts lie in the run's own folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.paths import refuse_input_address
from batch_screen.config.sections import Compression, Mode, Output
from batch_screen.errors import ConfigurationError, InputError, no_input
from batch_screen.schema import SCHEMA_VERSION
from batch_screen.storage.atomic import (
    FILE_MODE,
    FOLDER_MODE,
    GROUP_FILE_MODE,
    GROUP_FOLDER_MODE,
    atomic_write,
    check_could_write,
    check_writable,
    exchange_folders,
    finish_exchange,
    make_folder,
    sweep,
    sync_folder,
    translated,
    write_frame,
)
from batch_screen.storage.partition import RowGroupWriter
from batch_screen.storage.reading import is_there, read_json

RESULTS, LOOKUPS, ERRORS = "results", "lookups", "errors"
TABLES = (RESULTS, LOOKUPS, ERRORS)
"""The tables whose parts are written together; ``CHANGES`` follows from them and an earlier run."""

CHANGES = "changes"
DATA_FOLDERS = (*TABLES, CHANGES)
SHARDS_MARK = "batch-screen.shards"
"""Metadata key of a part of several shards: how many shards the run has."""
LINEAGE = "openlineage.ndjson"
"""Events of the run's starts and loads. In no manifest: some come after the marker."""
FOOTER = "batch_screen."
"""What the metadata keys begin with that say in every Parquet file which run it is of."""

_LEVELS = {Compression.ZSTD: 1}  # higher ones take a third longer and save no space here


class Layout:
    """The paths of one run in the output folder.

    ``mode`` None: as open as the run's own folder is. ``sandbox`` goes into the parts it writes.
    ``own`` is the name of the run's own folder, if not its id.
    """

    def __init__(  # noqa: PLR0913 (whose paths, where, and how they are written)
        self,
        folder: Path,
        run_id: str,
        run_date: str,
        mode: Mode | None = None,
        *,
        sandbox: bool = False,
        own: str = "",
    ) -> None:
        self._mode = mode
        self.folder = folder
        self.run_id = run_id
        self.run_date = run_date
        self.sandbox = sandbox
        self.run = folder / "runs" / (own or run_id)
        self.summary = self.run / "summary.json"
        self.errors_csv = self.run / "errors.csv"
        self.schema = self.run / "schema.json"
        self.pace = self.run / "pace.svg"
        self.html = self.run / "report.html"
        self.in_order = self.run / "results_in_order.parquet"
        self.manifest = self.run / "manifest.json"
        self.marker = self.run / "_SUCCESS"
        self.lineage = self.run / LINEAGE
        self.latest = folder / "latest.json"

    @property
    def is_marked(self) -> bool:
        """Whether the run came to its end; no, too, where nobody may look."""
        return is_there(self.marker)

    @property
    def mode(self) -> Mode:
        """Who may read what is written."""
        if self._mode is not None:
            return self._mode
        found = self.run.stat().st_mode if self.run.exists() else 0
        is_open = found & GROUP_FOLDER_MODE == GROUP_FOLDER_MODE
        return Mode.GROUP if is_open else Mode.PRIVATE

    @property
    def file_mode(self) -> int:
        return GROUP_FILE_MODE if self.mode is Mode.GROUP else FILE_MODE

    def made(self, folder: Path) -> Path:
        """A folder of the run, made with all that leads to it from the output folder."""
        mode = GROUP_FOLDER_MODE if self.mode is Mode.GROUP else FOLDER_MODE
        ours = [each for each in (folder, *folder.parents) if self.folder in (each, *each.parents)]
        for each in reversed(ours):
            make_folder(each, mode)
        return folder

    @property
    def reports(self) -> tuple[Path, ...]:
        """The files that the manifest lists beside the parts, in the order of writing."""
        optional = (self.in_order,) if self.in_order.exists() else ()
        return (self.summary, self.errors_csv, self.pace, self.schema, *optional, self.html)

    @property
    def growing(self) -> Path:
        """Where the run's folder and its results are while they are written anew."""
        return self.run.with_name(f".{self.run_id}.anew")

    @property
    def footer(self) -> dict[str, str]:
        """The run as the metadata of its Parquet files have it: a copied file says whose it is."""
        return {
            f"{FOOTER}schema_version": str(SCHEMA_VERSION),
            f"{FOOTER}run_id": self.run_id,
            f"{FOOTER}run_date": self.run_date,
            f"{FOOTER}sandbox": str(self.sandbox).lower(),
        }

    def part(self, table: str, number: int) -> Path:
        """Path of a part; the run's id in its name keeps runs from overwriting each other."""
        name = f"{self.run_id}-{number:05d}.parquet"
        return self.folder / table / f"run_date={self.run_date}" / name

    def parts(self, table: str) -> list[Path]:
        """Existing parts of a table, in order."""
        found = self.all_parts(table)
        if len({number_of(path.name) for path in found}) == len(found):
            return found
        # While they are written anew, or where that was killed, the manifest decides.
        listed = self._listed()
        return [path for path in found if self.named(path) in listed]

    def all_parts(self, table: str) -> list[Path]:
        """Existing parts of a table, also those whose place others are taking."""
        day = self.part(table, 0).parent
        return sorted(p for p in day.glob("*.parquet") if self.is_part(p.name))

    def is_part(self, name: str) -> bool:
        """Whether a part of this run could have the name."""
        match = PART.fullmatch(name)
        return match is not None and match["run_id"] == self.run_id

    def named(self, path: Path) -> str:
        """How the manifest calls a file of the run."""
        return str(path.relative_to(self.folder))

    def _listed(self) -> set[str]:
        with suppress(OSError, ValueError):  # a damaged one is for others to complain of
            manifest = read_json(self.manifest, _Listing)
            return {file.path for file in manifest.files}
        return set()

    def check_writable(self) -> None:
        """Raises ``OutputError`` if a file of the run could not be written or read again.

        Tries it with a small one in the run's own folder, which goes again if it was not there.
        """
        for table in DATA_FOLDERS:
            if (self.folder / table).exists():
                self.made(self.folder / table)  # an earlier run's, which may have to be opened
            check_could_write(self.part(table, 0).parent)
        made = [folder for folder in (self.run, self.run.parent) if not folder.exists()]
        try:
            check_writable(self.made(self.run))
        finally:
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()

    def refuse_inside(self, path: Path) -> None:
        """Raises ``ConfigurationError`` if a file to write lies in the output folder."""
        if self.folder.resolve() in path.resolve().parents:
            raise ConfigurationError(
                f"{path} lies in the output folder, where only runs write; name a file elsewhere"
            )

    def clear(self) -> None:
        """Removes earlier output of the run, which may have had more parts; the marker first."""
        with translated("replace", self.marker):
            if self.is_marked:
                self.marker.unlink()
                sync_folder(self.run)  # it must not come back when the parts have gone
        sweep(self.run)
        parts = [path for table in DATA_FOLDERS for path in self.all_parts(table)]
        for path in (*parts, self.in_order):
            with translated("replace", path):
                path.unlink(missing_ok=True)
        for left in (self.growing, self.growing.with_suffix(".before")):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def opened_part(
        self, table: str, shards: Sequence[int], of_shards: int, output: Output
    ) -> Iterator[Callable[[pl.DataFrame], None]]:
        """Opens the part that holds these shards, of ``of_shards`` in the run.

        Yields what takes each shard's rows in turn; several become a row group each.
        """
        number = shards[0]
        if len(shards) == 1:

            def write(frame: pl.DataFrame) -> None:
                # The first part is always there, so that every table can be read.
                if number == 0 or frame.height:
                    self.write_part(table, number, frame, output)

            yield write
            return
        path = self.part(table, number)
        self.made(path.parent)
        how = {"compression": output.compression.value}
        with (
            atomic_write(path, staging=self.made(self.run), mode=self.file_mode) as file,
            RowGroupWriter(path, file, how, {**self.footer, SHARDS_MARK: str(of_shards)}) as writer,
        ):
            yield writer.add

    def write_part(self, table: str, number: int, frame: pl.DataFrame, output: Output) -> Path:
        """Writes a part of one shard and returns its path."""
        path = self.part(table, number)
        self.made(path.parent)
        write_frame(
            path,
            frame,
            staging=self.made(self.run),
            mode=self.file_mode,
            compression=output.compression.value,
            compression_level=_LEVELS.get(output.compression),
            row_group_size=output.row_group_rows,
            statistics=True,
            metadata=self.footer,
        )
        return path


class NextWriting(Layout):
    """Parts and reports of a complete run as they grow that are to take its place.

    They lie in a folder of their own, where no reader looks, under the names they will have.
    ``tables`` are those with new parts; of the others, and where a new part is missing, the old
    parts stay the run's.
    """

    def __init__(self, before: Layout, tables: Sequence[str] = (RESULTS,)) -> None:
        of, own = before, before.growing.name
        super().__init__(of.folder, of.run_id, of.run_date, of.mode, sandbox=of.sandbox, own=own)
        self._before = before
        self._tables = tables
        # Never a name that a reader may know: who has the old manifest must not find other bytes.
        named = (path.name for table in tables for path in before.all_parts(table))
        self._writing = max(map(writing_of, named), default=1) + 1

    def part(self, table: str, number: int) -> Path:
        if table not in self._tables:
            return super().part(table, number)
        return self.run / table / f"{self.run_id}-{number:05d}.{self._writing}.parquet"

    def named(self, path: Path) -> str:
        if self.run not in path.parents:
            return super().named(path)
        if self.is_part(path.name):
            return self._before.named(self.final(path))
        return self._before.named(self._before.run / path.name)

    def final(self, path: Path) -> Path:
        """Where a part that lies here will be."""
        return self._before.part(path.parent.name, 0).with_name(path.name)

    def publish(self) -> None:
        """Moves the parts to where readers look, then exchanges the run's folder for this one."""
        with translated("write", self._before.run):
            if self._before.lineage.exists():  # it tells of loads too, which were of these rows
                shutil.copy2(self._before.lineage, self.lineage)
            for table in self._tables:
                for path in sorted((self.run / table).glob("*.parquet")):
                    final = self.final(path)
                    path.rename(final)
                    sync_folder(final.parent)
                with suppress(FileNotFoundError):
                    (self.run / table).rmdir()
        exchange_folders(self._before.run, self.run)


RUN_ID = r"[0-9]{8}-[0-9a-f]{10}(?:-[0-9]{1,9})?"
"""In ASCII alone: other digits would name another folder that looks the same."""


PART = re.compile(
    rf"(?P<run_id>{RUN_ID})-(?P<number>[0-9]{{5}})(?:\.(?P<writing>[0-9]{{1,9}}))?\.parquet"
)
"""A part's name; those of a run that was written anew say the how-manieth time it is."""


class _File(msgspec.Struct):
    path: str


class _Listing(msgspec.Struct):
    files: list[_File]


def number_of(name: str) -> int | None:
    """The number in a part's name; None for any other name.

    >>> number_of("20261123-0123456789-00002.parquet"), number_of("part-00002.parquet")
    (2, None)
    """
    match = PART.fullmatch(name)
    return int(match["number"]) if match else None


def writing_of(name: str) -> int:
    """The how-manieth writing of its run a part belongs to.

    >>> [writing_of(f"20261123-0123456789-00000{n}.parquet") for n in ("", ".3")]
    [1, 3]
    """
    match = PART.fullmatch(name)
    return int(match["writing"] or 1) if match else 1


def is_run_id(name: str) -> bool:
    """Whether a run could have this name.

    >>> is_run_id("20261123-0123456789-2"), is_run_id("../20261123-0123456789")
    (True, False)
    """
    if re.fullmatch(RUN_ID, name) is None:
        return False
    with suppress(ValueError):
        return bool(date.fromisoformat(name[:8]))
    return False


def layout_of_run(folder: Path, run_id: str) -> Layout:
    """The run's paths."""
    return Layout(folder, run_id, run_date_of(run_id))


def run_date_of(run_id: str) -> str:
    """The date with which a run's id begins.

    >>> run_date_of("20261123-0123456789")
    '2026-11-23'
    """
    return f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}"


def finish_exchanges(folder: Path) -> None:
    """Gives runs back their folders that a killed start has put aside while it exchanged them."""
    for aside in (folder / "runs").glob(".*.before"):
        if is_run_id(run_id := aside.name.removeprefix(".").removesuffix(".before")):
            layout = layout_of_run(folder, run_id)
            with translated("restore", layout.run):
                finish_exchange(layout.run, layout.growing)


def latest_run(folder: Path) -> str | None:
    """The run id in latest.json, or None without a valid one."""
    try:
        named = read_json(folder / "latest.json", dict[str, str])
    except (OSError, ValueError):
        return None
    run_id = named.get("run_id", "")
    return run_id if is_run_id(run_id) else None


def run_at(folder: Path, run_id: str | None = None) -> Layout:
    """Finds the run named, or the folder's own if it is a run's, or the latest one.

    Raises ``InputError`` where there is no such folder or run.
    """
    out, own = place_of(folder)
    named = own if run_id is None else run_id
    found = latest_run(out) if named is None else named
    # A name with a slash would lead out of the folder.
    if found is not None and is_run_id(found) and (out / "runs" / found).is_dir():
        return layout_of_run(out, found)
    if named is not None:
        raise no_input(f"{out}: there is no run {named}; ls {out}/runs shows its runs")
    if (out / "latest.json").exists():
        raise InputError(
            f"{out}/latest.json is damaged or names a run that is not there; name a run with "
            "--run, or take --all"
        )
    raise no_input(
        f"{out}: no latest.json, so no run was completed there; check the path, or name a run with "
        "--run"
    )


def runs_at(folder: Path) -> list[str]:
    """Ids of all runs that have written to the output folder, oldest date first.

    Raises ``InputError`` if there is none.
    """
    out, own = place_of(folder)
    found = sorted(path.name for path in (out / "runs").glob("*") if is_run_id(path.name))
    if not found:
        raise no_input(f"{folder}: no run has written there; check the path")
    return [own] if own else found


def place_of(folder: Path) -> tuple[Path, str | None]:
    """The output folder, and the run's id if the path is a run's own folder."""
    if not folder.is_dir():
        refuse_input_address(folder)
        raise no_input(f"{folder}: there is no such folder; check the path")
    whole = folder.resolve()  # "." may be a run's folder
    if whole.parent.name == "runs" and is_run_id(whole.name):
        return whole.parent.parent, whole.name
    return folder, None
