"""Complete runs of an output folder as a warehouse takes them: checked once, then read in batches.

A run is what its manifest lists, never what a pattern finds; one without its marker is not looked
at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from batch_screen.errors import InputError
from batch_screen.runs.layout import DATA_FOLDERS, Layout, layout_of_run, place_of, runs_at
from batch_screen.schema import number_column
from batch_screen.storage.atomic import sha256_of
from batch_screen.storage.parquet import open_parquet
from batch_screen.storage.reading import MOST_BYTES, read_bytes
from batch_screen.tables.integrity import (
    held,
    manifest_check,
    marker_check,
    own_files,
    refuse_changed,
    refuse_differing,
)
from batch_screen.tables.manifest import ListedFile, Manifest, list_key, read_facts
from batch_screen.tables.manifest import table_columns as contract_columns
from batch_screen.tables.reader import DamagedPartError, columns_of, readable
from batch_screen.warehouse.columns import (
    LOADED_TABLES,
    WarehouseColumn,
    as_text,
    named,
    of_run_date,
    table_columns,
)

BATCH_ROWS = 20_000
"""Rows that are in memory at once."""


class RunToLoad(NamedTuple):
    """A run with its marker; its files are not looked at yet."""

    layout: Layout
    completed_at: datetime
    manifest_sha256: str
    sandbox: bool

    @property
    def run_id(self) -> str:
        return self.layout.run_id


class Batch(NamedTuple):
    """Rows of a table under the warehouse's names; ``part`` is their file, named as in OUT.

    ``first_row`` is the place of the first of them in that file, from 1.
    """

    part: str
    first_row: int
    frame: pl.DataFrame


class TableToLoad(NamedTuple):
    """A table of a run: its columns, how many rows the manifest promises, and its files."""

    name: str
    columns: tuple[WarehouseColumn, ...]
    rows: int
    folder: Path
    files: tuple[ListedFile, ...]
    run_date: date

    def batches(
        self, texts: frozenset[str] = frozenset(), rows: int = BATCH_ROWS
    ) -> Iterator[Batch]:
        """The rows, a bounded number at a time; the columns named in ``texts`` become texts.

        Raises ``InputError`` where a file cannot be read.
        """
        sources = [column.source for column in self.columns if column.source]
        wanted = [self._of_file(column, column.name in texts) for column in self.columns]
        for listed in self.files:
            first = 1
            with unchanged(listed.path), open_parquet(self.folder / listed.path) as file:
                # One thread is as fast, and holds 15 MiB less.
                for read in file.iter_batches(rows, columns=sources, use_threads=False):
                    frame = pl.DataFrame(read).select(wanted)
                    yield Batch(listed.path, first, frame)
                    first += frame.height

    def longest(self, name: str) -> int:
        """Characters of the longest text in a column, by the warehouse's name."""
        [column] = (column for column in self.columns if column.name == name)
        longest = 0
        for listed in self.files:
            with unchanged(listed.path), open_parquet(self.folder / listed.path) as file:
                for read in file.iter_batches(BATCH_ROWS, columns=[column.source]):
                    lengths = pl.DataFrame(read)[column.source].str.len_chars()
                    longest = max(longest, int(lengths.max() or 0))  # type: ignore[arg-type]
        return longest

    def _of_file(self, column: WarehouseColumn, is_text: bool) -> pl.Expr:  # noqa: FBT001
        if not column.source:
            return of_run_date(self.run_date)
        found = pl.col(column.source)
        found = as_text(column.dtype, found) if is_text else found.cast(column.dtype)
        return found.alias(column.name)


class LoadableRun(NamedTuple):
    """A run whose files are what its manifest says; ``row`` is its row of the table ``runs``.

    The row lacks ``loaded_at``, which is the warehouse's to say. ``number`` is the column that its
    tables are keyed by.
    """

    run_id: str
    run_date: date
    manifest_sha256: str
    row: Mapping[str, Any]
    tables: tuple[TableToLoad, ...]
    number: str = "e164"


def complete_runs(folder: Path, run_ids: Sequence[str] = ()) -> list[RunToLoad]:
    """The complete runs of an output folder, or of a run's own; the oldest completion first.

    Raises ``InputError``: 66 where there is no run, or none of those named, or one of these is not
    complete.
    """
    out, _ = place_of(folder)
    found = [layout_of_run(out, run_id) for run_id in runs_at(folder)]
    complete = [layout for layout in found if layout.is_marked]
    if run_ids:
        complete = [layout for layout in complete if layout.run_id in run_ids]
    runs = [run for layout in complete if (run := _complete(layout))]
    return sorted(runs, key=lambda run: (run.completed_at, run.run_id))


