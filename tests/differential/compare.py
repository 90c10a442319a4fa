"""Compares the columns' judgement with the single cells', and both with phonenumbers itself."""

from __future__ import annotations

from collections.abc import Iterable
from unittest.mock import patch

import phonenumbers
import polars as pl
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from batch_screen.config.screening import Numbers
from batch_screen.model import ColumnKind
from batch_screen.numbers.clean import ascii_text
from batch_screen.numbers.columnar.clean import read_cells
from batch_screen.numbers.columnar.parse import DIALLED, READING, read_columns
from batch_screen.numbers.columnar.plans import places
from batch_screen.numbers.convention import Conventions
from batch_screen.numbers.frame import ADDED_COLUMNS, normalise_frame
from batch_screen.numbers.normalise import NO_CONVENTIONS, Normaliser
from batch_screen.numbers.rules import Accepted
from tests.differential.cases import Case

Difference = tuple[Case, object, object]

_E164 = range(8, 17)


def differences_from_library(cases: Iterable[Case]) -> tuple[int, list[Difference]]:
    """How many cells were compared with phonenumbers, and where the readings differ.

    Of each cell whose digits are read here: number, region, type, validity and refusal of the
    raw text, before any rule of ours but two. A text with a + is dialled in no region: what
    follows the + is a calling code or nothing. And where phonenumbers takes a text for no number
    because of a space or a mark it does not know (U+2009, U+202A), it is asked without that. So
    it is where it leaves punctuation in the number: 00/00 is +4900/00 to it.
    """
    named = list(dict.fromkeys(cases))
    frame = pl.DataFrame(named, schema={"raw": pl.String, "region": pl.String}, orient="row")
    rows = frame.with_row_index("row")
    cells = read_cells(rows.select("row", "raw"), ColumnKind.TEXT).dialled
    rows = rows.join(cells, on="row").filter(pl.col("has_plus") | pl.col("region").is_not_null())
    place = pl.col("region").replace_strict(places(), default=None, return_dtype=pl.UInt16)
    rows = rows.with_columns(
        dialled_in=pl.when(~pl.col("has_plus")).then("region"),
        place=pl.when(~pl.col("has_plus")).then(place),
        route=pl.lit(0, pl.UInt8),
    )
    readings = read_columns(rows.select(DIALLED))
    found = readings.read.sort("row").drop("row", "route")
    rows = rows.join(readings.unsure, on="row", how="anti").sort("row")
    differing: list[Difference] = []
    asked = zip(rows["raw"], rows["dialled_in"], found.iter_rows(), strict=True)
    for raw, region, ours in asked:
        theirs = library(raw, region)
        if theirs[0] == "not_a_number" and not raw.isascii():
            theirs = library(ascii_text(raw), region)
        if theirs[1] is not None and not str(theirs[1])[1:].isdigit():
            theirs = library("".join(filter(str.isdigit, raw)), region)
        if ours != theirs:
            differing.append(((raw, region), ours, theirs))
    return rows.height, differing


def library(raw: str, region: str | None) -> tuple[object, ...]:
    """What phonenumbers says of a text, as a row of ``READING``."""
    try:
        number = phonenumbers.parse(raw, region, keep_raw_input=True)
    except NumberParseException as failure:
        return (_FAILED[failure.error_type], *[None] * (len(READING) - 3))
    number_type = phonenumbers.number_type(number)
    is_valid = phonenumbers.is_valid_number(number)
    if is_valid != (number_type != phonenumbers.PhoneNumberType.UNKNOWN):
        raise AssertionError("phonenumbers knows the type of a number that is not valid")
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    possible = phonenumbers.is_possible_number_with_reason(number)
    failure = None
    if not is_valid and possible != ValidationResult.IS_POSSIBLE:
        failure = _IMPOSSIBLE[possible]
    elif len(e164) not in _E164:
        failure = "too_short" if len(e164) < _E164.start else "too_long"
    if failure is not None:
        return (failure, *[None] * (len(READING) - 3))
    source = number.country_code_source
    return (
        None,
        e164,
        phonenumbers.region_code_for_number(number),
        phonenumbers.PhoneNumberType.to_string(number_type).lower(),
        source == phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_IDD,
    )


_FAILED = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown_country_code",
    NumberParseException.NOT_A_NUMBER: "not_a_number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too_short",
    NumberParseException.TOO_SHORT_NSN: "too_short",
    NumberParseException.TOO_LONG: "too_long",
}
_IMPOSSIBLE = {
    ValidationResult.INVALID_COUNTRY_CODE: "unknown_country_code",
    ValidationResult.TOO_SHORT: "too_short",
    ValidationResult.TOO_LONG: "too_long",
    ValidationResult.INVALID_LENGTH: "not_possible",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "missing_area_code",
}


def differences_from_cells(
    cases: Iterable[Case],
    settings: Numbers | None = None,
    kind: ColumnKind = ColumnKind.TEXT,
    default_region: str = "",
    conventions: Conventions = NO_CONVENTIONS,
) -> tuple[int, list[Difference]]:
    """How many cells were judged in columns and one by one, and where the two differ."""
    named = list(dict.fromkeys(cases))
    frame = pl.DataFrame(named, schema={"raw": pl.String, "raw_region": pl.String}, orient="row")
    together = Normaliser(settings or Numbers(), default_region, kind, conventions)
    alone = Normaliser(settings or Numbers(), default_region, kind, conventions)
    # However few: single cells would be compared with single cells.
    with patch("batch_screen.numbers.frame._FEW", 0):
        judged = normalise_frame(frame, together).select(ADDED_COLUMNS)
    differing: list[Difference] = []
    for case, ours in zip(named, judged.iter_rows(), strict=True):
        one = alone.normalise(*case)
        theirs: tuple[object, ...]
        if isinstance(one, Accepted):
            theirs = (one.e164, one.region, one.number_type, one.rule, None, None)
        else:
            theirs = (None, None, None, None, one.reason.value, one.detail)
        if ours != theirs:
            differing.append((case, ours, theirs))
    return len(named), differing
