from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Endpoint
from batch_screen.output.changes import Change, changed, is_rise, paired
from tests.thoroughness import examples

from .frames import number, outcome
from .two_nights import CHECK, DATE, FORWARDING, UNKNOWN, dated, instant, lookups_of, swapped

BEFORE, AFTER = instant("2026-11-22"), instant("2026-11-23")
SKIPPED = {"outcome": "skipped"}
ACTIVE, QUIET = {"active": True}, {"active": False}


def told(endpoint: Endpoint, before: dict[str, Any], after: dict[str, Any]) -> pl.DataFrame:
    return paired(
        lookups_of([outcome(1, endpoint, **{"responded_at": BEFORE, **before})]),
        lookups_of([outcome(1, endpoint, **{"responded_at": AFTER, **after})]),
    )


@pytest.mark.parametrize(
    ("endpoint", "before", "after", "change"),
    [
        (CHECK, swapped(False), swapped(True), "newly_positive"),
        (CHECK, UNKNOWN, swapped(True), "newly_positive"),
        (CHECK, swapped(True), swapped(False), "newly_negative"),
        (CHECK, swapped(True), UNKNOWN, "became_unknown"),
        (CHECK, swapped(False), UNKNOWN, "became_unknown"),
        (CHECK, UNKNOWN, swapped(False), "became_known"),
        (CHECK, UNKNOWN, UNKNOWN, None),
        (CHECK, swapped(False), SKIPPED, None),
        (CHECK, swapped(True), SKIPPED, None),
        (CHECK, SKIPPED, swapped(False), None),
        (CHECK, SKIPPED, swapped(True), "newly_positive"),
        (CHECK, UNKNOWN, {"outcome": "not_found"}, None),
        (CHECK, swapped(False), swapped(False), None),
        (CHECK, swapped(True), swapped(True), None),
        (DATE, dated(None), dated("2020-01-01"), "newly_positive"),
        (DATE, UNKNOWN, dated("2020-01-01"), "newly_positive"),
        (DATE, dated("2020-01-01"), dated("2026-11-22"), "date_moved"),
        (DATE, dated("2026-11-22"), dated("2020-01-01"), "date_moved"),
        (DATE, dated("2020-01-01"), dated("2020-01-01"), None),
        (DATE, dated("2020-01-01"), dated(None), "newly_negative"),
        (DATE, dated(None), dated(None), None),
        (DATE, dated(None), UNKNOWN, "became_unknown"),
        (DATE, UNKNOWN, dated(None), "became_known"),
        (FORWARDING, QUIET, ACTIVE, "newly_positive"),
        (FORWARDING, ACTIVE, QUIET, "newly_negative"),
        (FORWARDING, ACTIVE, ACTIVE, None),
    ],
)
def test_each_rule(
    endpoint: Endpoint, before: dict[str, Any], after: dict[str, Any], change: str | None
) -> None:
    pairs = told(endpoint, before, after)
    assert pairs["change"].to_list() == [change]
    assert changed(pairs).height == (change is not None)


@pytest.mark.parametrize(
    ("minutes", "change"), [(1439, "newly_positive"), (1440, None), (2400, None)]
)
def test_swapped_again_is_another_swap_if_the_windows_do_not_overlap(
    minutes: int, change: str | None
) -> None:
    again = {"swapped": True, "max_age_minutes": minutes}
    assert told(CHECK, again, again)["change"].to_list() == [change]
    unsure = told(CHECK, {**again, "responded_at": None}, again)
    assert unsure["change"].to_list() == [None]


