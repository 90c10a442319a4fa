"""The change feed of two runs, shard by shard of the later one, in two passes.

The first pass pairs the lookups, keeps what changed in a scratch file and counts; only then it is
known which cohorts to mark, and the second pass reads what changed again. In memory is one shard
of each run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import gcd
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
import pyarrow.parquet as pq

from batch_screen.comparison.changes import COMPARED, Marks, Tally, changed, paired
from batch_screen.config.screening import Cohorts
from batch_screen.runs.layout import LOOKUPS, RESULTS, SHARDS_MARK, Layout, ShardOf
from batch_screen.schema import CHANGES, conform
from batch_screen.storage.atomic import translated
from batch_screen.storage.partition import PartitionedWriter, RowGroupWriter, scratch_files
from batch_screen.tables.reader import DamagedPartError, readable
from batch_screen.tables.summary import Change, Changes

# A run's lookups, shard by shard: one of the two sides of a comparison.
#
# A number lies in the shard its digits say, of as many as its run had, so two runs of equally many
# shards are read side by side. Of other runs, a shard's numbers are looked for where the greatest
# common divisor of both counts says they can be; where that would read files again and again, the
# earlier run's lookups are dealt out once more, by the later run's count.

MOST_READS = 4
"""So often a file of the earlier run is read before its rows are dealt out instead."""

_MOST_FILES = 128


class Unit(NamedTuple):
    """One shard's rows of a table: a file, or one row group of it."""

    path: Path
    group: int | None = None

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows, a row group at a time. Raises ``DamagedPartError``."""
        try:
            with readable(), pq.ParquetFile(self.path) as file:
                groups = range(file.num_row_groups) if self.group is None else [self.group]
                for group in groups:
                    yield pl.DataFrame(file.read_row_group(group, columns=columns))
        except DamagedPartError as error:
            error.where = self.path.name
            raise


Units = Mapping[int, Unit]
"""Shard → its rows; a shard without rows may have none."""


class RunTables:
    """A run's lookups by shard, and the regions of its numbers."""

    def __init__(self, layout: Layout, shards: int) -> None:
        self.layout = layout
        self.shards = shards
        self.lookup_units = units(layout, LOOKUPS, shards)
        self._results = units(layout, RESULTS, shards)

    def lookups(self, shard: int, endpoints: Sequence[str]) -> pl.DataFrame:
        """The shard's lookups at these endpoints, with the columns ``COMPARED``."""
        asked = pl.col("endpoint").is_in(list(endpoints))
        return _together(
            f.filter(asked) for f in _frames(self.lookup_units, shard, COMPARED.names())
        )

    def regions(self, shard: int) -> pl.DataFrame:
        """The shard's numbers, ``e164``, each once, and the ``region`` of each."""
        columns = ["e164", "region"]
        found = list(_frames(self._results, shard, columns))
        empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        return pl.concat([empty, *found]).unique("e164", keep="first")

    def all_lookups(self) -> Iterator[pl.DataFrame]:
        """Every lookup, some rows at a time, with the columns ``COMPARED``."""
        for unit in self.lookup_units.values():
            yield from unit.frames(COMPARED.names())


class Found:
    """The earlier lookups of a shard's numbers, out of the units where they can be.

    ``shards`` is by how many the units are dealt out, ``later_shards`` by how many the numbers.
    """

    def __init__(self, shards: int, later_shards: int, held: Units) -> None:
        self._step = gcd(shards, later_shards)
        self._units = held

    def lookups_of(self, numbers: pl.Series, shard: int) -> pl.DataFrame:
        """The lookups of the numbers, which are those of the later run's shard."""
        wanted = numbers.unique().to_frame()
        can_be = [n for n in self._units if (n - shard) % self._step == 0]
        frames = (f for n in can_be for f in self._units[n].frames(COMPARED.names()))
        return _together(f.join(wanted, on="e164", how="semi") for f in frames)


def earlier_lookups(
    earlier: RunTables, later_shards: int, shard_of: ShardOf, scratch: Sequence[Path]
) -> Found:
    """The earlier run's lookups, dealt out into the ``scratch`` files if there are any."""
    if not scratch:
        return Found(earlier.shards, later_shards, earlier.lookup_units)
    ways = len(scratch)
    with PartitionedWriter(scratch, shard_of(pl.col("e164"), ways)) as dealer:
        for frame in earlier.all_lookups():
            dealer.add(frame)
    return Found(ways, later_shards, {n: Unit(path) for n, path in enumerate(scratch)})


def ways_to_deal(shards: int, later_shards: int) -> int:
    """Into how many files the earlier run's lookups are dealt out; 0: they are read as they lie.

    >>> ways_to_deal(37, 38), ways_to_deal(38, 38), ways_to_deal(512, 1), ways_to_deal(37, 512)
    (38, 0, 0, 128)
    """
    if later_shards // gcd(shards, later_shards) <= MOST_READS:
        return 0
    return max(n for n in range(1, _MOST_FILES + 1) if later_shards % n == 0)


