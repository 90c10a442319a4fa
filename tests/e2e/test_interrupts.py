"""Runs that are cut short at any moment, then resumed to what one run would have given."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread

from .conftest import (
    COMMAND,
    CONCURRENCY,
    NUMBERS,
    Desk,
    assert_true,
    clean,
    new_sandbox,
    until,
)

CELLS = [*NUMBERS[:130], "n/a", *NUMBERS[:20], "=1+1", *NUMBERS[1000:1020]]
LOOKUPS = 2 * 150
LATENCY = Latency(seconds=0.02)
Moment = Callable[[Desk, SandboxThread], bool]


def desk_at(folder: Path, server: SandboxThread) -> Desk:
    asked = "--endpoints", "sim-swap/retrieve-date,call-forwarding/check"
    return Desk(folder, server.url, CELLS, options=(*asked, "--rate", "500"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nobody disturbs leaves behind."""
    with new_sandbox(latency=LATENCY) as server:
        desk = desk_at(tmp_path_factory.mktemp("uninterrupted"), server)
        assert desk.run().code == 0
        return desk.latest.content


def asked(count: int) -> Moment:
    return lambda _, server: server.statistics()["requests"] >= count


def exists(pattern: str) -> Moment:
    return lambda desk, _: next(desk.out.glob(pattern), None) is not None


def assert_nothing_torn(desk: Desk) -> None:
    for path in desk.out.rglob("*.parquet"):
        if not any(part.endswith(".growing") for part in path.parts):
            pl.read_parquet(path, hive_partitioning=False)
    for marker in desk.out.glob("runs/*/_SUCCESS"):
        assert (marker.parent / "manifest.json").exists()


def assert_resumes_to(expected: dict[str, Any], desk: Desk, server: SandboxThread) -> None:
    done = desk.run()
    assert done.code == 0, done.err
    assert desk.latest.content == expected
    assert_true(desk.latest.frame("lookups"), server.world)
    assert len(list(desk.out.glob("runs/*"))) == 1


@pytest.mark.parametrize(
    "moments",
    [
        [exists(".state/runs/*/run.json"), asked(1), asked(100), asked(200)],
        [
            asked(LOOKUPS),
            exists(".state/runs/*/sealed/*.parquet"),
            exists("results/*/*.parquet"),
            exists("runs/*/manifest.json"),
        ],
    ],
    ids=["while-asking", "while-writing"],
)
def test_killed_again_and_again(
    sandbox: Callable[..., SandboxThread],
    tmp_path: Path,
    moments: list[Moment],
    uninterrupted: dict[str, Any],
) -> None:
    server = sandbox(latency=LATENCY)
    desk = desk_at(tmp_path, server)
    for kills, moment in enumerate(moments, start=1):
        with desk.started() as running:
            until(partial(moment, desk, server))
            ended = running.end(signal.SIGKILL)
        is_complete = (desk.out / "latest.json").exists()
        assert ended.code == -signal.SIGKILL or is_complete
        assert_nothing_torn(desk)
        assert server.statistics()["repeats"] <= 2 * CONCURRENCY * kills
    assert_resumes_to(uninterrupted, desk, server)
    statistics = server.statistics()
    assert statistics["distinct_lookups"] == LOOKUPS
    assert statistics["repeats"] <= 2 * CONCURRENCY * len(moments)
    assert statistics["requests"] <= LOOKUPS + 2 * CONCURRENCY * len(moments)


def test_stopped_gracefully(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    server = sandbox(latency=LATENCY)
    desk = desk_at(tmp_path, server)
    for number, code in (signal.SIGINT, 130), (signal.SIGTERM, 143):
        before = server.statistics()["requests"]
        with desk.started() as running:
            until(partial(asked(before + 60), desk, server))
            ended = running.end(number)
        assert ended.code == code
        assert f"stopped by {number.name}; what was answered is saved" in ended.error
        assert before + 60 <= server.statistics()["answered_lookups"] < LOOKUPS
        assert not (desk.out / "latest.json").exists()
    answered = server.statistics()["answered_lookups"]
    plan = desk.plan()
    assert sum(plan["already_answered"].values()) == answered
    assert sum(plan["to_ask"].values()) == LOOKUPS - answered
    assert plan["resumes"] is not None
    assert_resumes_to(uninterrupted, desk, server)
    statistics = server.statistics()
    assert statistics["requests"] == statistics["answered_lookups"] == LOOKUPS
    assert (statistics["repeats"], statistics["answered_twice"]) == (0, 0)


def test_two_interrupts_leave_at_once(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    with new_sandbox(latency=Latency(seconds=0.4)) as server:
        desk = desk_at(tmp_path, server)
        with desk.started() as running:
            until(lambda: server.statistics()["requests"] >= 2 * CONCURRENCY)
            ended = running.end(signal.SIGINT, signal.SIGINT)
        assert ended.code == 130
        assert "once more to leave at once" in ended.err
        assert_nothing_torn(desk)
        before = server.statistics()["requests"]
    with new_sandbox(urlsplit(desk.url).port or 0) as server:
        assert_resumes_to(uninterrupted, desk, server)
        assert server.statistics()["requests"] <= LOOKUPS - before + 2 * CONCURRENCY


def test_stopped_while_reading(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox()
    desk = desk_at(tmp_path, server)
    with desk.started() as running:
        until(lambda: "reading" in running.said)
        ended = running.end(signal.SIGINT)
    assert ended.code == 130
    assert server.statistics()["requests"] <= CONCURRENCY


def test_a_closed_terminal_stops_gracefully(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(latency=LATENCY)
    desk = desk_at(tmp_path, server)
    with desk.started() as running:
        until(partial(asked(30), desk, server))
        running.process.send_signal(signal.SIGHUP)
        ended = running.end(signal.SIGHUP)  # the terminal and the shell both say so
    assert ended.code == 143
    assert "what was answered is saved" in ended.error


def test_a_dead_stderr_does_not_lose_the_stop(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(latency=LATENCY)
    desk = desk_at(tmp_path, server)
    command = [COMMAND, *map(str, desk.arguments())]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=clean()) as process:
        until(partial(asked(30), desk, server))
        assert process.stderr is not None
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert server.statistics()["answered_lookups"] < LOOKUPS
    assert server.statistics()["requests"] == server.statistics()["answered_lookups"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_plan_leaves_no_scratch(tmp_path: Path, number: signal.Signals) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [COMMAND, "plan", "-"]
    environment = clean({"TMPDIR": str(scratch)})
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        until(lambda: any(scratch.glob("*/stdin-*")))
        process.send_signal(number)
        assert process.wait(timeout=60) == 143
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_while_stdin_is_awaited(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "out"
    command = [COMMAND, "run", "-", "--sandbox", "--out", out]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=clean()) as process:
        until(lambda: any(out.rglob("stdin-*")))
        process.send_signal(number)
        assert process.wait(timeout=60) == code
    assert not any(out.rglob("stdin-*"))
