"""Results in the order of the input: one file, dealt into ranges of rows and sorted range by range.

Parts hold what their numbers' digits say, so that neither asking nor validating needs a whole
list in memory; some readers want to lay the rows beside their input.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from batch_screen.dealing import Dealer, Spool
from batch_screen.files import translated, whole
from batch_screen.output.parts import row_groups
from batch_screen.output.scratch import scratch_files

RANGE_ROWS = 500_000
_MOST_RANGES = 128
_ROW = "row_index"


def write_in_order(parts: Iterable[Path], target: Path, rows: int) -> None:
    """Writes the rows of all parts of results, sorted by ``row_index``, into one file.

    ``rows`` is how many the input had. One range of rows is in memory at a time, and as much
    disk is taken once more meanwhile. Raises ``OutputError``.
    """
    ways = min(_MOST_RANGES, -(-rows // RANGE_ROWS))
    size = -(-rows // ways)
    scratch = scratch_files(target.parent, target.stem, ways)
    with translated("write", target), scratch as ranges:
        with Dealer(ranges, pl.col(_ROW) // size) as dealer:
            for path in parts:
                for batch in row_groups(path):
                    dealer.add(batch)
        with whole(target) as file, Spool(target, file) as spool:
            for path in ranges:
                spool.add(pl.read_parquet(path).sort(_ROW))
