from __future__ import annotations

from batch_screen.model import Endpoint
from batch_screen.reports.signals import (
    MOST_REGIONS,
    by_band,
    changes_table,
    cohorts_table,
    signal_tables,
    thresholds_table,
)
from batch_screen.reports.words import ShareBar
from batch_screen.tables.breakdown import FUTURE, NO_REGION, Breakdown, Signs
from batch_screen.tables.coverage import Changes, Cohort
from batch_screen.tables.summary import Judgement

NUMBER = "+447700900123"
CHANGES = Changes(
    "20261122-0123456789",
    "2026-11-22",
    {"sim-swap/check": {"newly_positive": 3, "became_unknown": 1}},
    10,
    20,
    3_000,
    [],
)


def test_changes_by_endpoint() -> None:
    table = changes_table(CHANGES)
    assert table.caption == "Since run 20261122-0123456789 of 2026-11-22"
    assert table.rows == [("sim-swap/check", "3", "0", "0", "1", "0")]
    assert table.note == "3,000 numbers in both runs; 10 are new, 20 are gone."


def test_groups_have_an_end_and_are_masked() -> None:
    cohorts = [Cohort("block", f"{NUMBER} {n}", 500, 200, 0.4, 0.01) for n in range(30)]
    table = cohorts_table(cohorts)
    assert len(table.rows) == 20
    assert "900123" not in str(table.rows)
    assert table.rows[0][1:] == ("500", "200", "40.0 %", "1.0 %")
    assert table.note.endswith("10 other groups are not shown.")


def test_crossed_thresholds_come_first() -> None:
    bounds = [
        Judgement("failure_rate > 5%", 0.01),
        Judgement("positive_rate > 2%", 0.0312, crossed=True),
        Judgement("cost > 1", None, note="no earlier run"),
    ]
    assert thresholds_table(bounds).rows == [
        ("positive_rate > 2%", "0.0312", "crossed"),
        ("failure_rate > 5%", "0.01", "kept"),
        ("cost > 1", "no earlier run", "kept"),
    ]


SETTINGS: dict[str, object] = {"screening.max_age_minutes": 240}
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE


def found(endpoint: Endpoint, values: dict[str, dict[str, int]]) -> Breakdown:
    return Breakdown(1, Signs(), {endpoint.value: values})


def test_unknown_is_no_part_of_a_share() -> None:
    values = {"GB": {"yes": 1, "no": 1, "unknown": 98}, "DE": {"no": 50}}
    [table] = signal_tables(found(CHECK, values), SETTINGS)
    assert table.caption == "SIM changed in the last 4 hours · sim-swap/check"
    assert list(table.columns)[2:5] == ["Yes", "No", "Unknown"]
    assert table.rows == [
        ["All", "150", "1", "51", "98", ShareBar("1.9 %", 1 / 52 / 0.5)],
        ["GB", "100", "1", "1", "98", ShareBar("50.0 %", 1.0)],
        ["DE", "50", "0", "50", "0", ShareBar("0 %", 0.0)],
    ]


def test_a_region_of_which_nothing_is_known_has_no_share() -> None:
    [table] = signal_tables(found(CHECK, {"GB": {"unknown": 7}}), SETTINGS)
    assert table.rows[1] == ["GB", "7", "0", "0", "7", ShareBar("–", 0.0)]


def test_dates_are_young_or_older_or_none_or_unknown() -> None:
    values = {"<2d": 3, FUTURE: 1, "<3y": 4, "none_reported": 2, "unknown": 5}
    [table] = signal_tables(found(DATE, {"001": values}), SETTINGS)
    assert table.rows[1] == ["no country", "15", "3", "4", "2", "6", ShareBar("33.3 %", 1.0)]
    assert table.note == "Unknown holds 1 date in the future, which tells no age."


def test_small_regions_are_summed_up() -> None:
    values = {f"R{n:02}": {"yes": 1, "no": 100 - n} for n in range(30)}
    [table] = signal_tables(found(CHECK, {NO_REGION: {"no": 500}, **values}), SETTINGS)
    assert len(table.rows) == MOST_REGIONS + 2
    assert table.rows[1][0] == "no region"
    assert table.rows[-1][:3] == ["19 others", "1,539", "19"]
    total = [int(str(row[1]).replace(",", "")) for row in table.rows]
    assert total[0] == sum(total[1:])


def test_bands_are_added_over_regions() -> None:
    values = {"GB": {"<2d": 3, "unknown": 1}, "DE": {"<2d": 2}}
    assert by_band(found(DATE, values), DATE) == {"<2d": 5, "unknown": 1}
    assert by_band(found(DATE, values), CHECK) == {}
