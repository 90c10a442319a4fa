"""A process that is held up for seconds: it neither catches up nor buys anything again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from batch_screen.sandbox.latency import Latency
from tests.e2e.conftest import CONCURRENCY, Desk

from .conftest import ENDPOINTS, FEW_CELLS, FEW_LOOKUPS, Size, Undisturbed, sized
from .figures import Figures, Measure
from .trial import Trial, wait_until

_RATE = 200
_HEADROOM = "[pacing]\nramp_up_seconds = 0\nmax_concurrency = 16\nheadroom = 0.2\n"
"""What was sent evenly arrives in bunches on a busy machine; who catches up sends far more."""


@sized("timeout", quick=[1], full=[1, 15])
def test_held_up(
    tmp_path: Path,
    size: Size,
    timeout: int,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    draw = random.Random(size.seed)
    desk = Desk(tmp_path, "", FEW_CELLS, options=(*ENDPOINTS, "--rate", str(_RATE)))
    expected = undisturbed(desk)
    desk.configuration.write_text(f"[api]\ntimeout_seconds = {timeout}\n{_HEADROOM}", "utf-8")
    pauses = 3 if size.is_full else 1
    name = f"SIGSTOP, {timeout} s limit"
    with (
        Trial(name, size.seed, desk) as trial,
        trial.serve(latency=Latency(seconds=0.05), rate_limit_per_second=_RATE) as server,
    ):
        with trial.started() as running:
            for pause in range(1, pauses + 1):
                enough = draw.randint(1, 90) + 100 * (pause - 1)
                assert wait_until(lambda: server.statistics()["requests"] >= enough)  # noqa: B023
                running.process.send_signal(signal.SIGSTOP)
                time.sleep(draw.uniform(2, 4) if size.is_full else 1.3)
                running.process.send_signal(signal.SIGCONT)
            assert trial.wait(running).code == 0, running.said
        seen = server.statistics()
        again = seen["requests"] - seen["rate_refusals"] - FEW_LOOKUPS
        settle(
            trial.figures(
                server,
                expected,
                faults=pauses,
                per_kill_most=0,
                measures=[
                    Measure("refused for the rate", seen["rate_refusals"], 0),
                    Measure("under way and asked again", again, CONCURRENCY * pauses),
                ],
            )
        )
