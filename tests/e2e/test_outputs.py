"""What a run leaves behind: where it lies, who may read it, and that its parts agree."""

from __future__ import annotations

import csv
import hashlib
import json
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from batch_screen.sandbox.answers import Population

from .conftest import (
    DAY,
    KEY,
    NUMBERS,
    WHOLE_NUMBER,
    Desk,
    Finished,
    Output,
    clean,
    new_sandbox,
    run_command,
    write_csv,
)

TABLES = ("results", "lookups", "errors")
JUNK = [
    "=HYPERLINK(1)",
    "@SUM(1)",
    "-1+1",
    f"{NUMBERS[0]}; {NUMBERS[1]}",
    f"={NUMBERS[2]}+1",
    "+44 20 7946 0123 0123 0123",
    "n/a",
]
FORMULA_STARTS = tuple("=+-@\t\r\n")

REPORTS = ("summary.json", "errors.csv", "pace.svg", "schema.json", "report.html")


@dataclass
class Evening:
    desk: Desk
    done: Finished

    @property
    def output(self) -> Output:
        return self.desk.latest


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """Two shards, a file with a hostile name, rejects and failures, and a careless umask."""
    population = Population(not_found_share=0.1, forbidden_share=0.05, forwarding_share=0.2)
    with new_sandbox(population=population) as server:
        folder = tmp_path_factory.mktemp("outputs")
        desk = Desk(
            folder,
            server.url,
            toml="[output]\nshard_lookups = 1000\n",
            options=("--keep-columns", "name", "--endpoints", "sim-swap/check"),
        )
        cells = [f"{cell},Zoë {n}" for n, cell in enumerate([*NUMBERS[:1100], *JUNK])]
        hostile = write_csv(folder / "=cmd|calc.csv", cells, "phone,name")
        yield Evening(desk, desk.run(hostile, umask=0))


def test_run_ends_with_too_many_failures(evening: Evening) -> None:
    assert evening.done.code == 3  # 5 % are forbidden
    assert [line for line in evening.done.lines if line.startswith("Error: ")] == []


def test_layout(evening: Evening) -> None:
    run_id = evening.output.run_id
    parts = [f"{run_id}-00000.parquet", f"{run_id}-00001.parquet"]
    expected = {f"{table}/run_date={DAY}/{part}" for table in TABLES for part in parts}
    expected.add(f"changes/run_date={DAY}/{parts[0]}")  # without rows in a first run
    reports = (*REPORTS, "manifest.json", "openlineage.ndjson", "_SUCCESS")
    expected |= {"latest.json", *(f"runs/{run_id}/{name}" for name in reports)}
    out = evening.desk.out
    found = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {path for path in found if not path.startswith(".state/")} == expected
    assert run_id.startswith(DAY.replace("-", ""))


