"""Whatever is said wrongly of where lookups come from is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import TOO_LONG, Endpoint
from batch_screen.privacy.ids import NumberIds
from batch_screen.runs.layout import LOOKUPS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as COLUMNS
from batch_screen.schema import conform, dtypes, results
from batch_screen.tables.reader import Part
from batch_screen.tables.results import observed
from batch_screen.verify.checks import differences, part_checks
from tests.unit.tables.frames import number, outcome, outcomes_of
from tests.unit.tables.whole_run import answer, differing, new_whole_run

SIM, SIM_DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE, DEVICE_DATE = Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE
FORWARDING = Endpoint.CALL_FORWARDING_CHECK
NOW = datetime(2026, 3, 2, tzinfo=UTC)
RUN = "20260302-0123456789"


def skipped(i: int, endpoint: Endpoint, reason: str) -> dict[str, Any]:
    told = {"outcome": "skipped", "reason": reason, "source": None, "attempts": 0}
    return outcome(i, endpoint, **told) | {"max_age_minutes": None}


def rows() -> list[dict[str, Any]]:
    """Number 1 was derived and chained away, 2 asked with a gap, 3 reused, 4 contradicts itself."""
    at = {"responded_at": NOW}
    long_ago = {"latest_change": "reported", "latest_change_at": NOW - timedelta(days=9), **at}
    not_asked = {"source": "derived", "attempts": 0}
    reused = {"source": "reused", "source_run_id": "20260301-0123456789", "attempts": 0}
    return [
        outcome(1, SIM, swapped=False, **at, **not_asked),
        outcome(1, SIM_DATE, **long_ago),
        skipped(1, DEVICE, "sim_unchanged"),
        outcome(2, SIM, swapped=True, last_observed_at=NOW - timedelta(days=3), **at),
        skipped(2, SIM_DATE, "not_needed"),
        outcome(2, FORWARDING, active=False, **at),
        outcome(3, DEVICE_DATE, **long_ago, **reused),
        outcome(3, DEVICE, swapped=False, **{**at, "responded_at": NOW}, **reused),
        outcome(4, SIM, swapped=True, **at),
        outcome(4, SIM_DATE, **long_ago),
    ]


def part(frame: pl.DataFrame) -> Part:
    full = conform(frame.with_columns(run_id=pl.lit(RUN)), COLUMNS)
    names = {LOOKUPS: "lookups/part"}
    empty = [pl.DataFrame(schema=dtypes(columns)) for columns in (results({}), ERROR_COLUMNS)]
    return Part(0, empty[0], full, empty[1], names)


RIGHT = observed(outcomes_of(rows()).drop("window_start", "window_end"))
ENDPOINTS = [endpoint.value for endpoint in Endpoint]
OF_LOOKUPS = ("sources", "windows", "conflicts")
CHECKS = [check for check in part_checks(RUN, ENDPOINTS) if check.name in OF_LOOKUPS]


def found(frame: pl.DataFrame) -> str:
    return "; ".join(each.what for _, each in differences(CHECKS, part(frame), 1, ENDPOINTS))


def test_what_is_right_is_no_difference() -> None:
    assert found(RIGHT) == ""
    assert RIGHT["contradiction"].to_list().count(True) == 1


def test_with_ids_what_goes_by_numbers_goes_by_them() -> None:
    """The same rows by id break the same rules; a number, or what is no id, is a difference."""
    ids = NumberIds(bytes(32))
    hidden = {"e164": pl.lit(None, pl.String), "unanswered": pl.lit(0, pl.Int32)}
    by_id = RIGHT.with_columns(ids.of(RIGHT["e164"]), **hidden)
    values = (*OF_LOOKUPS, "values", "required")
    checks = [c for c in part_checks(RUN, ENDPOINTS, "8ed2d54a") if c.name in values]

    def said(frame: pl.DataFrame) -> str:
        found = differences(checks, part(frame), 1, ENDPOINTS, "number_id")
        return "; ".join(each.what for _, each in found)

    assert said(by_id) == ""
    wrong = {
        "rows with a number, though ids stand for numbers": {"e164": pl.lit("+442079460001")},
        "an id that is not 32 hexadecimal digits": {"number_id": pl.lit("+442079460001")},
        "rows without number_id, which is required": {"number_id": pl.lit(None, pl.String)},
        "another value than their date says": {"swapped": ~pl.col("swapped")},
        "a wrong contradiction": {"contradiction": ~pl.col("contradiction")},
    }
    for message, values_of in wrong.items():
        assert message in said(by_id.with_columns(**values_of))


@pytest.mark.parametrize(
    ("i", "endpoint", "values", "message"),
    [
        (2, SIM, {"source": "guessed"}, "an unknown source"),
        (2, SIM, {"source": None}, "a source though they were skipped, or none"),
        (1, SIM, {"attempts": 1}, "requests though they were not asked"),
        (1, DEVICE, {"attempts": 1}, "requests though they were not asked"),
        (1, SIM, {"swapped": True}, "another value than their date says"),
        (1, SIM, {"responded_at": NOW + timedelta(1)}, "another time than the date"),
        (1, SIM_DATE, {"latest_change": "none_reported"}, "no date of theirs was reported"),
        (1, DEVICE, {"reason": "device_unchanged"}, "skipped as unchanged, though nothing"),
        (1, DEVICE, {"reason": "not_needed"}, "not_needed though they are no dates"),
        (2, SIM, {"source_run_id": "x"}, "an earlier run though they were not reused"),
        (3, DEVICE, {"source_run_id": None}, "an earlier run though they were not reused"),
        (3, DEVICE, {"source_run_id": RUN}, "this run as the earlier one"),
        (2, FORWARDING, {"source": "reused", "source_run_id": "x"}, "true of one instant"),
        (2, FORWARDING, {"source": "derived"}, "a derivation that no date allows"),
        (2, SIM, {"max_age_minutes": 2401}, "a window longer than the API takes"),
        (2, SIM, {"max_age_minutes": 60}, "a window of another length"),
        (2, SIM, {"window_start": NOW}, "a window of another length"),
        (2, SIM, {"window_end": None}, "a window though they have observed nothing, or none"),
        (2, SIM, {"window_end": NOW + timedelta(1)}, "a window that does not end with the answer"),
        (2, SIM, {"gap_minutes": 0}, "another gap than their window leaves"),
        (2, SIM, {"last_observed_at": None}, "another gap than their window leaves"),
        (4, SIM, {"contradiction": False}, "a wrong contradiction"),
        (4, SIM, {"contradiction": None}, "a wrong contradiction"),
        (2, SIM, {"contradiction": False}, "a wrong contradiction"),
    ],
)
def test_what_is_wrong_is_found(
    i: int, endpoint: Endpoint, values: dict[str, Any], message: str
) -> None:
    row = (pl.col("e164") == number(i)) & (pl.col("endpoint") == endpoint.value)
    changed = RIGHT.with_columns(
        pl.when(row).then(pl.lit(value, RIGHT.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )
    assert message in found(changed)


OFFSETS = st.one_of(st.none(), st.integers(-10, 10), st.integers(2395 * 60, 2405 * 60))


@given(
    numbers=st.lists(
        st.tuples(st.booleans(), OFFSETS, st.integers(-200, 200), OFFSETS), min_size=1, max_size=5
    )
)
def test_both_ways_of_writing_it_down_agree(
    numbers: list[tuple[bool, int | None, int, int | None]],
) -> None:
    told: list[dict[str, Any]] = []
    for i, (swapped, age, lag, last) in enumerate(numbers):
        at = NOW + timedelta(seconds=lag)
        since = None if last is None else NOW - timedelta(seconds=last, microseconds=i)
        told.append(outcome(i, SIM, swapped=swapped, responded_at=at, last_observed_at=since))
        changed = None if age is None else NOW - timedelta(seconds=age)
        said = "none_reported" if age is None else "reported"
        values = {"latest_change": said, "latest_change_at": changed, "responded_at": NOW}
        told.append(outcome(i, SIM_DATE, **values))
    assert found(outcomes_of(told)) == ""


def test_a_wait_that_was_too_long_is_no_difference(tmp_path: Path) -> None:
    wait = {"outcome": "rate_limited", "reason": TOO_LONG, "message": "Retry-After 86400 s"}

    def answered(i: int, endpoint: Endpoint) -> dict[str, Any]:
        is_long = i % 4 == 0 and endpoint is Endpoint.CALL_FORWARDING_CHECK
        return answer(i, endpoint) | ({**wait, "active": None} if is_long else {})

    run = new_whole_run(tmp_path, answered)
    assert differing(run.validate()) == {}
    assert TOO_LONG in (run.layout.run / "errors.csv").read_text("utf-8")
