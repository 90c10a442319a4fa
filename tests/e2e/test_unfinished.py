"""A start without a date that finds yesterday's run of the same list unfinished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from batch_screen import Job, load_settings, run
from batch_screen.errors import ConfigurationError
from batch_screen.runs.state import today
from batch_screen.sandbox.run import SandboxThread

from .conftest import COMMAND, KEY, NUMBERS, Desk, clean, run_command, until

Unfinished = tuple[Desk, SandboxThread]


@pytest.fixture
def unfinished(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> Unfinished:
    """A run that was stopped on its way, and its server."""
    server = sandbox()
    desk = Desk(tmp_path, server.url, NUMBERS[:60])
    with desk.started("--rate", "60") as running:
        until(lambda: server.statistics()["requests"] >= 20)
        assert running.end(signal.SIGTERM).code == 143
    return desk, server


@pytest.mark.parametrize("choice", ["resume", "new", "stop"])
def test_without_a_date_the_setting_says_what_becomes_of_it(
    unfinished: Unfinished, choice: str
) -> None:
    desk, server = unfinished
    before = server.statistics()["requests"]
    dated = desk.arguments()
    at = dated.index("--run-date")
    start = [*dated[:at], *dated[at + 2 :]]
    chosen = {"BATCH_SCREEN_SCREENING__UNFINISHED": choice}
    planned = run_command("plan", *start[1:], "--json", environment=chosen)
    assert (json.loads(planned.out)["resumes"] is not None) == (choice == "resume")
    done = run_command(*start, environment=chosen)
    asked = server.statistics()["requests"] - before
    if choice == "stop":
        assert (done.code, asked) == (2, 0)
        assert (
            "is unfinished, so choose: --run-date 2026-03-02 resumes it and asks nothing twice"
            in done.err
        )
        assert f"--run-date {today().isoformat()} begins another run" in done.err
    elif choice == "new":
        assert (done.code, asked) == (0, 60)
        assert desk.latest.latest["run_date"] == today().isoformat()
        assert "is unfinished; --run-date 2026-03-02 resumes it" in done.err
    else:
        assert done.code == 0, done.err
        assert asked < 60
        assert desk.latest.latest["run_date"] == "2026-03-02"
        assert "it goes on, of 2026-03-02" in done.err
        # The next start is that of today.
        assert run_command(*start).code == 0
        assert desk.latest.latest["run_date"] == today().isoformat()


def test_where_somebody_sits_at_the_terminal_it_is_asked_for(
    unfinished: Unfinished,
) -> None:
    desk, server = unfinished
    before = server.statistics()["requests"]
    settings = load_settings(
        {"output": {"folder": str(desk.out)}, "api": {"base_url": server.url}},
        config=desk.configuration,
        environment={},
    )
    job = Job((str(desk.list),), settings, SecretStr(KEY), is_attended=True)
    with pytest.raises(
        ConfigurationError, match="is unfinished, so choose: --run-date 2026-03-02 resumes"
    ):
        run(job)
    assert server.statistics()["requests"] == before
    assert run(replace(job, run_date=date(2026, 3, 2))).summary.run_date == "2026-03-02"


def test_a_terminal_is_somebody(unfinished: Unfinished) -> None:
    desk, server = unfinished
    before = server.statistics()["requests"]
    dated = desk.arguments()
    at = dated.index("--run-date")
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [str(COMMAND), *map(str, [*dated[:at], *dated[at + 2 :]])],
            stdin=theirs,
            capture_output=True,
            env=clean(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"is unfinished, so choose: --run-date 2026-03-02 resumes it" in done.stderr
    assert server.statistics()["requests"] == before
