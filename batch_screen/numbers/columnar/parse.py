"""Vectorised ``numbers.parse.read``: the same numbers, regions, types and failures, by column.

All rows take libphonenumber's steps together, whatever their territories. Only prefixes that are
expressions are stripped territory by territory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import polars as pl

from batch_screen.numbers.columnar.digits import (
    behind_start,
    count_of,
    split,
    starts_with,
    starts_with_zeros,
    ten_to,
    text_of,
    value_of,
)
from batch_screen.numbers.columnar.intervals import MOST_DIGITS, IntervalTable
from batch_screen.numbers.columnar.plans import (
    CODE_DIGITS,
    CODES,
    TYPES,
    UNKNOWN,
    Territory,
    by_place,
    by_place_and_length,
    by_territory,
    code_twice,
    main_places,
    territories,
    types_of,
    with_digits,
)
from batch_screen.numbers.rules import RejectReason

DIALLED = ("row", "route", "value", "count", "place")
"""Columns that ``read_columns`` takes: ``row`` and ``route`` are its caller's, and come back.

``value`` and ``count``: the digits, as in ``clean.py``. ``place``: that of the territory in which
they are dialled, null where they start with a calling code.
"""

READING = pl.Schema(
    {
        "row": pl.UInt32,
        "route": pl.UInt8,
        "failure": pl.String,
        "e164": pl.String,
        "region": pl.String,
        "type": pl.String,
        "has_idd": pl.Boolean,
    }
)
"""Columns that ``read_columns`` gives: a failure, or a number with its region and type."""

_FEWEST_DIGITS = 2
_SHORTEST_E164, _LONGEST_E164 = 7, 15
_KEPT = ("row", "route")
_NATIONAL = (*_KEPT, "place", "has_idd", "value", "count")
_VALUE, _COUNT, _REST, _REST_COUNT = map(pl.col, ("value", "count", "rest", "rest_count"))
_TOTAL, _VERDICT = pl.col("length") + _COUNT, pl.col("verdict")
_TYPE = _VERDICT % len(TYPES)


class _Prefix(NamedTuple):
    """A kind of prefix: digits that are one, and for the territories with others, how to find and
    strip those as texts.
    """

    plain: Callable[[Territory], str]
    has_more: Callable[[Territory], bool]
    begins: IntervalTable
    behind: Callable[[Territory, pl.Expr], pl.Expr]


_IDD = _Prefix(
    Territory.idd,
    Territory.has_more_idds,
    IntervalTable(
        lambda place, length: territories()[place].prefixed(
            territories()[place].international_prefix, length
        )
    ),
    Territory.behind_idd,
)
_TRUNK = _Prefix(
    Territory.trunk,
    Territory.has_more_trunks,
    IntervalTable(
        lambda place, length: territories()[place].prefixed(
            territories()[place].national_prefix, length
        )
    ),
    Territory.behind_trunk,
)
_GENERAL = IntervalTable(lambda place, length: territories()[place].general(length))
_TYPES = IntervalTable(lambda place, length: types_of(CODES[place], length))


class Readings(NamedTuple):
    """``read``: rows with the columns ``READING``, in any order; ``unsure``: the other ``row``s.

    More than ``MOST_DIGITS`` digits are no number, but for which reason only ``parse.read`` says;
    and a calling code that may be written twice takes a second reading.
    """

    read: pl.DataFrame
    unsure: pl.DataFrame


def read_columns(dialled: pl.DataFrame) -> Readings:
    """Parses digits as numbers, in the order of the steps of ``phonenumbers.parse``."""
    at_home, abroad = split(dialled, pl.col("place").is_not_null())
    # An international prefix at home: what is behind it is dialled abroad.
    prefixed, bare = _strip(at_home, _IDD)
    # No calling code begins with 0, so before a 0 those digits were no prefix.
    no_idd, with_idd = split(prefixed, starts_with_zeros(_REST, _REST_COUNT, 1))
    at_home = pl.concat([bare, no_idd.drop("rest", "rest_count")])
    abroad = pl.concat(
        [
            abroad.select(*_KEPT, "value", "count", has_idd=pl.lit(value=False)),
            with_idd.select(*_KEPT, value="rest", count="rest_count", has_idd=pl.lit(value=True)),
        ]
    )
    # After the prefix: with it, digits may be longer than any number.
    is_long = _COUNT > MOST_DIGITS
    long_at_home, at_home = split(at_home, is_long)
    long_abroad, abroad = split(abroad, is_long)
    refused, behind_codes = _without_codes(abroad)
    # Behind a calling code a trunk prefix goes, too: +49 (0)171 is usual.
    national = pl.concat([*_dialled_at_home(at_home), _without_trunk(behind_codes)])
    # A prefix may have been completed to more digits than there were.
    long, national = split(national, is_long)
    short, national = split(national, _COUNT < _FEWEST_DIGITS)
    typed, twice = _typed(national)
    return Readings(
        pl.concat([refused, _refused(short, RejectReason.TOO_SHORT), *typed]),
        pl.concat([frame.select("row") for frame in (long_at_home, long_abroad, long, twice)]),
    )


def _strip(frame: pl.DataFrame, prefix: _Prefix) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that begin with their territory's prefix, and the others.

    The former get the digits behind it as ``rest`` and ``rest_count``, their value and count.
    """
    start, length = pl.col("start"), pl.col("length")
    named = with_digits(frame, prefix.plain)
    plain, none = split(named, starts_with(_VALUE, _COUNT, start, length))
    rest, rest_count = behind_start(_VALUE, _COUNT, length), _COUNT - length
    prefixed = [plain.with_columns(rest=rest, rest_count=rest_count)]
    has_more = by_place(prefix.has_more, pl.Boolean()).gather(none["place"])
    others, none = split(none, pl.lit(has_more))
    if others.height:
        # Looked up before: text and regular expressions only for the few rows with such a prefix.
        # No prefix is longer than the digits that the tables hold, so the first of them suffice.
        beyond = (
            pl.when(_COUNT > MOST_DIGITS).then(_COUNT - MOST_DIGITS).otherwise(0).cast(pl.UInt8)
        )
        head = others.select(_VALUE // ten_to(beyond), _COUNT - beyond)
        has_prefix = prefix.begins.verdicts(others["place"], head["value"], head["count"]) == 1
        none = pl.concat([none, others.filter(~has_prefix)])
        for part, territory in by_territory(others.filter(has_prefix)):
            texts = part.select(prefix.behind(territory, text_of(_VALUE, _COUNT)).alias("rest"))
            prefixed.append(
                part.hstack(texts.select(value_of(_REST), count_of(_REST).alias("rest_count")))
            )
    return pl.concat(prefixed).drop("start", "length"), none.drop("start", "length")


def _dialled_at_home(part: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Strips calling codes and national prefixes from digits dialled in a territory."""
    named = with_digits(part.with_columns(has_idd=pl.lit(value=False)), Territory.code_digits)
    start, length = pl.col("start"), pl.col("length")
    # Few numbers dialled at home begin with the home's own code; only they are read both ways.
    coded, others = split(named, starts_with(_VALUE, _COUNT, start, length))
    whole = [others.select(_NATIONAL)]
    if coded.height:
        # As libphonenumber has it: the calling code counts as one only where the digits behind it
        # match the territory's pattern and the whole does not, or the whole is too long.
        bare = coded.select(
            *_NATIONAL[:-2],
            value=behind_start(_VALUE, _COUNT, length),
            count=_COUNT - length,
            whole="value",
            whole_count="count",
        )
        stripped = _without_trunk(bare, is_any_length=True)
        digits = (stripped["whole"], stripped["whole_count"])
        is_too_long = by_place_and_length(
            Territory.is_too_long, pl.Boolean(), stripped["place"], stripped["whole_count"]
        )
        counts = (
            _no_match(stripped["place"], *digits)
            & ~_no_match(stripped["place"], stripped["value"], stripped["count"])
        ) | is_too_long
        behind_code, not_coded = stripped.filter(counts), stripped.filter(~counts)
        whole.append(not_coded.select(*_NATIONAL[:-2], value="whole", count="whole_count"))
        main = (
            by_place(Territory.main_place, pl.UInt16()).gather(behind_code["place"]).alias("place")
        )
        yield _without_trunk(behind_code.select(_NATIONAL).with_columns(main))
    yield _without_trunk(pl.concat(whole))


def _without_codes(abroad: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The failures of rows without a calling code, and the others with theirs stripped."""
    short, others = split(abroad, _COUNT <= _FEWEST_DIGITS)
    # One gather by the first three digits finds the code, whatever its length.
    begins = others.select(_VALUE // ten_to(_COUNT - CODE_DIGITS)).to_series()
    main = main_places().gather(begins).alias("place")
    known, unknown = split(others.with_columns(main), pl.col("place").is_not_null())
    count = pl.col("count") - by_place(Territory.code_length, pl.UInt8()).gather(known["place"])
    behind_code = known.with_columns(value=_VALUE % ten_to(count), count=count)
    refused = [
        _refused(short, RejectReason.TOO_SHORT),
        _refused(unknown, RejectReason.UNKNOWN_COUNTRY_CODE),
    ]
    return pl.concat(refused), behind_code.select(_NATIONAL)


def _no_match(places: pl.Series, values: pl.Series, counts: pl.Series) -> pl.Series:
    """Whether digits do not match the territory's general pattern."""
    return _GENERAL.verdicts(places, values, counts) == 0


def _without_trunk(part: pl.DataFrame, *, is_any_length: bool = False) -> pl.DataFrame:
    """Strips or completes the national prefix.

    It stays where only the whole matches the territory's pattern, and where too few digits would
    be left, unless ``is_any_length``.
    """
    # Too short for libphonenumber to look for a prefix: left as it is, and refused later.
    short, part = split(part, _COUNT.lt(0 if is_any_length else _FEWEST_DIGITS))
    doubtful, none = _strip(part, _TRUNK)
    stripped = [none]
    if doubtful.height:
        place = doubtful["place"]
        # Nearly always the rest is a number, and then the whole need not be looked up.
        goes = ~_no_match(place, doubtful["rest"], doubtful["rest_count"])
        if not goes.all():
            goes |= _no_match(place, doubtful["value"], doubtful["count"])
        if not is_any_length:
            goes &= by_place_and_length(
                Territory.may_remain, pl.Boolean(), place, doubtful["rest_count"]
            )
        gone, whole = split(doubtful, pl.lit(goes))
        stripped += [
            gone.drop("value", "count").rename({"rest": "value", "rest_count": "count"}),
            whole.drop("rest", "rest_count"),
        ]
    return pl.concat([short, *(frame.select(short.columns) for frame in stripped)])


def _typed(national: pl.DataFrame) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """Types, regions and E.164 of national numbers; and those with their code twice, maybe."""
    codes = by_place(Territory.code_place, pl.UInt16()).gather(national["place"])
    # Region and type in one verdict, by the calling code: several regions may share it.
    verdict = _TYPES.verdicts(codes, national["value"], national["count"]).alias("verdict")
    coded = with_digits(national.with_columns(verdict), Territory.code_digits)
    # Nearly all rows are sound; only the others, those with their code twice among them, pay for
    # finding out what they lack. No text is made before the rows are split.
    is_sound = _TOTAL.is_between(_SHORTEST_E164, _LONGEST_E164) & (_TYPE != UNKNOWN)
    sound, others = split(coded, is_sound)
    twice, untyped = split(others, _VERDICT.eq(code_twice()))
    return [_reading(sound, pl.lit(None, pl.String)), _untyped(untyped)], twice


def _untyped(coded: pl.DataFrame) -> pl.DataFrame:
    """Readings of numbers without a type, or of a length that E.164 does not allow."""
    main = by_place(Territory.main_place, pl.UInt16()).gather(coded["place"])
    impossible = by_place_and_length(Territory.failure, pl.String(), main, coded["count"])
    # Without a type, libphonenumber's test of lengths decides; then E.164's own limits.
    of_length = (
        pl.when(_TOTAL < _SHORTEST_E164)
        .then(pl.lit(RejectReason.TOO_SHORT))
        .when(_TOTAL > _LONGEST_E164)
        .then(pl.lit(RejectReason.TOO_LONG))
    )
    of_type = pl.when(_TYPE == UNKNOWN).then(pl.lit(impossible))
    read = _reading(coded, pl.coalesce(of_type, of_length))
    is_possible = pl.col("failure").is_null()
    return read.with_columns(
        pl.when(is_possible).then(name).alias(name) for name in READING.names()[3:]
    )


def _reading(coded: pl.DataFrame, failure: pl.Expr) -> pl.DataFrame:
    """The columns ``READING`` of numbers with a verdict, and with the digits of their code."""
    return coded.select(
        *_KEPT,
        failure.alias("failure"),
        e164=pl.lit("+") + (pl.col("start") * ten_to(_COUNT) + _VALUE).cast(pl.String),
        region=pl.lit(_regions()).gather(_VERDICT // len(TYPES)),
        type=pl.lit(pl.Series(TYPES)).gather(_TYPE),
        has_idd="has_idd",
    )


@cache
def _regions() -> pl.Series:
    """Regions by the place in a verdict, of which 0 is none."""
    regions = [None, *(territory.region for territory in territories()), None]  # code_twice: none
    return pl.Series(regions, dtype=pl.String)


def _refused(frame: pl.DataFrame, reason: RejectReason) -> pl.DataFrame:
    nothing = {name: pl.lit(None, dtype) for name, dtype in READING.items() if name not in _KEPT}
    return frame.select(*_KEPT, **nothing | {"failure": pl.lit(reason)})
