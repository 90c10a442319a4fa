from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec.structs
import pytest

from batch_screen.config.settings import Prices
from batch_screen.errors import BatchScreenError, OutputError
from batch_screen.model import Endpoint, Pace, Plan, Session, ShardPlan
from batch_screen.tables.counts import count_lookups
from batch_screen.tables.summary import (
    Ending,
    LookupFigures,
    Summary,
    check_accounting,
    count_rows,
    read_summary,
    says_stopped,
    write_summary,
)

from .frames import outcome, outcomes_of

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
PLAN = Plan(
    rows=10,
    accepted=7,
    rejected={"empty": 2, "too_short": 1},
    rejects_sha256="ef",
    shards=[ShardPlan(4, 3, "ab"), ShardPlan(3, 2, "cd")],
    kept=[],
    facts={},
)
NOW_OF_SUMMARY = datetime(2026, 11, 23, tzinfo=UTC)


def figures(total: int, by_outcome: dict[str, int]) -> LookupFigures:
    return LookupFigures(total, by_outcome, 0, total, 0, 0, {}, 0.0)


def test_rows_are_counted_from_the_plan() -> None:
    rows = count_rows(PLAN)
    assert (rows.read, rows.accepted, rows.rejected) == (10, 7, 3)
    assert (rows.unique_numbers, rows.duplicates) == (5, 2)
    assert rows.rejected_by_reason == {"empty": 2, "too_short": 1}


@pytest.mark.parametrize("change", [{"rows": 11}, {"accepted": 6}, {"rejected": {"empty": 2}}])
def test_rows_that_do_not_add_up_are_a_bug(change: dict[str, object]) -> None:
    with pytest.raises(BatchScreenError, match="does not add up: input rows"):
        count_rows(msgspec.structs.replace(PLAN, **change))


def test_accounting_that_adds_up_passes() -> None:
    counted = {CHECK.value: figures(5, {"success": 5}), DATE.value: figures(5, {"timeout": 5})}
    check_accounting(PLAN, 2, counted, result_rows=7, lookup_rows=10, error_rows=3 + 5)


def test_a_table_that_lacks_a_lookup_stops_before_the_marker() -> None:
    counted = {CHECK.value: figures(5, {"success": 5})}
    with pytest.raises(BatchScreenError, match="outcomes 5, lookup rows 4"):
        check_accounting(PLAN, 1, counted, result_rows=7, lookup_rows=4, error_rows=3)


@pytest.mark.parametrize(
    ("endpoints", "total", "by_outcome", "rows", "words"),
    [
        (1, 5, {"success": 5}, 6, "accepted rows 7, result rows 6"),
        (1, 4, {"success": 4}, 7, "lookups planned 5, outcomes 4"),
        (2, 5, {"success": 5}, 7, "lookups planned 10, outcomes 5"),
        (1, 5, {"success": 4}, 7, "success [+] failures 4"),
        (1, 5, {"success": 4, "timeout": 1}, 7, "failed lookups 4, error rows 3"),
    ],
)
def test_accounting_that_does_not_add_up_stops_before_the_marker(
    endpoints: int, total: int, by_outcome: dict[str, int], rows: int, words: str
) -> None:
    counted = {CHECK.value: figures(total, by_outcome)}
    with pytest.raises(BatchScreenError, match=words):
        check_accounting(
            PLAN, endpoints, counted, result_rows=rows, lookup_rows=total, error_rows=3
        )


def test_an_outcome_that_nobody_knows_is_noticed() -> None:
    strange = outcomes_of([outcome(i, CHECK, outcome="unheard_of") for i in range(5)])
    counted = count_lookups([strange.lazy()], Prices())
    with pytest.raises(BatchScreenError):
        check_accounting(PLAN, 1, counted, result_rows=7, lookup_rows=5, error_rows=8)


def summary(by_outcome: dict[str, int]) -> Summary:
    total = sum(by_outcome.values())
    return Summary(
        run_id="r",
        run_date="2026-11-23",
        version="1",
        status="complete",
        rows=count_rows(PLAN),
        endpoints={CHECK.value: figures(total, by_outcome)} if total else {},
        cost=0.0,
        currency="EUR",
        session=Session(
            NOW_OF_SUMMARY, NOW_OF_SUMMARY + timedelta(seconds=4), attempts=10, asking_seconds=4.0
        ),
        settings={"screening.endpoints": ["sim-swap/check"]},
        facts={},
    )


@pytest.mark.parametrize(
    ("by_outcome", "share"),
    [
        ({}, 0.0),
        ({"success": 10}, 0.0),
        ({"success": 1, "not_found": 8, "not_applicable": 1}, 0.0),
        ({"success": 3, "timeout": 1}, 0.25),
        ({"forbidden": 2, "skipped": 2}, 1.0),
    ],
)
def test_what_the_api_does_not_know_has_not_failed(
    by_outcome: dict[str, int], share: float
) -> None:
    assert summary(by_outcome).failure_share == share


def test_what_a_plan_spares_has_not_failed() -> None:
    one = summary({"success": 6, "timeout": 1, "skipped": 3})
    figures = msgspec.structs.replace(one.endpoints["sim-swap/check"], unchanged=2, not_needed=1)
    one = msgspec.structs.replace(one, endpoints={"sim-swap/check": figures})
    assert (one.failed, one.failure_share) == (1, 0.1)


def test_a_sessions_rate() -> None:
    assert summary({}).session.rate_per_second == 2.5
    assert Session(NOW_OF_SUMMARY, NOW_OF_SUMMARY).rate_per_second == 0.0


def test_a_summary_survives_the_round_trip(tmp_path: Path) -> None:
    one = summary({"success": 5})
    write_summary(tmp_path / "summary.json", one)
    assert read_summary(tmp_path / "summary.json") == one
    assert (tmp_path / "summary.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"run_id":"\xff"}'])
def test_a_summary_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "summary.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OutputError, match=r"summary\.json.*--new-run"):
        read_summary(path)


def test_numbers_of_the_pace_stand_in_one_line_each(tmp_path: Path) -> None:
    pace = Pace(1.0, [1, 22, 3], [0, 0, 1], [9.8, 9.8, 4.5])
    start = Session(NOW_OF_SUMMARY, NOW_OF_SUMMARY + timedelta(seconds=3), 26, 2.5, pace)
    one = msgspec.structs.replace(
        summary({"success": 5}), starts=[start], facts={"odd": "[\n 1,\n 2\n ]"}
    )
    write_summary(tmp_path / "summary.json", one)
    text = (tmp_path / "summary.json").read_text("utf-8")
    assert '"attempts": [1, 22, 3],' in text
    assert '"limit_per_second": [9.8, 9.8, 4.5]' in text
    assert read_summary(tmp_path / "summary.json") == one


def test_a_summary_says_whether_it_says_stopped(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    assert not says_stopped(path)
    write_summary(path, summary({"success": 5}))
    assert not says_stopped(path)
    stopped = msgspec.structs.replace(
        summary({"success": 3}), status="stopped", stopped=Ending("no money", 4)
    )
    write_summary(path, stopped)
    assert says_stopped(path)
    assert read_summary(path) == stopped
    path.write_bytes(path.read_bytes()[:-20])
    assert not says_stopped(path), "it may have been a complete run's"


def test_what_is_left_is_summed_up() -> None:
    counted = {n: msgspec.structs.replace(figures(1, {"success": 1}), left=4) for n in "ab"}
    assert msgspec.structs.replace(summary({}), endpoints=counted).left == 8
