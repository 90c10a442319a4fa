"""The installed command re-reads what a run left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from batch_screen.sandbox.answers import Population
from tests.thoroughness import in_full

from .conftest import ALL, NUMBERS, Desk, Output, new_sandbox, run_command

TWO = "sim-swap/check,call-forwarding/check"
LATEST = ("--endpoints", ALL, "--keep-columns", "phone")
JUNK = ["n/a", "", "12"]


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two runs, the latest of several parts, with duplicates, rejects and failures."""
    cells = [*NUMBERS[:260], *NUMBERS[:50], *JUNK]
    population = Population(not_found_share=0.1, forbidden_share=0.05, forwarding_share=0.2)
    with new_sandbox(population=population) as server:
        desk = Desk(
            tmp_path_factory.mktemp("validate"),
            server.url,
            cells,
            toml="[output]\nshard_lookups = 1000\n",
        )
        for more in (("--endpoints", TWO), LATEST):
            done = desk.run(*more)
            assert done.code in (0, 3), done.err
        yield desk


@pytest.fixture
def out(screened: Desk, tmp_path: Path) -> Output:
    """A copy to damage; the state stays behind."""
    shutil.copytree(screened.out, tmp_path / "out", ignore=shutil.ignore_patterns(".state"))
    return Output(tmp_path / "out")


def test_real_runs_are_whole(out: Output) -> None:
    done = run_command("validate", out.folder)
    assert done.code == 0, done.out
    assert done.out.splitlines()[0].endswith("whole")
    assert out.run_id in done.out
    assert "DIFFERS" not in done.out
    assert run_command("validate", out.reports).code == 0
    every = run_command("validate", out.folder, "--all", "--json")
    assert every.code == 0, every.out
    runs = json.loads(every.out)
    assert len(runs) == 2
    assert [run["whole"] for run in runs] == [True, True]
    assert {run["run_id"] for run in runs} == {p.name for p in (out.folder / "runs").iterdir()}


def test_it_leaves_no_trace_and_needs_no_right_to_write(out: Output) -> None:
    before = sorted(out.folder.rglob("*"))
    assert run_command("validate", out.folder).code == 0
    assert sorted(out.folder.rglob("*")) == before


def test_every_difference_is_told_with_what_to_do(out: Output) -> None:
    damaged, gone = out.parts("results")[0], out.parts("lookups")[1]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    gone.unlink()
    (out.reports / "errors.csv").chmod(0o644)
    done = run_command("validate", out.folder)
    assert done.code == 65
    assert "3 differences: do not load it" in done.out
    lines = [line.strip() for line in done.out.splitlines()]
    day = f"run_date={out.latest['run_date']}"
    assert f"results/{day}/{damaged.name}: its content changed" in done.out
    assert f"lookups/{day}/{gone.name}: cannot be read: No such file or directory" in lines
    assert f"runs/{out.run_id}/errors.csv: mode 0644 lets other users in" in lines
    assert sum(line.startswith("to do: ") for line in lines) == 2
    assert done.err.count("Error") == 0
    [told] = json.loads(run_command("validate", out.folder, "--json").out)
    assert told["whole"] is False
    assert sum(len(check["differences"]) for check in told["checks"]) == 3


@in_full
def test_a_copy_that_has_lost_its_modes(screened: Desk, tmp_path: Path) -> None:
    """As an object store, a download or ``cp -r`` without ``-p`` leaves it."""
    copied = tmp_path / "copied"
    command = ["cp", "-r", "--no-preserve=mode", screened.out, copied]
    subprocess.run(command, check=True, umask=0o022)
    noticed = run_command("validate", copied)
    assert noticed.code == 65
    assert "differences, all of modes: its data is what was written" in noticed.out
    assert "copy with cp -p or rsync -a" in " ".join(noticed.out.split())
    done = run_command("validate", copied, "--copied")
    assert (done.code, done.out.splitlines()[0].endswith("· whole")) == (0, True), done.out
    assert "not checked  private" in done.out
    assert "not checked: a copy's modes say nothing of the run;" in done.out
    damaged = Output(copied).parts("results")[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert run_command("validate", copied, "--ignore-modes").code == 65
    # As the README advises, modes stay.
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-rp", screened.out, kept], check=True)
    assert run_command("validate", kept).code == 0


@in_full
def test_one_of_several_differs(out: Output) -> None:
    older = next(p.name for p in (out.folder / "runs").iterdir() if p.name != out.run_id)
    (out.folder / "runs" / older / "summary.json").write_bytes(b"{}")
    assert run_command("validate", out.folder).code == 0
    assert run_command("validate", out.folder, "--run", older).code == 65
    assert run_command("validate", out.folder, "--all").code == 65
    assert run_command("validate", out.reports, out.folder / "runs" / older).code == 65


def test_a_damaged_run_is_written_anew_as_it_is_told(screened: Desk) -> None:
    """The remedy that is printed works, and asks nothing."""
    out = screened.latest
    part = out.parts("results")[0]
    frame = pl.read_parquet(part, hive_partitioning=False)
    frame.head(1).write_parquet(part)
    done = run_command("validate", screened.out)
    assert done.code == 65
    assert f"delete runs/{out.run_id}/_SUCCESS" in done.out
    (out.reports / "_SUCCESS").unlink()
    stopped = run_command("validate", screened.out)
    assert stopped.code == 65
    assert "the run was stopped before its end" in stopped.out
    again = screened.run(*LATEST)
    assert again.code in (0, 3), again.err
    assert run_command("validate", screened.out, "--all").code == 0
    assert pl.read_parquet(part, hive_partitioning=False).equals(frame)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 66, "nowhere: there is no such folder; check the path"),
        (["."], 66, "no latest.json, so no run was completed there"),
        ([".", "--all"], 66, "no run has written there"),
        ([".", "--run", "20261123-0123456789"], 66, "there is no run 20261123-0123456789"),
        ([".", "--run", "20261123-0123456789", "--all"], 2, "exclude each other"),
        ([], 2, "Missing argument 'FOLDER...'"),
    ],
)
def test_what_is_not_there(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = run_command("validate", *arguments, cwd=tmp_path)
    assert done.code == code
    assert words in done.error
