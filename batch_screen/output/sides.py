"""A run's lookups, shard by shard: one of the two sides of a comparison.

A number lies in the shard its digits say, of as many as its run had, so two runs of equally many
shards are read side by side. Of other runs, a shard's numbers are looked for where the greatest
common divisor of both counts says they can be; where that would read files again and again, the
earlier run's lookups are dealt out once more, by the later run's count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import gcd
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow.parquet as pq

from batch_screen.dealing import Dealer
from batch_screen.output.changes import COMPARED
from batch_screen.output.parts import LOOKUPS, RESULTS, SHARDS_MARK, Layout
from batch_screen.output.placing import ShardOf
from batch_screen.output.reread import DamagedPartError, readable

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


class Side:
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
    earlier: Side, later_shards: int, shard_of: ShardOf, scratch: Sequence[Path]
) -> Found:
    """The earlier run's lookups, dealt out into the ``scratch`` files if there are any."""
    if not scratch:
        return Found(earlier.shards, later_shards, earlier.lookup_units)
    ways = len(scratch)
    with Dealer(scratch, shard_of(pl.col("e164"), ways)) as dealer:
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
