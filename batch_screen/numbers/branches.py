"""Cases for whole columns: rows that go separate ways, and expressions that differ by case."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def split(frame: pl.DataFrame, is_so: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows for which it is so, and the others; what need not be divided is not copied.

    Where it is null, it is not so.

    >>> [part["n"].to_list() for part in split(pl.DataFrame({"n": [1, 2, 3]}), pl.col("n") > 1)]
    [[2, 3], [1]]
    """
    mask = frame.select(is_so.fill_null(value=False).alias("is_so")).to_series()
    found = mask.sum()
    if found in (0, frame.height):
        nothing = frame.clear()
        return (frame, nothing) if found else (nothing, frame)
    return frame.filter(mask), frame.filter(~mask)


def first_of(cases: Sequence[tuple[pl.Expr, pl.Expr]], otherwise: pl.Expr) -> pl.Expr:
    """The value of the first case that applies.

    >>> n = pl.col("n")
    >>> case = first_of([(n < 0, pl.lit("less")), (n < 2, pl.lit("little"))], pl.lit("more"))
    >>> pl.DataFrame({"n": [-1, 1, 5]}).select(case).to_series().to_list()
    ['less', 'little', 'more']
    """
    for applies, value in reversed(cases):
        otherwise = pl.when(applies).then(value).otherwise(otherwise)
    return otherwise
