"""Several workers of one machine: the same answers and files as one, at the same bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full

from .conftest import NUMBERS, Desk, run_command

CELLS = NUMBERS[:600]
SHARDS = "[output]\nshard_lookups = 1000\n"
BOTH = ("--endpoints", "sim-swap/check,call-forwarding/check")
TWO = (*BOTH, "--workers", "2")


def test_workers_leave_what_one_process_leaves(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox()
    one = Desk(tmp_path / "one", server.url, CELLS, SHARDS, BOTH)
    two = Desk(tmp_path / "two", server.url, CELLS, SHARDS, TWO)
    assert one.run().code == 0
    done = two.run()
    assert done.code == 0, done.err
    assert "workers ...... 2 under one contract; 0 takeovers" in done.out
    assert "under one contract" not in one.run().out
    assert two.latest.content == one.latest.content
    assert server.statistics()["requests"] == 2 * 2 * len(CELLS)
    assert run_command("validate", two.out).code == 0
    crew = two.latest.report("summary.json")["session"]["crew"]
    assert crew["workers"] == 2
    assert "crew" not in one.latest.report("summary.json")["session"]


@in_full
def test_the_budget_is_one_for_all(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox(profiles=("flaky",))
    desk = Desk(tmp_path, server.url, CELLS, SHARDS, TWO)
    stopped = desk.run("--max-requests", 700)
    assert stopped.code == 4
    assert "budget.max_requests = 700" in stopped.error
    assert server.statistics()["requests"] == 700
    done = desk.run("--workers", "1")  # what workers have left one process goes on with
    assert done.code == 0, done.err


@in_full
def test_a_refused_key_ends_all_workers(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox()
    desk = Desk(tmp_path, server.url, CELLS, SHARDS, TWO)
    desk.environment = {"BATCH_SCREEN_API_KEY": "another"}
    done = desk.run()
    assert done.code == 77
    assert done.error
    assert server.statistics()["requests"] < 100
