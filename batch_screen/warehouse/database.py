"""SQL databases: a run is loaded in one transaction, so that a reader sees all of it or nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.schema import KEPT_PREFIX
from batch_screen.warehouse.address import Address
from batch_screen.warehouse.columns import RUNS, ExistingType, named
from batch_screen.warehouse.erased import HOLDING_TYPES, key_columns, settled
from batch_screen.warehouse.runs import LoadableRun, TableToLoad
from batch_screen.warehouse.sql import Existing, Preparation, SqlTypes, preparation, quoted
from batch_screen.warehouse.target import (
    ErasedFrom,
    Held,
    Loaded,
    LoadedRun,
    LoadOptions,
    WhomToErase,
    refuse_other_counts,
)


class SqlDatabase(ABC):
    """A schema of a database as a target of load.

    What differs between the kinds is below the line.
    """

    types: SqlTypes
    mark: ClassVar[str]
    """What stands for a value in a statement."""

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

    def erase(self, whom: WhomToErase, *, dry_run: bool = False) -> ErasedFrom:
        with self._transaction("erase"):
            there = self._existing().tables
            if RUNS in there and not dry_run:
                self._wait_for_loaders()
            tables = {name: there[name] for name in self._tables() if name != RUNS}
            held = {name: self._held(name, columns, whom) for name, columns in tables.items()}
            found = settled(self._run_rows() if RUNS in there else {}, held, whom)
            if not dry_run:
                for name, columns in tables.items():
                    self._erase_from(name, columns, whom, held[name])
                for run_id, values in found.changes.items():
                    self._set_run(run_id, values)
        places = [self._place(name) for name in tables]
        return found._replace(remains=self._remains(places) if found.runs else ())

    def _held(
        self, table: str, columns: Mapping[str, ExistingType], whom: WhomToErase
    ) -> dict[str, Held]:
        theirs, values = self._theirs(columns, whom)
        counts, given = [f"count(*) FILTER (WHERE {theirs})"], [*values]
        for cell, patterns in self._cells(columns, whom).values():
            counts.append(f"count(*) FILTER (WHERE NOT {theirs} AND {cell})")
            given += [*values, *patterns]
        rows = self._ask(
            f"SELECT run_id, count(*), {', '.join(counts)} FROM {self._place(table)} GROUP BY 1",
            given,
            table,
        )
        return {run: Held(total, of_them, sum(cells)) for run, total, of_them, *cells in rows}

    def _erase_from(
        self,
        table: str,
        columns: Mapping[str, ExistingType],
        whom: WhomToErase,
        held: Mapping[str, Held],
    ) -> None:
        if any(each.rows for each in held.values()):
            theirs, values = self._theirs(columns, whom)
            self._ask(f"DELETE FROM {self._place(table)} WHERE {theirs}", values, table)
        if any(each.cells for each in held.values()):
            for name, (cell, patterns) in self._cells(columns, whom).items():
                emptied = f"UPDATE {self._place(table)} SET {quoted(name)} = NULL WHERE {cell}"
                self._ask(emptied, patterns, table)

    def _set_run(self, run_id: str, values: Mapping[str, Any]) -> None:
        columns = ", ".join(f"{quoted(name)} = {self.mark}" for name in values)
        self._ask(
            f"UPDATE {self._place(RUNS)} SET {columns} WHERE run_id = {self.mark}",
            [*values.values(), run_id],
            RUNS,
        )

    def _theirs(
        self, columns: Mapping[str, ExistingType], whom: WhomToErase
    ) -> tuple[str, list[object]]:
        """The condition for rows of the people, and its values."""
        names = key_columns([*columns], whom)
        found = [f"{quoted(name)} = ANY({self.mark}::varchar[])" for name in names]
        return f"coalesce({' OR '.join(found) or 'false'}, false)", [
            [*whom.keys[name]] for name in names
        ]

    def _cells(
        self, columns: Mapping[str, ExistingType], whom: WhomToErase
    ) -> dict[str, tuple[str, list[object]]]:
        """Kept column → the condition for cells with one of the numbers, and its values."""
        found = dict[str, tuple[str, list[object]]]()
        for name, there in columns.items():
            if name.startswith(KEPT_PREFIX) and there.kind in HOLDING_TYPES:
                digits = f"regexp_replace(CAST({quoted(name)} AS varchar), '[^0-9]', '', 'g')"
                is_one = " OR ".join(self._matches(digits) for _ in whom.patterns)
                found[name] = f"coalesce({is_one}, false)", [*whom.patterns]
        return found

    def _runs(self) -> dict[str, LoadedRun]:
        """What table ``runs`` has, by run id."""
        return {run_id: LoadedRun.of_row(row) for run_id, row in self._run_rows().items()}

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
    def _run_rows(self) -> dict[str, Mapping[str, Any]]:
        """The rows of table ``runs``, by run id; it may lack new columns."""

    @abstractmethod
    def _ask(self, statement: str, values: Sequence[object], table: str) -> list[Any]:
        """The rows that a statement on a table gives, to read, change or delete its rows."""

    @abstractmethod
    def _matches(self, text: str) -> str:
        """The condition that a pattern is found in the text."""

    @abstractmethod
    def _remains(self, places: Sequence[str]) -> tuple[str, ...]:
        """What may still hold rows that were deleted, and what its owner does about it."""

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
