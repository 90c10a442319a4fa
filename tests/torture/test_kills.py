"""SIGKILL at random moments of every phase, again and again, then a start to the end."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import Desk

from .conftest import ENDPOINTS, SEVERAL_SHARDS, Size, Undisturbed
from .figures import Figures, combine
from .trial import AT_ONCE, Trial, wait_until

_KILLS_A_RUN = 12
_RATE = {True: "1500", False: "600"}
_LATENCY = Latency(seconds=0.002, upto_seconds=0.015)
_RUN = ".state/runs/*/"
_SEEN = {
    "planning": (_RUN + "plan.growing",),
    "sealing": (_RUN + "sealed/.*",),
    "enriching": ("runs/*/.*.parquet.*", "results/*/*.parquet"),
    "finalising": ("runs/*/.*.json.*", "runs/*/summary.json", "runs/*/schema.json"),
}
_PHASES = ("start-up", "planning", "asking", "sealing", "enriching", "finalising")

Claim = Callable[[], bool]


class Moments:
    """Draws the next moment for a kill from those that the run has still before it."""

    def __init__(
        self, trial: Trial, server: SandboxThread, draw: random.Random, hits: Counter[str]
    ) -> None:
        self._out = trial.desk.out
        self._server = server
        self._draw = draw
        self._hits = hits
        self._lookups = len(trial.expected)

    def next(self) -> Claim:
        """One time in five any moment, else one of the phase that was hit least."""
        if self._draw.random() < 0.2:
            return self._after(self._draw.uniform(0, 3))
        name = min(self._ahead(), key=self._hits.__getitem__)
        match name:
            case "start-up":
                return self._after(self._draw.uniform(0, 0.4))
            case "asking":
                return self._asked(self._draw.randint(1, self._lookups // 4))
            case _:
                return self._seen(self._draw.choice(_SEEN[name]))

    def _ahead(self) -> list[str]:
        plans = len(list(self._out.glob(_RUN + "plan/rows-*")))
        sealed = len(list(self._out.glob(_RUN + "sealed/*.seal")))
        behind: set[str] = set()
        if plans:
            behind |= {"planning"}
        if plans and sealed == plans:
            behind |= {"asking", "sealing"}
        return [phase for phase in _PHASES if phase not in behind]

    def _after(self, seconds: float) -> Claim:
        due = time.monotonic() + seconds
        return lambda: time.monotonic() >= due

    def _asked(self, more: int) -> Claim:
        enough = self._server.statistics()["requests"] + more
        return lambda: self._server.statistics()["requests"] >= enough

    def _seen(self, pattern: str) -> Claim:
        began = time.time()
        return lambda: any(_is_new(path, began) for path in self._out.glob(pattern))


def _is_new(path: Path, began: float) -> bool:
    try:
        return path.stat().st_mtime >= began
    except FileNotFoundError:
        return False


def one_run(
    trial: Trial, server: SandboxThread, draw: random.Random, hits: Counter[str], most_kills: int
) -> int:
    """Kills a run until it was faster or has been killed often enough; returns how often."""
    moments = Moments(trial, server, draw, hits)
    for kills in range(most_kills):
        with trial.started() as running:
            claim = moments.next()
            wait_until(
                lambda: claim() or running.process.poll() is not None,  # noqa: B023
                every=AT_ONCE,
            )
            time.sleep(draw.choice([0, draw.uniform(0, 0.005)]))
            session = trial.kill(running)
            if not session.is_killed:
                assert session.code == 0, running.said
                return kills
            hits[session.phase] += 1
    return most_kills


def wanted(size: Size) -> int:
    """How many kills; each costs a cold start."""
    return size.kills if size.is_full else 3


def runs(
    folder: Path, size: Size, undisturbed: Undisturbed, draw: random.Random
) -> Iterator[Figures]:
    """The figures of as many runs as it takes to kill them as often as is wanted."""
    kills, hits = 0, Counter[str]()
    while kills < wanted(size):
        desk = Desk(
            folder / f"after-{kills}-{draw.random()}",
            "",
            size.cells,
            SEVERAL_SHARDS,
            (*ENDPOINTS, "--rate", _RATE[size.is_full]),
            is_cold=size.is_full,  # or there would be no start-up to speak of
        )
        with ExitStack() as stack:
            trial = stack.enter_context(Trial("SIGKILL", size.seed, desk))
            server = stack.enter_context(trial.serve(latency=_LATENCY))
            kills += one_run(trial, server, draw, hits, min(_KILLS_A_RUN, wanted(size) - kills))
            ended = trial.run()
            assert ended.code == 0
            yield trial.figures(server, undisturbed(desk))


def test_killed_at_any_moment(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    figures = combine("SIGKILL", runs(tmp_path, size, undisturbed, draw))
    assert figures.faults == wanted(size)
    settle(figures)
