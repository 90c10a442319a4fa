"""A server that misbehaves: runs that get through, and runs that stop and are resumed."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import polars as pl
import pytest

from batch_screen.sandbox import server as sandbox_server
from batch_screen.sandbox.answers import truth
from batch_screen.sandbox.config import BASE_PATH
from batch_screen.sandbox.contract import PERMISSION_DENIED
from batch_screen.sandbox.magic import Behaviour
from batch_screen.sandbox.profiles import ScriptedOutage
from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import IS_FULL, in_full
from tests.threads import at_once

from .conftest import (
    CONCURRENCY,
    NUMBERS,
    Desk,
    Finished,
    assert_true,
    new_sandbox,
    until,
)

CELLS = NUMBERS[:100]
ENDPOINTS = ("--endpoints", "sim-swap/check,device-swap/retrieve-date")
LOOKUPS = 2 * len(CELLS)
CANARY = 24
THROTTLED = 30
"""Every refusal costs a second of waiting."""

GETS_THROUGH = {
    "flaky": {"success"},
    "throttling": {"success"},
    "malformed": {"success", "bad_response"},
    "patchy": {"success", "not_found", "forbidden", "not_applicable", "rejected"},
    "odd-dates": {"success"},
}


@dataclass
class Passed:
    done: Finished
    desk: Desk
    server: SandboxThread
    request_log: Path


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Passed]:
    """How runs against servers of every passable profile ended."""
    folder = tmp_path_factory.mktemp("through")

    def one(profile: str) -> Passed:
        log = folder / f"{profile}.jsonl"
        is_throttling = profile == "throttling"
        settings: dict[str, Any] = {"profiles": (profile,), "journal_path": log}
        with new_sandbox(retry_after_seconds=int(is_throttling), **settings) as server:
            cells = CELLS[:THROTTLED] if is_throttling else CELLS
            toml = "[guards]\nmax_failure_share = 0\n"
            desk = Desk(folder / profile, server.url, cells, toml, ENDPOINTS)
            return Passed(desk.run(), desk, server, log)

    return dict(zip(GETS_THROUGH, at_once(one, GETS_THROUGH), strict=True))


@pytest.mark.parametrize("profile", GETS_THROUGH)
def test_run_gets_through(passed: dict[str, Passed], profile: str) -> None:
    run = passed[profile]
    output = run.desk.latest
    lookups = output.frame("lookups")
    has_failed = profile in ("malformed", "patchy")
    assert run.done.code == (3 if has_failed else 0), run.done.err
    assert [line for line in run.done.lines if line.startswith("Error: ")] == []
    assert lookups.height == 2 * len(run.desk.cells)
    kinds = set(lookups["outcome"])
    assert kinds <= GETS_THROUGH[profile]
    assert (len(kinds) > 1) == has_failed
    failures = lookups.filter(pl.col("outcome") != "success")
    assert failures.select("swapped", "latest_change", "latest_change_at").drop_nulls().is_empty()
    assert output.frame("errors").height == failures.height
    assert lookups["attempts"].sum() == run.server.statistics()["requests"]


@pytest.mark.parametrize("profile", ["flaky", "throttling", "malformed", "patchy"])
def test_every_success_is_true(passed: dict[str, Passed], profile: str) -> None:
    run = passed[profile]
    assert_true(run.desk.latest.frame("lookups"), run.server.world)
    assert run.server.statistics()["answered_twice"] == 0


def test_transient_failures_are_asked_again(passed: dict[str, Passed]) -> None:
    assert passed["flaky"].server.statistics()["repeats"] > 0
    summary = passed["flaky"].desk.latest.report("summary.json")
    assert sum(figures["refusals"] for figures in summary["endpoints"].values()) == 0


def test_refusals_are_waited_out_and_counted(passed: dict[str, Passed]) -> None:
    run = passed["throttling"]
    lines = [json.loads(line) for line in run.request_log.read_text().splitlines()]
    refused = [line for line in lines if line["status"] == 429]
    lookups = run.desk.latest.frame("lookups")
    assert lookups["refusals"].sum() == len(refused) > 0
    # Who is refused waits by itself; the others are asked meanwhile.
    again = [
        line["at"] - earlier["ended_at"]
        for earlier in refused
        for line in lines
        if (line["number"], line["endpoint"]) == (earlier["number"], earlier["endpoint"])
        and line["at"] > earlier["at"]
    ]
    assert len(again) == len(refused)
    assert min(again) > 0.95


def test_answers_of_odd_dates(passed: dict[str, Passed]) -> None:
    lookups = passed["odd-dates"].desk.latest.frame("lookups")
    odd = pl.col("latest_change_raw")
    empty = lookups.filter(odd == "")
    assert set(empty["latest_change"]) == {"none_reported"}
    shifted = lookups.filter(odd.str.ends_with("+05:30"))
    assert shifted.height > 0
    instants = shifted["latest_change_raw"].str.to_datetime(time_unit="us", time_zone="UTC")
    assert instants.to_list() == shifted["latest_change_at"].to_list()
    assert_true(
        lookups.filter((odd != "") & ~odd.str.ends_with("+05:30") | odd.is_null()),
        passed["odd-dates"].server.world,
    )


STOPS = {
    "all-401": (77, "refused the key (401)", CONCURRENCY),
    "all-403": (77, "were all 403", CANARY + CONCURRENCY),
    "all-404": (2, "were all 404: the path may have moved", CANARY + CONCURRENCY),
    "all-400": (2, "refused as invalid", CANARY + CONCURRENCY),
    "all-unreadable": (69, "unreadable", CANARY + CONCURRENCY),
    "all-redirect": (69, "unreadable", CANARY + CONCURRENCY),
}


SIMILAR = {"all-403", "all-400", "all-redirect"}
"""Stopped by the guards that stop others of these, too: tests/unit/engine shows each."""
_STOPS = [pytest.param(name, marks=in_full) if name in SIMILAR else name for name in STOPS]


@dataclass
class StoppedRun:
    done: Finished
    left_marker: bool
    left: dict[str, Any]
    statistics: dict[str, Any]
    resumed: Finished
    desk: Desk
    server: SandboxThread


@contextmanager
def _nobodys_port(port: int = 0) -> Iterator[int]:
    """A port where nobody listens, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        yield held.getsockname()[1]


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}{BASE_PATH}"


