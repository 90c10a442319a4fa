"""``check`` tells what a list holds and what is wrong with it, and sends and changes nothing."""

from __future__ import annotations

import csv
import json
import os
import pty
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.schema import CHECK_REJECTS, dtypes
from tests.discretion import leaks, secrets_in
from tests.e2e.starting import begin
from tests.thoroughness import in_full

from .conftest import COMMAND, KEY, NUMBERS, Finished, clean, run_command, until, write_csv

GERMAN = NUMBERS[1000:]
NATIONAL = [f"030 23125{i:03}" for i in range(100)]
# A damaged export: what each of its cells is, the test below counts.
DAMAGED = [
    *GERMAN[:40],
    *GERMAN[:10],
    *(f"'{number}" for number in GERMAN[40:45]),
    *("4.93023E+11",) * 6,
    *(f"{number[1:]}.0" for number in GERMAN[50:54]),
    *(f"{GERMAN[60 + i]} / {GERMAN[70 + i]}" for i in range(3)),
    "n/a",
    "",
    "112",
]
WITHOUT_KEY = {"BATCH_SCREEN_API_KEY": None}


def check(*arguments: object, **how: Any) -> Finished:
    return run_command("check", *arguments, **{"environment": WITHOUT_KEY, **how})


def told(*arguments: object, code: int = 0, **how: Any) -> dict[str, Any]:
    done = check("--json", *arguments, **how)
    assert done.code == code, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def counts(found: list[dict[str, Any]]) -> dict[str, int]:
    return {each["name"]: each["count"] for each in found}


