from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from batch_screen.config.parsing import threshold
from batch_screen.config.sections import Guards
from batch_screen.model import OutcomeKind, Session
from batch_screen.tables.summary import Judgement, LookupFigures, Rows, Summary
from batch_screen.tables.thresholds import figure, judge, judged

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CHECK, DATE, FORWARDING = "sim-swap/check", "sim-swap/retrieve-date", "call-forwarding/check"


def lookups(positives: int = 0, cost: float = 0.0, **by_outcome: int) -> LookupFigures:
    total = sum(by_outcome.values())
    return LookupFigures(total, by_outcome, positives, total, 0, 0, {}, cost)


def summary(run_id: str = "r", **endpoints: LookupFigures) -> Summary:
    named = {"check": CHECK, "date": DATE, "forwarding": FORWARDING}
    return Summary(
        run_id=run_id,
        run_date="2026-11-23",
        version="1",
        status="complete",
        rows=Rows(200, 150, 50, {"empty": 50}, 30, 120),
        endpoints={named[name]: each for name, each in endpoints.items()},
        cost=sum(each.cost for each in endpoints.values()),
        currency="EUR",
        session=Session(NOW, NOW),
        settings={},
        facts={},
    )


MIXED = summary(
    check=lookups(10, 1.5, success=80, not_found=10, timeout=10),
    date=lookups(70, 2.0, success=90, forbidden=10),
    forwarding=lookups(2, 0.5, success=20, not_applicable=80),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failure_rate", 20 / 300),
        ("failure_rate:sim-swap/retrieve-date", 0.1),
        ("unknown_rate", 110 / 300),
        ("unknown_rate:call-forwarding/check", 0.8),
        ("reject_rate", 0.25),
        ("duplicate_rate", 0.2),
        ("positive_rate", 12 / 100),  # that dates are known is no finding
        ("positive_rate:sim-swap/check", 10 / 80),
        ("positive_rate:sim-swap/retrieve-date", 70 / 90),
        ("positive_rate:device-swap/check", None),
        ("rows", 200),
        ("numbers", 120),
        ("lookups", 300),
        ("lookups:sim-swap/check", 100),
        ("cost", 4.0),
        ("cost:sim-swap/check", 1.5),
    ],
)
def test_figures(name: str, value: float | None) -> None:
    assert figure(threshold(f"{name} > 0"), MIXED) == value


@pytest.mark.parametrize("name", ["failure_rate", "unknown_rate", "positive_rate"])
def test_nothing_is_no_rate(name: str) -> None:
    found = judge(threshold(f"{name} > 0%"), summary(check=lookups()), None)
    assert (found.seen, found.crossed) == (None, False)
    assert "nothing to count it from" in found.note


def test_dates_alone_have_no_positives() -> None:
    asked = summary(date=lookups(70, success=90))
    assert figure(threshold("positive_rate > 1%"), asked) is None


@pytest.mark.parametrize(
    ("expr", "seen", "crossed"),
    [
        ("failure_rate > 6.6%", 0.066666667, True),
        ("failure_rate > 6.7%", 0.066666667, False),
        ("cost >= 4", 4.0, True),
        ("cost > 4", 4.0, False),
        ("rows < 201", 200, True),
    ],
)
def test_judgements(expr: str, seen: float, crossed: bool) -> None:
    assert judge(threshold(expr), MIXED, None) == Judgement(expr, seen, crossed)


@pytest.mark.parametrize(
    ("before", "now", "expr", "seen", "crossed"),
    [
        (10, 16, "positive_rate_change > 50%", 0.6, True),
        (10, 15, "positive_rate_change > 50%", 0.5, False),
        (10, 5, "positive_rate_change:sim-swap/check <= -50%", -0.5, True),
        (0, 0, "positive_rate_change > 50%", 0.0, False),
        (0, 1, "positive_rate_change > 50%", None, True),
        (0, 1, "positive_rate_change < -50%", None, False),
    ],
)
def test_changes_are_shares_of_what_was_before(
    before: int, now: int, expr: str, seen: float | None, crossed: bool
) -> None:
    ours, earlier = (
        summary(n, check=lookups(p, success=100)) for n, p in (("b", now), ("a", before))
    )
    found = judge(threshold(expr), ours, earlier)
    assert (found.seen, found.crossed, found.previous_run) == (seen, crossed, "a")


def test_without_an_earlier_run_a_change_does_not_apply_and_says_so() -> None:
    found = judge(threshold("rows_change < -20%"), MIXED, None)
    assert (found.seen, found.crossed) == (None, False)
    assert found.note == "does not apply: there is no earlier complete run in this folder"
    other = judge(threshold("cost_change:sim-swap/check > 1%"), MIXED, summary())
    assert (other.crossed, other.note) == (
        False,
        "does not apply: there is nothing to count it from",
    )


@pytest.mark.parametrize(
    ("guards", "code"),
    [
        ({}, 3),  # more failures than guards.max_failure_share
        ({"max_failure_share": 1}, 0),
        ({"max_failure_share": 1, "fail_if": "rows > 1000"}, 0),
        ({"max_failure_share": 1, "fail_if": "rows > 1000, rows < 1000"}, 3),
        ({"fail_if": "rows > 1000"}, 3),
    ],
)
def test_the_exit_code_of_a_complete_run(guards: dict[str, Any], code: int) -> None:
    assert judged(MIXED, Guards(**guards), None).exit_code == code
    assert [t.expr for t in judged(MIXED, Guards(**guards), None).thresholds] == [
        t.text for t in Guards(**guards).thresholds
    ]


COUNTS = st.dictionaries(st.sampled_from([*OutcomeKind]).map(str), st.integers(0, 1_000))


@given(COUNTS, st.integers(0, 100))
def test_rates_lie_between_nothing_and_all_and_follow_from_the_counts(
    counts: dict[str, int], percent: int
) -> None:
    asked = summary(check=lookups(counts.get("success", 0), **counts))
    for name in ("failure_rate", "unknown_rate", "positive_rate"):
        seen = figure(threshold(f"{name} > 0%"), asked)
        assert seen is None or 0 <= seen <= 1
        if percent and percent < 100:
            found = judge(threshold(f"{name} >= {percent}%"), asked, None)
            below = judge(threshold(f"{name} < {percent}%"), asked, None)
            assert found.crossed != below.crossed or seen is None
    failed, unknown = (
        figure(threshold(f"{n} > 0%"), asked) for n in ("failure_rate", "unknown_rate")
    )
    assert failed == (asked.failure_share if asked.lookups else None)
    assert failed is None or (unknown is not None and failed <= unknown)


def test_the_same_run_twice_has_not_changed() -> None:
    for name in ("rows", "cost", "failure_rate", "positive_rate:sim-swap/check"):
        figure_name, _, endpoint = name.partition(":")
        text = f"{figure_name}_change{':' if endpoint else ''}{endpoint} > 1%"
        assert judge(threshold(text), MIXED, replace(MIXED, run_id="before")).seen == 0
