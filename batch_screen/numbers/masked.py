"""``mask_number`` for whole columns of E.164 numbers."""

from __future__ import annotations

import polars as pl

from batch_screen.masking import mask_number

_LONGEST = 16
_WHOLE_MASK = mask_number("+" + (_LONGEST - 1) * "0")
_BULLET = _WHOLE_MASK[_LONGEST // 2]
_HEAD = _WHOLE_MASK.index(_BULLET)
_TAIL = _LONGEST - 1 - _WHOLE_MASK.rindex(_BULLET)
_SHORTEST_SHOWN = next(n for n in range(_LONGEST) if mask_number(n * "0").startswith("0"))


def masked(column: str) -> pl.Expr:
    """The numbers of a column, masked.

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
