from __future__ import annotations

from batch_screen.output.changes import Changes, Cohort
from batch_screen.output.summary import Judgement
from batch_screen.webpage.comparison import changes_table, cohorts_table, thresholds_table

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
