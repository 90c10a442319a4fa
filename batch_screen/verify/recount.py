"""Re-reads a run part by part: checks each part's tables, and totals all.

Knows neither summary.json nor errors.csv: ``totals`` holds the totals against them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.masking import mask_text, safe_text
from batch_screen.model import ColumnRows
from batch_screen.numbers.rules import RejectReason
from batch_screen.runs.layout import RESULTS, TABLES, Layout
from batch_screen.schema import Column, dtypes, number_column
from batch_screen.storage.reading import read_json
from batch_screen.tables.integrity import Difference, VerifyCheck, part_number, rewrite
from batch_screen.tables.manifest import ListedFile, Manifest, describe, table_columns
from batch_screen.tables.reader import DamagedPartError, Part, columns_of, read_part
from batch_screen.verify.checks import differences, part_checks


@dataclass
class Totals:
    """Totals over all parts: rows of each table, unique numbers, rejects by reason.

    ``columns`` are the rows of phone columns, part by part.
    """

    rows: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    columns: list[tuple[str, ColumnRows]] = field(default_factory=list)

    def add(self, part: Part, number: str = "e164") -> None:
        for table, frame in part.frames():
            self.rows[table] += frame.height
        self.numbers += part.results[number].n_unique()
        turned_down = part.errors.filter(pl.col("kind") == "reject")
        self.rejects.update(dict(turned_down["reason"].value_counts().iter_rows()))
        for name, count in part.results["phone_column"].value_counts().iter_rows():
            self.columns.append((name or "", ColumnRows(count, count, 0, 0)))
        by_column = turned_down.group_by("phone_column").agg(
            pl.len(), empty=(pl.col("reason") == RejectReason.EMPTY).sum()
        )
        for name, count, empty in by_column.iter_rows():
            self.columns.append((name or "", ColumnRows(count, 0, count, empty)))


class Recount:
    """The result of re-reading a run's parts.

    ``unchecked`` says why totals and paths are not those of the whole run; empty if they are.
    """

    def __init__(
        self, layout: Layout, listed: Sequence[ListedFile], id_key: str | None = None
    ) -> None:
        self.totals = Totals()
        self.paths: dict[str, list[Path]] = {table: [] for table in TABLES}
        self._layout = layout
        self._wanted = _by_number(layout, listed)
        self._left_out = set(self._wanted)
        self._id_key = id_key
        self._checks = part_checks(layout.run_id, (), id_key)
        self._found: dict[str, list[Difference]] = {check.name: [] for check in self._checks}

    def read(self, usable: Sequence[ListedFile], shards: int) -> Iterator[int]:
        """Reads each part once and yields its number.

        A part one of whose files is not ``usable`` is left out: its difference is reported
        already, and other differences may follow from that.
        """
        present = _by_number(self._layout, usable)
        whole = {n: paths for n, paths in present.items() if paths == self._wanted.get(n)}
        endpoints: list[str] = []
        keyed_by = number_column(self._id_key)
        for number, paths in whole.items():
            try:
                for part in read_part(self._layout, number, paths):
                    if not endpoints:  # every part asks all of them, so the first one shows which
                        endpoints = sorted(part.lookups["endpoint"].drop_nulls().unique())
                        self._checks = part_checks(self._layout.run_id, endpoints, self._id_key)
                    # A part of a run that does not say how many shards it has is checked as one.
                    for name, found in differences(
                        self._checks, part, max(1, shards), endpoints, keyed_by
                    ):
                        self._found[name].append(found)
                    self.totals.add(part, keyed_by)
            except DamagedPartError as error:
                self._found["readable"].append(Difference(error.where, str(error)))
            else:
                self._left_out.remove(number)
                for table, path in paths.items():
                    self.paths[table].append(path)
            yield number

    @property
    def parts(self) -> int:
        """The number of parts in the manifest."""
        return len(self._wanted)

    @property
    def unchecked(self) -> str:
        if not self._left_out:
            return ""
        left_out, parts = len(self._left_out), len(self._wanted)
        return f"{left_out} of {parts} parts could not be compared, for the reasons above"

    @property
    def checks(self) -> list[VerifyCheck]:
        return [
            VerifyCheck(
                check.name,
                check.claim,
                sum(self.totals.rows[table] for table in check.tables),
                tuple(self._found[check.name]),
                rewrite(self._layout),
                self.unchecked,
            )
            for check in self._checks
        ]


def _by_number(layout: Layout, files: Sequence[ListedFile]) -> Mapping[int, Mapping[str, Path]]:
    """Part number → table → path, in the order of the numbers; of the tables every run has."""
    found: dict[int, dict[str, Path]] = {}
    for file in files:
        number = part_number(file)
        if number is not None and file.table in TABLES:
            found.setdefault(number, {})[file.table] = layout.folder / file.path
    return dict(sorted(found.items()))


# Compares the columns of a run's parts with schema.json and with ``batch_screen.schema``.


class _SchemaFile(msgspec.Struct, frozen=True):
    schema_version: int
    tables: dict[str, list[dict[str, object]]]


def schema_check(
    layout: Layout, manifest: Manifest, intact: Sequence[ListedFile]
) -> tuple[VerifyCheck, list[ListedFile]]:
    """Every part has the columns of the manifest's version; returns those that do, too."""
    version = manifest.schema_version
    parts = [file for file in intact if file.table is not None]
    differences: list[Difference] = []
    found: dict[str, dict[str, pl.DataType]] = {}
    for part in parts:
        try:
            found[part.path] = columns_of(layout.folder / part.path)
        except DamagedPartError as error:
            differences.append(Difference(part.path, f"cannot be read: {error}"))
    # All parts must keep the same columns of the input as the first part of results does.
    first = (found[p.path] for p in parts if p.table == RESULTS and p.path in found)
    tables = table_columns(next(first, {}), version, manifest.id_key)
    right: list[ListedFile] = []
    for part in (p for p in parts if p.path in found):
        faults = list(_part_faults(found[part.path], tables[str(part.table)]))
        differences += [Difference(part.path, fault) for fault in faults]
        right += [] if faults else [part]
    where = str(layout.schema.relative_to(layout.folder))
    differences += [
        Difference(where, fault) for fault in _described_faults(layout, tables, version)
    ]
    claim = f"parts with the columns of schema.json and of schema version {version}"
    return VerifyCheck("schema", claim, len(parts), tuple(differences), rewrite(layout)), right


