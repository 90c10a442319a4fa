"""Too little room, too few descriptors, too little memory: one line or death, and a resume."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from batch_screen.sandbox.latency import Latency
from tests.e2e.conftest import Desk, as_text

from .conftest import ENDPOINTS, FEW_CELLS, Size, Undisturbed, sized, sized_in_full
from .faulty import Faulty
from .figures import Figures, combine
from .met import CANNOT_WRITE, problem_of, resume
from .trial import Trial, wait_until

_LATENCY = Latency(seconds=0.005, upto_seconds=0.02)
_MANY = 64
"""Connections at once, where descriptors are short."""
_UNREACHABLE = 69
_SYSTEM = 71
_NOT_LOADED = 127
"""How the system's loader ends a process whose libraries do not fit."""
_PATIENCE = 30
_FILES_SETTINGS = f"""
[pacing]
ramp_up_seconds = 0
max_concurrency = {_MANY}
[retry]
base_delay_seconds = 0.01
[guards]
unreachable_seconds = 10
"""
_ROOM = 250_000
"""About as many bytes as state and output take."""


def desk_at(folder: Path, size: Size) -> Desk:
    desk = Desk(folder, "", FEW_CELLS, options=(*ENDPOINTS, "--rate", "1500"))
    desk.out.mkdir(mode=0o700)
    return desk


@contextmanager
def small_disk(folder: Path, megabytes: int = 4) -> Iterator[Path]:
    """A disk of its own at the folder; skips the test where nobody may mount one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs to mount a tmpfs: run as root, or the tests under 'unshare -rm'")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, room: int) -> Path:
    """A file that leaves about so many bytes free."""
    status = os.statvfs(folder)
    filler = folder / ".filler.tmp"
    size = max(0, status.f_bavail * status.f_bsize - room)
    filler.touch(mode=0o600)
    filler.write_bytes(bytes(size))
    return filler


def fill_once(
    folder: Path, size: Size, place: str, draw: random.Random, undisturbed: Undisturbed
) -> Figures:
    desk = desk_at(folder, size)
    room = int(draw.random() ** 2 * _ROOM)
    with ExitStack() as stack:
        if place != "state":
            stack.enter_context(small_disk(desk.out))
        if place != "both":
            # Where only the output shall run full, the state has room of its own.
            stack.enter_context(small_disk(desk.out / ".state"))
        trial = stack.enter_context(Trial(f"disk full: {place}", size.seed, desk))
        server = stack.enter_context(trial.serve(latency=_LATENCY))
        filler = fill(desk.out / ".state" if place == "state" else desk.out, room)
        with trial.started() as running:
            met = trial.wait(running)
        filler.unlink()
        problem = problem_of(met.code, running.said, [CANNOT_WRITE]) if met.code else ""
        return resume(
            trial,
            server,
            undisturbed(desk),
            fault=f"{room} bytes for {place}",
            met=met,
            problem=problem,
        )


@sized("place", quick=["both"], full=["state", "output", "both"])
def test_full_disk(
    tmp_path: Path,
    size: Size,
    place: str,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    draw = random.Random(f"{size.seed} {place}")
    met = [
        fill_once(tmp_path / str(number), size, place, draw, undisturbed)
        for number in range(5 if size.is_full else 1)
    ]
    settle(combine(f"disk full: {place}", met))


def limit_once(
    folder: Path,
    size: Size,
    undisturbed: Undisturbed,
    *,
    name: str,
    limit: int,
    settings: str = "",
    codes: tuple[int, ...] = (CANNOT_WRITE,),
    may_die: bool = False,
    per_kill_most: int = 32,
) -> Figures:
    """One start with so little of a resource, then one with enough."""
    desk = desk_at(folder, size)
    expected = undisturbed(desk)
    if settings:
        desk.configuration.write_text(settings, "utf-8")
    with Trial(name, size.seed, desk) as trial, trial.serve(latency=_LATENCY) as server:
        with Faulty(desk).installed(limits={name: limit}), trial.started() as running:
            has_ended = wait_until(lambda: running.process.poll() is not None, _PATIENCE)
            met = trial.wait(running) if has_ended else trial.kill(running)
        problem = _problem(met.code, running.said, codes, has_ended=has_ended, may_die=may_die)
        return resume(
            trial,
            server,
            expected,
            fault=f"{name} {limit}",
            met=met,
            problem=problem,
            per_kill_most=per_kill_most,
        )


def _problem(
    code: int, said: str, codes: tuple[int, ...], *, has_ended: bool, may_die: bool
) -> str:
    if not has_ended:
        return f"it did not end in {_PATIENCE} s; it said {said[-200:]!r}"
    if may_die:  # libraries below Python may say a word of their own before they die
        errors = [line for line in map(as_text, said.splitlines()) if line.startswith("Error: ")]
        return "" if len(errors) < 2 and (code < 0 or code in (0, _NOT_LOADED, *codes)) else said
    return problem_of(code, said, codes) if code else ""


@sized_in_full
def test_largest_file(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    """As a full disk, for whoever may not mount one."""
    draw = random.Random(size.seed)
    limits = [draw.randint(1, _ROOM // 4) for _ in range(3 if size.is_full else 1)]
    met = [
        limit_once(tmp_path / str(limit), size, undisturbed, name="RLIMIT_FSIZE", limit=limit)
        for limit in limits
    ]
    settle(combine("files cut off", met))


@sized_in_full
def test_few_descriptors(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    steps = (12, 16, 20, 26, 34, 44, 56, 80) if size.is_full else (80,)
    met = [
        limit_once(
            tmp_path / str(step),
            size,
            undisturbed,
            name="RLIMIT_NOFILE",
            limit=step + (draw.randint(0, 3) if size.is_full else 0),
            settings=_FILES_SETTINGS,
            codes=(CANNOT_WRITE, _UNREACHABLE, 66, 2),
            per_kill_most=2 * _MANY,
        )
        for step in steps
    ]
    settle(combine("few descriptors", met))


def test_little_memory(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    steps = (40, 80, 200, 300, 500, 700, 1000) if size.is_full else (500,)
    met = [
        limit_once(
            tmp_path / str(step),
            size,
            undisturbed,
            name="RLIMIT_AS",
            limit=(step << 20) + draw.randint(0, 1 << 24),
            # 1: what breaks inside a library that found no memory may look like a bug.
            codes=(1, _SYSTEM, CANNOT_WRITE, _UNREACHABLE, 65, 66),
            may_die=True,
            per_kill_most=32,
        )
        for step in steps
    ]
    settle(combine("little memory", met))
