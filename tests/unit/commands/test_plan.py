"""What is known beforehand is exact, and an estimate says that it is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.commands.plan import CHAIN, DERIVE, REUSE, Estimate, Saving, Windows, estimate
from batch_screen.config.screening import Planner, Screening
from batch_screen.config.settings import Settings
from batch_screen.model import Endpoint, Session
from batch_screen.tables.summary import COMPLETE, LookupFigures, Rows, Summary
from tests.making import known_rows, made, number

SIM, SIM_DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE = Endpoint.DEVICE_SWAP_CHECK
NOW = datetime(2026, 3, 2, tzinfo=UTC)
EARLIER = "20260301-0123456789"


def row(i: int, endpoint: Endpoint, minutes: int, **values: Any) -> dict[str, Any]:
    at = NOW - timedelta(minutes=minutes)
    return {
        "e164": number(i),
        "endpoint": endpoint.value,
        "responded_at": at,
        "reusable": False,
        **values,
    }


def forecast(
    folder: Path,
    endpoints: list[Endpoint],
    planner: dict[str, Any],
    known: pl.DataFrame | None = None,
    *,
    earlier: list[Summary] | None = None,
    max_age: Any = "",
) -> Estimate:
    settings = Settings(
        screening=Screening(endpoints=endpoints, max_age=max_age), planner=Planner(**planner)
    )
    run, plan = made(folder, range(100), settings, shard_rows=30, known=known)
    return estimate(settings, plan, run.plan, NOW, earlier or [])


def summary(**endpoints: tuple[int, int, int]) -> Summary:
    """A run of (lookups, successes, positives)."""
    figures = {
        Endpoint[name].value: LookupFigures(
            total, {"success": fine}, positive, total, 0, 0, {}, 0.0
        )
        for name, (total, fine, positive) in endpoints.items()
    }
    rows = Rows(200, 200, 0, {}, 0, 200)
    times = Session(NOW, NOW)
    return Summary(
        EARLIER, "2026-03-01", "0", COMPLETE, rows, figures, 0.0, "EUR", times, {}, {}
    )  # fmt: skip


def test_reuse_is_counted_exactly(tmp_path: Path) -> None:
    known = known_rows([row(i, SIM_DATE, 5, reusable=True) for i in range(30)])
    found = forecast(tmp_path, [SIM, SIM_DATE], {"reuse_within_minutes": 60}, known)
    assert found.to_ask == {SIM: 100, SIM_DATE: 70}
    [reuse, derive] = found.savings
    assert reuse == Saving(REUSE, SIM_DATE.value, is_on=True, at_least=30, at_most=30, likely=30)
    assert reuse.is_exact
    assert (derive.how, derive.is_on, derive.likely) == (DERIVE, False, None)
    assert found.likely is None


def test_windows_are_counted_as_of_now(tmp_path: Path) -> None:
    rows = [row(i, SIM, 1440) for i in range(40)]
    rows += [row(i, SIM, 5000) for i in range(40, 60)]
    rows += [row(50, SIM_DATE, 5, latest_change="reported")]
    rows += [row(51, SIM_DATE, 5, latest_change="none_reported")]
    found = forecast(tmp_path, [SIM], {}, known_rows(rows), max_age="since-last-run")
    assert found.windows == {SIM.value: Windows(reaching=41, beyond=19, first=40)}
    assert found.to_ask == {SIM: 100, SIM_DATE: 19}
    [derive] = found.savings
    assert (derive.how, derive.is_on, derive.at_least, derive.at_most) == (DERIVE, True, 0, 19)


def test_what_depends_on_answers_is_bounded_and_estimated(tmp_path: Path) -> None:
    before = summary(SIM_SWAP_CHECK=(200, 180, 20), SIM_SWAP_DATE=(200, 190, 150))
    planner = {"derive_checks": True, "only_where_changed": {DEVICE: SIM}}
    found = forecast(tmp_path, [SIM, SIM_DATE, DEVICE], planner, earlier=[before])
    told = {(s.how, s.endpoint): (s.at_least, s.at_most, s.likely) for s in found.savings}
    assert told == {(DERIVE, SIM.value): (0, 100, 75), (CHAIN, DEVICE.value): (0, 100, 80)}
    assert all(s.is_on and s.as_in == EARLIER and not s.is_exact for s in found.savings)
    assert found.to_ask == {SIM: 100, SIM_DATE: 100, DEVICE: 100}
    assert found.likely == 25 + 100 + 20


def test_what_could_be_saved_is_told_where_it_is_off(tmp_path: Path) -> None:
    found = forecast(tmp_path, [SIM, SIM_DATE, DEVICE], {})
    assert [(s.how, s.endpoint, s.is_on, s.likely) for s in found.savings] == [
        (DERIVE, SIM.value, False, None),
        (CHAIN, DEVICE.value, False, None),
    ]
    assert found.windows == {}
