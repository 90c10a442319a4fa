from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.errors import InputError
from batch_screen.model import ColumnKind
from batch_screen.numbers.frame import ADDED_COLUMNS, normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.restrict import NOBODY, OptOutCells, permit, read_opt_outs
from batch_screen.numbers.rules import Accepted
from tests.thoroughness import examples

GERMAN, BRITISH, FRENCH, AMERICAN = "+493023125123", "+442079460123", "+33199001234", "+12125550123"
INTERNATIONAL_FREEPHONE = "+80012345678"
UNKNOWN_TO_THE_PLAN = "+447700900123"  # possible, of no region that libphonenumber knows


def frame_of(
    cells: Sequence[str | None], region: str | None = None, ragged: bool = False
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source_row": range(1, len(cells) + 1),
            "raw": cells,
            "raw_region": [region] * len(cells),
            "ragged": [ragged] * len(cells),
        },
        schema={
            "source_row": pl.Int64,
            "raw": pl.String,
            "raw_region": pl.String,
            "ragged": pl.Boolean,
        },
    )


def listed(
    *cells: str | None, region: str = "DE", kind: ColumnKind = ColumnKind.TEXT, **how: Any
) -> pl.Series:
    """The opt-outs of a list with these cells, one batch for each two."""
    batches = [frame_of(cells[at : at + 2]) for at in range(0, len(cells), 2)]
    for number, batch in enumerate(batches):
        batches[number] = batch.with_columns(pl.col("source_row") + 2 * number)
    return read_opt_outs(OptOutCells(batches, kind, "opt-out list no.txt"), Numbers(**how), region)


def judged(
    *cells: str | None, region: str = "DE", opted_out: pl.Series = NOBODY, **how: Any
) -> pl.DataFrame:
    numbers = Numbers(**how)
    return permit(normalise_frame(frame_of(cells), Normaliser(numbers, region)), numbers, opted_out)


def reasons(*cells: str | None, **how: Any) -> list[str | None]:
    return judged(*cells, **how)["reject_reason"].to_list()


# --- regions ------------------------------------------------------------------------------


def test_region_not_allowed() -> None:
    assert reasons(GERMAN, BRITISH, FRENCH, allowed_regions="DE,FR") == [
        None,
        "region_not_allowed",
        None,
    ]


def test_region_denied() -> None:
    assert reasons(GERMAN, BRITISH, FRENCH, denied_regions="UK") == [None, "region_denied", None]


def test_denied_among_allowed_others() -> None:
    assert reasons(GERMAN, BRITISH, FRENCH, allowed_regions="DE", denied_regions="FR") == [
        None,
        "region_not_allowed",
        "region_denied",
    ]


def test_numbers_of_no_country_are_001() -> None:
    cells = (GERMAN, INTERNATIONAL_FREEPHONE)
    assert reasons(*cells, allowed_regions="DE") == [None, "region_not_allowed"]
    assert reasons(*cells, allowed_regions="001") == ["region_not_allowed", None]
    assert reasons(*cells, denied_regions="001") == [None, "region_denied"]


def test_a_number_of_no_known_region_is_in_no_list() -> None:
    how: dict[str, Any] = {"strictness": "possible"}
    assert reasons(UNKNOWN_TO_THE_PLAN, **how) == [None]
    assert reasons(UNKNOWN_TO_THE_PLAN, denied_regions="GB,001", **how) == [None]
    rejected = judged(UNKNOWN_TO_THE_PLAN, allowed_regions="GB,001", **how)
    assert rejected["reject_reason"].to_list() == ["region_not_allowed"]
    assert rejected["reject_detail"].to_list() == ["region unknown"]


def test_the_detail_names_the_region_and_no_number() -> None:
    rejected = judged(BRITISH, FRENCH, allowed_regions="DE", denied_regions="FR")
    assert rejected["reject_detail"].to_list() == ["region GB", "region FR"]


def test_a_test_number_is_of_no_region_that_counts() -> None:
    how = {"test_numbers": [UNKNOWN_TO_THE_PLAN, FRENCH]}
    cells = (UNKNOWN_TO_THE_PLAN, f"'{FRENCH}", BRITISH)
    assert reasons(*cells, allowed_regions="DE", **how) == [None, None, "region_not_allowed"]
    assert reasons(*cells, denied_regions="FR,GB", **how) == [None, None, "region_denied"]


