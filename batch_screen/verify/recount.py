"""Re-reads a run part by part: what the tables say of each other, and what they come to.

Knows neither summary.json nor errors.csv: ``totals`` holds the totals against them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.runs.layout import CHANGES, ERRORS, LOOKUPS, RESULTS, TABLES, Layout, ShardOf
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import KEPT_PREFIX, SCHEMA_VERSION, Column, dtypes, results
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.tables.integrity import Difference, VerifyCheck, part_number, rewrite
from batch_screen.tables.manifest import ListedFile, describe
from batch_screen.tables.reader import DamagedPartError, Part, columns_of, read_part
from batch_screen.verify import checks as claims

# Whether every number lies in the part it belongs to, so that none is in two of them.
#
# Uniqueness over all parts follows from this and from uniqueness in each: no global set of
# numbers is needed. How many parts were planned is not written down, so it is found out.

_DIGITS = r"^\+\d{5,15}$"  # others are no numbers, which is a difference of its own


class Placing:
    """The rule by which numbers were dealt out to the parts of one run.

    A part that holds several shards says of how many itself; of others the manifest does.
    """

    def __init__(self, shard_of: ShardOf, shards: int) -> None:
        self._shard_of = shard_of
        self._shards = max(1, shards)

    def misplaced(self, part: Part) -> Iterator[Difference]:
        """Rows of results whose number belongs to another part."""
        numbers = part.results.select("e164", part=pl.lit(part.number, pl.Int64))
        strays = self._strays(numbers, part.shards or self._shards)
        if strays:
            yield Difference(
                part.names[RESULTS], f"{strays:,} rows whose number belongs to another part"
            )

    def _strays(self, numbers: pl.DataFrame, shards: int) -> int:
        sound = numbers.filter(pl.col("e164").str.contains(_DIGITS))
        right = self._shard_of(pl.col("e164"), shards).cast(pl.Int64)
        return sound.filter(right != pl.col("part")).height


# A check's name → what it claims, and the tables whose rows it examines.
_CLAIMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "readable": ("rows can be read", TABLES),
    "required": ("rows of this run, with all that is required", TABLES),
    "placing": ("rows of results in the part their number belongs to", (RESULTS,)),
    "lookups": ("lookups: every number of results once at every endpoint", (LOOKUPS,)),
    "values": ("lookups with a value where there is success, and nowhere else", (LOOKUPS,)),
    "sources": ("lookups asked, derived, reused or spared, each as it says", (LOOKUPS,)),
    "windows": ("lookups whose windows and gaps are those of their times", (LOOKUPS,)),
    "conflicts": ("lookups, checks held against dates", (LOOKUPS,)),
    "enrichment": ("rows of results with the values of their lookups", (RESULTS,)),
    "risk": ("rows of results with the ages and flags of their dates and checks", (RESULTS,)),
    "failures": ("errors: the rejects and the lookups without success", (ERRORS,)),
}


@dataclass
class Totals:
    """What the parts come to: rows of each table, unique numbers, rejects by reason."""

    rows: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    rejects: Counter[str] = field(default_factory=Counter)

    def add(self, part: Part) -> None:
        for table, frame in part.frames():
            self.rows[table] += frame.height
        self.numbers += part.results["e164"].n_unique()
        turned_down = part.errors.filter(pl.col("kind") == "reject")
        self.rejects.update(dict(turned_down["reason"].value_counts().iter_rows()))


class Recount:
    """What re-reading brought.

    ``unchecked`` says why totals and paths are not those of the whole run; empty if they are.
    """

    def __init__(self, layout: Layout, listed: Sequence[ListedFile]) -> None:
        self.totals = Totals()
        self.paths: dict[str, list[Path]] = {table: [] for table in TABLES}
        self._layout = layout
        self._wanted = _by_number(layout, listed)
        self._left_out = set(self._wanted)
        self._endpoints: list[str] = []
        self._found: dict[str, list[Difference]] = {name: [] for name in _CLAIMS}

    def read(self, usable: Sequence[ListedFile], shard_of: ShardOf, shards: int) -> Iterator[int]:
        """Reads each part once and yields its number.

        A part one of whose files is not ``usable`` is left out: its difference is reported
        already, and whatever else differs may follow from that.
        """
        present = _by_number(self._layout, usable)
        whole = {n: paths for n, paths in present.items() if paths == self._wanted.get(n)}
        placing = Placing(shard_of, shards)
        for number, paths in whole.items():
            try:
                for part in read_part(self._layout, number, paths):
                    self._compare(part, placing)
            except DamagedPartError as error:
                self._found["readable"].append(Difference(error.where, str(error)))
            else:
                self._left_out.remove(number)
                for table, path in paths.items():
                    self.paths[table].append(path)
            yield number

    def _compare(self, part: Part, placing: Placing) -> None:
        # The first part shows which endpoints were asked: every part asks all of them.
        self._endpoints = self._endpoints or sorted(part.lookups["endpoint"].drop_nulls().unique())
        self._found["required"] += claims.required(part, self._layout.run_id)
        self._found["placing"] += placing.misplaced(part)
        self._found["lookups"] += claims.lookups(part, self._endpoints)
        self._found["values"] += claims.values(part)
        self._found["sources"] += claims.sources(part)
        self._found["windows"] += claims.windows(part)
        self._found["conflicts"] += claims.contradictions(part)
        self._found["enrichment"] += claims.enrichment(part)
        self._found["risk"] += claims.risk(part)
        self._found["failures"] += claims.errors(part)
        self.totals.add(part)

    @property
    def parts(self) -> int:
        """How many numbers of parts the manifest lists."""
        return len(self._wanted)

    @property
    def unchecked(self) -> str:
        if not self._left_out:
            return ""
        left_out, parts = len(self._left_out), len(self._wanted)
        return f"{left_out} of {parts} parts could not be compared, for what is said above"

    @property
    def checks(self) -> list[VerifyCheck]:
        return [
            VerifyCheck(
                name,
                claim,
                sum(self.totals.rows[table] for table in tables),
                tuple(self._found[name]),
                rewrite(self._layout),
                self.unchecked,
            )
            for name, (claim, tables) in _CLAIMS.items()
        ]


def _by_number(layout: Layout, files: Sequence[ListedFile]) -> Mapping[int, Mapping[str, Path]]:
    """Part number → table → path, in the order of the numbers; of the tables every run has."""
    found: dict[int, dict[str, Path]] = {}
    for file in files:
        number = part_number(file)
        if number is not None and file.table in TABLES:
            found.setdefault(number, {})[file.table] = layout.folder / file.path
    return dict(sorted(found.items()))


# Holds the columns of a run's parts against schema.json and against ``batch_screen.schema``.

_Described = list[tuple[object, object, object]]


class _SchemaFile(msgspec.Struct, frozen=True):
    schema_version: int
    tables: dict[str, list[dict[str, object]]]


def schema_check(
    layout: Layout, parts: Sequence[ListedFile]
) -> tuple[VerifyCheck, list[ListedFile]]:
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
    return VerifyCheck("schema", claim, len(parts), tuple(differences), rewrite(layout)), right


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
