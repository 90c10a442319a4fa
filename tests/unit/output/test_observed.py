from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batch_screen.model import Endpoint

from .frames import outcome, outcomes_of

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def ago(**how: float) -> datetime:
    return NOW - timedelta(**how)


def check(**values: Any) -> dict[str, Any]:
    return outcome(1, CHECK, **{"swapped": False, "responded_at": NOW, **values})


def date(changed: datetime | None, **values: Any) -> dict[str, Any]:
    said = {"latest_change": "reported" if changed else "none_reported"}
    told = {"responded_at": NOW, "latest_change_at": changed, **said}
    return outcome(1, DATE, **{**told, **values})


def observed(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return outcomes_of(rows).to_dicts()


@pytest.mark.parametrize(
    ("last", "gap"),
    [
        (None, None),
        (ago(minutes=5), 0),
        (ago(minutes=60), 0),
        (ago(minutes=60, microseconds=1), 1),
        (ago(minutes=61), 1),
        (ago(days=30), 30 * 1440 - 60),
    ],
)
def test_a_gap_is_what_lies_before_the_window(last: datetime | None, gap: int | None) -> None:
    [row] = observed(check(max_age_minutes=60, last_observed_at=last))
    assert (row["window_start"], row["window_end"]) == (ago(minutes=60), NOW)
    assert row["gap_minutes"] == gap


@pytest.mark.parametrize(
    "row",
    [
        check(outcome="timeout", swapped=None),
        check(outcome="skipped", swapped=None, responded_at=None),
        date(ago(days=1)),
        outcome(1, Endpoint.CALL_FORWARDING_CHECK, active=True, responded_at=NOW),
    ],
)
def test_what_observes_no_window_has_none(row: dict[str, Any]) -> None:
    [found] = observed(row)
    assert [found[n] for n in ("window_start", "window_end", "gap_minutes")] == [None] * 3


@pytest.mark.parametrize(
    ("checked", "dated", "expected"),
    [
        (check(swapped=True), date(ago(minutes=5)), False),
        (check(swapped=True), date(ago(minutes=2401)), False),  # within the tolerance
        (check(swapped=True), date(ago(minutes=2403)), True),
        (check(swapped=True), date(None), True),
        (check(swapped=True, responded_at=NOW + timedelta(hours=1)), date(None), None),
        (check(), date(ago(minutes=5)), True),
        (check(), date(ago(minutes=2399)), False),
        (check(), date(ago(minutes=1)), False),  # it may have been changed between the two
        (check(), date(ago(minutes=5000)), False),
        (check(), date(None), False),
        (check(outcome="not_found", swapped=None), date(ago(minutes=5)), None),
        (check(), date(None, outcome="timeout", latest_change=None), None),
        (check(source="derived"), date(ago(minutes=5)), None),
        (check(), date(ago(minutes=5), source="reused"), None),
    ],
)
def test_contradictions(
    checked: dict[str, Any],
    dated: dict[str, Any],
    expected: bool | None,
) -> None:
    found = {row["endpoint"]: row["contradiction"] for row in observed(checked, dated)}
    assert found == {CHECK.value: expected, DATE.value: None}
    apart = observed(checked, dated | {"e164": "+447700900002"})
    assert [row["contradiction"] for row in apart] == [None, None]
