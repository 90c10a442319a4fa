"""A list of up to a hundred million rows, nine in ten of them of a number of their own.

    python -m benchmarks.stages.lists ROWS FILE

Half of the numbers are German mobiles, half British ones, in changing writings; one row in a
hundred holds none. Ranges of that size are in use, for none so large is kept free for examples:
so the list is made for the benchmark, goes to a local server only, and is removed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

CHUNK_ROWS = 500_000
MOST_ROWS = 100_000_000
SHARE_DISTINCT = 0.9
JUNK_EVERY = 100
_STRIDE = 67_867_967
_ROW, _NUMBER = pl.col("row"), pl.col("number")


def numbers(rows: int) -> int:
    """How many distinct numbers a list of so many rows is made of.

    >>> numbers(1_000_000)
    900000
    """
    return int(rows * SHARE_DISTINCT)


def chunk(first: int, height: int, distinct: int) -> pl.DataFrame:
    """Rows of the list: customer_id, phone, country."""
    rows = pl.DataFrame({"row": pl.int_range(first, first + height, dtype=pl.Int64, eager=True)})
    # Neighbours lie far apart, and every number comes up before any comes again.
    numbered = rows.with_columns(number=(_ROW % distinct) * _STRIDE % distinct)
    tail = (_NUMBER // 2).cast(pl.String)
    german, british = tail.str.zfill(8), tail.str.zfill(8)
    writings = [
        _concat("+49151", german),
        _concat("+4474", british),
        _concat("0151 ", german),
        _concat("074", british.str.slice(0, 2), " ", british.str.slice(2)),
        _concat("0049 151/", german),
        _concat("(074", british.str.slice(0, 2), ") ", british.str.slice(2)),
    ]
    is_british = _NUMBER % 2 == 1
    form = _ROW // 7 % 3
    phone = pl.lit("n/a")
    for index, writing in enumerate(writings):
        applies = (is_british == bool(index % 2)) & (form == index // 2)
        phone = pl.when(applies).then(writing).otherwise(phone)
    return numbered.select(
        customer_id=_concat("C", _ROW.cast(pl.String)),
        phone=pl.when(_ROW % JUNK_EVERY == JUNK_EVERY - 1).then(pl.lit("n/a")).otherwise(phone),
        country=pl.when(is_british).then(pl.lit("GB")).otherwise(pl.lit("DE")),
    )


def _concat(*parts: str | pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])


def write_list(rows: int, path: Path) -> None:
    """Writes the list as CSV."""
    with path.open("wb") as file:
        for first in range(0, rows, CHUNK_ROWS):
            height = min(CHUNK_ROWS, rows - first)
            chunk(first, height, numbers(rows)).write_csv(file, include_header=first == 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("file", type=Path)
    chosen = parser.parse_args()
    if not 0 < chosen.rows <= MOST_ROWS:
        parser.error(f"ROWS is at most {MOST_ROWS:,}")
    write_list(chosen.rows, chosen.file)


if __name__ == "__main__":
    main()
