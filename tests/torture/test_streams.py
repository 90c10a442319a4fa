"""Closed, full and broken streams; folders that may not be written, from the start or later."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import COMMAND, Desk, clean, new_sandbox
from tests.thoroughness import in_full

from .conftest import ENDPOINTS, FEW_CELLS, Size, Undisturbed, sized, sized_in_full
from .faulty import Fault, Faulty
from .figures import Figures, Measure
from .judge import Asked, judge_lookups
from .met import CANNOT_WRITE, problem_of, resume
from .test_scarce import small_disk
from .trial import Trial

_STREAMS = {
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "stdin closed": "<&-",
    "all closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "both full": ">/dev/full 2>/dev/full",
    "readers gone": "2>&1 | true",
}
_NOBODY = 65534


def desk_at(folder: Path, server: SandboxThread) -> Desk:
    return Desk(folder, server.url, FEW_CELLS, options=(*ENDPOINTS, "--rate", "1500"))


def complete(scenario: str, size: Size, desk: Desk, server: SandboxThread) -> Figures:
    """The figures of a run that asked everything just once."""
    numbers = {cell for cell in desk.cells if cell.startswith("+")}
    expected = [Asked(number, name) for number in numbers for name in ENDPOINTS[1].split(",")]
    return Figures(
        scenario,
        (size.seed,),
        faults=1,
        starts=1,
        bought_after_saved=server.statistics()["requests"] - len(expected),
        **judge_lookups(desk.latest.frame("lookups"), expected, server.world),
    )


@sized("streams", quick=[], full=[*_STREAMS], more=["both full"])
def test_streams_that_cannot_be_used(
    tmp_path: Path, size: Size, streams: str, settle: Callable[[Figures], None]
) -> None:
    with new_sandbox(latency=Latency(seconds=0.005)) as server:
        desk = desk_at(tmp_path, server)
        script = f'set -o pipefail; "$@" {_STREAMS[streams]}'
        arguments = [str(each) for each in (COMMAND, *desk.arguments())]
        done = subprocess.run(
            ["bash", "-c", script, "-", *arguments],
            env=clean(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stdout + done.stderr
        settle(complete("streams", size, desk, server))


@pytest.mark.parametrize("place", ["output", pytest.param("state", marks=pytest.mark.torture)])
def test_disk_that_is_read_only(
    tmp_path: Path, place: str, settle: Callable[[Figures], None]
) -> None:
    with new_sandbox() as server:
        desk = desk_at(tmp_path, server)
        desk.out.mkdir(mode=0o700)
        with small_disk(desk.out if place == "output" else desk.out / ".state") as folder:
            _remount(folder, "ro")
            refused = desk.run()
            problem = problem_of(refused.code, refused.err, [CANNOT_WRITE], str(desk.out))
            assert not problem, problem
            assert server.statistics()["requests"] == 0
            _remount(folder, "rw")
            assert desk.run().code == 0
            settle(complete("read-only disk", Size(1, 0, is_full=False), desk, server))


def _remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


@sized_in_full
def test_disk_that_becomes_read_only(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    for number in range(6 if size.is_full else 1):
        desk = Desk(tmp_path / str(number), "", FEW_CELLS, options=(*ENDPOINTS, "--rate", "1500"))
        fault = Fault("all", draw.choice(["state", "any"]), draw.randint(15, 150), "EROFS")
        with (
            Trial("becomes read-only", size.seed, desk) as trial,
            trial.serve(latency=Latency(seconds=0.005)) as server,
        ):
            faulty = Faulty(desk)
            with faulty.installed(fault), trial.started() as running:
                met = trial.wait(running)
            settle(
                resume(
                    trial,
                    server,
                    undisturbed(desk),
                    fault=str(fault),
                    met=met,
                    problem=problem_of(met.code, running.said, [CANNOT_WRITE]),
                    fault_at=faulty.fired[0].at,
                )
            )


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """A folder where a process without rights may get to, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@cache
def _without_rights() -> list[str]:
    """What to put before a command so that modes count; skips where that cannot be done."""
    if os.geteuid():
        return []
    before = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    try:
        done = subprocess.run(
            [*before, str(COMMAND), "--version"], capture_output=True, env=clean(), check=False
        )
    except FileNotFoundError:
        pytest.skip("needs setpriv, or a user who is not root")
    if done.returncode:
        pytest.skip("needs a place where a user without rights can run the command")
    return before


_LOCKED = [
    *(pytest.param(name, marks=in_full) for name in ("out/.state", "out/results")),
    *(pytest.param(name, marks=pytest.mark.torture) for name in ("out", "out/runs")),
]


@pytest.mark.parametrize("locked", _LOCKED)
def test_folder_without_the_right_to_write(locked: str, settle: Callable[[Figures], None]) -> None:
    before = _without_rights()
    with nobodys_folder() as folder, new_sandbox() as server:
        desk = desk_at(folder, server)
        (folder / locked).mkdir(parents=True)
        for path in (desk.out, *desk.out.rglob("*")):
            if before:
                os.chown(path, _NOBODY, _NOBODY)
            path.chmod(0o700)
        (folder / locked).chmod(0o500)
        command = [*before, str(COMMAND), *map(str, desk.arguments())]

        def start() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, capture_output=True, env=clean(), text=True, timeout=60, check=False
            )

        refused = start()
        problem = problem_of(refused.returncode, refused.stderr, [CANNOT_WRITE], locked)
        assert not problem, problem
        early = server.statistics()["requests"]
        (folder / locked).chmod(0o700)
        resumed = start()
        assert resumed.returncode == 0, resumed.stderr
        figures = complete("folder locked", Size(1, 0, is_full=False), desk, server)
        settle(replace(figures, measures=(Measure("requests before it was known", early, 0),)))
