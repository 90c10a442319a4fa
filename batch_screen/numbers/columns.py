"""``readings.read`` for whole columns: the same numbers, regions, types and refusals.

Rows go through libphonenumber's steps together, whatever their territories. Only prefixes that
are more than digits are taken off territory by territory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import polars as pl

from batch_screen.numbers.branches import split
from batch_screen.numbers.facts import (
    by_territory,
    code,
    code_length,
    code_place,
    fact,
    fact_of_length,
    failure,
    idd,
    main_place,
    main_places,
    may_remain,
    trunk,
    with_texts,
)
from batch_screen.numbers.lookup import Lookup
from batch_screen.numbers.readings import UNKNOWN_TYPE
from batch_screen.numbers.rules import RejectReason
from batch_screen.numbers.territories import (
    CODES,
    MOST_DIGITS,
    NATIONAL,
    TYPES,
    Territory,
    anchored,
    territories,
    types_of,
)

DIALLED = ("row", "way", "digits", "place")
"""What ``read_columns`` needs: ``row`` and ``way`` are its caller's, and come back.

``digits``: String, ASCII digits. ``place``: that of the territory in which they are dialled, null
where they start with a calling code.
"""

READING = pl.Schema(
    {
        "row": pl.UInt32,
        "way": pl.UInt8,
        "failure": pl.String,
        "e164": pl.String,
        "region": pl.String,
        "type": pl.String,
        "has_idd": pl.Boolean,
    }
)
"""A reject reason, or a number and what is known of it."""

_FEWEST_DIGITS = 2
_SHORTEST_E164, _LONGEST_E164 = 7, 15
_KEPT = ("row", "way")
_DIGITS, _REST = pl.col("digits"), pl.col("rest")

_BEGINS_WITH_IDD = Lookup(
    lambda place, length: territories()[place].prefixed(
        territories()[place].international_prefix, length
    )
)
_BEGINS_WITH_TRUNK = Lookup(
    lambda place, length: territories()[place].prefixed(
        territories()[place].national_prefix, length
    )
)
_GENERAL = Lookup(lambda place, length: territories()[place].general(length))
_TYPES = Lookup(lambda place, length: types_of(CODES[place], length))


class Readings(NamedTuple):
    """``read``: rows with the columns ``READING``, in any order; ``too_long``: the other ``row``s.

    Numbers of more than ``MOST_DIGITS`` digits are none, but why they are none is not told here.
    """

    read: pl.DataFrame
    too_long: pl.DataFrame


def read_columns(dialled: pl.DataFrame) -> Readings:
    """The numbers that digits mean."""
    at_home, abroad = split(dialled, pl.col("place").is_not_null())
    at_home, with_idd = _without_idd(at_home)
    abroad = pl.concat(
        [
            abroad.select(*_KEPT, "digits", has_idd=pl.lit(value=False)),
            with_idd.with_columns(has_idd=pl.lit(value=True)),
        ]
    )
    is_long = _DIGITS.str.len_bytes() > MOST_DIGITS
    long_at_home, at_home = split(at_home, is_long)
    long_abroad, abroad = split(abroad, is_long)
    refused, behind_codes = _behind_codes(abroad)
    national = pl.concat([*_dialled_at_home(at_home), _freed(behind_codes)])
    long, national = split(national, NATIONAL.str.len_bytes() > MOST_DIGITS)
    return Readings(
        pl.concat([refused, *_typed(national)]),
        pl.concat([frame.select("row") for frame in (long_at_home, long_abroad, long)]),
    )


def _without_idd(at_home: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without an international prefix, and the others, without it."""
    rested, without = _stripped(at_home, "digits", idd, _BEGINS_WITH_IDD, _rest_behind_idd)
    # No calling code begins with 0, so that was no prefix.
    no_idd, with_idd = split(rested, _REST.str.starts_with("0"))
    return pl.concat([without, no_idd.drop("rest")]), with_idd.select(*_KEPT, digits="rest")


