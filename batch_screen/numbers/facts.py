"""Facts about territories, gathered for whole columns of places."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import polars as pl

from batch_screen.numbers.digits import MOST_KEPT
from batch_screen.numbers.territories import CODES, MOST_DIGITS, Territory, behind, territories

CODE_DIGITS = 3
"""How many digits the longest calling codes have."""

_LENGTHS = MOST_DIGITS + 1


def fact(of: Callable[[Territory], object], dtype: pl.DataType, places: pl.Series) -> pl.Series:
    """A fact about the territory of each place."""
    return _by_place(of, dtype).gather(places)


def fact_of_length(
    of: Callable[[Territory, int], object],
    dtype: pl.DataType,
    places: pl.Series,
    counts: pl.Series,
) -> pl.Series:
    """A fact about numbers of up to ``MOST_DIGITS`` digits that hangs on place and count."""
    at = places.cast(pl.UInt32) * _LENGTHS + counts
    return _by_place_and_length(of, dtype).gather(at)


def with_digits(frame: pl.DataFrame, of: Callable[[Territory], str | None]) -> pl.DataFrame:
    """The frame with some digits of the territory of each row's ``place``, null where it has none.

    ``start`` is their value and ``length`` their count.
    """
    starts, lengths = _digits_by_place(of)
    return frame.with_columns(
        starts.gather(frame["place"]).alias("start"), lengths.gather(frame["place"]).alias("length")
    )


def by_territory(frame: pl.DataFrame) -> list[tuple[pl.DataFrame, Territory]]:
    """The rows of each territory."""
    parts = frame.partition_by("place") if frame.height else []
    return [(part, territories()[part["place"][0]]) for part in parts]


@cache
def _by_place(of: Callable[[Territory], object], dtype: pl.DataType) -> pl.Series:
    return pl.Series([of(territory) for territory in territories()], dtype=dtype)


@cache
def _digits_by_place(of: Callable[[Territory], str | None]) -> tuple[pl.Series, pl.Series]:
    texts = [of(territory) for territory in territories()]
    # Where there are none, they are longer than any number, which then never starts with them.
    starts = [None if text is None else int(text or 0) for text in texts]
    lengths = [None if text is None else len(text) or MOST_KEPT + 1 for text in texts]
    return pl.Series(starts, dtype=pl.UInt64), pl.Series(lengths, dtype=pl.UInt8)


@cache
def _by_place_and_length(of: Callable[[Territory, int], object], dtype: pl.DataType) -> pl.Series:
    facts = [of(t, length) for t in territories() for length in range(_LENGTHS)]
    return pl.Series(facts, dtype=dtype)


@cache
def main_places() -> pl.Series:
    """For each ``CODE_DIGITS`` first digits the main territory behind the code in them, if any."""
    found: list[int | None] = [None] * 10**CODE_DIGITS
    for calling in CODES:
        digits = 10 ** (CODE_DIGITS - len(str(calling)))
        found[calling * digits : (calling + 1) * digits] = [behind(calling)[0]] * digits
    return pl.Series(found, dtype=pl.UInt16)


def idd(territory: Territory) -> str | None:
    """The international prefix; empty if there is none, None if it is more than digits."""
    return _plain(territory.international_prefix)


def trunk(territory: Territory) -> str | None:
    """The national prefix; empty if there is none, None if it is more than digits."""
    return _plain(territory.national_prefix)


def _plain(prefix: str) -> str | None:
    return prefix if prefix.isdigit() or not prefix else None


def code(territory: Territory) -> str:
    """The calling code."""
    return str(territory.code)


def code_length(territory: Territory) -> int:
    """How many digits the calling code has."""
    return len(code(territory))


def code_place(territory: Territory) -> int:
    """Where the calling code stands in ``CODES``."""
    return CODES.index(territory.code)


def main_place(territory: Territory) -> int:
    """The place of the main territory behind the calling code."""
    return behind(territory.code)[0]


def may_remain(territory: Territory, length: int) -> bool:
    """Whether so many digits are enough to be what a national prefix leaves."""
    return length in territory.lengths or territory.is_too_long(length)


def failure(territory: Territory, length: int) -> str | None:
    """``Territory.failure`` as a text."""
    reason = territory.failure(length)
    return reason.value if reason else None
