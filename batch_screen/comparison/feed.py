"""The change feed of two runs, shard by shard of the later one, in two passes.

The first pass pairs the lookups, keeps what changed in a scratch file and counts; only then it is
known which cohorts to mark, and the second pass reads what changed again. In memory is one shard
of the later run, and the earlier lookups of its numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import gcd
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.comparison.changes import Marks, Tally, changed, compared, paired
from batch_screen.config.screening import Cohorts
from batch_screen.runs.layout import LOOKUPS, RESULTS, Layout
from batch_screen.schema import CHANGES, conform, number_column
from batch_screen.storage.atomic import translated
from batch_screen.storage.partition import RowGroupWriter
from batch_screen.storage.scratch import scratch_files
from batch_screen.tables.coverage import Change, Changes
from batch_screen.tables.reader import Unit, units


class RunFacts(msgspec.Struct, frozen=True):
    """The part of a run's summary that a comparison needs."""

    run_id: str
    run_date: str
    unique_numbers: int
    endpoints: tuple[str, ...]
    limit: int = 0
    id_key: str | None = None

    @property
    def number(self) -> str:
        """The column that the run's tables are keyed by."""
        return number_column(self.id_key)


class RunTables:
    """A run's lookups by shard, and the regions of its numbers."""

    def __init__(self, facts: RunFacts, layout: Layout, shards: int) -> None:
        self.facts = facts
        self.layout = layout
        self.shards = shards
        self._lookups = units(layout, LOOKUPS, shards)
        self._results = units(layout, RESULTS, shards)

    def lookups(self, shard: int, endpoints: Sequence[str]) -> pl.DataFrame:
        """The shard's lookups at these endpoints, with the columns ``compared``."""
        is_wanted = pl.col("endpoint").is_in(list(endpoints))
        return self._joined(f.filter(is_wanted) for f in self._lookup_frames([shard]))

    def lookups_of(self, numbers: pl.Series, shard: int, shards: int) -> pl.DataFrame:
        """The lookups of these numbers, all from one ``shard`` of another run's ``shards``."""
        # A number's shard is its hash modulo the count. Counts are powers of two, so one divides
        # the other and the partitions nest: few shards of this run can hold the numbers. Runs of
        # earlier versions had any count; where none divides the other, more shards are read.
        step = gcd(self.shards, shards)
        can_hold = [n for n in self._lookups if (n - shard) % step == 0]
        wanted = numbers.unique().to_frame()
        number, frames = self.facts.number, self._lookup_frames(can_hold)
        return self._joined(f.join(wanted, on=number, how="semi") for f in frames)

    def regions(self, shard: int) -> pl.DataFrame:
        """The shard's unique numbers, by their column, and their ``region``."""
        columns = [self.facts.number, "region"]
        # A number stands in as many rows as the list had it; its region is the same in all.
        found = self._results[shard].frames(columns) if shard in self._results else ()
        empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        together: pl.DataFrame = pl.concat([empty, *found])
        return together.unique(self.facts.number, keep="first")

    def _lookup_frames(self, shards: Sequence[int]) -> Iterator[pl.DataFrame]:
        for shard in shards:
            if shard in self._lookups:
                yield from self._lookups[shard].frames(compared(self.facts.number).names())

    def _joined(self, frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
        schema = compared(self.facts.number)
        return pl.concat([pl.DataFrame(schema=schema), *frames]).select(schema.names())


class ChangeFeed:
    """The changes between two runs: figures, and rows shard by shard."""

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
    """The endpoints that both runs asked, in the later one's order, and those that only one did."""
    shared = [name for name in later.endpoints if name in earlier.endpoints]
    either = [*later.endpoints, *earlier.endpoints]
    return shared, [name for name in dict.fromkeys(either) if name not in shared]


@contextmanager
def feed_of(
    earlier: RunTables,
    later: RunTables,
    bounds: Cohorts,
    *,
    scratch: Path,
    on_shard: Callable[[int], None],
) -> Iterator[ChangeFeed]:
    """The feed, while the block lasts; ``on_shard`` is called after each shard is compared.

    The rows that changed lie in the folder ``scratch`` meanwhile. Raises ``DamagedPartError``, and
    ``OutputError`` where the folder cannot be written.
    """
    # What only one of the runs asked is no change of a number.
    endpoints, _ = shared_endpoints(earlier.facts, later.facts)
    tally, counts = Tally(later.facts.number), Counter[tuple[str, str]]()
    with translated("compare in", scratch), scratch_files(scratch, "changed", 1) as [path]:
        with RowGroupWriter(path) as writer:
            for shard in range(later.shards):
                pairs = _pairs(earlier, later, shard, endpoints)
                tally.add(pairs)
                rows = changed(pairs)
                for endpoint, change, lookups in rows.group_by("endpoint", "change").len().rows():
                    counts[endpoint, change] += lookups
                # An empty one too: the second pass finds shard n in row group n.
                writer.add(rows)
                del pairs, rows  # or two shards' would be in memory at once
                on_shard(1)
        marks, compared = Marks(tally, bounds), tally.numbers
        changes = Changes(
            since_run=earlier.facts.run_id,
            since_date=earlier.facts.run_date,
            endpoints={
                name: {change.value: counts[name, change.value] for change in Change}
                for name in endpoints
            },
            # Numbers are in one shard each, so those in both runs were counted once.
            numbers_new=later.facts.unique_numbers - compared,
            numbers_gone=earlier.facts.unique_numbers - compared,
            numbers_compared=compared,
            cohorts=marks.cohorts,
        )
        yield ChangeFeed(changes, later.facts.run_id, marks, Unit(path), later.shards)


def _pairs(
    earlier: RunTables, later: RunTables, shard: int, endpoints: Sequence[str]
) -> pl.DataFrame:
    """The lookups of the later run's shard that both runs have, with their numbers' regions."""
    number, after = later.facts.number, later.lookups(shard, endpoints)
    pairs = paired(earlier.lookups_of(after[number], shard, later.shards), after, number)
    return pairs.join(later.regions(shard), on=number, how="left", maintain_order="left")