def test_what_was_rejected_before_keeps_its_reason() -> None:
    cells = ("112", "n/a", None, "442079460000")
    before = judged(*cells)
    after = judged(*cells, allowed_regions="FR", opted_out=listed("442079460000"))
    assert after.equals(before)


def test_rows_order_and_columns_stay() -> None:
    cells = (GERMAN, "n/a", BRITISH, None, GERMAN)
    before, after = judged(*cells), judged(*cells, denied_regions="GB")
    assert after.schema == before.schema
    assert after["raw"].to_list() == list(cells)
    turned_down = after.row(2, named=True)
    assert [turned_down[name] for name in ADDED_COLUMNS[:4]] == [None] * 4
    assert after.filter(pl.col("source_row") != 3).equals(before.filter(pl.col("source_row") != 3))
    assert judged(denied_regions="GB").height == 0


def test_nothing_is_touched_without_lists() -> None:
    frame = normalise_frame(frame_of([GERMAN]), Normaliser(Numbers()))
    assert permit(frame, Numbers(), NOBODY) is frame


# --- opt-outs -----------------------------------------------------------------------------

SPELLINGS = (
    "+49 171 39200{:02}",
    "+49 (0)171 / 39200-{:02}",
    "0049 171 39200{:02}",
    "0171 39200{:02}",
    "(0171) 39200-{:02}",
    "0171/39200{:02}",
    "'+4917139200{:02}",
    '="+4917139200{:02}"',
    "tel:+49-171-39200{:02}",
    "tel:0171-39200{:02};phone-context=+49",
    "+49\u00a0171\u200b39200{:02}",
    "＋49 171 39200{:02}",
    "017139200{:02} ext. 5",
    "4917139200{:02}",
    "17139200{:02}",
)


def test_opted_out() -> None:
    rejected = judged(GERMAN, BRITISH, opted_out=listed(GERMAN))
    assert rejected["reject_reason"].to_list() == ["opted_out", None]
    assert rejected["reject_detail"].to_list() == [None, None]
    assert rejected["e164"].to_list() == [None, BRITISH]


@pytest.mark.parametrize("in_list", SPELLINGS)
def test_every_spelling_hits_every_spelling(in_list: str) -> None:
    cells = [spelling.format(12) for spelling in SPELLINGS]
    assert set(reasons(*cells, opted_out=listed(in_list.format(12)))) == {"opted_out"}
    assert set(reasons(*cells, opted_out=listed(in_list.format(13)))) == {None}


members = st.lists(st.tuples(st.integers(0, 99), st.sampled_from(SPELLINGS)), max_size=20)


@given(members, members)
@examples(60)
def test_nobody_who_opted_out_is_accepted_and_nobody_else_is_turned_down(
    people: list[tuple[int, str]], objected: list[tuple[int, str]]
) -> None:
    opted_out = listed(*(spelling.format(who) for who, spelling in objected))
    found = judged(*(spelling.format(who) for who, spelling in people), opted_out=opted_out)
    gone = {who for who, _ in objected}
    expected = ["opted_out" if who in gone else None for who, _ in people]
    assert found["reject_reason"].to_list() == expected
    assert not set(found["e164"].drop_nulls()) & {f"+4917139200{who:02}" for who in gone}


