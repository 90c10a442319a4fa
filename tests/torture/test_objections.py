"""SIGKILL while a start changes the plan, because the opt-out list has grown: it goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from batch_screen.sandbox.latency import Latency
from tests.e2e.conftest import Desk, run_command, write_csv

from .conftest import ENDPOINTS, FEW_CELLS, SEVERAL_SHARDS, Size, sized
from .faulty import Fault, Faulty
from .figures import Figures
from .judge import read_requests
from .test_changed_work import stop_half_way
from .trial import Trial

_RUN = "the run's folder"
_POINTS = {
    "before it begins": ("mkdir", "plan.growing", 1),
    "a shard is written": ("rename", "rows-00000.parquet", 1),
    "all is written": ("rename", "plan.json", 1),
    "the old one is about to go": ("rename", "plan.before", 1),
    "there is none": ("rename", "plan", 1),
    "both are there": ("fsync", _RUN, 2),
}
"""When it is killed: before which call, of the file or folder with which name."""
_LEFT = {
    "there is none": {"plan.before", "plan.growing"},
    "both are there": {"plan.before", "plan"},
}


@sized("point", quick=[], full=[*_POINTS])
def test_killed_while_the_plan_changes(
    tmp_path: Path, size: Size, point: str, settle: Callable[[Figures], None]
) -> None:
    draw = random.Random(f"{size.seed} {point}")
    listed, options = tmp_path / "no.csv", (*ENDPOINTS, "--rate", "400")
    desk = Desk(tmp_path / "desk", "", FEW_CELLS, SEVERAL_SHARDS, options)
    with (
        Trial(f"objections, killed when {point}", size.seed, desk) as trial,
        trial.serve(latency=Latency(seconds=0.01)) as server,
    ):
        stop_half_way(trial, draw)
        [folder] = desk.out.glob(".state/runs/*")
        faulty, objected = Faulty(desk), list[str]()
        call, name, at = _POINTS[point]
        fault = Fault(call, "state", at, "SIGKILL", name=folder.name if name == _RUN else name)
        for _ in range(2):  # a changed plan changes once more
            asked = {line.number for line in read_requests(trial.log)}
            left = sorted({n for n in FEW_CELLS if n.startswith("+")} - asked - {*objected})
            objected += draw.sample(left, 3)
            write_csv(listed, objected)
            desk.options = (*options, "--opt-out", str(listed))
            with faulty.installed(fault), trial.started() as running:
                assert trial.wait(running).code == -9, running.said
            there = {path.name for path in folder.glob("plan*")}
            assert there == _LEFT.get(point, {"plan", "plan.growing"} & there)
            assert desk.plan()["rows"]["rejected_by_reason"]["opted_out"] == len(objected)
        assert trial.run().code == 0
        assert {path.name for path in folder.glob("plan*")} == {"plan"}
        assert not {*objected} & {line.number for line in read_requests(trial.log)}
        rejects = desk.latest.frame("errors").filter(reason="opted_out")
        assert rejects.height == sum(cell in objected for cell in FEW_CELLS)
        assert run_command("validate", desk.out).code == 0
        desk.cells = [cell for cell in FEW_CELLS if cell not in objected]
        settle(trial.figures(server, faults=3, per_kill_most=0))