def _stop_and_resume(
    folder: Path, settings: dict[str, Any], options: tuple[str, ...]
) -> StoppedRun:
    with new_sandbox(**settings) as server:
        desk = Desk(folder, server.url, CELLS, options=options)
        done = desk.run()
        statistics = server.statistics()
        marker = (desk.out / "latest.json").exists() or any(desk.out.glob("runs/*/_SUCCESS"))
        left = json.loads(next(desk.out.glob("runs/*/summary.json")).read_bytes())
        # The same server gets well: another one might find its port taken.
        server.change(profiles=(), quota=None, revoke_keys_after=None)
        urlopen(Request(f"{server.origin}/_sandbox/reset", method="POST")).close()
        return StoppedRun(done, marker, left, statistics, desk.run(), desk, server)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoppedRun]:
    """Runs that a cause of every kind stopped, and that went on when it was gone."""
    folder = tmp_path_factory.mktemp("stopped")
    one_endpoint = ("--endpoints", "sim-swap/check")

    def one(name: str) -> StoppedRun:
        return _stop_and_resume(folder / name, {"profiles": (name,)}, one_endpoint)

    names = [name for name in STOPS if IS_FULL or name not in SIMILAR]
    return dict(zip(names, at_once(one, names), strict=True))


@pytest.mark.parametrize("profile", _STOPS)
def test_run_stops_with_one_clear_line(stopped: dict[str, StoppedRun], profile: str) -> None:
    run = stopped[profile]
    code, words, most_requests = STOPS[profile]
    assert run.done.code == code
    assert words in run.done.error
    assert "· stopped, can be resumed" in run.done.out
    assert f"{len(CELLS):,} lookups without an outcome" in run.done.out
    assert run.left["status"] == "stopped"
    assert run.left["stopped"] == {
        "cause": run.done.error.removeprefix("Error: "),
        "exit_code": code,
        "endpoints": [],
    }
    assert not run.left_marker
    assert 0 < run.statistics["requests"] <= most_requests
    assert run.statistics["redirects_followed"] == 0


@pytest.mark.parametrize("profile", _STOPS)
def test_run_resumes_when_the_cause_is_gone(stopped: dict[str, StoppedRun], profile: str) -> None:
    run = stopped[profile]
    assert run.resumed.code == 0, run.resumed.err
    lookups = run.desk.latest.frame("lookups")
    assert set(lookups["outcome"]) == {"success"}
    assert_true(lookups, run.server.world)
    assert run.server.statistics()["requests"] == len(CELLS)  # nothing bad was saved


def test_empty_account_keeps_what_it_paid_for(tmp_path: Path) -> None:
    run = _stop_and_resume(tmp_path, {"quota": 120}, ENDPOINTS)
    assert run.done.code == 4
    assert "top it up" in run.done.error
    assert run.statistics["answered_lookups"] == 120
    assert sum(e["total"] for e in run.left["endpoints"].values()) == 120
    assert f"{LOOKUPS - 120} lookups without an outcome" in run.done.out
    assert run.resumed.code == 0
    starts = run.desk.latest.report("summary.json")["starts"]
    assert starts[0]["attempts"] == run.statistics["requests"]
    assert starts[1]["attempts"] == LOOKUPS - 120
    assert run.server.statistics()["requests"] == LOOKUPS - 120
    assert_true(run.desk.latest.frame("lookups"), run.server.world)