def test_files_are_private_whatever_the_umask(evening: Evening) -> None:
    out = evening.desk.out
    for path in (out, *out.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_nothing_half_made_is_left(evening: Evening) -> None:
    names = [path.name for path in evening.desk.out.rglob("*")]
    assert [name for name in names if name.endswith((".tmp", ".growing", ".journal"))] == []


def test_schema_json_is_what_the_files_hold(evening: Evening) -> None:
    tables = evening.output.report("schema.json")["tables"]
    assert tuple(tables) == (*TABLES, "changes")
    for table, columns in tables.items():
        described = [(column["name"], column["type"]) for column in columns]
        required = [column["name"] for column in columns if column["required"]]
        for path in evening.output.parts(table):
            actual = [(name, str(dtype)) for name, dtype in pl.read_parquet_schema(path).items()]
            assert actual == described
            frame = pl.read_parquet(path, hive_partitioning=False)
            assert frame.select(required).null_count().sum_horizontal().sum() == 0


def test_manifest_lists_every_file_with_its_digest(evening: Evening) -> None:
    output = evening.output
    listed = {entry["path"]: entry for entry in output.report("manifest.json")["files"]}
    reports = [output.reports / name for name in REPORTS]
    files = [*reports, *(path for table in (*TABLES, "changes") for path in output.parts(table))]
    assert listed.keys() == {str(path.relative_to(output.folder)) for path in files}
    for path in files:
        entry, content = listed[str(path.relative_to(output.folder))], path.read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        if path.suffix == ".parquet":
            assert entry["rows"] == pl.read_parquet(path).height
            assert entry["table"] == path.parents[1].name


def test_marker_and_latest_hold_the_manifests_digest(evening: Evening) -> None:
    output = evening.output
    digest = hashlib.sha256((output.reports / "manifest.json").read_bytes()).hexdigest()
    assert (output.reports / "_SUCCESS").read_text() == f"{digest}\n"
    assert output.latest == {
        "run_id": output.run_id,
        "run_date": DAY,
        "manifest": f"runs/{output.run_id}/manifest.json",
        "manifest_sha256": digest,
    }


def test_data_folders_can_be_scanned_as_they_are(evening: Evening) -> None:
    for table in TABLES:
        scan = pl.scan_parquet(evening.desk.out / table, hive_partitioning=True)
        frame = scan.collect()
        assert frame.height == evening.output.frame(table).height
        assert frame["run_date"].cast(pl.String).unique().to_list() == [DAY]


def test_kept_column_survives_sharding(evening: Evening) -> None:
    results = evening.output.frame("results")
    assert results.height == 1100
    for index, number, name in results.select("row_index", "e164", "in_name").iter_rows():
        assert (number, name) == (NUMBERS[index], f"Zoë {index}")


def test_errors_csv_is_masked_and_guarded(evening: Evening) -> None:
    text = (evening.output.reports / "errors.csv").read_text("utf-8-sig")
    assert not WHOLE_NUMBER.search(text)
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert len(rows) == evening.output.frame("errors").height
    cells = [cell for row in rows for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(FORMULA_STARTS)] == []
    kinds = [row["kind"] for row in rows]
    assert kinds.count("reject") == len(JUNK)
    assert {row["source_file"] for row in rows if row["kind"] == "reject"} == {"'=cmd|calc.csv"}
    assert {row["e164"][:2] for row in rows if row["kind"] == "failure"} == {"'+"}


def test_errors_have_reason_and_remedy(evening: Evening) -> None:
    errors = evening.output.frame("errors")
    assert errors.select((pl.col("reason", "remedy").str.len_chars() > 0).all()).row(0) == (
        True,
        True,
    )
    failed = evening.output.frame("lookups").filter(pl.col("outcome") != "success")
    assert errors.filter(pl.col("kind") == "failure").height == failed.height > 0


def test_key_is_in_no_file(evening: Evening) -> None:
    for path in evening.desk.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":  # compressed: only its text tells
            assert KEY not in json.dumps(pl.read_parquet(path).to_dicts(), default=str), path


def test_no_whole_number_is_in_json(evening: Evening) -> None:
    for path in evening.desk.out.rglob("*.json"):
        assert not WHOLE_NUMBER.search(path.read_text("utf-8")), path


def test_second_start_says_that_all_is_done(evening: Evening) -> None:
    before = _contents(evening.desk.out)
    # No server is needed for it, and no request is made.
    done = evening.desk.run(evening.desk.folder / "=cmd|calc.csv")
    assert done.code == 3
    assert "was complete already, nothing was asked" in done.out
    assert _contents(evening.desk.out) == before


def test_new_run_lies_beside_the_old_one(tmp_path: Path) -> None:
    with new_sandbox() as server:
        desk = Desk(tmp_path, server.url, NUMBERS[:20])
        done = desk.run()
        assert done.code == 0
        first = desk.latest
        assert desk.run("--new-run").code == 0
        second = desk.latest
        assert second.run_id == f"{first.run_id}-2"
        assert (first.reports / "_SUCCESS").exists()
        assert first.content["results"] == second.content["results"]
        assert len(list((tmp_path / "out" / "results").rglob("*.parquet"))) == 2
        assert server.statistics()["requests"] == 40
        assert desk.run("--run-date", "2026-03-03").code == 0
        assert desk.latest.run_id.startswith("20260303-")
        assert server.statistics()["requests"] == 60
    positives = first.frame("results").filter(pl.col("sim_swap_check_swapped")).height
    assert 0 < positives < 20
    assert f"shape: ({positives}, " in _copied_from(done)


def test_snappy_and_a_state_folder_apart(tmp_path: Path) -> None:
    with new_sandbox() as server:
        toml = '[output]\ncompression = "snappy"\n'
        desk = Desk(tmp_path, server.url, NUMBERS[:5], toml, ("--state-dir", str(tmp_path / "st")))
        assert desk.run().code == 0
    assert not (desk.out / ".state" / "runs").exists()  # only a lock
    assert stat.S_IMODE((tmp_path / "st").stat().st_mode) == 0o700
    assert b"SNAPPY" not in desk.latest.parts("results")[0].read_bytes()
    assert desk.latest.frame("results")["e164"].to_list() == NUMBERS[:5]


def test_key_file_is_the_only_file_with_the_key(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    with new_sandbox() as server:
        desk = Desk(tmp_path / "desk", server.url, NUMBERS[:5])
        done = desk.run("--api-key-file", key_file, environment={"BATCH_SCREEN_API_KEY": None})
    assert done.code == 0, done.err
    holders = [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert holders == [key_file]


def test_sandbox_flag_needs_neither_server_nor_key(tmp_path: Path) -> None:
    listed = write_csv(tmp_path / "list.csv", NUMBERS[:5])
    done = run_command(
        *("run", listed, "--sandbox", "--out", tmp_path / "out", "--rate", 1000),
        environment={"BATCH_SCREEN_API_KEY": None},
    )
    assert done.code == 0, done.err
    assert Output(tmp_path / "out").frame("results")["e164"].to_list() == NUMBERS[:5]


def _copied_from(done: Finished) -> str:
    """What the closing block's line says when it is copied into a shell, as it stands there."""
    line = next(line for line in done.out.splitlines() if "look ..." in line)
    command = line.partition("... ")[2]
    return subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, check=True, env=clean()
    ).stdout


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".state" not in path.parts
    }
