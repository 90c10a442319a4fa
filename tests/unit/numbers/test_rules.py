from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
import pytest

from batch_screen.config.screening import Numbers
from batch_screen.model import ColumnKind
from batch_screen.numbers.convention import Convention
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.restrict import NOBODY, permit
from batch_screen.numbers.rules import MEANING, REMEDY, Modifier, RejectReason, Rule


def test_every_reason_has_a_remedy_of_one_sentence() -> None:
    assert set(REMEDY) == set(RejectReason)
    assert all(re.fullmatch(r"[A-Z].+\.", remedy) for remedy in REMEDY.values())


def test_every_rule_and_modifier_has_a_meaning_of_one_sentence() -> None:
    assert set(MEANING) == {*Rule, *Modifier}
    assert all(re.fullmatch(r"[A-Z].+\.", meaning) for meaning in MEANING.values())


def test_names_can_be_joined_with_a_plus() -> None:
    assert not [name for name in (*Rule, *Modifier) if not re.fullmatch(r"[a-z0-9_]+", name)]


# --- one example of each ------------------------------------------------------------------


class Example(NamedTuple):
    """A cell, the number it means (None: it is rejected), and what has to be set for that."""

    cell: str | None
    e164: str | None = None
    region: str = "DE"
    kind: ColumnKind = ColumnKind.TEXT
    settings: Mapping[str, Any] = MappingProxyType({})
    opted_out: pl.Series = NOBODY
    convention: Convention | None = None


MOBILE, BERLIN, LONDON = "+491713920012", "+493023125123", "+442079460123"
INTEGER, FLOAT = ColumnKind.INTEGER, ColumnKind.FLOAT

ACCEPTED: dict[Rule | Modifier, Example] = {
    Rule.INTERNATIONAL_PLUS: Example("+49 171 3920012", MOBILE, "GB"),
    Rule.INTERNATIONAL_00: Example("0049 171 3920012", MOBILE),
    Rule.INTERNATIONAL_IDD: Example("011 49 171 3920012", MOBILE, "US"),
    Rule.TEL_URI: Example("tel:+49-171-3920012", MOBILE),
    Rule.NATIONAL: Example("0171 3920012", MOBILE),
    Rule.DIGITS_INTERNATIONAL: Example("491713920012", MOBILE),
    Rule.NATIONAL_BY_LIST: Example(
        "2015550123", "+12015550123", "US", convention=Convention.NATIONAL
    ),
    Rule.INTERNATIONAL_BY_LIST: Example(
        "49 221 123456", "+49221123456", convention=Convention.INTERNATIONAL
    ),
    Rule.DIGITS_FORCED_NATIONAL: Example(
        "2015550123", "+12015550123", "US", settings={"ambiguous": "national"}
    ),
    Rule.DIGITS_FORCED_INTERNATIONAL: Example(
        "442079460123", LONDON, settings={"ambiguous": "international"}
    ),
    Rule.TEST_NUMBER: Example(
        "+44 7700 900123", "+447700900123", settings={"test_numbers": ["+447700900123"]}
    ),
    Modifier.EXCEL_UNDONE: Example('="+491713920012"', MOBILE),
    Modifier.INTEGER_COLUMN: Example("3023125123", BERLIN, kind=INTEGER),
    Modifier.FLOAT_COLUMN: Example("491713920012.0", MOBILE, kind=FLOAT),
    Modifier.VANITY: Example(
        "1-202-JKL-0162", "+12025550162", "US", settings={"vanity_letters": True}
    ),
    Modifier.EXTENSION_DROPPED: Example("0171 3920012 ext. 12", MOBILE),
}
REJECTED: dict[RejectReason, Example] = {
    RejectReason.EMPTY: Example(None),
    RejectReason.NOT_A_NUMBER: Example("n/a"),
    RejectReason.TOO_LONG_CELL: Example("0" * 251),
    RejectReason.CONTROL_CHARACTERS: Example("+49171\x003920012"),
    RejectReason.VANITY_LETTERS: Example("1-202-JKL-0162", region="US"),
    RejectReason.MULTIPLE_NUMBERS: Example("0171 3920012; 0171 3920013"),
    RejectReason.SCIENTIFIC_NOTATION: Example("4.91711E+11"),
    RejectReason.FLOAT_ARTEFACT: Example("491713920012.0"),
    RejectReason.NO_REGION: Example("0171 3920012", region=""),
    RejectReason.UNKNOWN_COUNTRY_CODE: Example("+999 123456"),
    RejectReason.DOUBLE_ZERO: Example("0049 171 3920012", region="US"),
    RejectReason.AMBIGUOUS: Example("442079460123"),
    RejectReason.MISSING_AREA_CODE: Example("3023125123"),
    RejectReason.SHORT_CODE: Example("112"),
    RejectReason.TOO_SHORT: Example("+1 713 920 012"),
    RejectReason.TOO_LONG: Example("+1 212 555 01234"),
    RejectReason.NOT_POSSIBLE: Example("+200097325698", settings={"strictness": "possible"}),
    RejectReason.NOT_VALID: Example("+44 7700 900123"),
    RejectReason.NOT_MOBILE: Example("+49 30 23125123", settings={"strictness": "mobile"}),
    RejectReason.REGION_NOT_ALLOWED: Example(LONDON, settings={"allowed_regions": "DE"}),
    RejectReason.REGION_DENIED: Example(LONDON, settings={"denied_regions": "UK"}),
    RejectReason.OPTED_OUT: Example(
        "0171 3920012", opted_out=pl.Series([491713920012], dtype=pl.UInt64)
    ),
}
ELSEWHERE = {
    RejectReason.RAGGED_ROW,  # of rows, not of cells: tests/unit/test_planning.py
    RejectReason.UNKNOWN_REGION,  # of the row's own region: below
}


