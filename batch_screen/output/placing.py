"""Whether every number lies in the part it belongs to, so that none is in two of them.

Uniqueness over all parts follows from this and from uniqueness in each: no global set of
numbers is needed. How many parts were planned is not written down, so it is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from batch_screen.output.findings import Difference
from batch_screen.output.parts import RESULTS
from batch_screen.output.reread import DamagedPartError, Part, head

ShardOf = Callable[[pl.Expr, int], pl.Expr]
"""The shard a number lies in, of so many shards."""

_SAMPLE = 16
_DIGITS = r"^\+\d{5,15}$"  # others are no numbers, which is a difference of its own


class Placing:
    """The rule by which numbers were dealt out to the parts of one run.

    A part that holds several shards says of how many itself; otherwise it is found out.
    """

    def __init__(self, shard_of: ShardOf, most_shards: int, results: Mapping[int, Path]) -> None:
        """``results``: part number → file. A part without rows was not written."""
        self._shard_of = shard_of
        samples = [pair for number, path in results.items() for pair in _sample(number, path)]
        self._first = pl.DataFrame(
            samples, schema={"part": pl.Int64, "e164": pl.String}, orient="row"
        )
        least = max(results, default=0) + 1
        fitting = (n for n in range(least, most_shards + 1) if not self._strays(self._first, n))
        self._shards = next(fitting, least)

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


def _sample(number: int, path: Path) -> list[tuple[int, str]]:
    """The part's first numbers; none if it is damaged, which is reported where it is read."""
    try:
        return [(number, e164) for e164 in head(path, "e164", _SAMPLE)]
    except DamagedPartError:
        return []