def folder_of(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_a_damaged_export(tmp_path: Path) -> None:
    rows = [f"Zoë {i};{cell}" for i, cell in enumerate(DAMAGED)]
    path = tmp_path / "list.csv"
    path.write_bytes("".join(f"{r}\r\n" for r in ["Kunde;Handy", *rows]).encode("cp1252"))
    done = check(path, "--default-region", "DE")
    assert done.code == 0, done.err
    assert done.out.startswith("check: nothing was sent\n")
    text = " ".join(done.out.split())
    for words in (
        "CSV, Windows-1252 (as it is no UTF-8), semicolons, a header; 71 rows",
        "Kunde, Handy (the numbers, by its name)",
        "71 = 55 accepted and 16 rejected; DE where a row names no region",
        "45 unique, 10 rows are duplicates; 10 numbers stand in more than one row",
        "45 DE 100.0% 45 fixed_line 100.0%",
        "6 scientific_notation row 56: 4.••••••+••",
        "21.4% of 70 filled cells look like they went through a spreadsheet",
        "6 Export the list again with the column formatted as text: digits have been lost.",
    ):
        assert words in text, (words, done.out)

    found = told(path, "--default-region", "DE")
    assert (found["rows"], found["accepted"], found["rejected"]) == (71, 55, 16)
    assert {each["reason"]: each["rows"] for each in found["rejects"]} == {
        "scientific_notation": 6,
        "float_artefact": 4,
        "multiple_numbers": 3,
        "empty": 1,
        "not_a_number": 1,
        "short_code": 1,
    }
    assert counts(found["damage"]["kinds"]) == {
        "scientific_notation": 6,
        "spreadsheet_mark": 5,
        "decimal": 4,
        "several_numbers": 3,
    }
    assert [fix["rows"] for fix in found["fixes"]] == [6, 4, 3, 1, 1, 1]
    assert folder_of(tmp_path) == ["list.csv"]


def test_ambiguous_rows_show_both_readings(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", [f"441134960{i:03}" for i in range(3)])
    done = check(path, "--default-region", "DE")
    assert done.code == 65
    lines = [line.split() for line in done.out.splitlines() if "+44" in line]
    assert lines == [
        ["row", f"{n}:", "44••••••••••", f"+4944••••••••0{n - 1}", f"+4411••••••0{n - 1}"]
        for n in (1, 2, 3)
    ]


def test_a_region_is_suggested_where_the_list_speaks_for_it(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", [*NATIONAL, *GERMAN[100:200]])
    found = told(path)
    assert found["region_advice"]["region"] == "DE"
    assert found["fixes"][0]["rows"] == 100
    assert "--default-region DE: 100 of 100" in found["fixes"][0]["advice"]
    assert told(write_csv(path, NATIONAL), code=65)["region_advice"]["region"] == ""


def test_a_list_without_a_usable_number_is_told_of_in_full(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", NATIONAL[:5], "phone")
    done = check(path)
    assert done.code == 65
    assert "5 = 0 accepted and 5 rejected" in done.out
    assert "to fix ......." in done.out
    assert done.error.startswith("Error: none of the 5 rows holds a usable number")
    assert told(path, code=65)["rejected"] == 5


@pytest.mark.parametrize(
    ("content", "code"),
    [("", 65), ("phone\n", 65), ("a,b\nx,y\n", 65), (None, 66)],
    ids=["empty", "no-rows", "no-numbers", "missing"],
)
def test_what_cannot_be_read_is_an_error(tmp_path: Path, content: str | None, code: int) -> None:
    if content is not None:
        (tmp_path / "list.csv").write_text(content)
    done = check(tmp_path / "list.csv")
    assert (done.code, done.out) == (code, "")
    assert done.error


def test_rejects_as_csv_and_parquet(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", [*DAMAGED, "=1+1"])
    for name in ("rejects.csv", "rejects.parquet"):
        done = check(path, "--rejects", tmp_path / name, umask=0)
        assert done.code == 0, done.err
        assert f"{name}, 17 rows" in " ".join(done.out.split())
    rows = [*csv.DictReader((tmp_path / "rejects.csv").read_text("utf-8-sig").splitlines())]
    frame = pl.read_parquet(tmp_path / "rejects.parquet")
    assert frame.schema == dtypes(CHECK_REJECTS)
    assert [int(row["source_row"]) for row in rows] == frame["source_row"].to_list()
    assert [row["reason"] for row in rows] == frame["reason"].to_list()
    assert rows[-1]["raw_masked"] == "'=1+•"
    assert {row["column"] for row in rows} == {"phone"}
    assert leaks(tmp_path, [], KEY, GERMAN, apart=[tmp_path, path]) == []


def test_rejects_never_replace_a_list(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", GERMAN[:3])
    before = path.read_bytes()
    assert check(path, "--rejects", path).code == 2
    assert check(tmp_path, "--rejects", tmp_path / "rejects.csv").code == 2
    assert check(path, "--rejects", tmp_path / "rejects.xls").code == 2
    assert path.read_bytes() == before
    assert folder_of(tmp_path) == ["list.csv"]


def test_it_takes_what_plan_takes(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        '[input]\ndefault_region = "DE"\n[screening]\nendpoints = "all"\n[output]\nfolder = "out"\n'
    )
    content = "\n".join(NATIONAL[:7]).encode()
    found = told("-", "--no-header", "--config", tmp_path / "settings.toml", stdin=content)
    assert (found["accepted"], found["default_region"]) == (7, "DE")
    assert found["files"][0]["name"] == "stdin"
    strict = told(
        "-", "--strictness", "mobile", "--default-region", "de", stdin=b"phone\n" + content, code=65
    )
    assert [each["reason"] for each in strict["rejects"]] == ["not_mobile"]
    assert check("-", "--rate", "5").code == 2


def test_no_number_gets_out_whatever_holds_it(tmp_path: Path) -> None:
    number = GERMAN[7]
    header = f"Kunde {number};phone;{GERMAN[8]}"
    cells = [
        *DAMAGED,
        f"call {GERMAN[9]}!",
        f"{GERMAN[3]} {GERMAN[4]}",
        GERMAN[5] * 3,
        GERMAN[6] + "x" * 300,
    ]
    path = tmp_path / f"{number} a.csv"
    path.write_text("".join(f"{line}\n" for line in [header, *(f"{c};{c};{c}" for c in cells)]))
    other = write_csv(tmp_path / "b.csv", cells)
    named = [path, "--phone-column", "phone"]
    column = [path, "--phone-column", f"Kunde {number}"]
    said: list[str | bytes] = []
    codes = []
    for arguments in (
        [path],
        [*named, "--json"],
        [*named, other, "--default-region", "DE"],
        [*named, "--region-column", GERMAN[8]],
        [*column, "--rejects", tmp_path / "rejects.csv"],
        [*column, "--rejects", tmp_path / f"{number}.parquet"],
    ):
        done = check(*arguments)
        said += [done.out, done.err]
        codes.append(done.code)
    assert codes == [65, 0, 0, 0, 0, 0], said
    said += [
        (tmp_path / "rejects.csv").read_bytes(),
        pl.read_parquet(tmp_path / f"{number}.parquet").write_json(),
    ]
    assert [what for text in said for what in secrets_in(text, KEY, NUMBERS)] == []


def test_a_terminal_sees_what_a_pipe_sees(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", DAMAGED)
    piped = check(path).out
    assert max(map(len, piped.splitlines())) <= 80
    ours, theirs = pty.openpty()
    with (
        open(theirs, "wb", buffering=0) as stdout,  # noqa: PTH123 (a descriptor, not a path)
        Path(os.devnull).open("wb") as stderr,
    ):
        process = begin(
            [str(COMMAND), "check", str(path)], stdout=stdout, stderr=stderr, env=clean()
        )
    with process:
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # so Linux says that nobody writes any more
            pass
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert seen.decode().replace("\r\n", "\n") == piped


def test_a_signal_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = write_csv(tmp_path / "list.csv", [f"{n}{i}" for i in range(150) for n in NUMBERS])
    command = [str(COMMAND), "check", str(path), "--rejects", str(tmp_path / "rejects.csv")]
    with Path(os.devnull).open("wb") as nobody:
        process = begin(command, stdout=nobody, stderr=nobody, env=clean({"TMPDIR": str(scratch)}))
    with process:
        until(lambda: any(scratch.glob("batch-screen-*/plan.growing/*")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert folder_of(scratch) == []
    assert folder_of(tmp_path) == ["list.csv", "scratch"]


@in_full
def test_a_full_disk_leaves_no_half_a_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", GERMAN[:900] + ["112"] * 3_000)
    done = subprocess.run(
        [COMMAND, "check", path, "--rejects", tmp_path / "rejects.csv"],
        capture_output=True,
        env=clean(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        check=False,
    )
    assert done.returncode == 73, done.stderr
    assert b"raise the limit of a file's size" in done.stderr
    assert folder_of(tmp_path) == ["list.csv"]
