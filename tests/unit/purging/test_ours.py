from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.files import make_folder
from batch_screen.output.parts import Layout
from batch_screen.purging.ours import entries, outputs, run_ids, state_files

RUN = "20250105-0123456789"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        make_folder((folder / name).parent)
        (folder / name).touch()


OURS = (
    "run.json",
    "previous.json",
    "plan/plan.json",
    "plan/rows-00000.parquet",
    "plan/known-00000.parquet",
    "plan/rejects.parquet",
    "plan.growing/rows-00001.whole",
    "journal/00000-00001.journal",
    "sealed/00000.parquet",
    "sealed/00000.seal",
    "starts/0001.json",
    "sealed/.00000.seal.0123abcd.tmp",
    ".run.json.0123abcd.tmp",
)
NOT_OURS = ("notes.txt", "plan/rows-1.parquet", "sealed/00000.seal.bak", "other/run.json")


def test_the_files_of_a_state(tmp_path: Path) -> None:
    touch(tmp_path, *OURS)
    own, strangers = state_files(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in own} == {*OURS}
    assert strangers == []


@pytest.mark.parametrize("name", NOT_OURS)
def test_what_is_not_ours_in_a_state(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "run.json", name)
    own, strangers = state_files(tmp_path)
    assert own == [tmp_path / "run.json"]
    assert len(strangers) == 1


def test_links_are_not_followed_and_not_ours(tmp_path: Path) -> None:
    elsewhere = make_folder(tmp_path / "elsewhere")
    touch(elsewhere, "00000.seal", f"{RUN}-00000.parquet")
    state = make_folder(tmp_path / "state")
    (state / "sealed").symlink_to(elsewhere)
    (state / "run.json").symlink_to(elsewhere / "00000.seal")
    assert state_files(state) == ([], ["state/run.json", "state/sealed"])
    out = make_folder(tmp_path / "out")
    make_folder(out / "results")
    (out / "results" / "run_date=2025-01-05").symlink_to(elsewhere)
    (out / "runs").symlink_to(elsewhere)
    assert outputs(Layout(out, RUN, "2025-01-05")) == ([], [])
    assert run_ids(out, None) == []
    assert list(entries(out / "runs")) == []


def test_the_outputs_of_a_run(tmp_path: Path) -> None:
    layout = Layout(tmp_path, RUN, "2025-01-05")
    day = "results/run_date=2025-01-05"
    ours = (f"{day}/{RUN}-00000.parquet", f"runs/{RUN}/_SUCCESS", f"runs/{RUN}/summary.json")
    others = (f"{day}/{RUN}-2-00000.parquet", f"{day}/part.parquet", f"runs/{RUN}/notes.txt")
    touch(tmp_path, *ours, *others)
    own, strangers = outputs(layout)
    assert {str(path.relative_to(tmp_path)) for path in own} == {*ours}
    assert strangers == [f"runs/{RUN}/notes.txt"]
    touch(tmp_path / "state", "runs/20250106-0123456789/run.json", "runs/lost+found/x")
    assert run_ids(tmp_path, tmp_path / "state") == [RUN, f"{RUN}-2", "20250106-0123456789"]
