"""SIGKILL at every step of a start that writes a complete run anew with other kept columns.

Whenever it comes, the manifest's run is whole, the old one or the new one; the same command
completes it, and nothing is asked.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import polars as pl

import batch_screen
from tests.e2e.conftest import Desk, write_csv

from .conftest import ENDPOINTS, FEW_CELLS, SEVERAL_SHARDS, Size, sized
from .faulty import Fault, Faulty
from .trial import Trial

_KEPT = (("--keep-columns", "id"), ("--keep-columns", "phone,id"))


def written(desk: Desk) -> tuple[pl.DataFrame, list[str]]:
    """The results that the manifest lists, without kept columns, and the names of those."""
    [manifest] = desk.out.glob("runs/2*/manifest.json")
    said = json.loads(manifest.read_bytes())
    listed = [f["path"] for f in said["files"] if f.get("table") == "results"]
    rows = pl.concat(pl.read_parquet(desk.out / f, hive_partitioning=False) for f in listed)
    kept = [name for name in rows.columns if name.startswith("in_")]
    assert kept == said["kept_columns"]
    return rows.drop(kept).sort("row_index"), kept


@sized("place", quick=[], full=["output", "state"], more=["output"])
def test_killed_while_a_run_is_written_anew(tmp_path: Path, size: Size, place: str) -> None:
    desk = Desk(tmp_path / "desk", "", FEW_CELLS, SEVERAL_SHARDS, (*ENDPOINTS, "--rate", "400"))
    write_csv(desk.list, [f"{cell},C-{n}" for n, cell in enumerate(FEW_CELLS)], "phone,id")
    stride = 1 if size.is_full else 97
    with Trial(f"written anew, killed in {place}", size.seed, desk) as trial, trial.serve():
        assert trial.run(*_KEPT[0]).code == 0
        before, was = written(desk)
        asked, faulty = trial.log.read_bytes(), Faulty(desk)
        for turn, at in enumerate(count(1 + size.seed % stride, stride)):
            wanted = _KEPT[(turn + 1) % 2]
            with faulty.installed(Fault("all", place, at, "SIGKILL")):
                code = trial.run(*wanted).code
            found = batch_screen.validate(desk.out)
            assert found.is_whole, (at, found)
            rows, kept = written(desk)
            assert rows.equals(before)
            assert kept in (was, [f"in_{name}" for name in wanted[1].split(",")])
            assert trial.run(*wanted).code == 0, at
            rows, was = written(desk)
            assert was == [f"in_{name}" for name in wanted[1].split(",")]
            assert rows.equals(before)
            assert batch_screen.validate(desk.out).is_whole
            assert len([*desk.out.glob("runs/*"), *desk.out.glob("runs/.*")]) == 1
            if code == 0:
                break
        assert at > stride  # it was killed at least once
        assert trial.log.read_bytes() == asked
