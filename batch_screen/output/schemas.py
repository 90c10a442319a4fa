"""Holds the columns of a run's parts against schema.json and against ``batch_screen.schema``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import polars as pl

from batch_screen.output.findings import Check, Difference
from batch_screen.output.manifest import ListedFile, describe
from batch_screen.output.parts import CHANGES, ERRORS, LOOKUPS, RESULTS, Layout
from batch_screen.output.reread import DamagedPartError, columns_of
from batch_screen.output.validate import rewrite
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import KEPT_PREFIX, SCHEMA_VERSION, Column, dtypes, results
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS

_Described = list[tuple[object, object, object]]


class _SchemaFile(msgspec.Struct, frozen=True):
    schema_version: int
    tables: dict[str, list[dict[str, object]]]


def schema_check(layout: Layout, parts: Sequence[ListedFile]) -> tuple[Check, list[ListedFile]]:
    """Every part has the columns it should have; also those parts that do."""
    differences: list[Difference] = []
    found: dict[str, dict[str, pl.DataType]] = {}
    for part in parts:
        try:
            found[part.path] = columns_of(layout.folder / part.path)
        except DamagedPartError as error:
            differences.append(Difference(part.path, f"cannot be read: {error}"))
    tables = _tables(
        next((found[p.path] for p in parts if p.table == RESULTS and p.path in found), {})
    )
    right: list[ListedFile] = []
    for part in (p for p in parts if p.path in found):
        faults = list(_part_faults(found[part.path], tables[str(part.table)]))
        differences += [Difference(part.path, fault) for fault in faults]
        right += [] if faults else [part]
    where = str(layout.schema.relative_to(layout.folder))
    differences += [Difference(where, fault) for fault in _described_faults(layout, tables)]
    claim = f"parts with the columns of schema.json and of schema version {SCHEMA_VERSION}"
    return Check("schema", claim, len(parts), tuple(differences), rewrite(layout)), right


def _tables(of_results: Mapping[str, pl.DataType]) -> dict[str, tuple[Column, ...]]:
    """What each table should look like, given the columns that results keep from the input."""
    kept = {name: dtype for name, dtype in of_results.items() if name.startswith(KEPT_PREFIX)}
    return {
        RESULTS: results(kept),
        LOOKUPS: LOOKUP_COLUMNS,
        ERRORS: ERROR_COLUMNS,
        CHANGES: CHANGE_COLUMNS,
    }


def _part_faults(found: Mapping[str, pl.DataType], columns: tuple[Column, ...]) -> Iterator[str]:
    expected = dtypes(columns)
    yield from (f"column {name} is missing" for name in expected if name not in found)
    yield from (f"column {name} should not be there" for name in found if name not in expected)
    for name, dtype in found.items():
        if name in expected and dtype != expected[name]:
            yield f"column {name} is {dtype}, {expected[name]} is right"
    if set(found) == set(expected) and list(found) != expected.names():
        yield "its columns are in another order"


def _described_faults(layout: Layout, tables: Mapping[str, tuple[Column, ...]]) -> Iterator[str]:
    """What schema.json says otherwise; meanings are prose and may be worded anew."""
    try:
        described = msgspec.json.decode(layout.schema.read_bytes(), type=_SchemaFile)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        yield "it cannot be read"
        return
    if described.schema_version != SCHEMA_VERSION:
        yield f"schema version {described.schema_version}, {SCHEMA_VERSION} is right"
    for table, columns in tables.items():
        right = _identifying([describe(column) for column in columns])
        if _identifying(described.tables.get(table, [])) != right:
            yield f"the columns of {table} are described otherwise than the parts have them"


def _identifying(columns: Sequence[Mapping[str, object]]) -> _Described:
    return [(c.get("name"), c.get("type"), c.get("required")) for c in columns]
