"""One trial: a till, a contestant, and what both of them and the output show when it is over."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.pacing.contestants import write_numbers
from benchmarks.pacing.figures import Arrivals
from benchmarks.pacing.trial import Judge, serving
from benchmarks.peers import figures
from benchmarks.peers.contestants import Contestant, environment, lookups_of
from benchmarks.peers.processes import Group
from benchmarks.peers.server import BOUGHT_PATH

PAUSE_SECONDS = 0.5
"""Between a kill and the next start, so that the till has read what was still on its way."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Task:
    """What is to be done, and under which conditions."""

    numbers: int
    rate: int
    latency_seconds: float
    failing_share: float
    give_up_seconds: float


class Seen(NamedTuple):
    """What was seen of a contestant."""

    lookups: int
    """How many there were to do."""
    wall_seconds: float
    """From its first start to its last end."""
    arrivals: Arrivals
    bought: dict[str, int]
    """How often each lookup was answered with 200."""
    missing: int
    peak_mib: float
    stalled_seconds: float
    exit_code: int | None
    """None where it was stopped because it took too long."""
    killed_after: float | None
    """Seconds from its first start; None where it was not killed."""
    resumed_after: float | None
    """Seconds from the second start to its first request; None where there was none."""


class Till(Judge):
    """The server's process, seen from outside."""

    def answered(self) -> int:
        """How many lookups have been answered with 200 at least once."""
        answered: int = self.state()["answered"]
        return answered

    def bought(self) -> dict[str, int]:
        """How often each lookup was answered with 200."""
        bought: dict[str, int] = json.loads(self.get(BOUGHT_PATH))
        return bought


@contextmanager
def till(task: Task) -> Iterator[Till]:
    """A till that is open meanwhile."""
    with serving(
        *("benchmarks.peers.server", "--limit", str(task.rate)),
        *("--latency-seconds", str(task.latency_seconds)),
        *("--failing-share", str(task.failing_share)),
    ) as port:
        yield Till(port)


def run(contestant: Contestant, task: Task, *, is_killed: bool) -> Seen:
    """Lets a contestant do the task, in a folder of its own.

    With ``is_killed`` all its processes are killed when half of the lookups are answered, or half
    of the time is over, and the same command is started again.
    """
    with tempfile.TemporaryDirectory(prefix="peers-") as name, till(task) as server:
        folder = Path(name)
        write_numbers(folder, task.numbers)
        expected = lookups_of(folder)
        command = contestant.command(folder, server.url, task.rate)
        began = time.monotonic()
        deadline = began + task.give_up_seconds
        groups = [Group(command, folder, environment(folder))]
        killed = restarted = None
        try:
            half_time = began + task.give_up_seconds / 2
            if is_killed and _is_half_done(server, groups[0], len(expected) // 2, half_time):
                groups[0].kill()
                killed = time.monotonic()
                time.sleep(PAUSE_SECONDS)
                restarted = time.monotonic()
                groups.append(Group(command, folder, environment(folder)))
            groups[-1].wait(deadline)
            ended, exit_code = time.monotonic(), groups[-1].exit_code
        finally:
            groups[-1].kill()
        arrivals, first = server.arrivals(), server.first() or began
        instants = [first + seconds for seconds in arrivals.seconds]
        return Seen(
            lookups=len(expected),
            wall_seconds=ended - began,
            arrivals=arrivals,
            bought=server.bought(),
            missing=figures.missing(expected, contestant.found(folder)),
            peak_mib=max(group.peak_mib for group in groups),
            stalled_seconds=server.stalled_seconds(),
            exit_code=exit_code,
            killed_after=killed - began if killed else None,
            resumed_after=figures.first_after(instants, restarted) if restarted else None,
        )


def _is_half_done(server: Till, group: Group, half: int, half_time: float) -> bool:
    while group.exit_code is None:
        if server.answered() >= half or time.monotonic() >= half_time:
            return True
        time.sleep(_POLL_SECONDS)
    return False
