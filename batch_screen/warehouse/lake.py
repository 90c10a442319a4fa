"""Lakes: one commit a table, and the row in ``runs`` last, for no transaction spans two tables.

A run that ``runs`` lacks is not there, whatever other tables hold of it; loading it again completes
it.
"""

from __future__ import annotations

import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

import polars as pl
import pyarrow as pa

from batch_screen.errors import ExitCode, WarehouseError
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.schema import KEPT_PREFIX
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import (
    LOADED_TABLES,
    RUN_COLUMNS,
    RUNS,
    ExistingType,
    WarehouseColumn,
    keeps_every_value,
    named,
)
from batch_screen.warehouse.erased import (
    HOLDING_TYPES,
    key_columns,
    looked_at,
    settled,
    without,
)
from batch_screen.warehouse.runs import LoadableRun, TableToLoad
from batch_screen.warehouse.target import (
    ErasedFrom,
    Held,
    Loaded,
    LoadedRun,
    LoadOptions,
    WhomToErase,
    other_manifest,
    refuse_other_counts,
)

T = TypeVar("T")

BATCH_ROWS = 5_000
"""Rows that are handed on at once: the libraries hold several of them, and take no longer."""

Fault = tuple[str, str, str, ExitCode]
"""What a library's message says, as a pattern; what it means; what to do; and the exit code."""

DISK_FULL = "the disk is full", "free space, then start again", ExitCode.CANNOT_WRITE
NO_ANSWER = (
    "its server does not answer",
    "start the same command again once it does: it loads what is not there",
    ExitCode.UNREACHABLE,
)
_FEWEST_ATTEMPTS = 5
_PAUSE_SECONDS = 0.05, 0.3


class ConflictError(Exception):
    """Another writer committed first: look again, then try again."""


class TableRows(NamedTuple):
    """The rows of one run for one table; ``frames`` may be asked for again, after a conflict."""

    table: str
    run_id: str
    manifest_sha256: str
    expected: int
    frames: Callable[[], Iterator[pl.DataFrame]]
    more: bool = False


class Missing(NamedTuple):
    """A table to make, or, ``is_new`` False, columns to add to it."""

    table: str
    columns: Sequence[WarehouseColumn]
    is_new: bool


class Preparation(NamedTuple):
    """What has to be made before a run can be loaded, and the columns that take values as texts."""

    missing: Sequence[Missing]
    texts: Mapping[str, frozenset[str]]


