"""Runs that end at a bound of money, requests or time, and go on later."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import IS_FULL

from .conftest import CONCURRENCY, DAY, NUMBERS, Desk

BOTH = ("--endpoints", "sim-swap/check,call-forwarding/check")
PRICES = '[prices.per_request]\n"sim-swap/check" = 0.1\n"call-forwarding/check" = 0.3\n'


def summary(desk: Desk) -> dict[str, Any]:
    [path] = desk.out.glob("runs/*/summary.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_a_bound_of_requests_holds_over_all_starts(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(profiles=("flaky",))
    desk = Desk(tmp_path, server.url, NUMBERS[:100], options=BOTH)
    for bound in (60, 60, 130):
        before = server.statistics()["requests"]
        stopped = desk.run("--max-requests", bound)
        assert stopped.code == 4
        assert f"budget.max_requests = {bound}" in stopped.error
        assert "higher --max-requests" in stopped.error
        assert server.statistics()["requests"] == bound
        told = summary(desk)
        assert told["status"] == "stopped"
        assert told["stopped"]["exit_code"] == 4
        assert f"budget.max_requests = {bound}" in told["stopped"]["cause"]
        outcomes = sum(sum(e["by_outcome"].values()) for e in told["endpoints"].values())
        assert outcomes + sum(e["left"] for e in told["endpoints"].values()) == 200
        assert "stopped, can be resumed" in stopped.out
        if before == bound:
            assert "left ........." in stopped.out
    assert desk.plan("--max-requests", 150)["requests_left"] == 20
    assert desk.run("--max-requests", 100_000).code == 0
    assert summary(desk)["status"] == "complete"
    assert server.statistics()["answered_twice"] == 0


def test_a_bound_of_cost_is_never_exceeded_by_a_cent(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox()
    desk = Desk(tmp_path, server.url, NUMBERS[:50], toml=PRICES, options=BOTH)
    stopped = desk.run("--max-cost", "7.3")
    assert stopped.code == 4
    assert "budget.max_cost = 7.30 EUR" in stopped.error
    asked = server.statistics()["by_endpoint"]
    cost = asked["sim-swap/check"] * 10 + asked["call-forwarding/check"] * 30
    assert 730 - 30 < cost <= 730


def test_a_bound_of_cost_needs_prices(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:9/nobody", NUMBERS[:5], options=BOTH)
    refused = desk.run("--max-cost", "7")
    assert refused.code == 2
    assert "no price for sim-swap/check, call-forwarding/check" in refused.error


def test_a_start_that_has_taken_its_time_stops_and_the_next_goes_on(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(latency=Latency(seconds=0.01))
    desk = Desk(tmp_path, server.url, NUMBERS[:400], options=("--rate", "50"))
    began = datetime.now(UTC)
    stopped = desk.run("--max-duration", "6s")
    assert stopped.code == 4
    assert "before 6s were over, as budget.max_duration_seconds says" in stopped.error
    assert datetime.now(UTC) - began < timedelta(seconds=9)
    statistics = server.statistics()
    assert 0 < statistics["requests"] == statistics["answered_lookups"] < 400
    resumed = Desk(tmp_path, server.url, NUMBERS[:400], options=("--rate", "1000"))
    assert resumed.run().code == 0
    assert server.statistics()["repeats"] == 0


def test_an_hour_that_permits_nothing_is_waited_out_and_said(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox()
    hour = datetime.now(UTC).hour
    closed = f'[schedule.rate_per_second_by_hour]\n"{hour:02}-{(hour + 2) % 24:02}" = 0\n'
    desk = Desk(tmp_path, server.url, NUMBERS[:5], toml=closed)
    stopped = desk.run("--max-duration", "4s")
    assert stopped.code == 4
    assert "permits no request at this hour; waiting until" in stopped.err
    assert server.statistics()["requests"] == 0
    assert desk.plan()["seconds"] > 3000


def test_an_endpoint_of_its_own_rate(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox()
    slow = '[pacing.rate_per_second_by_endpoint]\n"call-forwarding/check" = 20\n'
    desk = Desk(tmp_path, server.url, NUMBERS[:40], toml=slow, options=BOTH)
    began = datetime.now(UTC)
    assert desk.run().code == 0
    assert datetime.now(UTC) - began > timedelta(seconds=39 / 20)
    assert server.statistics()["requests"] == 80


@pytest.mark.parametrize("profile", ["all-429", "all-408"] if IS_FULL else ["all-429"])
def test_nothing_but_refusals_end_a_run_to_be_resumed(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, profile: str
) -> None:
    server = sandbox(profiles=(profile,), retry_after_seconds=0)
    desk = Desk(tmp_path, server.url, NUMBERS[:40], toml="[guards]\nunreachable_seconds = 3\n")
    stopped = desk.run()
    assert stopped.code == 4
    assert "has refused every request (429, 408)" in stopped.error
    assert server.statistics()["requests"] < 20 * CONCURRENCY
    server.change(profiles=())
    assert desk.run().code == 0
    assert desk.latest.run_id.startswith(DAY.replace("-", ""))
