"""A wall clock that jumps by an hour, to 1970, to 2099: nothing that paces or waits reads it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from batch_screen.model import Endpoint
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import FaultRule
from batch_screen.sandbox.statistics import RequestLine
from tests.e2e.conftest import CONCURRENCY, Desk

from .conftest import ENDPOINTS, FEW_CELLS, Size, Undisturbed, sized_in_full
from .faulty import Clock, Faulty
from .figures import Figures, Measure
from .judge import read_requests
from .trial import Trial

_LATENCY = Latency(seconds=0.005)
_RATE = 200
_YEAR = 365.25 * 86400
_OFFSETS = [0.0, 3600.0, -3600.0, -200 * _YEAR, 73 * _YEAR]
"""Seconds; what lies before 1970 becomes 1970."""
_SOONEST = 0.9
"""Seconds from a refusal's Date to its Retry-After are one; both are cut to whole seconds."""


def too_early(requests: list[RequestLine]) -> int:
    """How many lookups were asked again before the instant that the server had asked for."""
    refused = [line for line in requests if line.status == 429]
    return sum(
        (each.number, each.endpoint) == (line.number, line.endpoint)
        and each.ended_at < line.at < each.ended_at + _SOONEST
        for each in refused
        for line in requests
    )


@sized_in_full
def test_clock_jumps(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(size.seed)
    cells = FEW_CELLS if size.is_full else FEW_CELLS[:30]
    desk = Desk(tmp_path, "", cells, options=(*ENDPOINTS, "--rate", str(_RATE)))
    behaviours = Behaviour.RATE_LIMITED, Behaviour.RATE_LIMITED_DATE
    share = 0.02
    rules = tuple(
        FaultRule(Fault(behaviour, True), share, Endpoint.SIM_SWAP_DATE) for behaviour in behaviours
    )
    clock = Clock(seed=size.seed, every=draw.randint(1, 7), offsets=_OFFSETS)
    with (
        Trial("clock jumps", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY, rules=rules) as server,
        Faulty(desk).installed(clock=clock),
    ):
        assert trial.run().code == 0
        requests = read_requests(trial.log)
        seen = server.statistics()
        assert seen["by_status"]["429"] > 0
        settle(
            trial.figures(
                server,
                undisturbed(desk),
                faults=1,
                per_kill_most=0,
                measures=[
                    Measure("requests before Retry-After", too_early(requests), 0),
                    Measure("worst second", seen["worst_second"], _RATE * 1.2),
                    Measure("under way at once", seen["most_open_requests"], CONCURRENCY),
                ],
            )
        )


def test_the_shim_moves_every_clock_but_the_monotonic_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "", FEW_CELLS)
    script = (
        "import datetime, time\n"
        "began = time.monotonic()\n"
        "years = {datetime.datetime.now(datetime.UTC).year for _ in range(60)}\n"
        "years |= {time.gmtime(time.time()).tm_year for _ in range(60)}\n"
        "assert min(years) == 1970 and max(years) > 2090, years\n"
        "assert 0 <= time.monotonic() - began < 60\n"
    )
    with Faulty(desk).installed(clock=Clock(seed=1, every=2, offsets=_OFFSETS)):
        environment = {name: str(value) for name, value in desk.environment.items()}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