def judgement(example: Example, cell_region: str | None = None) -> dict[str, Any]:
    numbers = Numbers(**example.settings)
    schema = {"raw": pl.String, "raw_region": pl.String}
    frame = pl.DataFrame([(example.cell, cell_region)], schema=schema, orient="row")
    conventions = {example.region: example.convention} if example.convention else {}
    normaliser = Normaliser(numbers, example.region, example.kind, conventions)
    judged = normalise_frame(frame, normaliser)
    return permit(judged, numbers, example.opted_out).row(0, named=True)


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_example_of_the_rule(name: Rule | Modifier) -> None:
    found = judgement(ACCEPTED[name])
    assert found["e164"] == ACCEPTED[name].e164
    assert name in found["rule"].split("+")
    assert found["reject_reason"] is None


@pytest.mark.parametrize("reason", REJECTED)
def test_an_example_of_the_reason(reason: RejectReason) -> None:
    found = judgement(REJECTED[reason])
    assert found["reject_reason"] == reason
    assert [found[name] for name in ("e164", "region", "number_type", "rule")] == [None] * 4
    assert not re.search(r"[0-9]{7}", found["reject_detail"] or "")


def test_an_unknown_region() -> None:
    found = judgement(Example("0171 3920012"), cell_region="Atlantis")
    assert found["reject_reason"] == RejectReason.UNKNOWN_REGION


def test_00_is_a_plus_where_the_setting_says_so() -> None:
    refused = REJECTED[RejectReason.DOUBLE_ZERO]
    found = judgement(refused._replace(settings={"double_zero_is_plus": True}))
    assert (found["e164"], found["rule"]) == (MOBILE, Rule.INTERNATIONAL_00)


def test_none_is_without_an_example() -> None:
    assert {*ACCEPTED} == {*Rule, *Modifier}
    assert {*REJECTED, *ELSEWHERE} == {*RejectReason}
    assert not {*REJECTED} & ELSEWHERE
