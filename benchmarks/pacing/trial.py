"""One trial: a judge, a contestant, and what both of them show when it is over.

Everything runs as a process of its own on loopback. Whoever takes too long is stopped, so that a
trial always ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.memory import cpu_seconds
from benchmarks.pacing.contestants import environment
from benchmarks.pacing.figures import Arrivals
from benchmarks.pacing.oddities import Oddity, to_text
from benchmarks.pacing.server import ANSWERED_PATH, ARRIVALS_PATH, STATE_PATH
from benchmarks.pacing.timetable import Timetable

START_SECONDS = 60.0
"""For starting and reading, before the first request."""
_SAMPLE_SECONDS = 0.1
_POLL_SECONDS = 0.05
_LEAVE_SECONDS = 30.0
_BASE_PATH = "/network-signal/v1"


@dataclass(frozen=True)
class Conditions:
    """What the judge imposes."""

    limit: Timetable
    latency_seconds: float = 0.02
    outage_at: float = 0.0
    outage_seconds: float = 0.0
    window: str = "sliding"
    oddities: tuple[Oddity, ...] | None = None
    """None: a judge that remembers no lookups either; no outage beside them."""


class Trial(NamedTuple):
    """What was seen: the arrivals, and the contestant's CPU between the first and the last."""

    arrivals: Arrivals
    cpu_seconds: float
    is_cut_off: bool
    """Whether it was stopped before it had asked everything."""
    stalled_seconds: float
    """Longest time in which the judge could not read: its instants are as exact as that."""
    exit_code: int | None
    """None where it was stopped."""
    answered: dict[str, float]
    """Lookup → seconds until it was answered with 200; only from a judge with oddities."""

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for each request that arrived."""
        return 1e6 * self.cpu_seconds / max(1, len(self.arrivals.seconds))


class Judge:
    """The server's process, seen from outside."""

    def __init__(self, port: int) -> None:
        self._origin = f"http://127.0.0.1:{port}"
        self.url = self._origin + _BASE_PATH

    def first(self) -> float | None:
        """The instant of the first request, of ``time.monotonic``; None before it."""
        instants: list[float] = self.state()["first"]
        return instants[0] if instants else None

    def stalled_seconds(self) -> float:
        """The longest time in which it could not read."""
        seconds: float = self.state()["stalled_seconds"]
        return seconds

    def arrivals(self) -> Arrivals:
        """All of them, from 0 on."""
        content = self.get(ARRIVALS_PATH)
        split = len(content) // 9 * 8
        instants, verdicts = array("d", content[:split]), array("b", content[split:])
        return Arrivals([i - instants[0] for i in instants], [bool(v) for v in verdicts])

    def answered(self) -> dict[str, float]:
        """Lookup → seconds from the first request until its first answer with 200."""
        answered: dict[str, float] = json.loads(self.get(ANSWERED_PATH))
        return answered

    def state(self) -> dict[str, Any]:
        """What may be asked for again and again."""
        state: dict[str, Any] = json.loads(self.get(STATE_PATH))
        return state

    def get(self, path: str) -> bytes:
        """What it says about itself at the path."""
        with urllib.request.urlopen(self._origin + path, timeout=10) as response:
            content: bytes = response.read()
        return content


@contextmanager
def judge(conditions: Conditions) -> Iterator[Judge]:
    """A judge that runs meanwhile, in a process that ends with this one."""
    odd = () if conditions.oddities is None else ("--odd", to_text(conditions.oddities))
    with serving(
        *("benchmarks.pacing.server", "--limit", str(conditions.limit)),
        *("--latency-seconds", str(conditions.latency_seconds)),
        *("--outage-at", str(conditions.outage_at)),
        *("--outage-seconds", str(conditions.outage_seconds)),
        *("--window", conditions.window, *odd),
    ) as port:
        yield Judge(port)


@contextmanager
def serving(module: str, *options: str) -> Iterator[int]:
    """The port of a server that runs meanwhile, in a process that ends with this one."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None:
            raise RuntimeError("the server was started without a pipe")
        yield int(process.stdout.readline())


class Contestant:
    """A command that runs in a folder, with its CPU time followed."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._log = (folder / "output.txt").open("ab")
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, env=environment()
        )
        self._cpu: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Sends it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def wait(self, until: float) -> bool:
        """Whether it ended by itself before the instant."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until - time.monotonic()))
        return not self.is_running

    def end(self) -> int:
        """Stops it if it still runs, politely at first; returns its exit code."""
        if self.is_running:
            self.signal(signal.SIGTERM)
            if not self.wait(time.monotonic() + _LEAVE_SECONDS):
                self._process.kill()
        code = self._process.wait()
        self._ended.set()
        self._sampler.join()
        self._log.close()
        return code

    def cpu_between(self, begin: float, end: float) -> float:
        """CPU seconds between two instants, to about 10 ms; 0 where there is no /proc."""
        return self._cpu_at(end) - self._cpu_at(begin)

    def _cpu_at(self, instant: float) -> float:
        index = bisect_right(self._cpu, (instant, float("inf")))
        if not 0 < index < len(self._cpu):
            return self._cpu[min(index, len(self._cpu) - 1)][1] if self._cpu else 0.0
        (before, low), (after, high) = self._cpu[index - 1 : index + 1]
        return low + (high - low) * (instant - before) / (after - before)

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            so_far = cpu_seconds(self._process.pid)
            # What has ended has no CPU time any more; what it had before then stands.
            if so_far or not self._cpu:
                self._cpu.append((time.monotonic(), so_far))


Start = Callable[[], Contestant]
"""Starts the same command once more."""

Meddle = Callable[[Contestant, Start], Contestant]
"""Does something to a contestant in the middle; returns the one that goes on."""


def run(
    command: Callable[[str], list[str]],
    folder: Path,
    conditions: Conditions,
    *,
    most_seconds: float,
    meddle: tuple[float, Meddle] | None = None,
) -> Trial:
    """Lets a contestant run against a judge, for so many seconds after its first request.

    ``command`` makes the contestant's from the base URL. ``meddle`` is what to do to it, and how
    many seconds after its first request. RuntimeError if no request came at all.
    """
    with judge(conditions) as server:

        def start() -> Contestant:
            return Contestant(command(server.url), folder)

        contestant = start()
        try:
            first = _first_request(server, contestant, folder)
            if meddle is not None:
                at, action = meddle
                contestant.wait(first + at)
                contestant = action(contestant, start)
            has_ended = contestant.wait(first + most_seconds)
            stalled = server.stalled_seconds()
        finally:
            exit_code = contestant.end()
        arrivals = server.arrivals()
        answered = {} if conditions.oddities is None else server.answered()
    cpu = contestant.cpu_between(first, first + arrivals.last)
    return Trial(arrivals, cpu, not has_ended, stalled, exit_code if has_ended else None, answered)


def _first_request(server: Judge, contestant: Contestant, folder: Path) -> float:
    deadline = time.monotonic() + START_SECONDS
    while contestant.is_running and time.monotonic() < deadline:
        first = server.first()
        if first is not None:
            return first
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"no request came; {(folder / 'output.txt').read_text()[-2000:]}")