@pytest.mark.parametrize(
    ("endpoint", "before", "after", "rise"),
    [
        (CHECK, swapped(False), swapped(True), True),
        (CHECK, swapped(True), swapped(False), False),
        (DATE, dated(None), dated("2020-01-01"), True),
        (DATE, dated("2020-01-01"), dated("2026-11-22"), True),
        (DATE, dated("2026-11-22"), dated("2020-01-01"), False),
        (DATE, UNKNOWN, dated(None), False),
        (FORWARDING, QUIET, ACTIVE, False),
        (CHECK, swapped(False), swapped(False), False),
    ],
)
def test_what_counts_towards_a_cohorts_rise(
    endpoint: Endpoint, before: dict[str, Any], after: dict[str, Any], rise: bool
) -> None:
    assert told(endpoint, before, after).select(is_rise()).to_series().to_list() == [rise]


POSITIVE_WORDS = {"swapped": True, "active": True, "latest_change": "reported"}
KEYS = st.tuples(st.integers(0, 6), st.sampled_from(Endpoint))


@st.composite
def nights(draw: st.DrawFn, responded_at: Any) -> dict[tuple[int, Endpoint], dict[str, Any]]:
    found = {}
    for i, endpoint in draw(st.sets(KEYS, max_size=25)):
        kind = draw(st.sampled_from(["unknown", "negative", "old", "new"]))
        values: dict[str, Any] = {}
        if kind == "unknown":
            values = {"outcome": draw(st.sampled_from(["timeout", "not_found", "skipped"]))}
        elif endpoint.answers_date:
            day = {"negative": None, "old": "2020-01-01", "new": "2026-11-21"}[kind]
            values = dated(day)
        else:
            name = "swapped" if endpoint.takes_max_age else "active"
            values = {name: kind != "negative"}
        if endpoint.takes_max_age:
            values["max_age_minutes"] = draw(st.sampled_from([60, 2400]))
        found[i, endpoint] = outcome(i, endpoint, responded_at=responded_at, **values)
    return found


def naive(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The rules once more, as a person would write them down."""
    known = [row["outcome"] == "success" for row in (before, after)]
    positive = [
        is_known and any(row.get(n) == v for n, v in POSITIVE_WORDS.items())
        for is_known, row in zip(known, (before, after), strict=True)
    ]
    if not known[1]:
        return "became_unknown" if known[0] and after["outcome"] != "skipped" else None
    if not positive[1]:
        if not known[0]:
            return None if before["outcome"] == "skipped" else "became_known"
        return "newly_negative" if positive[0] else None
    if not positive[0]:
        return "newly_positive"
    if before.get("latest_change_at") != after.get("latest_change_at"):
        return "date_moved"
    window = timedelta(minutes=after.get("max_age_minutes") or 10**6)
    is_apart = AFTER - window > BEFORE
    return "newly_positive" if after.get("swapped") and is_apart else None


@examples(80)
@given(nights(BEFORE), nights(AFTER))
def test_changes_are_what_plain_python_finds(
    before: dict[tuple[int, Endpoint], dict[str, Any]],
    after: dict[tuple[int, Endpoint], dict[str, Any]],
) -> None:
    found = changed(paired(lookups_of(before.values()), lookups_of(after.values())))
    expected = {
        (number(i), endpoint.value): change
        for i, endpoint in before.keys() & after.keys()
        if (change := naive(before[i, endpoint], after[i, endpoint]))
    }
    rows = {(r["e164"], r["endpoint"]): r["change"] for r in found.iter_rows(named=True)}
    assert rows == expected
    assert list(rows) == sorted(rows)
    assert set(rows.values()) <= set(Change)
    again = paired(lookups_of(after.values()), lookups_of(after.values()))
    assert again["change"].null_count() == again.height


def test_before_and_after_stand_side_by_side() -> None:
    [row] = changed(told(DATE, dated("2020-01-01"), dated("2026-11-22"))).rows(named=True)
    assert row["before_latest_change_at"] == instant("2020-01-01", 1)
    assert row["after_latest_change_at"] == instant("2026-11-22", 1)
    assert (row["before_responded_at"], row["after_responded_at"]) == (BEFORE, AFTER)
    assert (row["before_outcome"], row["after_swapped"]) == ("success", None)
