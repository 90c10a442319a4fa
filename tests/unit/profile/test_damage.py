from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Numbers
from batch_screen.model import ColumnKind
from batch_screen.profile.damage import (
    BY_A_SPREADSHEET,
    MEANING,
    Damage,
    DamageTally,
    is_misread,
    writes_zero,
)
from batch_screen.profile.facts import Damaged

from .lists import batch, normaliser


def damaged(
    *cells: str | None, region: str = "DE", kind: ColumnKind = ColumnKind.TEXT, size: int = 99
) -> Damaged:
    judge = normaliser(region, kind)
    tally = DamageTally(judge, kind)
    for first in range(0, len(cells), size):
        tally.add(batch(cells[first : first + size], judge))
    return tally.found()


def kinds(found: Damaged) -> dict[str, int]:
    return {kind.name: kind.count for kind in found.kinds}


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("4.91714E+11", Damage.SCIENTIFIC_NOTATION),
        ("4,91714E+11", Damage.SCIENTIFIC_NOTATION),
        ("491713920012.0", Damage.DECIMAL),
        ("1713920012", Damage.LOST_ZERO),
        ("'+491713920012", Damage.SPREADSHEET_MARK),
        ("’0171 3920012", Damage.SPREADSHEET_MARK),
        ('="+491713920012"', Damage.SPREADSHEET_MARK),
        ("'unknown", Damage.SPREADSHEET_MARK),
        ("0171 3920012; 0171 3920013", Damage.SEVERAL_NUMBERS),
        ("Â\xa00171 3920012", Damage.MISREAD_TEXT),
        ("0171\ufffd3920012", Damage.MISREAD_TEXT),
    ],
)
def test_damage_is_known(cell: str, kind: Damage) -> None:
    found = damaged("0171 3920012", cell)
    assert kinds(found) == {kind.value: 1}
    assert found.filled_cells == 2
    assert found.kinds[0].share == 0.5
    assert found.spreadsheet_cells == (kind in BY_A_SPREADSHEET)


@pytest.mark.parametrize(
    "cell",
    ["0171 3920012", "+491713920012", "491713920012", "0049 171 3920012", "n/a", "", " ", None],
)
def test_what_is_no_damage(cell: str | None) -> None:
    assert kinds(damaged(cell)) == {}


def test_digits_that_nobody_writes_with_a_zero_have_lost_none() -> None:
    assert kinds(damaged("2025550123", region="US")) == {}
    assert kinds(damaged("1713920012", "2025550123", region="DE")) == {"lost_zero": 1}


def test_empty_cells_are_not_in_the_share() -> None:
    found = damaged("4.91714E+11", None, "", "  ", "0171 3920012")
    assert (found.filled_cells, found.spreadsheet_share) == (2, 0.5)


def test_a_cell_with_two_kinds_of_damage_went_through_a_spreadsheet_once() -> None:
    found = damaged("'491713920012.0")
    assert kinds(found) == {"decimal": 1, "spreadsheet_mark": 1}
    assert found.spreadsheet_cells == 1


def test_a_column_of_decimals() -> None:
    found = damaged("491713920012.0", "1713920013.0", kind=ColumnKind.FLOAT)
    assert (kinds(found)["decimal"], found.stored_as, found.spreadsheet_share) == (2, "float", 1.0)


def test_shifted_rows_are_counted_whatever_their_cells() -> None:
    tally = DamageTally(normaliser("DE"), ColumnKind.TEXT)
    tally.add(batch(["0171 3920012", None, "x"], normaliser("DE"), ragged=[True, True, False]))
    assert kinds(tally.found()) == {"shifted_row": 2}


CELLS = st.lists(
    st.sampled_from(
        ["4.9E+11", "491713920012.0", "'0171 3920012", "1713920012", "", None, "0171 3920012"]
    )
    | st.text(max_size=12),
    max_size=30,
)


@given(CELLS, st.integers(1, 30))
def test_counts_do_not_depend_on_the_batches(cells: list[str | None], size: int) -> None:
    whole = damaged(*cells)
    assert damaged(*cells, size=size) == whole
    assert whole.spreadsheet_cells <= whole.filled_cells <= len(cells)
    assert 0 <= whole.spreadsheet_share <= 1


@given(st.text(st.characters(codec="cp1252", exclude_categories=["Cc"]), min_size=1))
def test_letters_outside_ascii_show_when_they_are_misread(text: str) -> None:
    try:
        misread = text.encode().decode("cp1252")
    except UnicodeDecodeError:
        return
    common = [c for c in text if c in "äöüßéèàçñóãêôåæøÄÖÜÉ\xa0–’"]
    assert not common or is_misread(misread)


@pytest.mark.parametrize(
    "text", ["Zoë Müller", "São Paulo", "SÃO", "ÂGE", "0171 3920012", "naïve â", "Œuvre"]
)
def test_well_read_text_is_not_misread(text: str) -> None:
    assert not is_misread(text)


def test_every_kind_has_a_meaning() -> None:
    assert set(MEANING) == set(Damage)


def test_zeros_by_region() -> None:
    judge = normaliser("DE", numbers=Numbers())
    assert writes_zero("1713920012", "DE", "+491713920012", judge)
    assert not writes_zero("2025550123", "US", "+12025550123", judge)