def _stripped(
    frame: pl.DataFrame,
    column: str,
    prefix: Callable[[Territory], str | None],
    begins: Lookup,
    rest: Callable[[Territory], pl.Expr],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that begin with a prefix of their territory, with the ``rest``, and the others.

    A ``prefix`` that is digits is taken off all rows at once, any other territory by territory.
    """
    number = pl.col(column)
    named = with_texts(frame, prefix=prefix)
    plain, others = split(named, pl.col("prefix").is_not_null())
    prefixed, none = split(plain, number.str.starts_with(pl.col("prefix")))
    rested = [prefixed.with_columns(rest=number.str.slice(pl.col("prefix").str.len_bytes()))]
    has_prefix = begins.verdicts(others["place"], others[column].str.head(MOST_DIGITS)) == 1
    for part, territory in by_territory(others.filter(has_prefix)):
        rested.append(part.with_columns(rest=rest(territory)))
    without = pl.concat([none, others.filter(~has_prefix)])
    return pl.concat(rested).drop("prefix"), without.drop("prefix")


def _rest_behind_idd(territory: Territory) -> pl.Expr:
    return _DIGITS.str.replace(anchored(territory.international_prefix), "")


def _rest_behind_trunk(territory: Territory) -> pl.Expr:
    return territory.without_prefix


def _dialled_at_home(part: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The national numbers of digits dialled in a territory."""
    no_idd = pl.lit(value=False).alias("has_idd")
    named = with_texts(part, code=code)
    coded, others = split(named, _DIGITS.str.starts_with(pl.col("code")))
    whole = [others.select(*_KEPT, "place", no_idd, national="digits")]
    if coded.height:
        # The calling code counts as such only where what follows is a number and the whole none.
        length = pl.col("code").str.len_bytes()
        bare = coded.select(*_KEPT, "place", no_idd, "digits", national=_DIGITS.str.slice(length))
        freed = _freed(bare, is_any_length=True)
        is_too_long = fact_of_length(
            Territory.is_too_long, pl.Boolean(), freed["place"], freed["digits"]
        )
        counts = (_is_none(freed, "digits") & ~_is_none(freed, "national")) | is_too_long
        behind_code, not_coded = freed.filter(counts), freed.filter(~counts)
        whole.append(not_coded.select(*_KEPT, "place", "has_idd", national="digits"))
        main = fact(main_place, pl.UInt16(), behind_code["place"]).alias("place")
        yield _freed(behind_code.select(*_KEPT, main, "has_idd", "national"))
    yield _freed(pl.concat(whole))


def _behind_codes(abroad: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows without a calling code, and the others with theirs taken off."""
    short, others = split(abroad, _DIGITS.str.len_bytes() <= _FEWEST_DIGITS)
    begins = others.select(_DIGITS.str.slice(0, 3).cast(pl.UInt16)).to_series()
    main = main_places().gather(begins).alias("place")
    known, unknown = split(others.with_columns(main), pl.col("place").is_not_null())
    length = fact(code_length, pl.UInt8(), known["place"]).alias("length")
    behind_code = known.with_columns(length).select(
        *_KEPT, "place", "has_idd", national=_DIGITS.str.slice(pl.col("length"))
    )
    refused = [
        _refused(short, RejectReason.TOO_SHORT),
        _refused(unknown, RejectReason.UNKNOWN_COUNTRY_CODE),
    ]
    return pl.concat(refused), behind_code


def _is_none(frame: pl.DataFrame, column: str) -> pl.Series:
    """Whether the digits in a column are no number of the territory, whatever their count."""
    return _GENERAL.verdicts(frame["place"], frame[column]) == 0


def _freed(part: pl.DataFrame, *, is_any_length: bool = False) -> pl.DataFrame:
    """The rows with ``national`` freed from the national prefix, or completed.

    It stays where what is left would be no number of the territory and the whole is one, and
    where too few digits would be left, unless ``is_any_length``.
    """
    # What is too short to be looked at is left as it is, and refused later.
    short, part = split(part, NATIONAL.str.len_bytes() < (0 if is_any_length else _FEWEST_DIGITS))
    doubtful, none = _stripped(part, "national", trunk, _BEGINS_WITH_TRUNK, _rest_behind_trunk)
    freed = [none]
    if doubtful.height:
        goes = ~_is_none(doubtful, "rest")
        if not goes.all():
            goes |= _is_none(doubtful, "national")
        if not is_any_length:
            goes &= fact_of_length(may_remain, pl.Boolean(), doubtful["place"], doubtful["rest"])
        freed += [
            doubtful.filter(goes).drop("national").rename({"rest": "national"}),
            doubtful.filter(~goes).drop("rest"),
        ]
    return pl.concat([short, *(frame.select(short.columns) for frame in freed)])


def _typed(national: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The readings of national numbers, each behind the calling code of its place."""
    short, national = split(national, NATIONAL.str.len_bytes() < _FEWEST_DIGITS)
    yield _refused(short, RejectReason.TOO_SHORT)
    codes = fact(code_place, pl.UInt16(), national["place"])
    verdict = _TYPES.verdicts(codes, national["national"])
    named = with_texts(national, code=code)
    typed = named.select(
        *_KEPT,
        "has_idd",
        (pl.lit("+") + pl.col("code") + NATIONAL).alias("e164"),
        _regions().gather(verdict // len(TYPES)).alias("region"),
        pl.Series(TYPES).gather(verdict % len(TYPES)).alias("type"),
    )
    is_e164 = pl.col("e164").str.len_bytes().is_between(_SHORTEST_E164 + 1, _LONGEST_E164 + 1)
    is_sound = typed.select(is_e164 & (pl.col("type") != UNKNOWN_TYPE)).to_series()
    nothing = pl.lit(None, pl.String).alias("failure")
    yield typed.filter(is_sound).with_columns(nothing).select(READING.names())
    if not is_sound.all():
        yield _untyped(typed.filter(~is_sound), national.filter(~is_sound))


def _untyped(typed: pl.DataFrame, national: pl.DataFrame) -> pl.DataFrame:
    """Readings of numbers without a type, or of no length that E.164 knows."""
    main = fact(main_place, pl.UInt16(), national["place"])
    impossible = fact_of_length(failure, pl.String(), main, national["national"])
    count = pl.col("e164").str.len_bytes() - 1
    of_count = (
        pl.when(count < _SHORTEST_E164)
        .then(pl.lit(RejectReason.TOO_SHORT.value))
        .when(count > _LONGEST_E164)
        .then(pl.lit(RejectReason.TOO_LONG.value))
    )
    told = typed.with_columns(impossible.alias("impossible")).with_columns(
        failure=pl.when(pl.col("type") == UNKNOWN_TYPE)
        .then(pl.coalesce("impossible", of_count))
        .otherwise(of_count)
    )
    is_possible = pl.col("failure").is_null()
    return told.select(
        *_KEPT,
        "failure",
        *(pl.when(is_possible).then(name).alias(name) for name in READING.names()[3:]),
    )


@cache
def _regions() -> pl.Series:
    """The regions of verdicts, of which the first is none."""
    return pl.Series([None, *(territory.region for territory in territories())], dtype=pl.String)


def _refused(frame: pl.DataFrame, reason: RejectReason) -> pl.DataFrame:
    nothing = {name: pl.lit(None, dtype) for name, dtype in READING.items() if name not in _KEPT}
    return frame.select(*_KEPT, **nothing | {"failure": pl.lit(reason.value)})
