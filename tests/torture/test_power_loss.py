"""Power cuts: a kill, and then only what was synced is still there."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import Desk

from .conftest import CELLS, ENDPOINTS, SEVERAL_SHARDS, Size, Undisturbed, sized, sized_in_full
from .faulty import Faulty
from .figures import Figures, Measure
from .strict_disk import StrictDisk
from .test_kills import Moments
from .trial import AT_ONCE, Trial, wait_until

_RATE = "1500"
_LATENCY = Latency(seconds=0.002, upto_seconds=0.015)
_MOST_AGAIN = 5.0
_LOSSES = 6
_SOME_CELLS = CELLS[:700]
_ENDS = ["gone", "zeros", "garbage", "cut anywhere", "scattered"]
"""What stands where bytes were not synced."""


def cut_power(
    trial: Trial, server: SandboxThread, end: str, draw: random.Random, losses: int
) -> int:
    """Cuts the power at moments of every phase until the run was faster; returns how often."""
    faulty, hits = Faulty(trial.desk), Counter[str]()
    if losses < _LOSSES:
        hits["start-up"] = 1  # where little can be lost
    disk = StrictDisk(trial.desk.out, faulty.ledger, faulty.graveyard)
    moments = Moments(trial, server, draw, hits)
    for loss in range(losses):
        disk.begin()
        with faulty.installed(keeps_ledger=True), trial.started() as running:
            claim = moments.next()
            wait_until(
                lambda: claim() or running.process.poll() is not None,  # noqa: B023
                every=AT_ONCE,
            )
            time.sleep(draw.choice([0, draw.uniform(0, 0.03)]))
            ended = time.monotonic()
            running.process.kill()
            code = running.process.wait()
            disk.lose_power(end, draw)
            session = trial.note(running, ended, is_killed=code < 0)
            hits[session.phase] += 1
            if not session.is_killed:
                assert session.code == 0, running.said
                return loss
    return losses


@sized("end", quick=["garbage"], full=_ENDS)
def test_power_loss(
    tmp_path: Path,
    size: Size,
    end: str,
    undisturbed: Undisturbed,
    settle: Callable[[Figures], None],
) -> None:
    draw = random.Random(f"{size.seed} {end}")
    # Many cells in the small size too: five per cent of a few lookups are none.
    cells = CELLS if size.is_full else _SOME_CELLS
    desk = Desk(tmp_path, "", cells, SEVERAL_SHARDS, (*ENDPOINTS, "--rate", _RATE))
    desk.out.mkdir(mode=0o700)  # the folder itself was there before
    losses = _LOSSES if size.is_full else 1
    with (
        Trial(f"power cut, ends {end}", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY) as server,
    ):
        cuts = cut_power(trial, server, end, draw, losses)
        assert trial.run().code == 0
        lookups = len(trial.expected)
        again = 100 * (server.statistics()["requests"] - lookups) / lookups
        figures = trial.figures(
            server,
            undisturbed(desk),
            faults=cuts,
            measures=[Measure("bought again", again, _MOST_AGAIN, "% of the lookups")],
        )
        # Notes of requests are handed to the kernel, so a power cut may take the last ones.
        settle(replace(figures, billed_shown=None))


@sized_in_full
def test_power_loss_while_output_is_written_again(
    tmp_path: Path, size: Size, undisturbed: Undisturbed, settle: Callable[[Figures], None]
) -> None:
    """The marker of the output that was there before must not come back without its files."""
    draw = random.Random(size.seed)
    cells = CELLS[:1500] if size.is_full else _SOME_CELLS
    desk = Desk(tmp_path, "", cells, SEVERAL_SHARDS, (*ENDPOINTS, "--rate", "3000"))
    desk.out.mkdir(mode=0o700)
    with (
        Trial("power cut, written again", size.seed, desk) as trial,
        trial.serve(latency=_LATENCY) as server,
    ):
        assert trial.run().code == 0
        faulty = Faulty(desk)
        disk = StrictDisk(desk.out, faulty.ledger, faulty.graveyard)
        for part in desk.latest.parts("results"):
            part.unlink()
        disk.begin()
        with faulty.installed(keeps_ledger=True), trial.started() as running:
            wait_until(lambda: any(desk.out.glob("results/*/*.parquet")), every=AT_ONCE)
            time.sleep(draw.choice([0, draw.uniform(0, 0.01)]))
            ended = time.monotonic()
            running.process.kill()
            code = running.process.wait()
            disk.lose_power("gone", draw)
            trial.note(running, ended, is_killed=code < 0)
        trial.witness.sweep()
        assert trial.run().code == 0
        settle(trial.figures(server, undisturbed(desk), faults=1, per_kill_most=0))
