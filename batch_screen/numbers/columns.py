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
from batch_screen.numbers.lookup import Lookup
from batch_screen.numbers.rules import RejectReason
from batch_screen.numbers.territories import (
    CODES,
    MOST_DIGITS,
    NATIONAL,
    TYPES,
    UNKNOWN,
    Territory,
    anchored,
    behind,
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
_LENGTHS = MOST_DIGITS + 1
_DIGITS, _PLACE, _REST = pl.col("digits"), pl.col("place"), pl.col("rest")

_IDD = Lookup(
    lambda place, length: territories()[place].prefixed(
        territories()[place].international_prefix, length
    )
)
_TRUNK = Lookup(
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
    at_home, abroad = split(dialled, _PLACE.is_not_null())
    at_home, with_idd = _without_idd(at_home)
    short_idd = with_idd.select(*_KEPT, "digits", has_idd=pl.lit(value=True))
    abroad = pl.concat([abroad.select(*_KEPT, "digits", has_idd=pl.lit(value=False)), short_idd])
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


@cache
def _column(of: Callable[[Territory], object], dtype: pl.DataType) -> pl.Series:
    """A fact about each territory, by its place."""
    return pl.Series([of(territory) for territory in territories()], dtype=dtype)


@cache
def _by_length(of: Callable[[Territory, int], object], dtype: pl.DataType) -> pl.Series:
    """A fact about numbers of each length in each territory, by place and length."""
    facts = [of(t, length) for t in territories() for length in range(_LENGTHS)]
    return pl.Series(facts, dtype=dtype)


def _plain(prefix: str) -> str | None:
    return prefix if prefix.isdigit() else None


def _idd(territory: Territory) -> str | None:
    return _plain(territory.international_prefix)


def _trunk(territory: Territory) -> str | None:
    return _plain(territory.national_prefix)


def _code(territory: Territory) -> str:
    return str(territory.code)


def _main(territory: Territory) -> int:
    return behind(territory.code)[0]


def _code_place(territory: Territory) -> int:
    return CODES.index(territory.code)


def _may_remain(territory: Territory, length: int) -> bool:
    """Whether so many digits are enough to be what a national prefix leaves."""
    return length in territory.lengths or territory.is_too_long(length)


def _failure(territory: Territory, length: int) -> str | None:
    failure = territory.failure(length)
    return failure.value if failure else None


def _with(frame: pl.DataFrame, **facts: Callable[[Territory], object]) -> pl.DataFrame:
    """The frame with facts about the territory of each row's place, all of them texts."""
    return frame.with_columns(
        _column(of, pl.String()).gather(frame["place"]).alias(name) for name, of in facts.items()
    )


def _has(frame: pl.DataFrame, of: Callable[[Territory, int], bool], column: str) -> pl.Series:
    """A fact about the number in a column, which depends on place and length."""
    at = frame.select(_PLACE.cast(pl.UInt32) * _LENGTHS + pl.col(column).str.len_bytes())
    return _by_length(of, pl.Boolean()).gather(at.to_series())


def _parts(frame: pl.DataFrame) -> list[tuple[pl.DataFrame, Territory]]:
    parts = frame.partition_by("place") if frame.height else []
    return [(part, territories()[part["place"][0]]) for part in parts]


def _without_idd(at_home: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without an international prefix, and the others, without it."""
    named = _with(at_home, prefix=_idd)
    plain, others = split(named, pl.col("prefix").is_not_null())
    prefixed, none = split(plain, _DIGITS.str.starts_with(pl.col("prefix")))
    length = pl.col("prefix").str.len_bytes()
    rested = [prefixed.with_columns(rest=_DIGITS.str.slice(length))]
    without = [none]
    has_prefix = _IDD.verdicts(others["place"], others["digits"].str.head(MOST_DIGITS)) == 1
    without.append(others.filter(~has_prefix))
    for part, territory in _parts(others.filter(has_prefix)):
        pattern = anchored(territory.international_prefix)
        rested.append(part.with_columns(rest=_DIGITS.str.replace(pattern, "")))
    # No calling code begins with 0, so that was no prefix.
    no_idd, with_idd = split(pl.concat(rested), _REST.str.starts_with("0"))
    without.append(no_idd.drop("rest"))
    return pl.concat(without).drop("prefix"), with_idd.select(*_KEPT, digits="rest")


def _dialled_at_home(part: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The national numbers of digits dialled in a territory."""
    no_idd = pl.lit(value=False).alias("has_idd")
    named = _with(part, code=_code)
    coded, others = split(named, _DIGITS.str.starts_with(pl.col("code")))
    whole = [others.select(*_KEPT, "place", no_idd, national="digits")]
    if coded.height:
        # The calling code counts as such only where what follows is a number and the whole none.
        length = pl.col("code").str.len_bytes()
        bare = coded.select(*_KEPT, "place", no_idd, "digits", national=_DIGITS.str.slice(length))
        freed = _freed(bare, is_any_length=True)
        counts = (_is_none(freed, "digits") & ~_is_none(freed, "national")) | _has(
            freed, Territory.is_too_long, "digits"
        )
        behind_code, not_coded = freed.filter(counts), freed.filter(~counts)
        whole.append(not_coded.select(*_KEPT, "place", "has_idd", national="digits"))
        main = _column(_main, pl.UInt16()).gather(behind_code["place"]).alias("place")
        yield _freed(behind_code.select(*_KEPT, main, "has_idd", "national"))
    yield _freed(pl.concat(whole))


def _behind_codes(abroad: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows without a calling code, and the others with theirs taken off."""
    short, others = split(abroad, _DIGITS.str.len_bytes() <= _FEWEST_DIGITS)
    begins = others.select(_DIGITS.str.slice(0, 3).cast(pl.UInt16)).to_series()
    known, unknown = split(
        others.with_columns(_main_places().gather(begins).alias("place")), _PLACE.is_not_null()
    )
    length = _column(_code_length, pl.UInt8()).gather(known["place"]).alias("length")
    behind_code = known.with_columns(length).select(
        *_KEPT, "place", "has_idd", national=_DIGITS.str.slice(pl.col("length"))
    )
    refused = [
        _refused(short, RejectReason.TOO_SHORT),
        _refused(unknown, RejectReason.UNKNOWN_COUNTRY_CODE),
    ]
    return pl.concat(refused), behind_code


def _code_length(territory: Territory) -> int:
    return len(_code(territory))


@cache
def _main_places() -> pl.Series:
    """For each beginning of three digits the main territory behind the code in it, if any."""
    found: list[int | None] = [None] * 1000
    for code in CODES:
        digits = 10 ** (3 - len(str(code)))
        found[code * digits : (code + 1) * digits] = [behind(code)[0]] * digits
    return pl.Series(found, dtype=pl.UInt16)


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
    named = _with(part, prefix=_trunk)
    plain, others = split(named, pl.col("prefix").is_not_null())
    prefixed, none = split(plain, NATIONAL.str.starts_with(pl.col("prefix")))
    length = pl.col("prefix").str.len_bytes()
    rested = [prefixed.with_columns(rest=NATIONAL.str.slice(length))]
    freed = [none]
    has_prefix = _TRUNK.verdicts(others["place"], others["national"]) == 1
    freed.append(others.filter(~has_prefix))
    for here, territory in _parts(others.filter(has_prefix)):
        rested.append(here.with_columns(rest=territory.without_prefix))
    doubtful = pl.concat(rested)
    if doubtful.height:
        goes = ~_is_none(doubtful, "rest")
        if not goes.all():
            goes |= _is_none(doubtful, "national")
        if not is_any_length:
            goes &= _has(doubtful, _may_remain, "rest")
        freed += [
            doubtful.filter(goes).drop("national").rename({"rest": "national"}),
            doubtful.filter(~goes).drop("rest"),
        ]
    return pl.concat([short, *(frame.select(short.columns) for frame in freed)])


def _typed(national: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The readings of national numbers, each behind the calling code of its place."""
    short, national = split(national, NATIONAL.str.len_bytes() < _FEWEST_DIGITS)
    yield _refused(short, RejectReason.TOO_SHORT)
    codes = _column(_code_place, pl.UInt16()).gather(national["place"])
    verdict = _TYPES.verdicts(codes, national["national"])
    named = _with(national, code=_code)
    typed = named.select(
        *_KEPT,
        "has_idd",
        (pl.lit("+") + pl.col("code") + NATIONAL).alias("e164"),
        _regions().gather(verdict // len(TYPES)).alias("region"),
        pl.Series(TYPES).gather(verdict % len(TYPES)).alias("type"),
    )
    is_e164 = pl.col("e164").str.len_bytes().is_between(_SHORTEST_E164 + 1, _LONGEST_E164 + 1)
    is_sound = typed.select(is_e164 & (pl.col("type") != UNKNOWN)).to_series()
    nothing = pl.lit(None, pl.String).alias("failure")
    yield typed.filter(is_sound).with_columns(nothing).select(READING.names())
    if not is_sound.all():
        yield _untyped(typed.filter(~is_sound), national.filter(~is_sound))


def _untyped(typed: pl.DataFrame, national: pl.DataFrame) -> pl.DataFrame:
    """Readings of numbers without a type, or of no length that E.164 knows."""
    main = _column(_main, pl.UInt16()).gather(national["place"]).cast(pl.UInt32)
    lengths = national["national"].str.len_bytes()
    impossible = _by_length(_failure, pl.String()).gather(main * _LENGTHS + lengths)
    count = pl.col("e164").str.len_bytes() - 1
    failure = (
        pl.when(count < _SHORTEST_E164)
        .then(pl.lit(RejectReason.TOO_SHORT.value))
        .when(count > _LONGEST_E164)
        .then(pl.lit(RejectReason.TOO_LONG.value))
    )
    told = typed.with_columns(impossible.alias("impossible")).with_columns(
        failure=pl.when(pl.col("type") == UNKNOWN)
        .then(pl.coalesce("impossible", failure))
        .otherwise(failure)
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
