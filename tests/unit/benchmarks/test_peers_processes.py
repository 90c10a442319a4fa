from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.peers.processes import Group, Process, everybody, family

ROOT, OTHER = 10, 99


def process(pid: int, parent: int = 1, session: int = OTHER, started: int = 5) -> Process:
    return Process(pid, parent, session, started, 4096)


def pids(*processes: Process, known: tuple[tuple[int, int], ...] = ()) -> list[int]:
    return sorted(p.pid for p in family(processes, ROOT, known))


def test_children_of_children_belong_to_the_family() -> None:
    assert pids(process(12, parent=11), process(11, parent=ROOT), process(ROOT)) == [10, 11, 12]


def test_the_session_belongs_to_it_without_its_parents() -> None:
    assert pids(process(20, session=ROOT), process(21, parent=20), process(22)) == [20, 21]


def test_who_was_known_belongs_to_it_whoever_has_taken_it_in() -> None:
    assert pids(process(30), process(31, parent=30), known=((30, 5),)) == [30, 31]


def test_a_pid_that_is_somebody_else_by_now_does_not() -> None:
    assert pids(process(30, started=6), known=((30, 5),)) == []


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
def test_a_killed_group_leaves_nobody_not_even_who_left_its_session(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print(subprocess.Popen(child, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    group = Group([sys.executable, "-c", code], tmp_path, dict(os.environ))
    deadline = time.monotonic() + 30
    while not (child := (tmp_path / "output.txt").read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    group.kill()
    assert group.exit_code == -9
    assert int(child) not in {p.pid for p in everybody()}
    assert group.peak_mib > 1
