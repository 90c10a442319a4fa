from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec.structs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_screen.config.settings import Prices
from batch_screen.errors import BatchScreenError, OutputError
from batch_screen.model import Endpoint, OutcomeKind, Plan, ShardPlan
from batch_screen.output.summary import (
    Lookups,
    Session,
    Summary,
    check,
    count_lookups,
    count_rows,
    read_summary,
    write_summary,
)

from .frames import outcome, outcomes_of

CHECK, DATE, FORWARDING = (
    Endpoint.SIM_SWAP_CHECK,
    Endpoint.SIM_SWAP_DATE,
    Endpoint.CALL_FORWARDING_CHECK,
)
PLAN = Plan(
    rows=10,
    accepted=7,
    rejected={"empty": 2, "too_short": 1},
    rejects_sha256="ef",
    shards=[ShardPlan(4, 3, "ab"), ShardPlan(3, 2, "cd")],
    kept=[],
    facts={},
)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def written(folder: Path, *parts: list[dict[str, object]]) -> list[Path]:
    paths = []
    for i, rows in enumerate(parts):
        paths.append(folder / f"{i}.parquet")
        outcomes_of(rows).write_parquet(paths[-1])
    return paths


def figures(total: int, by_outcome: dict[str, int]) -> Lookups:
    return Lookups(total, by_outcome, 0, total, 0, 0, {}, 0.0)


def test_rows_are_counted_from_the_plan() -> None:
    rows = count_rows(PLAN)
    assert (rows.read, rows.accepted, rows.rejected) == (10, 7, 3)
    assert (rows.unique_numbers, rows.duplicates) == (5, 2)
    assert rows.rejected_by_reason == {"empty": 2, "too_short": 1}


@pytest.mark.parametrize("change", [{"rows": 11}, {"accepted": 6}, {"rejected": {"empty": 2}}])
def test_rows_that_do_not_add_up_are_a_bug(change: dict[str, object]) -> None:
    with pytest.raises(BatchScreenError, match="does not add up: input rows"):
        count_rows(msgspec.structs.replace(PLAN, **change))


def test_figures_are_counted_over_all_parts(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        [
            outcome(1, CHECK, swapped=True, attempts=3, refusals=1, latency_ms=10.0),
            outcome(2, CHECK, swapped=False, latency_ms=20.0),
            outcome(1, DATE, latest_change="reported"),
        ],
        [
            outcome(3, CHECK, outcome="not_found", latency_ms=30.0),
            outcome(2, DATE, latest_change="none_reported"),
            outcome(3, DATE, outcome="timeout", attempts=4),
            outcome(3, FORWARDING, active=True),
        ],
    )
    prices = Prices(per_request={CHECK: 0.5})
    counted = count_lookups(paths, prices)
    assert list(counted) == [CHECK, DATE, FORWARDING]
    checks = counted[CHECK]
    assert checks.by_outcome == {"success": 2, "not_found": 1}
    assert (checks.total, checks.positives, checks.attempts, checks.refusals) == (3, 1, 5, 1)
    assert checks.cost == 2.0, "what was refused was not billed"
    assert checks.latency_ms == {"p50": 20.0, "p95": 30.0, "p99": 30.0}
    assert (counted[DATE].positives, counted[FORWARDING].positives) == (1, 1)
    assert counted[DATE].cost == 0.0
    assert counted[DATE].latency_ms == {}


@settings(max_examples=40, deadline=None)
@given(
    lookups=st.lists(
        st.tuples(st.sampled_from(Endpoint), st.sampled_from(OutcomeKind)), max_size=40
    )
)
def test_every_lookup_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, lookups: list[tuple[Endpoint, OutcomeKind]]
) -> None:
    rows = [outcome(i, e, outcome=kind.value) for i, (e, kind) in enumerate(lookups)]
    counted = count_lookups(written(tmp_path_factory.mktemp("s"), rows, []), Prices())
    found = sorted(
        (endpoint, kind, count)
        for endpoint, f in counted.items()
        for kind, count in f.by_outcome.items()
    )
    expected = sorted((e.value, k.value, lookups.count((e, k))) for e, k in set(lookups))
    assert found == expected
    assert all(f.total == sum(f.by_outcome.values()) for f in counted.values())


def test_no_parts_have_no_figures() -> None:
    assert count_lookups([], Prices()) == {}


def test_accounting_that_adds_up_passes() -> None:
    counted = {CHECK.value: figures(5, {"success": 5}), DATE.value: figures(5, {"timeout": 5})}
    check(PLAN, 2, counted, result_rows=7, error_rows=3 + 5)


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
        check(PLAN, endpoints, counted, result_rows=rows, error_rows=3)


def test_an_outcome_that_nobody_knows_is_noticed(tmp_path: Path) -> None:
    paths = written(tmp_path, [outcome(i, CHECK, outcome="unheard_of") for i in range(5)])
    with pytest.raises(BatchScreenError):
        check(PLAN, 1, count_lookups(paths, Prices()), result_rows=7, error_rows=8)


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
        session=Session(NOW, NOW + timedelta(seconds=4), attempts=10, asking_seconds=4.0),
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


def test_a_sessions_rate() -> None:
    assert summary({}).session.rate_per_second == 2.5
    assert Session(NOW, NOW).rate_per_second == 0.0


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
