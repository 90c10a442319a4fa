from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_screen.runs.layout import ERRORS, RESULTS, TABLES

from .whole_run import WholeRun, differing, new_whole_run

NAMES = [
    "marker",
    "latest",
    "manifest",
    "files",
    "strangers",
    "private",
    "schema",
    "origin",
    "readable",
    "required",
    "placing",
    "lookups",
    "values",
    "sources",
    "windows",
    "conflicts",
    "enrichment",
    "risk",
    "failures",
    "rows",
    "accounting",
    "summary",
    "errors.csv",
    "changes",
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(original: WholeRun, tmp_path: Path) -> WholeRun:
    return original.copy(tmp_path / "out")


def test_a_whole_run_is_whole(run: WholeRun) -> None:
    found = run.validate()
    assert [check.name for check in found.checks] == NAMES
    assert found.is_whole
    assert found.differences == 0
    assert all(check.examined for check in found.checks)
    assert len(run.layout.parts(RESULTS)) == 2


@pytest.mark.parametrize("content", [b"", b"0" * 64 + b"\n", None])
def test_marker(run: WholeRun, content: bytes | None) -> None:
    digest = run.layout.marker.read_bytes()
    run.layout.marker.write_bytes(digest.upper() if content is None else content)
    found = differing(run.validate())
    # latest.json names this run, whose marker is not right.
    assert set(found) == {"marker", "latest"}
    assert "_SUCCESS: it is not the SHA-256" in found["marker"]


def test_a_run_that_was_stopped_early(run: WholeRun) -> None:
    run.layout.marker.unlink()
    [marker] = run.validate().checks
    assert re.search("the run was stopped before its end", marker.differences[0].what)
    assert "batch-screen status names the command that resumes it" in marker.remedy


def test_a_missing_manifest(run: WholeRun) -> None:
    run.layout.manifest.unlink()
    assert set(differing(run.validate())) == {"marker", "latest", "manifest"}


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"run_id": "../../elsewhere"}'])
def test_latest_that_names_nothing(run: WholeRun, content: bytes | None) -> None:
    if content is None:
        run.layout.latest.unlink()
    else:
        run.layout.latest.write_bytes(content)
    assert differing(run.validate()) == {"latest": "latest.json: it is missing or names no run"}


def test_latest_that_names_a_run_that_is_gone(run: WholeRun) -> None:
    text = run.layout.latest.read_text().replace(run.layout.run_id, "20261124-0123456789")
    run.layout.latest.write_text(text)
    found = differing(run.validate())
    assert set(found) == {"latest"}
    assert "20261124-0123456789, is not complete" in found["latest"]


def test_latest_with_another_digest(run: WholeRun) -> None:
    latest = json.loads(run.layout.latest.read_bytes())
    run.layout.latest.write_text(json.dumps({**latest, "manifest_sha256": "0" * 64}, indent=2))
    assert set(differing(run.validate())) == {"latest"}


def test_latest_may_name_a_later_run(run: WholeRun) -> None:
    content = run.layout.latest.read_text().replace(run.layout.run_id, f"{run.layout.run_id}-2")
    later = run.layout.run.with_name(f"{run.layout.run_id}-2")
    shutil.copytree(run.layout.run, later)
    run.layout.latest.write_text(content)
    assert run.validate().is_whole


def test_manifest_of_another_schema_version_ends_the_validation(run: WholeRun) -> None:
    run.write_manifest(run.manifest() | {"schema_version": 999})
    assert run.validate().checks[-1].name == "manifest"


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "results/other.parquet", "latest.json"]
)
def test_manifest_opens_no_file_that_is_not_the_runs(run: WholeRun, path: str) -> None:
    content = run.manifest()
    content["files"].append({"path": path, "bytes": 1, "sha256": "0" * 64})
    run.write_manifest(content)
    found = differing(run.validate())
    assert set(found) == {"manifest"}
    assert f"{path!r} is no file of this run" in found["manifest"]


def listed_files(run: WholeRun) -> Iterator[Path]:
    return (run.layout.folder / entry["path"] for entry in run.manifest()["files"])


def test_a_byte_in_any_listed_file(run: WholeRun) -> None:
    for path in listed_files(run):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = differing(run.validate())
        # A report that cannot be read is missed by what is held against it.
        follows = {"schema", "accounting", "summary", "errors.csv"}
        assert {"files"} <= set(found) <= {"files"} | follows, path
        assert f"{path.name}: its content changed" in found["files"]
        path.write_bytes(content)
    assert run.validate().is_whole


def test_a_file_that_is_gone_or_cut_or_a_folder(run: WholeRun) -> None:
    gone, cut, folder = (run.layout.part(table, 1) for table in TABLES)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    folder.unlink()
    folder.mkdir(mode=0o700)
    found = run.validate()
    text = differing(found)["files"]
    assert "results/run_date=2026-11-23" in text
    assert "No such file or directory" in text
    assert "Is a directory" in text
    assert re.search(r"lookups/.*: [\d,]+ bytes, [\d,]+ in the manifest", text)
    # What does not depend on them was checked all the same, the rest says that it was not.
    unchecked = {check.name for check in found.checks if check.unchecked}
    assert unchecked == set(NAMES[NAMES.index("readable") :])
    assert all("1 of 2 parts" in c.unchecked for c in found.checks if c.unchecked)
    assert not any(check.is_ok for check in found.checks if check.unchecked)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "name", ["{run}-00009.parquet", "part-0.parquet", "{run}-00000 (1).parquet"]
)
def test_strangers(run: WholeRun, table: str, name: str) -> None:
    part = run.layout.part(table, 0)
    shutil.copy(part, part.with_name(name.format(run=run.layout.run_id)))
    found = differing(run.validate())
    assert set(found) == {"strangers"}
    assert name.format(run=run.layout.run_id) in found["strangers"]


def test_strangers_on_another_day(run: WholeRun) -> None:
    part = run.layout.part(RESULTS, 0)
    other = part.parent.with_name("run_date=2026-11-24")
    other.mkdir(mode=0o700)
    shutil.copy(part, other)
    assert set(differing(run.validate())) == {"strangers"}


def test_parts_of_other_runs_are_no_strangers(run: WholeRun) -> None:
    part = run.layout.part(RESULTS, 0)
    for other in (f"{run.layout.run_id}-2", "20261122-0123456789"):
        shutil.copy(part, part.with_name(f"{other}-00000.parquet"))
    assert run.validate().is_whole


@pytest.mark.parametrize("mode", [0o040, 0o004, 0o002])
def test_private(run: WholeRun, mode: int) -> None:
    later = [run.layout.manifest, run.layout.marker, run.layout.latest]
    folders = [run.layout.run, run.layout.run.parent, run.layout.part(ERRORS, 0).parent]
    opened = {path: path.stat().st_mode for path in (*listed_files(run), *later, *folders)}
    for path, before in opened.items():
        path.chmod(before | mode)
    found = run.validate()
    assert set(differing(found)) == {"private"}
    told = {d.where: d.what for check in found.checks for d in check.differences}
    for path, before in opened.items():
        name = str(path.relative_to(run.layout.folder))
        assert told.pop(name) == f"mode {before & 0o777 | mode:04o} lets other users in"
        path.chmod(before)
    assert told == {}
    assert run.validate().is_whole


def test_the_output_folder_itself_may_be_open(run: WholeRun) -> None:
    run.layout.folder.chmod(0o755)
    assert run.validate().is_whole
