"""SQL databases: a run is loaded in one transaction, so that a reader sees all of it or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Self

from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import RUNS, named
from batch_screen.warehouse.runs import LoadableRun, TableToLoad
from batch_screen.warehouse.sql import Existing, Preparation, SqlTypes, preparation, quoted
from batch_screen.warehouse.target import Loaded, LoadedRun, LoadOptions, refuse_other_counts


class SqlDatabase(ABC):
    """A schema of a database as a target of load.

    What differs between the kinds is below the line.
    """

    types: SqlTypes

    def __init__(self, address: Address, schema: str) -> None:
        self._address = address
        self._schema = schema

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def loaded(self) -> dict[str, LoadedRun]:
        return self._runs() if RUNS in self._existing().tables else {}

    def lacking(self, run: LoadableRun, options: LoadOptions) -> Sequence[str]:
        return self._preparation(run, options).lines

    def unload(self, run_ids: Sequence[str], *, dry_run: bool = False) -> dict[str, int]:
        tables = self._tables()
        with self._transaction("unload"):
            if RUNS in tables and not dry_run:
                self._wait_for_loaders()
            counts = {name: self._count(name, run_ids) for name in tables}
            for name in tables if not dry_run else ():
                self._delete(name, run_ids)
        return counts

    def _filled(self, run: LoadableRun, options: LoadOptions, prepared: Preparation) -> Loaded:
        """Writes the run, within a transaction that is rolled back where this raises."""
        replaced = options.replaces and self._deleted_other(run, options)
        had = self._taken_back(run, options)
        while not self._is_claimed(run, named({*had, *options.tables})):
            if not (had := self._taken_back(run, options)):  # another loader was there first
                return Loaded({}, is_new=False)
        wanted = {*options.tables} - {*had}
        tables = [table for table in run.tables if table.name in wanted]
        for table in tables:
            self._insert(table, prepared.texts.get(table.name, frozenset()))
        found = {table.name: self._count(table.name, [run.run_id]) for table in tables}
        refuse_other_counts(run, found)
        return Loaded(found, replaced=replaced, added=bool(had))

    def _taken_back(self, run: LoadableRun, options: LoadOptions) -> tuple[str, ...]:
        """The tables that are there of a run that lacks others; its row in ``runs`` is deleted."""

        def had() -> tuple[str, ...]:
            known = self._runs().get(run.run_id)
            is_same = known is not None and known.manifest_sha256 == run.manifest_sha256
            return known.tables if known and is_same and known.missing(run, options) else ()

        if had():
            self._wait_for_loaders()
        if found := had():
            self._delete(RUNS, [run.run_id])
        return found

    def _deleted_other(self, run: LoadableRun, options: LoadOptions) -> bool:
        """Deletes what is there of the run, but tables that this very manifest has loaded."""
        self._wait_for_loaders()
        tables, known = self._tables(), self._runs().get(run.run_id)
        if known and known.manifest_sha256 == run.manifest_sha256:
            tables = [name for name in tables if name in known.missing(run, options)]
        counts = [self._count(name, [run.run_id]) for name in tables]
        for name in tables:
            self._delete(name, [run.run_id])
        return any(counts)

    def _tables(self) -> list[str]:
        """The tables that are there; the claim first, as load writes it, so that none lock up."""
        there = self._existing().tables
        return [name for name in (RUNS, *DATA_FOLDERS) if name in there]

    def _preparation(self, run: LoadableRun, options: LoadOptions) -> Preparation:
        return preparation(self.types, self._schema, self._existing(), run, options)

    def _place(self, table: str) -> str:
        return quoted(self._schema, table)

    # -- what each kind of database does in its own way ---------------------------------------

    @abstractmethod
    def load(self, run: LoadableRun, options: LoadOptions) -> Loaded:
        """As ``Target.load``."""

    @abstractmethod
    def close(self) -> None:
        """As ``Target.close``."""

    @abstractmethod
    def _existing(self) -> Existing:
        """What the schema has of our tables and views."""

    @abstractmethod
    def _runs(self) -> dict[str, LoadedRun]:
        """What table ``runs`` has, by run id."""

    @abstractmethod
    def _transaction(self, what: str) -> AbstractContextManager[None]:
        """A transaction, committed where the block ends well."""

    @abstractmethod
    def _wait_for_loaders(self) -> None:
        """Keeps others from loading until the end of the transaction."""

    @abstractmethod
    def _is_claimed(self, run: LoadableRun, tables: str) -> bool:
        """Whether the run is ours to load: its row in ``runs``, which names the tables, is new.

        Raises ``WarehouseError`` where another manifest's is there.
        """

    @abstractmethod
    def _insert(self, table: TableToLoad, texts: frozenset[str]) -> None:
        """Inserts the rows of a table; the columns named in ``texts`` are texts there."""

    @abstractmethod
    def _count(self, table: str, run_ids: Sequence[str]) -> int:
        """The rows of the runs in the table."""

    @abstractmethod
    def _delete(self, table: str, run_ids: Sequence[str]) -> None:
        """Deletes the rows of the runs from the table."""