def _part_faults(found: Mapping[str, pl.DataType], columns: tuple[Column, ...]) -> Iterator[str]:
    expected = dtypes(columns)
    yield from (f"column {name} is missing" for name in expected if name not in found)
    strange = (name for name in found if name not in expected)
    yield from (f"column {safe_text(name)} should not be there" for name in strange)
    for name, dtype in found.items():
        if name in expected and dtype != expected[name]:
            yield f"column {name} is {dtype}, {expected[name]} is right"
    if set(found) == set(expected) and list(found) != expected.names():
        yield "its columns are in another order"


def _described_faults(
    layout: Layout, tables: Mapping[str, tuple[Column, ...]], version: int
) -> Iterator[str]:
    """What schema.json says otherwise; meanings are prose and may be worded anew."""
    try:
        described = read_json(layout.schema, _SchemaFile)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        yield "it cannot be read"
        return
    if described.schema_version != version:
        yield f"schema version {described.schema_version}, {version} is right"
    for table, columns in tables.items():
        right = _identifying([describe(column) for column in columns])
        if _identifying(described.tables.get(table, [])) != right:
            yield f"the columns of {table} differ between schema.json and the parts"


def _identifying(columns: Sequence[Mapping[str, object]]) -> list[tuple[object, ...]]:
    # Masked: earlier versions wrote the names of kept columns as they were.
    return [(mask_text(str(c.get("name"))), c.get("type"), c.get("required")) for c in columns]
