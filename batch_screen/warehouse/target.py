"""A target of load: the one protocol of every kind of database and lake, and its count gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from batch_screen.errors import ExitCode, WarehouseError
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.warehouse.columns import LOADED_TABLES
from batch_screen.warehouse.runs import LoadableRun, RunToLoad

SCHEMA = "batch_screen"
"""The schema (namespace, folder) of the tables, unless another one is named."""


class LoadOptions(NamedTuple):
    """How a run is loaded.

    ``creates``: tables, views and the schema are made where they are missing. ``adds``: columns
    are. ``replaces``: a run that the target has with another manifest is deleted and loaded anew.
    """

    tables: tuple[str, ...] = DATA_FOLDERS
    creates: bool = True
    adds: bool = True
    replaces: bool = False


class Loaded(NamedTuple):
    """What one load of a run did.

    ``rows`` by table; ``is_new`` False: the target had the run already, maybe by another loader
    that was there first. ``added``: it had other tables of the run.
    """

    rows: Mapping[str, int]
    is_new: bool = True
    replaced: bool = False
    added: bool = False


class LoadedRun(NamedTuple):
    """What a warehouse has of a run: the tables, and the manifest that they were loaded by."""

    manifest_sha256: str
    tables: tuple[str, ...]

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> LoadedRun:
        """The run by its row in ``runs``, which names no tables where all are there."""
        named = row.get(LOADED_TABLES)
        return cls(str(row["manifest_sha256"]), tuple(named.split()) if named else DATA_FOLDERS)

    def missing(self, run: RunToLoad | LoadableRun, options: LoadOptions) -> tuple[str, ...]:
        """The tables to load that it does not have of the run: all, if it was written anew."""
        had = self.tables if self.manifest_sha256 == run.manifest_sha256 else ()
        return tuple(table for table in options.tables if table not in had)


class RunNow(NamedTuple):
    """A run of the output folder from which people were erased.

    ``row`` is that of ``runs``, ``rows`` are those of its tables; ``before`` is the digest of its
    manifest before, empty where it is not known. ``has_emptied``: kept cells of other rows, too.
    """

    row: Mapping[str, Any]
    rows: Mapping[str, int]
    before: str
    has_emptied: bool


class WhomToErase(NamedTuple):
    """People: key column → what stands for them there; ``patterns`` find them in a cell's digits.

    ``runs`` are those that were written anew: once a warehouse holds the same rows of one, it gets
    the new manifest, so that ``load`` takes the run for loaded.
    """

    keys: Mapping[str, Sequence[str]]
    patterns: Sequence[str]
    runs: Mapping[str, RunNow]


class Held(NamedTuple):
    """Rows of a run in a table: all of them, those of the people, and others' cells with one."""

    total: int = 0
    rows: int = 0
    cells: int = 0

    @property
    def left(self) -> int:
        return self.total - self.rows


class ErasedFrom(NamedTuple):
    """What a target had of the people: rows by table, ``cells`` of other rows, in which ``runs``.

    ``changes`` of the table ``runs`` by run id. ``others``: runs that it has with a manifest from
    before, and whose rows are not those of the new one. ``remains``: what may still hold them, and
    what its owner does about it.
    """

    rows: Mapping[str, int] = {}
    cells: int = 0
    runs: tuple[str, ...] = ()
    changes: Mapping[str, Mapping[str, Any]] = {}
    others: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()


class Target(Protocol):
    """A warehouse that is open. Errors are ``WarehouseError`` without any value of a cell."""

    def loaded(self) -> dict[str, LoadedRun]:
        """The runs it holds, each of their tables whole, by run id. Writes nothing."""

    def lacking(self, run: LoadableRun, options: LoadOptions) -> Sequence[str]:
        """What ``load`` would make first, a line each; writes nothing.

        Raises ``WarehouseError`` where the tables that are there cannot take the run, or where the
        options forbid what would have to be made.
        """

    def load(self, run: LoadableRun, options: LoadOptions) -> Loaded:
        """Loads the tables whole or not at all; those it holds already are left as they are.

        Raises ``WarehouseError`` (65) where it holds the run with another manifest, unless the
        options replace.
        """

    def unload(self, run_ids: Sequence[str], *, dry_run: bool = False) -> dict[str, int]:
        """Deletes the runs; the number of their rows by table. ``dry_run`` only counts."""

    def erase(self, whom: WhomToErase, *, dry_run: bool = False) -> ErasedFrom:
        """Deletes their rows from every table, whole; ``dry_run`` only counts.

        A start after one that was killed completes it.
        """

    def close(self) -> None:
        """Ends the connection; what is not committed is rolled back."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def refuse_other_counts(run: LoadableRun, found: Mapping[str, int]) -> None:
    """Raises ``WarehouseError`` where a table holds another number of the run's rows.

    ``found`` has the tables that were loaded, counted by the warehouse itself.
    """
    for table in run.tables:
        if table.name in found and found[table.name] != table.rows:
            raise WarehouseError(
                f"table {table.name}: {found[table.name]:,} rows of run {run.run_id} are there, "
                f"{table.rows:,} in its manifest; the run is not loaded: see what drops or "
                "adds rows there (a trigger, a rule, rows left by other means: --replace)",
                exit_code=ExitCode.CONTENT,
            )


def other_manifest(run: LoadableRun, found: str) -> WarehouseError:
    """The error where the warehouse holds the run as another manifest describes it."""
    return WarehouseError(
        f"run {run.run_id} is loaded already with manifest {found[:64]}, and is now written with "
        f"{run.manifest_sha256}: it was written anew or rows were erased; --replace deletes what "
        "is loaded and loads it again",
        exit_code=ExitCode.CONTENT,
    )