ANY_CELL = st.one_of(
    st.text("0123456789٠１+()-/. ;,x=\"'\u00a0\u200b", max_size=24),
    st.from_regex(r"(\+|00|0|tel:\+)?[0-9]{3,17}(\.0| ext\. ?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["442079460000", "2015550123", "1-800-FLOWERS", "0086131234567"]),
)


HOW = st.fixed_dictionaries(
    {
        "strictness": st.sampled_from(Strictness),
        "ambiguous": st.sampled_from(Ambiguous),
        "vanity_letters": st.booleans(),
        "double_zero_is_plus": st.booleans(),
        "test_numbers": st.just([GERMAN, UNKNOWN_TO_THE_PLAN]),
    }
)
REGIONS = st.sampled_from(["", "DE", "US", "HK", "GB"])


@given(ANY_CELL, HOW, REGIONS, st.sampled_from(ColumnKind))
@examples(300)
def test_what_is_accepted_is_opted_out_by_the_same_cell(
    cell: str, how: dict[str, Any], region: str, kind: ColumnKind
) -> None:
    asked = Normaliser(Numbers(**how), region, kind).normalise(cell)
    if isinstance(asked, Accepted):
        assert int(asked.e164[1:]) in listed(cell, region=region, kind=kind, **how)


def test_digits_that_can_be_two_numbers_opt_both_out() -> None:
    both = listed("442079460000")  # under DE also a landline, +4944 2079460000
    assert both.to_list() == [442079460000, 49442079460000]
    # One that the input's rules would decide: a mobile abroad, or a possible landline here.
    assert listed("46701740605").to_list() == [46701740605, 4946701740605]
    assert reasons("+442079460000", "0442079460000", opted_out=both, strictness="possible") == [
        "opted_out",
        "opted_out",
    ]


@pytest.mark.parametrize("ambiguous", Ambiguous)
def test_both_whichever_reading_is_forced(ambiguous: Ambiguous) -> None:
    assert listed("442079460000", ambiguous=ambiguous).to_list() == [442079460000, 49442079460000]


@pytest.mark.parametrize("strictness", Strictness)
def test_a_listed_number_is_opted_out_whatever_the_strictness(strictness: Strictness) -> None:
    opted_out = listed(UNKNOWN_TO_THE_PLAN, "+491234567890", strictness=strictness)
    assert opted_out.to_list() == [447700900123, 491234567890]


def test_a_test_number_can_opt_out() -> None:
    how = {"test_numbers": [UNKNOWN_TO_THE_PLAN, "+123456789"]}
    opted_out = listed("07700 900123", "+123456789", region="GB", **how)
    assert reasons("+447700900123", "00123456789", opted_out=opted_out, **how) == ["opted_out"] * 2


def test_opting_out_outweighs_regions() -> None:
    found = reasons(GERMAN, BRITISH, opted_out=listed(GERMAN, BRITISH), denied_regions="GB")
    assert found == ["opted_out", "opted_out"]


def test_the_list_is_sorted_and_holds_each_number_once() -> None:
    opted_out = listed(GERMAN, "030 23125123", None, "", BRITISH, " ")
    assert opted_out.to_list() == [442079460123, 493023125123]
    assert opted_out.dtype == pl.UInt64
    assert listed().equals(NOBODY)


def test_integer_columns_have_lost_their_zeros() -> None:
    assert 493023125123 in listed("3023125123", kind=ColumnKind.INTEGER)


def test_the_rows_own_region_counts() -> None:
    cells = OptOutCells([frame_of(["020 7946 0123"], "UK")], ColumnKind.TEXT, "no.csv")
    assert read_opt_outs(cells, Numbers(), "DE").to_list() == [442079460123]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("n/a", "not_a_number"),
        ("0171 3920012; 0171 3920013", "multiple_numbers"),
        ("4.91711E+11", "scientific_notation"),
        ("491713920012.0", "float_artefact"),
        ("3023125123", "missing_area_code"),
        ("+1 713 920 012", "too_short"),
        ("112", "short_code"),
        ("+999 123456", "unknown_country_code"),
    ],
)
def test_a_cell_that_cannot_be_read_is_an_error_with_its_row(cell: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        listed(GERMAN, None, BRITISH, cell, "privat")
    message = str(caught.value)
    assert message.startswith("opt-out list no.txt: row 4 (")
    assert f"({reason}); nothing is asked" in message
    assert not re.search(r"[0-9]{5}", message)


def test_a_number_without_a_region_is_such_a_cell() -> None:
    with pytest.raises(InputError, match=r"row 1 .*\(no_region\).*input\.default_region"):
        listed("0171 3920012", region="")
    assert listed("+49 171 3920012", region="").to_list() == [491713920012]


def test_two_numbers_that_cannot_both_be_known_are_such_a_cell() -> None:
    with pytest.raises(InputError, match=r"row 1 \(00••.*\(ambiguous\)"):
        listed("0086 131 2345 678", region="HK")


def test_a_row_whose_cells_may_be_shifted_is_such_a_row() -> None:
    cells = OptOutCells([frame_of([GERMAN, None], ragged=True)], ColumnKind.TEXT, "no.csv")
    with pytest.raises(InputError, match=r"row 1 .*\(ragged_row\), nor can 1 more"):
        read_opt_outs(cells, Numbers(), "DE")


def test_search_finds_first_last_and_nothing_beyond() -> None:
    opted_out = listed(GERMAN, BRITISH, AMERICAN)
    cells = (AMERICAN, "+12125550122", BRITISH, GERMAN, "+493023125124", None)
    expected = ["opted_out", None, "opted_out", "opted_out", None, "empty"]
    assert reasons(*cells, opted_out=opted_out) == expected
