"""Names of folders and files that a library or a shell takes for something else; addresses."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import batch_screen
from batch_screen import Job, PurgeScope, load_settings
from tests.e2e.starting import begin
from tests.names import FOLDERS, LATIN_1
from tests.thoroughness import IS_FULL, in_full
from tests.torture.test_scarce import fill, small_disk

from .conftest import COMMAND, NUMBERS, Finished, clean, discreet, run_command, write_csv

SPECIAL = [name for name in FOLDERS if any(c in name for c in ":~['")]
"""Those that a library or a shell has read otherwise."""
FEW = ["nightly:2026/second", "list[1]", 'it\'s "quoted"', "~"]
"""One that is an address, a pattern and a home to those who read names, and one with quotes."""

DAYS = (date(2026, 3, 2), date(2026, 3, 3))
_QUICK = {"pacing": {"rate_per_second": 1000, "ramp_up_seconds": 0}}


def job_of(out: str, *inputs: str, day: date = DAYS[0]) -> Job:
    output = {"folder": out, "in_order": True}
    return Job(inputs, load_settings({"output": output, **_QUICK}), sandbox=True, run_date=day)


@pytest.mark.parametrize("name", [*(FOLDERS if IS_FULL else FEW[:1]), LATIN_1], ids=ascii)
def test_an_output_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("list.csv"), NUMBERS[:3])
    out = Path(name)
    found = batch_screen.doctor(job_of(name, "list.csv"), {})
    assert found.exit_code == 0, found
    runs = [batch_screen.run(job_of(name, "list.csv", day=day)) for day in DAYS]
    assert [run.summary.lookups for run in runs] == [3, 3]
    assert batch_screen.run(job_of(name, "list.csv", day=DAYS[1])).was_complete
    for run in runs:
        checked = batch_screen.validate(name, run.layout.run_id)
        assert checked.is_whole, checked
        assert batch_screen.validate(run.layout.run).is_whole
        assert batch_screen.report(name, run.layout.run_id, "report.html").bytes
    looked = batch_screen.status(out, out / ".state")
    assert [run.state for run in looked.runs] == ["complete", "complete"]
    ids = [run.layout.run_id for run in runs]
    changed = batch_screen.diff(*ids, out=name, write="changes.parquet")
    assert changed.changes.numbers_compared == 3
    before = date(2026, 3, 3)
    gone = batch_screen.purge(PurgeScope(out, out / ".state", before))
    assert [run.run_id for run in gone.runs] == ids[:1]
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        {"list.csv", "report.html", "changes.parquet", top(name)}
    )


def top(name: str) -> str:
    return Path(os.path.normpath(name)).parts[0]


@pytest.mark.parametrize("name", [*(FOLDERS if IS_FULL else SPECIAL), LATIN_1], ids=ascii)
def test_an_input_may_have_any_name_and_lie_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    if len(name) < 100:
        write_csv(tmp_path / "list.csv", NUMBERS[:3])
        flat = name.replace("/", ":")
        shutil.copy(tmp_path / "list.csv", f"{flat}.csv")
        pl.read_csv(tmp_path / "list.csv", infer_schema=False).write_parquet(tmp_path / "a")
        shutil.copy(tmp_path / "a", f"{flat}.parquet")
        names = (f"{flat}.csv", f"{flat}.parquet")
    else:
        names = (str(write_csv(Path("list.csv"), NUMBERS[:3])),)
    for each in names:
        assert batch_screen.check(job_of("", each)).accepted == 3
    if len(name) < 100:
        assert batch_screen.run(job_of("../out", *names)).summary.rows.accepted == 3 * len(names)


@in_full
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / LATIN_1
    folder.mkdir()
    write_csv(folder / f"{LATIN_1}.csv", NUMBERS[:3])
    listed, out = f"{LATIN_1}.csv", "--out out\udce9"
    started = "run caf$'\\351'.csv --sandbox --out out$'\\351' --run-date 2026-03-02"
    done = in_shell(f'"$BS" {started} --json --keep-columns all', folder)
    assert done.code == 0, done
    for arguments in (
        f"check {listed} --json --rejects rejects\udce9.csv",
        f"run {listed} --sandbox {out} --summary-file last.json --metrics-file last.prom",
        f"run {listed} --sandbox {out} --summary-file last.json",
        f"status {out} --json",
        f"status {out}",
        "validate out\udce9 --all",
        "validate out\udce9 --json",
        "report out\udce9 --json",
        "report out\udce9",
        f"doctor {listed} --sandbox {out} --json",
        "export out\udce9 --flagged --to sheet\udce9.csv",
        f"purge --older-than 1d --yes {out} --json",
    ):
        done = run_command(*arguments.split(), cwd=folder)
        assert done.code == 0, (arguments, done)
    for arguments in (f"config {out} --json", f"init a.toml --yes {out}"):
        done = run_command(*arguments.split(), cwd=folder)
        assert done.code == 2, (arguments, done)
        assert "that is not UTF-8" in done.err


def test_a_name_that_begins_with_a_dash(tmp_path: Path) -> None:
    write_csv(tmp_path / "-list.csv", NUMBERS[:3])
    run = ("run", "--sandbox", "--out=-out", "--rate", "1000", "--", "-list.csv")
    for _ in range(2):
        done = run_command(*run, cwd=tmp_path)
        assert done.code == 0, done.err
    for command in ("validate", "report"):
        assert run_command(command, "--", "-out", cwd=tmp_path).code == 0
    assert run_command("status", "--out=-out", cwd=tmp_path).code == 0


@pytest.mark.parametrize("name", FOLDERS if IS_FULL else FEW[1:3], ids=ascii)
def test_lines_to_copy_can_be_copied(tmp_path: Path, name: str) -> None:
    """What the closing block says to look at, as a shell takes it."""
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    done = run_command(
        "run", "list.csv", "--sandbox", f"--out={name}", "--rate", "1000", cwd=tmp_path
    )
    assert done.code == 0, done.err
    if not name.isprintable():  # such a character is not shown
        return
    [line] = re.findall(r"^  look \.+ (.+)$", done.out, re.MULTILINE)
    copied = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert copied.returncode == 0, copied.stderr
    assert "shape: (" in copied.stdout


ADDRESSES = [
    "s3://bucket/out",
    *(
        pytest.param(address, marks=in_full)
        for address in ("gs://bucket/out", "file:///nowhere/out", "https://host/out")
    ),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_refused_before_anything_is_asked(tmp_path: Path, address: str) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    out = ("--out", address)
    for command in (
        ("run", "list.csv", "--sandbox", *out),
        ("run", "list.csv", "--sandbox", "--out", "out", "--state-dir", address),
        ("run", "list.csv", "--sandbox", "--out", "out", "--summary-file", address),
        ("run", "list.csv", "--sandbox", "--out", "out", "--metrics-file", address),
        ("run", "list.csv", "--sandbox", "--out", "out", "--opt-out", address),
        ("plan", "list.csv", *out),
        ("status", *out),
        ("purge", "--older-than", "1d", "--yes", *out),
        ("check", "list.csv", "--rejects", f"{address}.csv"),
        ("config", *out),
        ("config", "--config", address),
        ("init", address, "--yes"),
        ("init", "a.toml", "--yes", *out),
        ("sandbox", "--journal", address),
    ):
        done = run_command(*command, cwd=tmp_path)
        assert done.code == 2, command
        assert len(done.err.splitlines()) <= 4, "one line, below a usage at most"
        assert "local" in done.err or "address" in done.err
    doctor = run_command("doctor", "list.csv", "--sandbox", *out, cwd=tmp_path)
    assert doctor.code == 2
    for command in (("report", address), ("diff", address, "out")):
        refuse_unread(tmp_path, *command)
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


@pytest.mark.parametrize("address", ["http://host/out", "hdfs://host/out", "file:///nowhere/out"])
def test_an_address_that_is_not_read_is_refused(tmp_path: Path, address: str) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    for command in (
        ("check", address),
        ("check", f"{address}/*.csv"),
        ("run", address, "list.csv", "--sandbox", "--out", "out"),
        ("validate", address),
    ):
        refuse_unread(tmp_path, *command)
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


def refuse_unread(folder: Path, *command: str) -> None:
    done = run_command(*command, cwd=folder)
    assert done.code == 66, command
    assert "is an address" in done.error


def test_the_line_to_copy(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    done = run_command("run", "list.csv", "--sandbox", "--out", "s3://bucket/night", cwd=tmp_path)
    line = done.error.partition("upload it: ")[2]
    assert shlex.split(line)[-4:] == ["upload", "night", "--to", "s3://bucket/night"]


@in_full
def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    listed, there = tmp_path / "list.csv", tmp_path / "there"
    for arguments in (
        "run list.csv --sandbox --out out",
        f"run {listed} --sandbox --out out",
        f"run list.csv --sandbox --out {there}",
        "check list.csv",
        f"check {listed} --rejects rejects.csv",
        "plan list.csv",
        "status --out out",
        "validate out",
        "report out",
        "diff out out",
        "init --yes",
        f"doctor {listed} --sandbox --out out",
    ):
        done = in_folder_that_is_gone(arguments, tmp_path)
        assert done.code == 73, (arguments, done)
        assert "working folder was removed" in done.out + done.err
    line = f'mkdir gone; cd gone; rmdir ../gone; "$BS" run {listed} --sandbox --out {there}'
    assert in_shell(line, tmp_path).code == 0, "nothing in it is relative"
    if IS_FULL:  # as those above, but from a cold start
        done = in_shell('mkdir gone; cd gone; rmdir ../gone; "$BS" status --out out', tmp_path)
        assert done.code == 73, done


def in_folder_that_is_gone(arguments: str, folder: Path) -> Finished:
    (folder / "gone").mkdir()
    gone = os.open(folder / "gone", os.O_RDONLY)
    try:
        (folder / "gone").rmdir()
        return run_command(*arguments.split(), cwd=Path(f"/proc/{os.getpid()}/fd/{gone}"))
    finally:
        os.close(gone)


@in_full
def test_a_full_disk_below_stdout(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", NUMBERS[:3])
    for day in ("2026-03-02", "2026-03-03"):
        run = ("run", "list.csv", "--sandbox", "--out", "out", "--run-date", day)
        assert run_command(*run, cwd=tmp_path).code == 0
    ids = sorted(path.name for path in (tmp_path / "out" / "runs").iterdir())
    for arguments in (
        "run list.csv --sandbox --out out --json",
        "check list.csv",
        "check list.csv --json",
        "plan list.csv --json",
        "status --out out --json",
        "validate out --json",
        "report out",
        "report out --json",
        f"diff {ids[0]} {ids[1]} --out out --json",
        "doctor --sandbox --out out --json",
        "config",
        "config --json",
        "purge --older-than 90d --dry-run --out out --json",
        "completion bash",
        "init --yes --json",
        "--help",
        "--version",
        "sandbox --profiles",
    ):
        said = into_full_disk(arguments, tmp_path)
        assert "No space left on device" in said
    for full in (
        (">/dev/full", ">/dev/full 2>/dev/full") if IS_FULL else (">/dev/full 2>/dev/full",)
    ):
        assert in_shell(f'"$BS" config {full}', tmp_path).code == 73


def into_full_disk(arguments: str, folder: Path) -> str:
    """What the command says, which ends with 73."""
    with Path("/dev/full").open("wb") as out, (folder / "said").open("w+b") as err:
        command = [str(COMMAND), *arguments.split()]
        with begin(command, stdout=out, stderr=err, env=clean(), cwd=folder) as process:
            code = process.wait(60)
        err.seek(0)
        done = discreet(Finished(code, "", err.read().decode()))
    assert done.code == 73, (arguments, done)
    return done.err


def in_shell(line: str, folder: Path) -> Finished:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**clean(), "BS": str(COMMAND)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return discreet(Finished(done.returncode, done.stdout, done.stderr))


@in_full
def test_a_full_disk_below_other_files(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", [*NUMBERS[:3], "none", "nobody"])
    with small_disk(tmp_path / "full", 1) as full:
        filler = fill(full, 0)
        for target in ("full/rejects.csv", "full/rejects.parquet"):
            done = run_command("check", "list.csv", "--rejects", target, cwd=tmp_path)
            assert done.code == 73, done
            assert "free space" in done.err
        for option in ("--summary-file full/last.json", "--metrics-file full/last.prom"):
            run = ("run", "list.csv", "--sandbox", "--out", "out", *option.split())
            done = run_command(*run, cwd=tmp_path)
            assert done.code == 73, done
            assert not (tmp_path / "out").exists(), "found at the start"
        done = run_command("run", "list.csv", "--sandbox", "--out", "out", cwd=tmp_path)
        assert done.code == 0, done
        for line in ("report out --write full/page.html", "init full/a.toml --yes"):
            done = run_command(*line.split(), cwd=tmp_path)
            assert done.code == 73, done
            assert "No space left on device" in done.err
        assert [*full.iterdir()] == [filler], "nothing is left half written"
