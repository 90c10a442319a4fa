"""Runs that are cut short, and what they say; tests/torture counts what that costs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.starting import begin
from tests.thoroughness import in_full

from .conftest import COMMAND, CONCURRENCY, NUMBERS, Desk, clean, until

CELLS = [*NUMBERS[:130], "n/a", *NUMBERS[:20], "=1+1", *NUMBERS[1000:1020]]
LOOKUPS = 2 * 150
LATENCY = Latency(seconds=0.02)


def desk_at(folder: Path, server: SandboxThread) -> Desk:
    asked = "--endpoints", "sim-swap/retrieve-date,call-forwarding/check"
    return Desk(folder, server.url, CELLS, options=(*asked, "--rate", "500"))


def asked(server: SandboxThread, count: int) -> Callable[[], bool]:
    return lambda: server.statistics()["requests"] >= count


def test_stopped_gracefully(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox(latency=LATENCY)
    desk = desk_at(tmp_path, server)
    for number, code in (signal.SIGINT, 130), (signal.SIGTERM, 143):
        before = server.statistics()["requests"]
        with desk.started() as running:
            until(asked(server, before + 60))
            running.process.send_signal(number)  # timeout says it to the command and to its group
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
    assert desk.run().code == 0
    statistics = server.statistics()
    assert statistics["requests"] == statistics["answered_lookups"] == LOOKUPS
    assert (statistics["repeats"], statistics["answered_twice"]) == (0, 0)


def test_a_second_signal_leaves_at_once(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(latency=Latency(seconds=40))
    with desk_at(tmp_path, server).started() as running:
        until(asked(server, 5))
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.6)  # sooner, it would be the same wish said twice
        began = time.monotonic()
        ended = running.end(signal.SIGINT)
    assert ended.code == 130
    assert time.monotonic() - began < 20, "the answers under way were not waited for"


def test_stopped_while_reading(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox()
    desk = desk_at(tmp_path, server)
    with desk.started() as running:
        until(lambda: "reading" in running.said)
        ended = running.end(signal.SIGINT)
    assert ended.code == 130
    assert server.statistics()["requests"] <= CONCURRENCY


def test_a_dead_stderr_does_not_lose_the_stop(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(latency=LATENCY)
    desk = desk_at(tmp_path, server)
    reading, writing = os.pipe()
    command = [str(COMMAND), *map(str, desk.arguments())]
    with os.fdopen(writing, "wb") as stderr, Path(os.devnull).open("wb") as stdout:
        process = begin(command, stdout=stdout, stderr=stderr, env=clean())
    with process:
        until(asked(server, 30))
        os.close(reading)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert server.statistics()["answered_lookups"] < LOOKUPS
    assert server.statistics()["requests"] == server.statistics()["answered_lookups"]


@in_full
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_plan_leaves_no_scratch(tmp_path: Path, number: signal.Signals) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [COMMAND, "plan", "-"]
    environment = clean({"TMPDIR": str(scratch)})
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        until(lambda: any(scratch.glob("batch-screen-*/stdin-*")))
        process.send_signal(number)
        assert process.wait(timeout=60) == 143
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=in_full)],
)
def test_stopped_while_stdin_is_awaited(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "out"
    command = [COMMAND, "run", "-", "--sandbox", "--out", out]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=clean()) as process:
        until(lambda: any(out.rglob("stdin-*")))
        process.send_signal(number)
        assert process.wait(timeout=60) == code
    assert not any(out.rglob("stdin-*"))
