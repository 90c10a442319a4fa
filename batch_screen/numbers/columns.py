"""``readings.read`` for whole columns: the same numbers, regions, types and refusals.

Rows go through libphonenumber's steps together: those dialled in one region, then those behind
one calling code. No step looks at a row by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from batch_screen.numbers.branches import split
from batch_screen.numbers.rules import RejectReason
from batch_screen.numbers.territories import (
    NATIONAL,
    UNKNOWN,
    Territory,
    calling_codes,
    territories_of,
    territory_of,
)

DIALLED = ("row", "way", "digits", "dialled_in")
"""What ``read_columns`` needs: ``row`` and ``way`` are its caller's, and come back.

``digits``: String, ASCII digits, at least three. ``dialled_in``: the region in which they are
dialled, null where they start with a calling code.
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
"""What it returns: a reject reason, or a number and what is known of it."""

_FEWEST_DIGITS, _MOST_DIGITS = 2, 17
_SHORTEST_E164, _LONGEST_E164 = 7, 15
_KEPT = ("row", "way")
_DIGITS, _REST = pl.col("digits"), pl.col("rest")


def read_columns(dialled: pl.DataFrame) -> pl.DataFrame:
    """The numbers that digits mean, with the columns ``READING``, in any order of rows."""
    return pl.concat([pl.DataFrame(schema=READING), *_readings(dialled)])


