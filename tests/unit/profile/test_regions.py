from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Numbers
from batch_screen.model import ColumnKind
from batch_screen.profile.facts import RegionAdvice
from batch_screen.profile.regions import (
    ENOUGH,
    LARGE,
    MOST,
    SAMPLED,
    RegionReading,
    Undecided,
    advise,
    advise_digits,
    candidates,
    read_in,
)
from tests.thoroughness import in_full

from .lists import AMERICAN, FRENCH, GERMAN_LANDLINES, GERMAN_MOBILES, batch, normaliser


def advice(
    cells: Sequence[str], *, known: Sequence[str] = (), default: str = ""
) -> RegionAdvice | None:
    """What is advised for a list of these cells, and the known international numbers."""
    undecided = Undecided()
    undecided.add(batch([*cells, *known], normaliser(default)))
    tried = dict.fromkeys((*filter(None, [default]), *candidates(undecided.seen)))
    readings = read_in([*tried], undecided.sample, Numbers(), ColumnKind.TEXT)
    return advise(readings, undecided.seen, undecided.rejected, default)


def plus(code: str, cells: Sequence[str]) -> list[str]:
    return [f"+{code}{cell.lstrip('0')}" for cell in cells]


def test_the_list_itself_speaks_for_a_region() -> None:
    found = advice(GERMAN_LANDLINES, known=plus("49", GERMAN_MOBILES[:30]))
    assert found is not None
    assert (found.region, found.grounds) == ("DE", ["list"])
    assert (found.rows, found.sampled, found.accepted) == (100, 100, 100)
    assert "IT" in found.alike  # Brescia has 030 too


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(GERMAN_LANDLINES, id="german"),
        pytest.param(FRENCH, id="french", marks=in_full),
        pytest.param(AMERICAN, id="american", marks=in_full),
    ],
)
def test_digits_that_fit_many_plans_suggest_none(cells: Sequence[str]) -> None:
    found = advice(cells)
    assert found is not None
    assert found.region == ""
    assert len(found.alike) > 1


@pytest.mark.parametrize(("rivals", "mobile_in"), [(2, "DE"), (3, "")])
def test_mobile_numbers_of_one_region_alone_are_told_and_not_suggested(
    rivals: int, mobile_in: str
) -> None:
    readings = {
        "DE": [RegionReading(f"+49{n}", "DE", is_mobile=True) for n in range(ENOUGH)],
        "AT": [RegionReading(f"+43{n}", "AT", is_mobile=n < rivals) for n in range(ENOUGH)],
    }
    found = advise(readings, {}, rejected=ENOUGH)
    assert found is not None
    assert (found.region, found.mobile_in, found.alike) == ("", mobile_in, ["AT", "DE"])


def test_a_list_of_several_countries_does_not_speak_for_one() -> None:
    known = [*plus("49", GERMAN_MOBILES[:60]), *plus("33", FRENCH[:40])]
    found = advice(GERMAN_LANDLINES, known=known)
    assert found is not None
    assert found.region == ""


def test_few_cells_say_nothing() -> None:
    known = plus("49", GERMAN_MOBILES[:50])
    assert advice(GERMAN_LANDLINES[: ENOUGH - 1], known=known) is None
    assert advice(GERMAN_LANDLINES[:1] * 500, known=known) is None  # one number often is few
    assert advice(GERMAN_LANDLINES[:ENOUGH], known=known) is not None


def test_nothing_is_said_where_nothing_hangs_on_the_region() -> None:
    assert advice([], known=plus("49", GERMAN_MOBILES)) is None
    assert advice(["n/a", "4.9E+11", "", "0171 3920012; 0171 3920013"] * 30) is None


def test_nothing_is_said_where_the_default_is_right() -> None:
    known = plus("49", GERMAN_MOBILES[:50])
    cells = [*GERMAN_LANDLINES, "0171", "0172"]
    assert advice(cells, known=known, default="DE") is None


def test_a_wrong_default_is_noticed() -> None:
    found = advice(GERMAN_LANDLINES, known=plus("49", GERMAN_MOBILES[:50]), default="US")
    assert found is not None
    assert found.region == "DE"