@contextmanager
def opened(run: RunToLoad) -> Iterator[LoadableRun]:
    """The run, held against purge until the block ends, after a look at every byte of its files.

    Raises ``InputError`` where they are not what the manifest says, and ``RunLockedError`` where
    the run is being removed.
    """
    layout = run.layout
    with held(layout):
        refuse_differing(layout, marker_check(layout))
        manifest = read_facts(layout)
        refuse_differing(layout, manifest_check(layout, manifest))
        if manifest is None:
            raise InputError(f"run {run.run_id}: its manifest cannot be read; restore it")
        listed = own_files(layout, manifest)
        refuse_changed(layout, listed)
        tables = tuple(_table(layout, name, listed, manifest.id_key) for name in DATA_FOLDERS)
        digest = sha256_of(layout.manifest, MOST_BYTES)
        # It may have been written anew since it was listed.
        now = run._replace(
            completed_at=manifest.completed_at or run.completed_at, manifest_sha256=digest
        )
        yield LoadableRun(
            run.run_id,
            date.fromisoformat(layout.run_date),
            digest,
            _row(now, manifest),
            tables,
            number_column(manifest.id_key),
        )


class RunFacts(NamedTuple):
    """A complete run's row of the table ``runs``, the rows of its tables, and its manifest."""

    row: Mapping[str, Any]
    rows: Mapping[str, int]
    facts: Manifest


def row_and_rows(layout: Layout) -> RunFacts | None:
    """A complete run as its manifest has it; its files are not looked at."""
    run, manifest = _complete(layout), read_facts(layout)
    if run is None or manifest is None:
        return None
    rows = dict.fromkeys(DATA_FOLDERS, 0)
    for file in own_files(layout, manifest):
        if file.table is not None:
            rows[file.table] += file.rows or 0
    return RunFacts(_row(run, manifest), rows, manifest)


@contextmanager
def unchanged(part: str) -> Iterator[None]:
    """Translates the error over a part that changed after it was checked."""
    try:
        with readable(part):
            yield
    except DamagedPartError as error:
        raise InputError(
            f"{error.where or part} cannot be read: {error}; batch-screen validate says what "
            "differs and what to do"
        ) from None


def _complete(layout: Layout) -> RunToLoad | None:
    """The run as it is now, or None where purge removed its marker meanwhile."""
    facts = read_facts(layout)
    completed = facts.completed_at if facts else None
    try:
        if completed is None:  # damaged, which is said when it is opened
            completed = datetime.fromtimestamp(layout.marker.stat().st_mtime, UTC)
        digest = read_bytes(layout.marker).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError:  # no file of ours, which is said when it is opened
        completed, digest = completed or datetime.fromtimestamp(0, UTC), ""
    return RunToLoad(layout, completed, digest, facts is not None and facts.sandbox)


def _table(
    layout: Layout, name: str, listed: Sequence[ListedFile], id_key: str | None
) -> TableToLoad:
    files = tuple(file for file in listed if file.table == name)
    contract = contract_columns({}, id_key=id_key)[name]
    if files:
        with unchanged(files[0].path):
            dtypes = columns_of(layout.folder / files[0].path)
    else:
        dtypes = {column.name: pl.Series(dtype=column.dtype).dtype for column in contract}
    rows = sum(file.rows or 0 for file in files)
    columns = table_columns(contract, dtypes)
    return TableToLoad(
        name, columns, rows, layout.folder, files, date.fromisoformat(layout.run_date)
    )


def _row(run: RunToLoad, facts: Manifest) -> dict[str, Any]:
    counts = msgspec.structs.asdict(facts.counts) if facts.counts else {}
    api = f"{facts.api.host} {facts.api.dialect}" if facts.api else None
    return {
        "run_id": run.run_id,
        "run_date": date.fromisoformat(run.layout.run_date),
        "started_at": facts.started_at,
        "completed_at": run.completed_at,
        "schema_version": facts.schema_version,
        "version": facts.version or None,
        "sandbox": run.sandbox,
        "api": api,
        "manifest_sha256": run.manifest_sha256,
        "since_run_id": facts.since_run_id,
        "inputs": sha256("\n".join(list_key(facts)).encode()).hexdigest(),
        "erased_rows": sum(sum(each.rows.values()) for each in facts.erased),
        "supersedes": " ".join(facts.supersedes),
        LOADED_TABLES: named(DATA_FOLDERS),
        **counts,
    }
