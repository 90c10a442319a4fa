"""Windows that leave nothing out from night to night, and what need not be asked."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.runs.layout import LOOKUPS, layout_of_run
from batch_screen.sandbox.answers import Population
from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full
from tests.unit.tables.whole_run import WholeRun

from .conftest import ALL, CONCURRENCY, NUMBERS, Desk, assert_true, run_command, until

CELLS = NUMBERS[:40]
MANY_DATES = Population(swapped_share=0.4, no_date_share=0.2, not_found_share=0.0)
SINCE = ("--endpoints", "sim-swap/check", "--max-age", "since-last-run")
LESS = """
[planner]
derive_checks = true
only_where_changed = { "device-swap/check" = "sim-swap/check" }
[prices.per_request]
"sim-swap/check" = 0.01
"device-swap/check" = 0.01
"""


def aged(out: Path, minutes: int) -> None:
    """All runs in the folder, so many minutes ago."""
    shift = timedelta(minutes=minutes)
    times = ["responded_at", "window_start", "window_end", "last_observed_at"]
    for marker in (out / "runs").glob("*/_SUCCESS"):
        run = WholeRun(layout_of_run(out, marker.parent.name))
        run.rewrite(LOOKUPS, lambda frame: frame.with_columns(pl.col(times) - shift))


def is_valid(desk: Desk) -> bool:
    done = run_command("validate", desk.out)
    assert done.code == 0, done.out
    return True


def by_endpoint(server: SandboxThread, before: dict[str, Any] | None = None) -> Counter[str]:
    counts = Counter[str](server.statistics()["by_endpoint"])
    counts.subtract(before or {})
    return +counts


def test_no_minute_is_left_out_from_night_to_night(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(now=datetime.now(UTC), population=MANY_DATES)
    desk = Desk(tmp_path, server.url, CELLS, options=SINCE)
    first = desk.run("--run-date", "2026-03-01")
    assert first.code == 0, first.err
    assert "sim-swap/check: 0 of 40 numbers without a gap, 40 seen first" in first.out
    assert by_endpoint(server) == {"sim-swap/check": 40}

    aged(desk.out, 1440)
    second = desk.run("--run-date", "2026-03-02")
    assert "sim-swap/check: 40 of 40 numbers without a gap" in second.out
    lookups = desk.latest.frame("lookups").filter(endpoint="sim-swap/check")
    assert lookups["max_age_minutes"].is_between(1501, 1503).all()
    assert (lookups["window_start"] <= lookups["last_observed_at"]).all()
    assert lookups["gap_minutes"].to_list() == [0] * 40
    assert_true(lookups, server.world)
    results = desk.latest.frame("results")
    assert results["sim_swap_check_gap_minutes"].to_list() == [0] * 40
    assert desk.latest.frame("errors").is_empty()
    assert is_valid(desk)
    assert by_endpoint(server) == {"sim-swap/check": 80}

    aged(desk.out, 3 * 1440)  # two nights were missed
    plan = desk.plan("--run-date", "2026-03-05")
    assert plan["windows"] == {"sim-swap/check": {"reaching": 0, "beyond": 40, "first": 0}}
    assert plan["to_ask"] == {"sim-swap/check": 40, "sim-swap/retrieve-date": 40}
    third = desk.run("--run-date", "2026-03-05")
    assert third.code == 0, third.err
    lookups = desk.latest.frame("lookups")
    checks = lookups.filter(endpoint="sim-swap/check")
    dated = lookups.filter(latest_change="reported").height
    assert 20 < dated < 40
    assert Counter(checks["source"]) == {"derived": dated, "asked": 40 - dated}
    assert Counter(checks["gap_minutes"] > 0) == {False: dated, True: 40 - dated}
    assert checks.filter(source="derived")["max_age_minutes"].is_between(4381, 4383).all()
    assert checks.filter(source="asked")["gap_minutes"].is_between(1920, 1922).all()
    assert_true(lookups, server.world)
    assert by_endpoint(server) == {
        "sim-swap/check": 80 + 40 - dated,
        "sim-swap/retrieve-date": 40,
    }
    coverage = desk.latest.report("summary.json")["coverage"]["sim-swap/check"]
    assert coverage["without_gap"] == dated
    assert coverage["with_gap"] == 40 - dated
    assert "minutes of some numbers were not observed" in third.out
    assert is_valid(desk)

    aged(desk.out, 3 * 1440)
    environment = {"BATCH_SCREEN_SCREENING__BEYOND_WINDOW": "report-gap"}
    fourth = desk.run("--run-date", "2026-03-08", environment=environment)
    assert fourth.code == 0, fourth.err
    lookups = desk.latest.frame("lookups")
    assert lookups["endpoint"].unique().to_list() == ["sim-swap/check"]
    assert lookups["max_age_minutes"].to_list() == [2400] * 40
    assert lookups["gap_minutes"].is_between(1920, 1922).all()
    assert is_valid(desk)


def test_less_is_asked_for_the_same_answers_and_a_resume_buys_nothing_twice(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(now=datetime.now(UTC), population=MANY_DATES)
    desk = Desk(tmp_path, server.url, NUMBERS[:120], LESS, ("--endpoints", ALL))
    for requests, how, code in ((60, signal.SIGTERM, 143), (160, signal.SIGKILL, -9)):
        with desk.started("--rate", 200) as running:
            until(lambda: server.statistics()["requests"] > requests)  # noqa: B023 (at once)
            assert running.end(how).code == code
    done = desk.run()
    assert done.code == 0, done.err
    assert '"lookups": 600, "failed": 0' in done.err

    lookups = desk.latest.frame("lookups")
    assert lookups.height == 5 * 120
    asked = lookups.filter(source="asked")
    in_doubt = asked.filter(pl.col("unanswered") > 0).select("e164", "endpoint").rows()
    repeated = server.statistics(detail=True)["repeated"]
    assert {(one["number"], one["endpoint"]) for one in repeated} <= set(in_doubt)
    assert len(in_doubt) <= CONCURRENCY
    again = Counter(one["endpoint"] for one in repeated)
    assert by_endpoint(server) == Counter(asked["endpoint"]) + again
    assert_true(lookups.filter(pl.col("source").is_not_null()), server.world)
    checks = lookups.filter(endpoint="sim-swap/check")
    dates = lookups.filter(endpoint="sim-swap/retrieve-date")
    assert Counter(checks["source"])["derived"] == dates.filter(latest_change="reported").height
    unchanged = lookups.filter(reason="sim_unchanged")
    assert set(unchanged["e164"]) == set(checks.filter(~pl.col("swapped"))["e164"])
    saved = desk.latest.report("summary.json")["saved"]
    assert saved["requests"] == 600 - asked.height == saved["derived"] + saved["unchanged"]
    assert saved["cost"] == round(0.01 * saved["requests"], 6)
    assert f"saved ........ {saved['requests']} requests (derived" in done.out
    assert {row["source"] for row in lookups.filter(pl.col("attempts") == 0).to_dicts()} <= {
        "derived",
        None,
    }
    assert desk.latest.frame("errors").is_empty()
    assert not lookups["contradiction"].any()
    assert is_valid(desk)

    before = by_endpoint(server)
    reuse = {"BATCH_SCREEN_PLANNER__REUSE_WITHIN_MINUTES": "600"}
    desk.run("--run-date", "2026-03-03", environment=reuse)
    reused = desk.latest.frame("lookups")
    assert by_endpoint(server, before) == {"call-forwarding/check": 120}
    origin = reused.filter(source="reused")
    assert set(origin["source_run_id"]) == {lookups["run_id"][0]}
    told = ["e164", "endpoint", "outcome", "swapped", "latest_change_at", "responded_at"]
    assert origin.select(told).equals(
        lookups.join(origin, on=told, how="semi", nulls_equal=True).select(told)
    )
    assert is_valid(desk)


@in_full
def test_a_derived_check_says_what_an_asked_one_says_hours_after_the_sandbox_began(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=150)
    server = sandbox(now=None, since=began, population=MANY_DATES)
    said = {}
    for name, derive in (("asked", "false"), ("derived", "true")):
        toml = f"[planner]\nderive_checks = {derive}\n"
        options = ("--endpoints", ALL, "--max-age-minutes", "240")
        desk = Desk(tmp_path / name, server.url, NUMBERS[:120], toml, options)
        done = desk.run()
        assert done.code == 0, done.err
        rows = desk.latest.frame("lookups").filter(endpoint="sim-swap/check").sort("e164")
        said[name] = dict(rows.select("e164", "swapped").rows())
    # While the two runs take place, a window's edge passes over some seconds.
    dates = desk.latest.frame("lookups").filter(endpoint="sim-swap/retrieve-date")
    edge = datetime.now(UTC) - timedelta(minutes=240)
    aside = pl.col("latest_change_at").is_between(*(edge + timedelta(minutes=m) for m in (-1, 1)))
    for number in dates.filter(aside)["e164"]:
        del said["asked"][number], said["derived"][number]
    assert said["asked"] == said["derived"]
    # Some changes have left the window since the sandbox began, and some have not.
    changes = dates.filter(pl.col("latest_change_at") >= began - timedelta(minutes=240)).height
    assert 0 < sum(said["asked"].values()) < changes
