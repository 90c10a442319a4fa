"""A command with all the processes it starts: their memory, and their end.

Frameworks start servers and workers of their own, some of which outlive the process that started
them or leave its group. So whoever was seen once below the command belongs to it. Needs /proc.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.memory import MIB

_SAMPLE_SECONDS = 0.2
_GONE_SECONDS = 20.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One process as the kernel shows it."""

    pid: int
    parent: int
    session: int
    started: int
    """In ticks since the machine started; a pid is given to others later."""
    resident_bytes: int

    @property
    def identity(self) -> tuple[int, int]:
        """What names it for good."""
        return self.pid, self.started


def read(stat: str) -> Process:
    """The process that a line of /proc/PID/stat describes; its name may hold anything.

    >>> read("7 (a) b) S 1 7 5 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 900 4096 0 18446744073709551615")[:4]
    (7, 1, 5, 900)
    """
    pid, _, rest = stat.partition(" ")
    fields = rest.rpartition(")")[2].split()
    resident = int(fields[21]) * _PAGE_BYTES
    return Process(int(pid), int(fields[1]), int(fields[3]), int(fields[19]), resident)


def family(
    processes: Collection[Process], root: int, known: Collection[tuple[int, int]] = ()
) -> set[Process]:
    """Who belongs to the root: itself, its session, those known before, and all their children.

    ``known`` holds identities.
    """
    members = {
        process
        for process in processes
        if root in (process.pid, process.session) or process.identity in known
    }
    while True:
        pids = {process.pid for process in members}
        children = {process for process in processes if process.parent in pids} - members
        if not children:
            return members
        members |= children


def everybody() -> list[Process]:
    """All processes of this machine."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # Whoever has ended meanwhile is not there any more.
            with suppress(OSError):
                found.append(read((folder / "stat").read_text()))
    return found


class Group:
    """A command in a session of its own, with its processes and their memory followed."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        with (folder / "output.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        self.peak_mib = 0.0
        self._known: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait(self, until: float) -> None:
        """Waits for its end, up to the instant."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until - time.monotonic()))

    def kill(self) -> None:
        """Sends SIGKILL to the process group and to every other one of its processes."""
        if self.exit_code is None:
            self._look()
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + _GONE_SECONDS
        while others := self._look():
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes that do not end: {sorted(p.pid for p in others)}")
            for process in others:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(_SAMPLE_SECONDS)
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> set[Process]:
        """Who is there now; keeps who that was and the most memory they had together."""
        with self._lock:
            members = family(everybody(), self._process.pid, self._known)
            self._known |= {process.identity for process in members}
            resident = sum(process.resident_bytes for process in members)
            self.peak_mib = max(self.peak_mib, resident / MIB)
        return members
