"""Runs that are asked to stop: what they were answered is saved, and never bought again."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from batch_screen.sandbox.answers import Population
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import NUMBERS, Desk

from .conftest import ENDPOINTS, SEVERAL_SHARDS, Size, Undisturbed, sized, sized_in_full
from .figures import Figures, Measure
from .trial import Trial, wait_until

_MOST_SECONDS = 10
_LATENCY = Latency(seconds=0.02, upto_seconds=0.06)
_RATE = 300


class Way(NamedTuple):
    """How a run is stopped, and the code it ends with."""

    name: str
    signals: tuple[signal.Signals, ...]
    code: int

    def __str__(self) -> str:
        return self.name


# A terminal and its shell both say that the terminal is gone; that is one wish.
_GRACEFUL = [
    Way("SIGTERM", (signal.SIGTERM,), 143),
    Way("SIGINT", (signal.SIGINT,), 130),
    Way("SIGHUP", (signal.SIGHUP, signal.SIGHUP), 143),
    # So does timeout, which tells the command and then its group.
    Way("SIGTERM twice", (signal.SIGTERM, signal.SIGTERM), 143),
]


def desk_at(folder: Path, size: Size, rate: int = _RATE, toml: str = SEVERAL_SHARDS) -> Desk:
    return Desk(folder, "", size.cells, toml, (*ENDPOINTS, "--rate", str(rate)))


def asked_more(server: SandboxThread, count: int) -> Callable[[], bool]:
    enough = server.statistics()["requests"] + count
    return lambda: server.statistics()["requests"] >= enough


def stop_again_and_again(
    trial: Trial, server: SandboxThread, way: Way, draw: random.Random, times: int
) -> list[float]:
    """Stops the run at random moments; returns how many seconds each stop took."""
    seconds = []
    for _ in range(times):
        with trial.started() as running:
            assert wait_until(asked_more(server, draw.randint(1, 50)))
            session = trial.leave(running, *way.signals, is_killed=False)
        assert session.code == way.code, running.said
        seconds.append(trial.seconds_to_exit)
    return seconds


@sized("way", _GRACEFUL[2:3], _GRACEFUL, more=[*_GRACEFUL[:2], _GRACEFUL[3]])
def test_stopped_at_any_moment(
    tmp_path: Path,
    size: Size,
    way: Way,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    draw = random.Random(size.seed)
    desk = desk_at(tmp_path, size)
    times = max(1, size.kills // 6)
    with Trial(way.name, size.seed, desk) as trial, trial.serve(latency=_LATENCY) as server:
        seconds = stop_again_and_again(trial, server, way, draw, times)
        server.change(latency=Latency())
        assert trial.run("--rate", "2000").code == 0
        settle(
            trial.figures(
                server,
                undisturbed(desk),
                faults=times,
                per_kill_most=0,
                measures=[Measure("exit after", max(seconds), _MOST_SECONDS, "s")],
            )
        )


@sized_in_full
def test_stopped_while_the_canary_holds_all_answers_back(
    tmp_path: Path, size: Size, settle: Callable[[Figures], None]
) -> None:
    """The server knows nobody, so that no first answer proves the endpoint."""
    toml = "[guards]\ncanary_answers = 200\n"
    desk = Desk(tmp_path, "", NUMBERS[:100], toml, (*ENDPOINTS, "--rate", "100"))
    draw = random.Random(size.seed)
    unknown = Population(not_found_share=1.0)
    way = _GRACEFUL[0]
    with (
        Trial("stop, held back", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY, population=unknown) as server,
    ):
        seconds = stop_again_and_again(trial, server, way, draw, 2)
        assert trial.run("--rate", "1000").code == 0
        settle(
            trial.figures(
                server,
                faults=2,
                per_kill_most=0,
                measures=[Measure("exit after", max(seconds), _MOST_SECONDS, "s")],
            )
        )