@in_full
def test_key_revoked_half_way(tmp_path: Path) -> None:
    run = _stop_and_resume(tmp_path, {"revoke_keys_after": 120}, ENDPOINTS)
    assert run.done.code == 77
    assert run.statistics["requests_after_revocation"] <= CONCURRENCY
    assert run.resumed.code == 0
    assert run.server.statistics()["requests"] == LOOKUPS - 120


def test_server_that_is_not_there(tmp_path: Path) -> None:
    toml = "[guards]\nunreachable_seconds = 1\n"
    with _nobodys_port() as port:
        desk = Desk(tmp_path, _address(port), CELLS, toml, ENDPOINTS)
        began = time.monotonic()
        done = desk.run()
    assert time.monotonic() - began < 30
    assert done.code == 69
    assert "cannot be reached" in done.error
    assert not (desk.out / "latest.json").exists()
    with new_sandbox(port) as server:
        assert desk.run().code == 0
        assert server.statistics()["requests"] == LOOKUPS


def test_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with new_sandbox() as first:
            desk = Desk(tmp_path, first.url, CELLS, options=(*ENDPOINTS, "--rate", "200"))
            running = stack.enter_context(desk.started())
            until(lambda: first.statistics()["requests"] >= 40)
        port = urlsplit(first.url).port or 0
        with _nobodys_port(port):
            until(lambda: "no connection" in running.said)
        with new_sandbox(port) as second:
            ended = running.end()
    assert ended.code == 0, ended.err
    lookups = desk.latest.frame("lookups")
    assert set(lookups["outcome"]) == {"success"}
    assert_true(lookups, second.world)
    answered = [server.statistics()["answered_lookups"] for server in (first, second)]
    assert sum(answered) == LOOKUPS


@in_full
def test_outages_in_the_middle_are_outlived(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    outages = (
        ScriptedOutage(behaviour=Behaviour.DOWN, lasting_seconds=0.3, after_requests=30),
        ScriptedOutage(behaviour=None, lasting_seconds=0.3, after_requests=80),
        ScriptedOutage(behaviour=Behaviour.RESET, lasting_seconds=0.3, after_requests=130),
        ScriptedOutage(behaviour=Behaviour.HTML_502, lasting_seconds=0.3, after_requests=180),
    )
    server = sandbox(outages=outages)
    toml = "max_attempts = 12\n"
    desk = Desk(tmp_path, server.url, CELLS, toml, (*ENDPOINTS, "--rate", "150"))
    done = desk.run()
    assert done.code == 0, done.err
    assert "no connection" in done.err
    lookups = desk.latest.frame("lookups")
    assert set(lookups["outcome"]) == {"success"}
    assert_true(lookups, server.world)
    assert server.statistics()["answered_lookups"] == LOOKUPS
    assert {"503", "502"} < set(server.statistics()["by_status"])


def test_rate_limit_of_the_server_is_never_exceeded(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(rate_limit_per_second=100)
    # Far below the limit, for what was sent evenly arrives in bunches on a busy machine; the
    # pacer's own exactness is a matter for virtual time.
    desk = Desk(tmp_path, server.url, NUMBERS[:130])
    desk.configuration.write_text("[pacing]\nramp_up_seconds = 0\nheadroom = 0.2\n")
    assert desk.run("--rate", "100").code == 0
    statistics = server.statistics()
    assert statistics["rate_refusals"] == 0
    assert statistics["worst_second"] <= 100


def test_an_operator_that_refuses_its_block_does_not_stop_the_others(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sorted list such a block may come first, and its 403 look like a missing entitlement."""
    numbers = NUMBERS[:200]
    refused = set(numbers[:100])
    monkeypatch.setattr(
        sandbox_server,
        "truth",
        lambda n, e, w, world: PERMISSION_DENIED if n in refused else truth(n, e, w, world),
    )
    server = sandbox()
    desk = Desk(tmp_path, server.url, numbers, options=("--endpoints", "sim-swap/check"))
    done = desk.run("--rate", "1000")
    assert done.code == 3, done.err
    lookups = desk.latest.frame("lookups")
    assert Counter(lookups["outcome"]) == {"forbidden": 100, "success": 100}
    assert set(lookups.filter(outcome="forbidden")["e164"]) == refused
