"""The installed command writes sheets of a run, and runs of the first few numbers."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
from pathlib import Path

import polars as pl

from batch_screen.sandbox.answers import Population
from tests.thoroughness import in_full

from .conftest import ALL, COMMAND, NUMBERS, Desk, clean, new_sandbox, run_command

LISTED = [*NUMBERS[:40], "n/a", "0171", *NUMBERS[:9]]


def sheet(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [*csv.DictReader(lines)]


def test_sheets_of_a_run(tmp_path: Path) -> None:
    population = Population(not_found_share=0.1, forwarding_share=0.2, swapped_share=0.2)
    with new_sandbox(population=population) as server:
        desk = Desk(tmp_path / "desk", server.url, LISTED)
        assert desk.run("--endpoints", ALL).code == 0
    out, results = desk.latest, desk.latest.frame("results").sort("row_index")
    flags = ["risk_sim_recent", "risk_device_recent", "risk_forwarding_active"]
    flagged = results.filter(pl.any_horizontal(pl.col(flags).fill_null(value=False)))
    assert 0 < flagged.height < results.height

    for run in ((desk.out,), ("--out", desk.out), (out.run_id, "--out", desk.out), (out.reports,)):
        path = tmp_path / "flagged.csv"
        done = run_command("export", *run, "--flagged", "--to", path)
        assert done.code == 0, done.err
        assert f"{flagged.height} of {results.height} rows deserve a look" in done.out
        assert done.out.endswith(f"{path}\n")
        assert [row["e164"] for row in sheet(path)] == [f"'{n}" for n in flagged["e164"]]
        assert all(row["why"] and row["since"] for row in sheet(path))
        path.unlink()

    book = tmp_path / "flagged.xlsx"
    done = run_command("export", desk.out, "--flagged", "--unknown", "--to", book, "--json")
    told = json.loads(done.out)
    found = pl.read_excel(book, engine="calamine", infer_schema_length=0)
    assert found.height == told["rows"] == flagged.height + told["unknown"]
    assert set(flagged["e164"]) <= set(found["e164"])

    done = run_command("export", desk.out, "--rejected", "--to", tmp_path / "rejected.csv")
    assert done.code == 0, done.err
    lines = desk.list.read_text("utf-8").splitlines()
    for row in sheet(tmp_path / "rejected.csv"):
        assert lines[int(row["line"]) - 1] == row["cell"].removeprefix("'")
    assert run_command("validate", desk.out).code == 0


def test_what_is_refused(tmp_path: Path) -> None:
    with new_sandbox() as server:
        desk = Desk(tmp_path / "desk", server.url, NUMBERS[:9])
        stopped = desk.run("--max-requests", "3")
    assert stopped.code == 4
    [run] = (desk.out / "runs").iterdir()
    target = tmp_path / "a.csv"
    for arguments, code in (
        ((run, "--flagged", "--to", target), 65),
        ((desk.out, "--flagged", "--to", target), 66),  # no run is complete there
        ((tmp_path / "none", "--flagged", "--to", target), 66),
        ((desk.out, "--to", target), 2),
        ((desk.out, "--flagged", "--to", tmp_path / "a.doc"), 2),
        ((desk.out, "--flagged", "--rejected", "--to", target), 2),
    ):
        done = run_command("export", *arguments)
        assert (done.code, done.out) == (code, ""), done.err
    assert not target.exists()


@in_full
def test_a_full_disk_leaves_no_half_a_sheet(tmp_path: Path) -> None:
    with new_sandbox() as server:
        desk = Desk(tmp_path / "desk", server.url, [*NUMBERS[:5], *["112"] * 2_000])
        assert desk.run("--phone-column", "phone").code == 0
    for suffix in ("csv", "xlsx"):
        target = tmp_path / f"rejected.{suffix}"
        done = subprocess.run(
            [COMMAND, "export", desk.out, "--rejected", "--to", target],
            capture_output=True,
            env=clean(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
            check=False,
        )
        assert done.returncode == 73, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["desk"]


@in_full
def test_a_run_of_the_first_numbers(tmp_path: Path) -> None:
    with new_sandbox() as server:
        desk = Desk(tmp_path / "desk", server.url, LISTED)
        planned = desk.plan("--limit", "7")
        stopped = desk.run("--limit", "7", "--max-requests", "2")
        status = run_command("status", "--out", desk.out)
        done = desk.run("--limit", "7")
        whole = desk.run()
    assert planned["rows"]["left_out"] == len(LISTED) - 7
    assert planned["lookups"] == {"sim-swap/check": 7}
    assert (stopped.code, done.code, whole.code) == (4, 0, 0)
    assert "--limit 7" in status.out
    left_out = f"{len(LISTED) - 7} rows below them were left out"
    assert f"  limited ...... to the first 7 numbers; {left_out}" in done.out
    assert "limited" not in whole.out
    assert "since ....." not in whole.out  # the trial is no baseline
    for run in sorted((desk.out / "runs").iterdir()):
        assert run_command("validate", run).code == 0
    pages = [path.read_text("utf-8") for path in desk.out.glob("runs/*/report.html")]
    [limited] = [page for page in pages if "Limited to the first 7 numbers" in page]
    assert left_out in limited
