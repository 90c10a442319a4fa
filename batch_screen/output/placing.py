"""Whether every number lies in the part it belongs to, so that none is in two of them.

Uniqueness over all parts follows from this and from uniqueness in each: no global set of
numbers is needed. How many parts were planned is not written down, so it is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from batch_screen.output.findings import Difference
from batch_screen.output.parts import RESULTS
from batch_screen.output.reread import Part

ShardOf = Callable[[pl.Expr, int], pl.Expr]
"""The shard a number lies in, of so many shards."""

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
