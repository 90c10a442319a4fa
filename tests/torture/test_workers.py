"""Several workers under one contract: workers and the process that leads them killed and frozen."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import Background, Desk

from .conftest import CELLS, ENDPOINTS, SEVERAL_SHARDS, Size, Undisturbed, sized
from .figures import Figures
from .trial import AT_ONCE, PER_KILL_MOST, Trial, wait_until

_LATENCY = Latency(seconds=0.02, upto_seconds=0.06)
_RATE = 400
_SOME_CELLS = CELLS[:600]
"""Enough for two shards."""


def desk_at(folder: Path, size: Size, *, workers: int = 0) -> Desk:
    options = (*ENDPOINTS, "--rate", str(_RATE))
    if workers:
        options += ("--workers", str(workers))
    cells = CELLS if size.is_full else _SOME_CELLS
    return Desk(folder, "", cells, SEVERAL_SHARDS, options, is_cold=size.is_full)


def workers_of(running: Background) -> list[int]:
    """The processes of the command's workers that live."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            command = (status.parent / "cmdline").read_bytes()
            if int(parent) == running.process.pid and b"spawn_main" in command and state != "Z":
                found.append(int(status.parent.name))
    return sorted(found)


def asked_more(server: SandboxThread, count: int) -> Callable[[], bool]:
    enough = server.statistics()["requests"] + count
    return lambda: server.statistics()["requests"] >= enough


@sized("blow", [], [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], more=[signal.SIGKILL])
def test_a_worker_is(
    tmp_path: Path,
    size: Size,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
    blow: signal.Signals,
) -> None:
    """Killed: another takes over. Frozen for some seconds: it goes on. Stopped: it saves."""
    draw = random.Random(size.seed)
    times = 6 if size.is_full else 1
    desk = desk_at(tmp_path, size, workers=4 if size.is_full else 2)
    name = f"worker {blow.name}"
    with Trial(name, size.seed, desk) as trial, trial.serve(latency=_LATENCY) as server:
        with trial.started() as running:
            assert wait_until(asked_more(server, 100))
            for _ in range(times):
                wait_until(asked_more(server, draw.randint(50, 300)), every=AT_ONCE)
                if living := workers_of(running):
                    pid = draw.choice(living)
                    os.kill(pid, blow)
                    if blow is signal.SIGSTOP:
                        time.sleep(draw.uniform(0.1, 2))
                        os.kill(pid, signal.SIGCONT)
            assert trial.wait(running).code == 0, running.said
        assert trial.twice <= (PER_KILL_MOST * times if blow is signal.SIGKILL else 0)
        figures = trial.figures(server, undisturbed(desk_at(tmp_path / "one", size)), faults=times)
        # The judge takes a start for one process: here another one asks what the killed one had not
        # saved, in the same start, and how much that may be is bounded above.
        settle(replace(figures, bought_after_saved=0) if blow is signal.SIGKILL else figures)


@pytest.mark.torture
def test_the_process_that_leads_is_killed(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    """The same command at once: its workers wait until those before have saved and ended."""
    draw = random.Random(size.seed)
    desk = desk_at(tmp_path, size, workers=4 if size.is_full else 2)
    name = "leader SIGKILL"
    with Trial(name, size.seed, desk) as trial, trial.serve(latency=_LATENCY) as server:
        for _ in range(6 if size.is_full else 2):
            with trial.started() as running:
                assert wait_until(asked_more(server, draw.randint(1, 300)), every=AT_ONCE)
                orphans = workers_of(running)
                running.process.kill()
                running.process.wait()
                killed = time.monotonic()
                # What they still save counts; the judge reads it once they have ended.
                assert wait_until(lambda: not any(map(_lives, orphans)))  # noqa: B023
                trial.note(running, killed, is_killed=True)
        assert trial.run().code == 0
        settle(trial.figures(server, undisturbed(desk_at(tmp_path / "one", size))))


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
