from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

import batch_screen
from batch_screen.commands.validate import runs_in, validate
from batch_screen.errors import ExitCode, InputError, OutputError
from batch_screen.verify import fetch
from tests.buckets import Bucket
from tests.unit.tables.whole_run import WholeRun, new_whole_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def uploaded(run: WholeRun, bucket: Bucket) -> Bucket:
    batch_screen.upload(run.layout.folder, f"{bucket.address}/a/b")
    return bucket


def part(run: WholeRun) -> str:
    return f"a/b/{run.layout.part('results', 0).relative_to(run.layout.folder)}"


def test_a_run_in_a_bucket_has_the_checks_it_has_on_disk(
    run: WholeRun, uploaded: Bucket, scratch: Path
) -> None:
    here, there = run.validate(), validate(f"{uploaded.address}/a/b/")
    assert there.is_whole
    assert (there.run_id, there.folder) == (here.run_id, f"{uploaded.address}/a/b")
    assert [(c.name, c.claim, c.examined) for c in there.checks if c.name != "private"] == [
        (c.name, c.claim, c.examined) for c in here.checks if c.name != "private"
    ]
    own = f"{uploaded.address}/a/b/runs/{run.layout.run_id}"
    assert validate(own) == validate(f"{uploaded.address}/a/b", run.layout.run_id) == there
    assert runs_in(own) == runs_in(f"{uploaded.address}/a/b") == [run.layout.run_id]
    assert [*scratch.iterdir()] == []


def test_what_differs_there_is_found_and_sent_again(run: WholeRun, uploaded: Bucket) -> None:
    content = uploaded.get(part(run))
    uploaded.put(part(run), content[:-1] + b"?")
    uploaded.delete(f"a/b/runs/{run.layout.run_id}/errors.csv")
    uploaded.put(part(run).replace("-00000.", "-00099."), b"unlisted")
    found = {c.name: c for c in validate(f"{uploaded.address}/a/b").checks if c.differences}
    assert [d.what for d in found["files"].differences] == [
        "its content changed: another SHA-256 than in the manifest",
        "cannot be read: No such file or directory",
    ]
    assert found["files"].remedy == (
        "remove these objects there, and send them again: batch-screen upload OUT --run "
        f"{run.layout.run_id} --to {uploaded.address}/a/b"
    )
    assert [d.where.rpartition("-")[2] for d in found["strangers"].differences] == ["00099.parquet"]


def test_a_run_without_its_marker_is_not_complete(run: WholeRun, uploaded: Bucket) -> None:
    uploaded.delete(f"a/b/runs/{run.layout.run_id}/_SUCCESS")
    [check] = validate(f"{uploaded.address}/a/b").checks
    assert check.name == "marker"


def test_latest_json_may_name_another_run(run: WholeRun, uploaded: Bucket) -> None:
    other = "20261124-0123456789"
    latest = json.loads(uploaded.get("a/b/latest.json"))
    uploaded.put("a/b/latest.json", json.dumps({**latest, "run_id": other}).encode())
    found = validate(f"{uploaded.address}/a/b", run.layout.run_id)
    assert [check.name for check in found.checks if not check.is_ok] == ["latest"]
    with pytest.raises(InputError, match=f"there is no run {other}"):
        validate(f"{uploaded.address}/a/b")


def test_where_no_run_is(bucket: Bucket) -> None:
    for ask in (runs_in, lambda folder: validate(folder, "20261124-0123456789")):
        with pytest.raises(InputError, match="no run was uploaded there; check") as error:
            ask(f"{bucket.address}/none")
        assert error.value.exit_code == ExitCode.NO_INPUT
    with pytest.raises(InputError, match=r"no latest\.json there; name a run with --run"):
        validate(f"{bucket.address}/none")


def test_a_disk_without_room_is_said_before(
    uploaded: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="has 1,000 free; free space, or set TMPDIR"):
        validate(f"{uploaded.address}/a/b")
