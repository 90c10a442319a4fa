"""Digits as integers: a value and a count, and expressions over both.

``0049`` is the value 49 in a count of 4. Knows no cells and no numbering plans.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from batch_screen.masking import mask_number

# Integers and not texts: arithmetic costs a tenth of the same on texts.

MOST_KEPT = 19
"""The most digits whose value fits into UInt64."""

_TENS = pl.Series([10**count for count in range(MOST_KEPT + 1)], dtype=pl.UInt64)


def ten_to(count: pl.Expr) -> pl.Expr:
    """Ten to the power of a count of up to ``MOST_KEPT``."""
    return pl.lit(_TENS).gather(count)


def starts_with(value: pl.Expr, count: pl.Expr, start: pl.Expr, length: pl.Expr) -> pl.Expr:
    """Whether the digits begin with those of ``start``, a value of ``length`` digits.

    >>> row = pl.DataFrame({"value": [491], "count": [4], "start": [4], "length": [2]})  # 0491
    >>> row.select(starts_with(*map(pl.col, row.columns))).item()
    True
    """
    behind = pl.when(count >= length).then(count - length)  # counts are unsigned: no less than 0
    return (value // ten_to(behind) == start).fill_null(value=False)


def behind_start(value: pl.Expr, count: pl.Expr, length: pl.Expr) -> pl.Expr:
    """The value of the digits after the first ``length``.

    >>> row = pl.DataFrame({"value": [49171], "count": [5], "length": [2]})
    >>> row.select(behind_start(*map(pl.col, row.columns))).item()
    171
    """
    return value % ten_to(count - length)


def starts_with_zeros(value: pl.Expr, count: pl.Expr, zeros: int) -> pl.Expr:
    """Whether the digits begin with that many zeros.

    >>> rows = pl.DataFrame({"value": [0, 4, 49], "count": [1, 3, 3]})
    >>> rows.select(starts_with_zeros(pl.col("value"), pl.col("count"), 2)).to_series().to_list()
    [False, True, False]
    """
    below = [10 ** (n - zeros) if n >= zeros else 0 for n in range(MOST_KEPT + 1)]
    return value < pl.lit(pl.Series(below, dtype=pl.UInt64)).gather(count)


def text_of(value: pl.Expr, count: pl.Expr) -> pl.Expr:
    """The digits as text, leading zeros included.

    >>> rows = pl.DataFrame({"value": [49, 0], "count": [4, 0]})
    >>> rows.select(text_of(pl.col("value"), pl.col("count"))).to_series().to_list()
    ['0049', '']
    """
    return pl.when(count > 0).then(value.cast(pl.String).str.zfill(count)).otherwise(pl.lit(""))


def value_of(text: pl.Expr) -> pl.Expr:
    """The value of a text of digits, with or without a +; null of any other text.

    >>> rows = pl.DataFrame({"text": ["0049", "", "+49", "4 9"]})
    >>> rows.select(value_of(pl.col("text"))).to_series().to_list()
    [49, 0, 49, None]
    """
    return pl.when(text.str.len_bytes() > 0).then(text.cast(pl.UInt64, strict=False)).otherwise(0)


def count_of(text: pl.Expr) -> pl.Expr:
    """The number of digits in a text that has nothing else."""
    return text.str.len_bytes().cast(pl.UInt8)


def split(frame: pl.DataFrame, condition: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows where ``condition`` holds, and the others, those with null among them.

    Nothing is copied where all rows go the same way.

    >>> [part["n"].to_list() for part in split(pl.DataFrame({"n": [1, 2, 3]}), pl.col("n") > 1)]
    [[2, 3], [1]]
    """
    if not frame.height:
        return frame, frame
    mask = frame.select(condition.fill_null(value=False).alias("condition")).to_series()
    found = mask.sum()
    if found in (0, frame.height):
        nothing = frame.clear()
        return (frame, nothing) if found else (nothing, frame)
    return frame.filter(mask), frame.filter(~mask)


def first_of(cases: Sequence[tuple[pl.Expr, pl.Expr]], otherwise: pl.Expr) -> pl.Expr:
    """The value of the first case that applies, as one expression.

    >>> n = pl.col("n")
    >>> case = first_of([(n < 0, pl.lit("less")), (n < 2, pl.lit("little"))], pl.lit("more"))
    >>> pl.DataFrame({"n": [-1, 1, 5]}).select(case).to_series().to_list()
    ['less', 'little', 'more']
    """
    for applies, value in reversed(cases):
        otherwise = pl.when(applies).then(value).otherwise(otherwise)
    return otherwise


# ``masked`` hides what ``mask_number`` hides: its measures are read off a number that it masked.
_LONGEST = 16
_WHOLE_MASK = mask_number("+" + (_LONGEST - 1) * "0")
_BULLET = _WHOLE_MASK[_LONGEST // 2]
_HEAD = _WHOLE_MASK.index(_BULLET)
_TAIL = _LONGEST - 1 - _WHOLE_MASK.rindex(_BULLET)
_SHORTEST_SHOWN = next(n for n in range(_LONGEST) if mask_number(n * "0").startswith("0"))


def masked(column: str) -> pl.Expr:
    """``mask_number`` for a column of E.164 numbers.

    >>> numbers = pl.DataFrame({"e164": ["+491511234589", "+2907000"]})
    >>> numbers.select(masked("e164")).to_series().to_list()
    ['+4915••••••89', '••••••••']
    """
    number = pl.col(column)
    length = number.str.len_bytes().cast(pl.Int64)
    bullets = pl.lit(_LONGEST * _BULLET)
    hidden = bullets.str.slice(0, length - (_HEAD + _TAIL))
    shown = pl.concat_str(number.str.slice(0, _HEAD), hidden, number.str.slice(-_TAIL))
    return pl.when(length < _SHORTEST_SHOWN).then(bullets.str.slice(0, length)).otherwise(shown)
