"""The change feed of two runs, shard by shard of the later one, in two passes.

The first pass pairs the lookups, keeps what changed in a scratch file and counts; only then it is
known which cohorts to mark, and the second pass reads what changed again. In memory is one shard
of each run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.cohorts import Cohorts
from batch_screen.dealing import Spool
from batch_screen.files import translated
from batch_screen.output.changes import Change, Changes, changed, paired
from batch_screen.output.cohorts import Marks, Tally
from batch_screen.output.placing import ShardOf
from batch_screen.output.scratch import scratch_files
from batch_screen.output.sides import Found, Side, Unit, earlier_lookups, ways_to_deal
from batch_screen.schema import CHANGES, conform


class Told(msgspec.Struct, frozen=True):
    """What a run says of itself in its summary, as far as a comparison needs it."""

    run_id: str
    run_date: str
    unique_numbers: int
    endpoints: tuple[str, ...]


class Feed:
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


def shared_endpoints(earlier: Told, later: Told) -> tuple[list[str], list[str]]:
    """The endpoints that both runs asked, in the later one's order, and those that one asked."""
    shared = [name for name in later.endpoints if name in earlier.endpoints]
    either = [*later.endpoints, *earlier.endpoints]
    return shared, [name for name in dict.fromkeys(either) if name not in shared]


@contextmanager
def feed_of(  # noqa: PLR0913 (two runs, and how they are compared)
    earlier: tuple[Told, Side],
    later: tuple[Told, Side],
    bounds: Cohorts,
    *,
    shard_of: ShardOf,
    scratch: Path,
    on_shard: Callable[[int], None],
) -> Iterator[Feed]:
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
        with Spool(path) as spool:
            for shard in range(after_side.shards):
                spool.add(counted.pass_on(_pairs(found, after_side, shard, counted.endpoints)))
                on_shard(1)
        marks = Marks(counted.tally, bounds)
        changes = counted.changes(before, after, marks)
        yield Feed(changes, after.run_id, marks, Unit(path), after_side.shards)


def _pairs(earlier: Found, later: Side, shard: int, endpoints: Sequence[str]) -> pl.DataFrame:
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

    def changes(self, before: Told, after: Told, marks: Marks) -> Changes:
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