def units(layout: Layout, table: str, shards: int) -> Units:
    """Where each shard's rows of a table lie. Raises ``DamagedPartError``."""
    found: dict[int, Unit] = {}
    for path in layout.parts(table):
        number = int(path.stem[-5:])
        held = _held(path, shards)
        if held:
            found |= {number + n * (shards // held): Unit(path, n) for n in range(held)}
        else:
            found[number] = Unit(path)
    return found


def _held(path: Path, shards: int) -> int:
    """How many shards the part holds as row groups; 0: it is one."""
    with readable():
        metadata = pq.read_metadata(path)
    mark = (metadata.metadata or {}).get(SHARDS_MARK.encode())
    if mark is None:
        return 0
    held: int = metadata.num_row_groups
    if int(mark) != shards or not held or shards % held:
        raise DamagedPartError("its row groups are not the shards of its run")
    return held


def _frames(held: Units, shard: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    return held[shard].frames(columns) if shard in held else iter(())


def _together(frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=COMPARED), *frames]).select(COMPARED.names())


class RunFacts(msgspec.Struct, frozen=True):
    """What a run says of itself in its summary, as far as a comparison needs it."""

    run_id: str
    run_date: str
    unique_numbers: int
    endpoints: tuple[str, ...]


class ChangeFeed:
    """What changed between two runs: the figures, and the rows of one shard after the other."""

    def __init__(
        self, changes: Changes, run_id: str, marks: Marks, rows: Unit, shards: int
    ) -> None:
        self.changes = changes
        self._ids = {"run_id": pl.lit(run_id), "since_run_id": pl.lit(changes.since_run)}
        self._marks = marks
        self._rows = rows
        self._shards = shards

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows of every shard, one after the other."""
        return map(self.shard, range(self._shards))

    def shard(self, shard: int) -> pl.DataFrame:
        """The shard's rows with the columns ``schema.CHANGES``, by number and endpoint."""
        [rows] = self._rows._replace(group=shard).frames()
        return conform(self._marks.mark(rows).with_columns(**self._ids), CHANGES)


def shared_endpoints(earlier: RunFacts, later: RunFacts) -> tuple[list[str], list[str]]:
    """The endpoints that both runs asked, in the later one's order, and those that one asked."""
    shared = [name for name in later.endpoints if name in earlier.endpoints]
    either = [*later.endpoints, *earlier.endpoints]
    return shared, [name for name in dict.fromkeys(either) if name not in shared]


@contextmanager
def feed_of(  # noqa: PLR0913 (two runs, and how they are compared)
    earlier: tuple[RunFacts, RunTables],
    later: tuple[RunFacts, RunTables],
    bounds: Cohorts,
    *,
    shard_of: ShardOf,
    scratch: Path,
    on_shard: Callable[[int], None],
) -> Iterator[ChangeFeed]:
    """The feed, while the block lasts; ``on_shard`` hears of each shard that was compared.

    What is held meanwhile lies in the folder ``scratch``. Raises ``DamagedPartError``, and
    ``OutputError`` where the folder cannot be written.
    """
    (before, before_side), (after, after_side) = earlier, later
    counted = _Counted(shared_endpoints(before, after)[0])
    ways = ways_to_deal(before_side.shards, after_side.shards)
    with ExitStack() as held, translated("compare in", scratch):
        dealt = held.enter_context(scratch_files(scratch, "earlier", ways))
        [path] = held.enter_context(scratch_files(scratch, "changed", 1))
        found = earlier_lookups(before_side, after_side.shards, shard_of, dealt)
        with RowGroupWriter(path) as spool:
            for shard in range(after_side.shards):
                spool.add(counted.pass_on(_pairs(found, after_side, shard, counted.endpoints)))
                on_shard(1)
        marks = Marks(counted.tally, bounds)
        changes = counted.changes(before, after, marks)
        yield ChangeFeed(changes, after.run_id, marks, Unit(path), after_side.shards)


def _pairs(earlier: Found, later: RunTables, shard: int, endpoints: Sequence[str]) -> pl.DataFrame:
    """The shard's lookups that both runs have, each with its number's region."""
    after = later.lookups(shard, endpoints)
    pairs = paired(earlier.lookups_of(after["e164"], shard), after)
    return pairs.join(later.regions(shard), on="e164", how="left", maintain_order="left")


class _Counted:
    """What is counted of the pairs on their way."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self.tally = Tally()
        self.endpoints = endpoints
        self._changes: Counter[tuple[str, str]] = Counter()

    def pass_on(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Counts the pairs and returns those that changed, with their region."""
        self.tally.add(pairs)
        rows = changed(pairs)
        found = rows.group_by("endpoint", "change").len()
        for endpoint, change, lookups in found.iter_rows():
            self._changes[endpoint, change] += lookups
        return rows

    def changes(self, before: RunFacts, after: RunFacts, marks: Marks) -> Changes:
        compared = self.tally.numbers
        return Changes(
            since_run=before.run_id,
            since_date=before.run_date,
            endpoints={
                name: {change.value: self._changes[name, change.value] for change in Change}
                for name in self.endpoints
            },
            numbers_new=after.unique_numbers - compared,
            numbers_gone=before.unique_numbers - compared,
            numbers_compared=compared,
            cohorts=marks.cohorts,
        )
