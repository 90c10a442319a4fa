from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.profile.facts import (
    Damaged,
    DigitsAdvice,
    FileFacts,
    Fix,
    Frequency,
    RegionAdvice,
    Rejected,
)
from batch_screen.profile.fixes import fixes

FILE = FileFacts(
    name="list.csv",
    format="csv",
    compression="",
    encoding="utf-8",
    delimiter=",",
    has_header=True,
    phone_column_by="name",
    likely_region_column="",
    is_misread=False,
    columns=[],
    rows=9,
    accepted=9,
    rejected=0,
)
WHOLE = Damaged(9, "text", 0, 0.0, [])
ADVICE = RegionAdvice(120, 100, "DE", 90, ["list"], [], "DE")


def rejects(**counts: int) -> list[Rejected]:
    return [Rejected(name, n, REMEDY[RejectReason(name)], []) for name, n in counts.items()]


def advised(
    turned_down: list[Rejected],
    *,
    damage: Damaged = WHOLE,
    advice: RegionAdvice | None = None,
    digits: DigitsAdvice | None = None,
    undecided: int = 0,
    **file: Any,
) -> list[Fix]:
    files = [msgspec.structs.replace(FILE, **file)]
    return fixes(turned_down, files, damage, advice, digits, undecided)


def test_nothing_to_fix() -> None:
    assert advised([]) == []


@given(st.dictionaries(st.sampled_from(list(RejectReason)), st.integers(1, 1_000)))
def test_every_reason_has_its_remedy_the_most_rows_first(counts: dict[RejectReason, int]) -> None:
    found = advised([Rejected(r.value, n, REMEDY[r], []) for r, n in counts.items()])
    assert {fix.advice for fix in found} == {REMEDY[reason] for reason in counts}
    assert [fix.rows for fix in found] == sorted(counts.values(), reverse=True)


def test_a_region_that_is_suggested_stands_for_its_remedy() -> None:
    first, second = advised(rejects(no_region=110, empty=3), advice=ADVICE)
    assert first == Fix(
        108,
        "Use --default-region DE: 90 of 100 different numbers without a country code are valid "
        "there.",
    )
    assert second.rows == 3


def test_without_a_suggestion_the_remedy_stays() -> None:
    none = msgspec.structs.replace(ADVICE, region="", accepted=0)
    [fix] = advised(rejects(no_region=110), advice=none)
    assert fix.advice == REMEDY[RejectReason.NO_REGION]


def test_a_column_of_regions_is_named_as_a_shell_takes_it() -> None:
    [fix] = advised(rejects(no_region=7), likely_region_column="country code", undecided=9)
    assert fix.rows == 9
    assert fix.advice.startswith("Add --region-column 'country code': ")


def test_advice_on_the_export_comes_last() -> None:
    damage = Damaged(
        9, "text", 5, 0.6, [Frequency("lost_zero", 5, 0.6), Frequency("misread_text", 1, 0.1)]
    )
    found = advised(rejects(empty=1), damage=damage)
    assert [fix.rows for fix in found] == [1, 0, 0]
    assert "as text" in found[1].advice
    assert "--encoding" in found[2].advice


def test_columns_of_numbers_and_misread_headers() -> None:
    whole = msgspec.structs.replace(WHOLE, stored_as="integer")
    assert "as text" in advised([], damage=whole)[0].advice
    assert "--encoding" in advised([], is_misread=True)[0].advice


def test_a_reason_without_a_remedy_is_left_out() -> None:
    assert advised([Rejected("of_later_versions", 3, "", [])]) == []
