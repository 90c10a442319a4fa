"""Several starts at once: one works, the others leave and say who does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from batch_screen.sandbox.latency import Latency
from tests.e2e.conftest import Background, Desk

from .conftest import ENDPOINTS, FEW_CELLS, Size, Undisturbed, sized
from .figures import Figures, Measure
from .trial import Trial, wait_until

_LOCKED = 75
_MOST_SECONDS = 10
"""For a start on a busy machine; who waited for a lock would wait for good."""


@contextmanager
def rivals(trial: Trial, count: int) -> Iterator[list[Background]]:
    """So many starts of the same command, in a hurry."""
    desk = trial.desk
    with ExitStack() as stack:
        starts = [stack.enter_context(trial.started())]
        for number in range(1, count):
            rival = Desk(
                desk.folder / f"rival-{number}", desk.url, desk.cells, desk.toml, desk.options
            )
            rival.out = desk.out
            starts.append(stack.enter_context(rival.started()))
        yield starts


def running_ones(starts: list[Background]) -> list[Background]:
    return [each for each in starts if each.process.poll() is None]


def holder_of(trial: Trial, starts: list[Background]) -> Background:
    """The one that works; all others have ended as they should."""
    assert wait_until(lambda: len(running_ones(starts)) <= 1)
    (holder,) = running_ones(starts)
    for other in starts:
        if other is not holder:
            trial.listen(other)
            assert other.process.returncode == _LOCKED
            assert "another run holds" in other.said
    return holder


@sized("at_once", quick=[3], full=[2, 10])
def test_started_at_once(
    tmp_path: Path,
    size: Size,
    at_once: int,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    desk = Desk(tmp_path, "", FEW_CELLS, options=(*ENDPOINTS, "--rate", "100"))
    with (
        Trial(f"{at_once} starts at once", size.seed, desk) as trial,
        trial.serve(latency=Latency(seconds=0.02)) as server,
    ):
        with rivals(trial, at_once) as starts:
            holder = holder_of(trial, starts)
            assert wait_until(lambda: server.statistics()["requests"] > 0)
            late = Desk(tmp_path / "late", desk.url, desk.cells, options=desk.options)
            late.out = desk.out
            refused = late.run()
            assert refused.code == _LOCKED
            assert f"(process {holder.process.pid}, since " in refused.error
            assert trial.kill(holder).is_killed
        with trial.started("--rate", "2000") as running:
            began = time.monotonic()
            assert wait_until(lambda: "reading" in running.said)
            seconds = time.monotonic() - began
            assert trial.wait(running).code == 0, running.said
        settle(
            trial.figures(
                server,
                undisturbed(desk),
                measures=[Measure("lock taken after", seconds, _MOST_SECONDS, "s")],
            )
        )