def test_rows_that_name_their_region_do_not_hang_on_the_default() -> None:
    undecided = Undecided()
    cells = ["030 23125001", "030 23125002", "+49 30 23125003"]
    undecided.add(batch(cells, normaliser(), regions=["XX", " ", None]))
    assert (undecided.rejected, undecided.sample) == (1, ["030 23125002"])
    assert undecided.seen == {"DE": 1}


def test_the_sample_is_bounded_and_does_not_depend_on_batches() -> None:
    cells = [f"030 23125{i:03} {j}" for i in range(999) for j in range(3)]
    whole, parts = Undecided(), Undecided()
    whole.add(batch(cells))
    for first in (2_000, 0, 1_000):
        parts.add(batch(cells[first : first + 1_000]))
    assert len(whole.sample) == SAMPLED
    assert whole.sample == parts.sample
    assert whole.rejected == parts.rejected == len(cells)


def test_regions_of_the_list_are_tried_first() -> None:
    tried = candidates({"AT": 3, "DE": 9, "001": 50})
    assert tried[:2] == ["DE", "AT"]
    assert len(tried) == len(set(tried))
    assert set(LARGE) <= set(tried)


REGIONS = ("AA", "BB", "CC")
READING = st.none() | st.builds(
    RegionReading,
    st.sampled_from(["+1", "+2", "+3"]),
    st.sampled_from(REGIONS),
    st.booleans(),
)
TABLES = st.integers(0, 40).flatmap(
    lambda size: st.fixed_dictionaries(
        {region: st.lists(READING, min_size=size, max_size=size) for region in REGIONS}
    )
)
SEEN = st.dictionaries(st.sampled_from(REGIONS), st.integers(0, 100))


@given(TABLES, SEEN, st.sampled_from(["", *REGIONS]))
def test_what_is_suggested_holds(
    readings: dict[str, list[RegionReading | None]], seen: dict[str, int], current: str
) -> None:
    found = advise(readings, seen, rejected=50, current=current)
    if found is None or not found.region:
        return
    assert found.sampled >= ENOUGH
    assert found.region != current
    assert found.region not in found.alike
    assert found.accepted >= MOST * found.sampled
    assert found.grounds
    own = readings[found.region]
    for rival, others in readings.items():
        differing = sum(
            other is not None and (one is None or one.e164 != other.e164)
            for one, other in zip(own, others, strict=True)
        )
        assert rival == found.region or differing < found.sampled / 2 or "list" in found.grounds


@given(TABLES, SEEN)
def test_the_order_of_the_regions_does_not_matter(
    readings: dict[str, list[RegionReading | None]], seen: dict[str, int]
) -> None:
    backwards = dict(reversed(readings.items()))
    assert advise(readings, seen, 50) == advise(backwards, seen, 50)


def digits_advised(cells: Sequence[str], default: str = "") -> tuple[int, int, int] | None:
    undecided = Undecided()
    undecided.add(batch(cells, normaliser(default)))
    found = advise_digits(undecided, Numbers(), ColumnKind.TEXT)
    return (found.rows, found.sampled, found.valid) if found else None


MSISDNS = [f"49171392{i:04}" for i in range(40)] + [f"4420794600{i:02}" for i in range(20)]


def test_numbers_with_their_country_code_and_no_plus() -> None:
    assert digits_advised(MSISDNS) == (60, 60, 60)
    assert digits_advised([*MSISDNS, "123", "4917"]) == (62, 62, 60)
    assert digits_advised([*MSISDNS, *MSISDNS]) == (120, 60, 60)


@pytest.mark.parametrize(
    "cells",
    [
        MSISDNS[:19],
        [*MSISDNS, "123", "124", "125", "126"],  # less than 95 %
        GERMAN_MOBILES,
        AMERICAN,
        [f"66449112{i:02}" for i in range(40)],
        [cell.translate({ord(c): None for c in "() -"}) for cell in AMERICAN],
    ],
    ids=["few", "not-enough", "german", "american", "montserrat", "american-digits"],
)
def test_others_have_no_country_code(cells: Sequence[str]) -> None:
    assert digits_advised(cells) is None


def test_digits_that_are_read_need_no_advice() -> None:
    german = MSISDNS[:40]
    rows = batch([f"49{cell}" for cell in german], normaliser("DE"))
    assert rows.height == 40
    undecided = Undecided()
    undecided.add(batch([f"4930231250{i:02}" for i in range(30)], normaliser("DE")))
    assert undecided.rejected == 0