class Lake(ABC):
    """Tables that each have commits of their own, as a target of load.

    What differs between the kinds is below the line; there, ``ConflictError`` is raised where
    another writer was first, and all other errors are ``WarehouseError``.
    """

    type_names: Mapping[pl.DataType, str]

    def __init__(self, address: Address, schema: str, lock_seconds: float) -> None:
        self._address = address
        self._schema = schema
        self._lock_seconds = lock_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (nothing is open between two commits)
        pass

    def loaded(self) -> dict[str, LoadedRun]:
        return self._retried(self._runs)

    def lacking(self, run: LoadableRun, options: LoadOptions) -> Sequence[str]:
        return [
            line
            for missing in self._preparation(run, options).missing
            for line in self._lines(missing)
        ]

    def load(self, run: LoadableRun, options: LoadOptions) -> Loaded:
        found = self.loaded().get(run.run_id)
        if found and not found.missing(run, options):
            return Loaded({}, is_new=False)
        is_other = found is not None and found.manifest_sha256 != run.manifest_sha256
        if found and is_other and not options.replaces:
            raise other_manifest(run, found.manifest_sha256)
        texts = self._retried(lambda: self._prepared(run, options))
        if is_other:
            self._retried(lambda: self._delete(RUNS, [run.run_id]))  # first: now it is not there
        had = found.tables if found and not is_other else ()
        wanted = {*options.tables} - {*had}
        tables = [table for table in run.tables if table.name in wanted]
        for table in tables:
            rows = _rows(run, table, texts.get(table.name, frozenset()))
            self._retried(partial(self._put, rows), lambda: self._prepared(run, options))
        counts = {name: self._count(name, [run.run_id]) for name in (*had, *wanted)}
        loaded = {name: counts[name] for name in DATA_FOLDERS if name in wanted}
        refuse_other_counts(run, loaded)
        if not self._retried(partial(self._put, _row(run, {*had, *wanted}, adds=bool(had)))):
            return self.load(run, options._replace(replaces=False))  # another loader was first
        self._refuse_if_unloaded(run, counts)
        return Loaded(loaded, replaced=is_other, added=bool(had))

    def _refuse_if_unloaded(self, run: LoadableRun, counts: Mapping[str, int]) -> None:
        """An unload may have deleted rows between their count and the run's row in ``runs``.

        That row is deleted, too: by this, or, where rows are deleted only now, by the unload.
        """
        if any(self._count(name, [run.run_id]) < count for name, count in counts.items()):
            self._retried(lambda: self._delete(RUNS, [run.run_id]))
            raise WarehouseError(
                f"run {run.run_id} was taken out of {self._address.shown} while it was loaded; "
                "start the same command again where it shall be there",
                exit_code=ExitCode.LOCKED,
            )

    def unload(self, run_ids: Sequence[str], *, dry_run: bool = False) -> dict[str, int]:
        # runs first: from then on nobody counts what is left of the others.
        tables = [name for name in (RUNS, *DATA_FOLDERS) if self._columns(name) is not None]
        counts = {name: self._count(name, run_ids) for name in tables}
        if dry_run:
            return counts
        for _ in range(_FEWEST_ATTEMPTS):
            for name in tables:
                self._retried(partial(self._delete, name, run_ids))
            # A load may have come between two of them; runs last, as load writes it.
            if not any(self._count(name, run_ids) for name in reversed(tables)):
                return counts
        raise WarehouseError(
            f"the runs are loaded into {self._address.shown} again and again while they are taken "
            "out; start again once no load is running",
            exit_code=ExitCode.LOCKED,
        )

    def erase(self, whom: WhomToErase, *, dry_run: bool = False) -> ErasedFrom:
        tables = [name for name in DATA_FOLDERS if self._columns(name) is not None]
        held = {name: self._retried(partial(self._held, name, whom)) for name in tables}
        has_runs = self._columns(RUNS) is not None
        found = settled(self._retried(self._run_rows) if has_runs else {}, held, whom)
        if not dry_run:
            change = partial(without, whom=whom)
            for name in tables:
                for run_id, each in held[name].items():
                    if each.rows or each.cells:
                        self._retried(partial(self._rewrite, name, run_id, change))
            # runs last, as load writes it: a start after a kill finds what is left to say there.
            for run_id, values in found.changes.items():
                self._retried(partial(self._rewrite, RUNS, run_id, partial(_with, values)))
        return found._replace(remains=tuple(filter(None, map(self._remains, tables))))

    def _held(self, table: str, whom: WhomToErase) -> dict[str, Held]:
        """What the table holds of each run, and of the people."""
        there = self._columns(table) or {}
        kept = [
            n for n, c in there.items() if n.startswith(KEPT_PREFIX) and c.kind in HOLDING_TYPES
        ]
        held = dict[str, Held]()
        for frame in self._scan(table, ["run_id", *key_columns([*there], whom), *kept]):
            for run_id, each in looked_at(frame, whom).items():
                held[run_id] = Held(*map(sum, zip(held.get(run_id, Held()), each, strict=True)))
        return held

    def _runs(self) -> dict[str, LoadedRun]:
        """What table ``runs`` has, by run id."""
        return {run_id: LoadedRun.of_row(row) for run_id, row in self._run_rows().items()}

    def _prepared(self, run: LoadableRun, options: LoadOptions) -> Mapping[str, frozenset[str]]:
        """Makes what is missing, and looks again: other loaders may do so at the same time."""
        while (prepared := self._preparation(run, options)).missing:
            for missing in prepared.missing:
                (self._create if missing.is_new else self._add)(missing.table, missing.columns)
        return prepared.texts

    def _preparation(self, run: LoadableRun, options: LoadOptions) -> Preparation:
        """What to make for this run. Raises ``WarehouseError`` (65) over tables it cannot use."""
        missing, texts = list[Missing](), dict[str, frozenset[str]]()
        for table in (None, *(each for each in run.tables if each.name in options.tables)):
            name = table.name if table else RUNS
            columns = table.columns if table else RUN_COLUMNS
            there = self._columns(name)
            if there is None:
                missing.append(Missing(name, columns, is_new=True))
                continue
            if new := [column for column in columns if column.name not in there]:
                missing.append(Missing(name, new, is_new=False))
            texts[name] = frozenset(
                column.name
                for column in columns
                if column.name in there and self._is_text(column, there[column.name], table, name)
            )
        for each in missing:
            self._refuse_to_make(each, options)
        return Preparation(missing, texts)

    def _is_text(
        self, column: WarehouseColumn, there: ExistingType, table: TableToLoad | None, name: str
    ) -> bool:
        """Whether the values become texts there."""
        is_bound = column.dtype == pl.String() and there.most_characters is not None
        longest = table.longest(column.name) if table and is_bound else 0
        if not keeps_every_value(column.dtype, there, longest):
            wanted = self.type_names[column.dtype]
            raise WarehouseError(
                f"column {name}.{column.name} in {self._place(name)} is {there.shown}, which does "
                f"not keep every value of {wanted}; write that table anew with the column as "
                f"{self.type_names[pl.String()] if column.is_kept else wanted}, or load into "
                "another --schema",
                exit_code=ExitCode.CONTENT,
            )
        return there.kind == pl.String() != column.dtype

    def _refuse_to_make(self, missing: Missing, options: LoadOptions) -> None:
        shown = ", ".join(self._lines(missing))
        if missing.is_new and not options.creates:
            raise WarehouseError(
                f"{shown} is not there, and --no-create forbids to make it; leave that out, or "
                "make it with the columns of the run",
                exit_code=ExitCode.CONTENT,
            )
        if not missing.is_new and not options.adds:
            raise WarehouseError(
                f"{shown} of {self._place(missing.table)}: missing there, and --new-columns refuse "
                "forbids to add columns; use --new-columns add, or add them",
                exit_code=ExitCode.CONTENT,
            )

    def _lines(self, missing: Missing) -> Iterator[str]:
        if missing.is_new:
            yield f"table {self._place(missing.table)}"
        else:
            for column in missing.columns:
                yield f"column {missing.table}.{column.name} {self.type_names[column.dtype]}"

    def _retried(self, attempt: Callable[[], T], before: Callable[[], object] = object) -> T:
        """Tries again after a conflict, for others write, too; then calls ``before`` first."""
        until, attempts = time.monotonic() + self._lock_seconds, 0
        while True:
            attempts += 1
            try:
                if attempts > 1:
                    before()
                return attempt()
            except ConflictError:
                if attempts >= _FEWEST_ATTEMPTS and time.monotonic() >= until:
                    raise WarehouseError(
                        f"others write to {self._address.shown} all the time, and came first "
                        f"{attempts} times; start the same command again later",
                        exit_code=ExitCode.LOCKED,
                    ) from None
            time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 (no secret)

    # -- what each kind of lake does in its own way -------------------------------------------

    @abstractmethod
    def _place(self, table: str) -> str:
        """Where the table is, for people."""

    @abstractmethod
    def _columns(self, table: str) -> Mapping[str, ExistingType] | None:
        """The columns of a table, or None where there is none."""

    @abstractmethod
    def _create(self, table: str, columns: Sequence[WarehouseColumn]) -> None:
        """Makes the table."""

    @abstractmethod
    def _add(self, table: str, columns: Sequence[WarehouseColumn]) -> None:
        """Adds the columns behind those that are there."""

    @abstractmethod
    def _run_rows(self) -> dict[str, Mapping[str, Any]]:
        """The rows of table ``runs``, by run id; it may lack new columns."""

    @abstractmethod
    def _scan(self, table: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """These columns of all rows, some rows at a time."""

    @abstractmethod
    def _rewrite(
        self, table: str, run_id: str, change: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> None:
        """Puts changed rows of the run in the place of those that are there, in one commit.

        The commit names the run and none of the rows: logs of lakes are kept for long.
        """

    @abstractmethod
    def _remains(self, table: str) -> str:
        """Which old files of the table may hold what was deleted, and how they are removed."""

    @abstractmethod
    def _put(self, rows: TableRows) -> bool:
        """Makes these the only rows of the run in the table; False where they are there already.

        In ``runs`` a row of the run, whatever its manifest, is left as it is; ``more`` replaces
        it, and is False where there is none.
        """

    @abstractmethod
    def _count(self, table: str, run_ids: Sequence[str]) -> int:
        """The rows of the runs in the table."""

    @abstractmethod
    def _delete(self, table: str, run_ids: Sequence[str]) -> None:
        """Deletes the rows of the runs from the table."""


def known_fault(error: BaseException, what: str, faults: Sequence[Fault]) -> WarehouseError | None:
    """The error for people by the first of the faults whose words the library's message has."""
    for words, fault, remedy, code in faults:
        if re.search(words, str(error)):
            return WarehouseError(f"{what}: {fault}; {remedy}", exit_code=code)
    return None


def fitted(frame: pl.DataFrame, schema: pa.Schema) -> list[pa.RecordBatch]:
    """The rows as the table has them: its columns in its order, null where the run has none.

    Raises ``ConflictError`` where it lacks a column: somebody has made it anew meanwhile.
    """
    if not set(frame.columns).issubset(schema.names):
        raise ConflictError
    rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return list(pa.table(columns, schema=schema).combine_chunks().to_batches())


def _rows(run: LoadableRun, table: TableToLoad, texts: frozenset[str]) -> TableRows:
    def frames() -> Iterator[pl.DataFrame]:
        return (batch.frame for batch in table.batches(texts, BATCH_ROWS))

    return TableRows(table.name, run.run_id, run.manifest_sha256, table.rows, frames)


def _with(values: Mapping[str, Any], row: pl.DataFrame) -> pl.DataFrame:
    """A row with other values in the place of some, of the types that it has."""
    new = [pl.lit(value, row.schema[name]).alias(name) for name, value in values.items()]
    return row.with_columns(new)


def _row(run: LoadableRun, tables: Collection[str], *, adds: bool) -> TableRows:
    def frames() -> Iterator[pl.DataFrame]:
        row = {**run.row, "loaded_at": datetime.now(UTC), LOADED_TABLES: named(tables)}
        schema = {column.name: column.dtype for column in RUN_COLUMNS}
        yield pl.DataFrame([{name: row.get(name) for name in schema}], schema=schema)

    return TableRows(RUNS, run.run_id, run.manifest_sha256, 1, frames, adds)
