"""Commands that write or remove take no folder where another user may write, unless told so."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

import batch_screen
from batch_screen import PurgeScope
from batch_screen.cli.main import cli
from batch_screen.errors import OutputError
from batch_screen.job import Job
from tests.nights import Night, job, make_nights
from tests.unit.runs.test_folders import give_away

OLD, TONIGHT = (Night(f"2026-11-2{day}", "list.csv", ("customer_id",)) for day in (3, 4))


@pytest.fixture(scope="module")
def one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_nights(tmp_path_factory.mktemp("one"), [OLD]).parent


@pytest.fixture
def place(one_night: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one_night, tmp_path / "place", symlinks=True))


def trusting(job: Job) -> Job:
    output = job.settings.output.model_copy(update={"trust_folders": True})
    return dataclasses.replace(job, settings=job.settings.model_copy(update={"output": output}))


COMMANDS: dict[str, Callable[[Job], object]] = {
    "run": batch_screen.run,
    "retry": batch_screen.retry,
    "purge": lambda job: batch_screen.purge(
        PurgeScope(
            job.out,
            job.state,
            date(2100, 1, 1),
            trusts_folders=job.settings.output.trust_folders,
        )
    ),
    "erase": lambda job: batch_screen.erase(str(job.out.parent / "one.txt"), job.settings),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_writes_or_removes_refuses_them(place: Path, command: str) -> None:
    tonight = job(place, TONIGHT)
    (place / "one.txt").write_text("+442079460000\n")
    state = place / "screened" / ".state"
    state.chmod(0o733)
    before = sorted(path for path in place.rglob("*") if path.name != "lock")
    with pytest.raises(OutputError, match=r"\.state can be written by every user") as error:
        COMMANDS[command](tonight)
    assert error.value.exit_code == 73
    assert sorted(path for path in place.rglob("*") if path.name != "lock") == before
    COMMANDS[command](trusting(tonight))


def test_a_state_that_another_user_has_planted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [run] = (place / "screened/.state/runs").iterdir()
    give_away(run, monkeypatch)
    with pytest.raises(OutputError, match="belongs to user"):
        batch_screen.run(job(place, OLD))


@pytest.mark.parametrize("name", ["runs", "runs/2*", "results", "results/*"])
def test_no_run_is_written_anew_behind_a_link(place: Path, tmp_path: Path, name: str) -> None:
    [path] = (place / "screened").glob(name)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(OutputError, match=r"is a link, .* nothing was changed"):
        batch_screen.run(job(place, OLD._replace(kept=("branch",))))
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before
    batch_screen.run(job(place, OLD))  # it is complete, and read through a link of one's own


def test_doctor_tells_of_all(place: Path) -> None:
    out = place / "screened"
    for name in ("runs", "results", ".state/runs"):
        (out / name).chmod(0o777)
    words = ["doctor", "--out", str(out), "--sandbox", "--json"]
    found = json.loads(CliRunner().invoke(cli, words).stdout)["findings"]
    seen = {each["name"]: each for each in found}
    assert (seen["output"]["health"], seen["output"]["exit_code"]) == ("failed", 73)
    assert all(f"{out / name} can be" in seen["output"]["seen"] for name in ("runs", "results"))
    assert str(out / ".state/runs") in seen["state"]["seen"]
    found = json.loads(CliRunner().invoke(cli, [*words, "--trust-folders"]).stdout)["findings"]
    assert {each["health"] for each in found if each["name"] in ("output", "state")} == {"warning"}