def _readings(dialled: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Frames of ``READING``: each row is in one of them."""
    no_idd = pl.lit(value=False).alias("has_idd")
    is_abroad = pl.col("dialled_in").is_null()
    abroad = [dialled.filter(is_abroad).select(*_KEPT, "digits", no_idd)]
    national: list[pl.DataFrame] = []
    for part in _parts(dialled.filter(~is_abroad), "dialled_in"):
        territory = territory_of(part["dialled_in"][0])
        at_home, with_idd = _without_idd(part, territory)
        abroad.extend(with_idd)
        national.extend(_dialled_at_home(at_home, territory))
    refused, behind_codes = _behind_codes(pl.concat(abroad))
    yield refused
    national.extend(
        _freed(part, territories_of(part["code"][0])[0]) for part in _parts(behind_codes, "code")
    )
    for part in _parts(pl.concat(national), "code") if national else ():
        yield from _typed(part, territories_of(part["code"][0]))


def _parts(frame: pl.DataFrame, key: str) -> list[pl.DataFrame]:
    return frame.partition_by(key) if frame.height else []


def _without_idd(
    part: pl.DataFrame, territory: Territory
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """The rows without an international prefix, and the others, without it."""
    if not territory.international_prefix:
        return part, []
    has_prefix = _DIGITS.str.contains(territory.international_prefix)
    prefixed, others = split(part, has_prefix)
    if not prefixed.height:
        return others, []
    rest = _DIGITS.str.replace(territory.international_prefix, "")
    # No calling code begins with 0, so that was no prefix.
    no_idd, with_idd = split(prefixed.with_columns(rest=rest), _REST.str.starts_with("0"))
    stripped = with_idd.select(*_KEPT, digits="rest", has_idd=pl.lit(value=True))
    return pl.concat([others, no_idd.drop("rest")]), [stripped]


def _dialled_at_home(part: pl.DataFrame, territory: Territory) -> Iterator[pl.DataFrame]:
    """The national numbers of digits dialled in the territory."""
    code = str(territory.code)
    named = {"code": pl.lit(territory.code, pl.Int32), "has_idd": pl.lit(value=False)}
    coded, others = split(part, _DIGITS.str.starts_with(code))
    whole = [others.select(*_KEPT, national="digits", **named)]
    if coded.height:
        # The calling code counts as such only where what follows is a number and the whole none.
        bare = coded.select(*_KEPT, "digits", national=_DIGITS.str.slice(len(code)))
        freed = _freed(bare, territory, is_any_length=True)
        counts = (
            ~territory.looks_general("digits") & territory.looks_general("national")
        ) | territory.is_too_long("digits")
        behind, not_coded = split(freed, counts)
        whole.append(not_coded.select(*_KEPT, national="digits", **named))
        main = territories_of(territory.code)[0]
        yield _freed(behind.select(*_KEPT, "national", **named), main)
    yield _freed(pl.concat(whole), territory)


def _behind_codes(abroad: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows without a calling code, and the others with theirs taken off."""
    short, others = split(abroad, _DIGITS.str.len_bytes() <= _FEWEST_DIGITS)
    codes = pl.Series(calling_codes(), dtype=pl.Int32)
    begins = others.select(_DIGITS.str.slice(0, 3).cast(pl.Int32)).to_series()
    code = pl.col("code")
    known, unknown = split(others.with_columns(codes.gather(begins).alias("code")), code > 0)
    length = pl.when(code < 10).then(1).when(code < 100).then(2).otherwise(3)
    behind = known.select(*_KEPT, _DIGITS.str.slice(length).alias("national"), "code", "has_idd")
    refused = [
        _refused(short, RejectReason.TOO_SHORT),
        _refused(unknown, RejectReason.UNKNOWN_COUNTRY_CODE),
    ]
    return pl.concat(refused), behind


def _freed(
    part: pl.DataFrame, territory: Territory, *, is_any_length: bool = False
) -> pl.DataFrame:
    """The rows with ``national`` freed from the national prefix, or completed.

    It stays where what is left would be no number of the territory and the whole is one, and
    where too few digits would be left, unless ``is_any_length``.
    """
    # What is too short to be looked at is left as it is, and refused later.
    is_enough = NATIONAL.str.len_bytes() >= (0 if is_any_length else _FEWEST_DIGITS)
    prefixed, others = split(part, territory.has_prefix & is_enough)
    if not prefixed.height:
        return others
    rested = prefixed.with_columns(rest=territory.without_prefix)
    fits = territory.looks_general("rest")
    if not is_any_length:
        fits &= territory.may_remain("rest")
    sure, doubtful = split(rested, fits)
    freed = [others, _with_rest(sure, part.columns)]
    if doubtful.height:
        is_none = ~territory.looks_general("national")
        if not is_any_length:
            is_none &= territory.may_remain("rest")
        goes, stays = split(doubtful, is_none)
        freed += [_with_rest(goes, part.columns), stays.drop("rest")]
    return pl.concat(freed)


def _with_rest(part: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    return part.drop("national").rename({"rest": "national"}).select(columns)


def _typed(part: pl.DataFrame, territories: tuple[Territory, ...]) -> Iterator[pl.DataFrame]:
    """The readings of national numbers behind one calling code."""
    main, *others = territories
    count = NATIONAL.str.len_bytes()
    short, part = split(part, count < _FEWEST_DIGITS)
    yield _refused(short, RejectReason.TOO_SHORT)
    long, part = split(part, count > _MOST_DIGITS)
    yield _refused(long, RejectReason.TOO_LONG)
    if not others:
        yield from _reading(_with_type(part, main), main)
        return
    for territory in territories:
        if not part.height:
            return
        if leading := territory.leading_digits:
            here, part = split(part, NATIONAL.str.contains(leading))
            yield from _reading(_with_type(here, territory), main)
        else:
            known, part = split(_with_type(part, territory), pl.col("type") != UNKNOWN)
            yield from _reading(known, main)
            part = part.drop("type", "region")
    nowhere = part.with_columns(region=pl.lit(None, pl.String), type=pl.lit(UNKNOWN))
    yield from _reading(nowhere, main)


def _with_type(part: pl.DataFrame, territory: Territory) -> pl.DataFrame:
    """The rows with the territory's region and the type they have in it."""
    special, others = split(part, territory.is_special)
    region = pl.lit(territory.region)
    typed = others.with_columns(region=region, type=territory.type)
    if not special.height:
        return typed
    return pl.concat([typed, special.with_columns(region=region, type=territory.special_type)])


def _reading(typed: pl.DataFrame, main: Territory) -> Iterator[pl.DataFrame]:
    """Frames of ``READING``: what has no type is refused if its length is impossible."""
    code = str(main.code)
    count = NATIONAL.str.len_bytes() + len(code)
    is_e164 = count.is_between(_SHORTEST_E164, _LONGEST_E164)
    sound, doubtful = split(typed, is_e164 & (pl.col("type") != UNKNOWN))
    failure = (
        pl.when(count < _SHORTEST_E164)
        .then(pl.lit(RejectReason.TOO_SHORT.value))
        .when(count > _LONGEST_E164)
        .then(pl.lit(RejectReason.TOO_LONG.value))
    )
    if doubtful.height:
        impossible = pl.when(pl.col("type") == UNKNOWN).then(main.failure)
        doubtful = doubtful.with_columns(failure=pl.coalesce(impossible, failure))
        failed, possible = split(doubtful, pl.col("failure").is_not_null())
        nothing = {n: pl.lit(None, t) for n, t in READING.items() if n not in (*_KEPT, "failure")}
        yield failed.select(*_KEPT, "failure", **nothing)
        sound = pl.concat([sound, possible.drop("failure")])
    yield sound.select(
        *_KEPT,
        failure=pl.lit(None, pl.String),
        e164=pl.lit("+" + code) + NATIONAL,
        region="region",
        type="type",
        has_idd="has_idd",
    )


def _refused(frame: pl.DataFrame, reason: RejectReason) -> pl.DataFrame:
    nothing = {name: pl.lit(None, dtype) for name, dtype in READING.items() if name not in _KEPT}
    return frame.select(*_KEPT, **nothing | {"failure": pl.lit(reason.value)})
