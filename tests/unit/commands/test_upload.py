from __future__ import annotations

import hashlib
import json
import shutil
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import polars as pl
import pytest

from batch_screen.commands.upload import upload
from batch_screen.errors import ConfigurationError, ExitCode, InputError, OutputError
from batch_screen.storage import objects
from batch_screen.storage.objects import ObjectStore
from tests.buckets import Bucket, answer, scripted, use
from tests.thoroughness import in_full
from tests.unit.tables.whole_run import WholeRun, new_whole_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(made: WholeRun, tmp_path: Path) -> WholeRun:
    return made.copy(tmp_path / "out")


def content_of(bucket: Bucket, prefix: str = "") -> dict[str, bytes]:
    return {key.removeprefix(prefix): bucket.get(key) for key in bucket.keys}


def files_of(run: WholeRun) -> dict[str, bytes]:
    return {str(p.relative_to(run.layout.folder)): p.read_bytes() for p in run.files()}


@pytest.fixture
def put_keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of all that is put, in order."""
    keys: list[str] = []
    put = ObjectStore.put

    def noted(store: ObjectStore, key: str, content: bytes | Path, sha256: str) -> str | None:
        keys.append(key)
        return put(store, key, content, sha256)

    monkeypatch.setattr(ObjectStore, "put", noted)
    return keys


def test_a_bucket_gets_the_files_of_the_run_and_lists_of_its_parts(
    run: WholeRun, bucket: Bucket
) -> None:
    (run.layout.folder / ".state").mkdir()
    (run.layout.folder / ".state" / "journal").write_bytes(b"never uploaded")
    result = upload(run.layout.folder, f"{bucket.address}/screened/")
    found, files = content_of(bucket, "screened/"), files_of(run)
    own = f"runs/{run.layout.run_id}/"
    beside = {key for key in found if key not in files}
    tables = ("results", "lookups", "errors", "changes")
    assert beside == {
        f"{own}{table}.{kind}"
        for table in tables
        for kind in ("uris.txt", "redshift.manifest")
        if run.layout.parts(table)
    }
    assert {key: found[key] for key in found.keys() - beside} == {
        key: files[key] for key in files if not key.startswith(".state")
    }
    assert result.to == f"{bucket.address}/screened"
    assert (result.objects, result.sent, result.removed) == (len(found), len(found), 0)
    assert result.bytes == sum(map(len, found.values()))


def test_lists_of_parts_have_addresses_and_sizes(run: WholeRun, bucket: Bucket) -> None:
    upload(run.layout.folder, f"{bucket.address}/a/b")
    own = f"a/b/runs/{run.layout.run_id}"
    parts = run.layout.parts("results")
    uris = [f"{bucket.address}/a/b/{part.relative_to(run.layout.folder)}" for part in parts]
    assert bucket.get(f"{own}/results.uris.txt").decode().splitlines() == uris
    assert json.loads(bucket.get(f"{own}/results.redshift.manifest")) == {
        "entries": [
            {"url": uri, "mandatory": True, "meta": {"content_length": part.stat().st_size}}
            for uri, part in zip(uris, parts, strict=True)
        ]
    }


def test_parts_go_first_and_the_marker_and_latest_last(
    run: WholeRun, bucket: Bucket, put_keys: list[str]
) -> None:
    upload(run.layout.folder, bucket.address)
    own = f"runs/{run.layout.run_id}"
    parts = [key for key in put_keys if key.endswith(".parquet")]
    assert put_keys[: len(parts)] == parts
    assert put_keys[-3:] == [f"{own}/manifest.json", f"{own}/_SUCCESS", "latest.json"]


def test_the_same_again_sends_nothing(run: WholeRun, bucket: Bucket, put_keys: list[str]) -> None:
    first = upload(run.layout.folder, bucket.address)
    put_keys.clear()
    second = upload(run.layout.run, bucket.address)
    assert (second.sent, second.objects, put_keys) == (0, first.objects, [])


@pytest.mark.parametrize("after", [pytest.param(3, marks=in_full), -2])
def test_a_stopped_upload_is_not_complete_and_goes_on(
    run: WholeRun, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    total = upload(run.layout.folder, f"{bucket.address}/whole").objects
    at = after % total
    sent = 0
    put = ObjectStore.put

    def stopping(store: ObjectStore, key: str, content: bytes | Path, sha256: str) -> str | None:
        nonlocal sent
        if sent == at:
            raise KeyboardInterrupt
        sent += 1
        return put(store, key, content, sha256)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "put", stopping)
        with pytest.raises(KeyboardInterrupt):
            upload(run.layout.folder, f"{bucket.address}/stopped")
    there = [key for key in bucket.keys if key.startswith("stopped/")]
    assert len(there) == at
    assert not any(key.endswith("_SUCCESS") for key in there)
    result = upload(run.layout.folder, f"{bucket.address}/stopped")
    assert (result.sent, result.objects) == (total - at, total)
    every = {
        key: content.replace(b"/stopped/", b"/whole/")
        for key, content in content_of(bucket).items()
    }
    for key in (key for key in every if key.startswith("whole/")):
        assert every[key.replace("whole/", "stopped/")] == every[key]


def test_a_run_written_anew_takes_the_place_of_the_earlier(
    run: WholeRun, bucket: Bucket, put_keys: list[str]
) -> None:
    upload(run.layout.folder, bucket.address)
    part = f"results/run_date={run.layout.run_date}/{run.layout.run_id}"
    other = part.replace(run.layout.run_id, f"{run.layout.run_id}-2")
    bucket.put(f"{part}-00099.parquet", b"of an earlier version")
    bucket.put(f"{other}-00000.parquet", b"of another run")
    run.rewrite("results", lambda frame: frame.with_columns(in_id=pl.lit("new")))
    put_keys.clear()
    result = upload(run.layout.folder, bucket.address)
    assert result.removed == 1
    keys = bucket.keys
    assert f"{part}-00099.parquet" not in keys
    assert f"{other}-00000.parquet" in keys
    assert put_keys[-2:] == [f"runs/{run.layout.run_id}/_SUCCESS", "latest.json"]
    assert bucket.get(put_keys[-2]) == run.layout.marker.read_bytes()


def test_the_earlier_marker_goes_before_anything_is_replaced(
    run: WholeRun, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(run.layout.folder, bucket.address)
    run.rewrite("results", lambda frame: frame.with_columns(in_id=pl.lit("new")))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ObjectStore, "put", fail)
    with pytest.raises(KeyboardInterrupt):
        upload(run.layout.folder, bucket.address)
    assert not any(key.endswith("_SUCCESS") for key in bucket.keys)


def test_latest_json_is_the_run_written_last_or_the_only_one(run: WholeRun, bucket: Bucket) -> None:
    latest = json.loads(run.layout.latest.read_bytes())
    run.layout.latest.write_text(json.dumps({**latest, "run_id": "20261124-0123456789"}))
    upload(run.layout.run, bucket.address)
    assert json.loads(bucket.get("latest.json")) == latest
    bucket.put("latest.json", b"{}")
    upload(run.layout.run, bucket.address)
    assert bucket.get("latest.json") == b"{}"


def test_what_arrives_otherwise_is_removed_and_said(
    run: WholeRun, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ObjectStore.put

    def damaged(store: ObjectStore, key: str, content: bytes | Path, sha256: str) -> str | None:
        if key.endswith("summary.json"):
            content = b"x" * Path(str(content)).stat().st_size
        return put(store, key, content, sha256)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "put", damaged)
        with pytest.raises(OutputError) as error:
            upload(run.layout.folder, bucket.address)
    key = f"runs/{run.layout.run_id}/summary.json"
    assert str(error.value) == (
        f"{bucket.address}/{key}: what lies there is not what was sent, so it was removed; start "
        f"again (run {run.layout.run_id} is complete here, and the same command goes on)"
    )
    assert error.value.exit_code == ExitCode.CANNOT_WRITE
    assert key not in bucket.keys
    upload(run.layout.folder, bucket.address)
    assert bucket.get(key) == run.layout.summary.read_bytes()


def test_a_run_that_is_written_anew_meanwhile_is_not_complete_there(
    run: WholeRun, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ObjectStore.put

    def cleared(store: ObjectStore, key: str, content: bytes | Path, sha256: str) -> str | None:
        if "lookups/" in key:
            shutil.rmtree(run.layout.folder / "lookups")
        return put(store, key, content, sha256)

    monkeypatch.setattr(ObjectStore, "put", cleared)
    with pytest.raises(InputError, match="is being written anew, and lookups/") as error:
        upload(run.layout.folder, bucket.address)
    assert error.value.exit_code == ExitCode.CONTENT
    assert not any(key.endswith("_SUCCESS") for key in bucket.keys)


@pytest.mark.parametrize(("status", "exit_code"), [(403, 73), (404, 73), (503, 69)])
def test_a_bucket_that_refuses_leaves_the_run_as_it_is(
    run: WholeRun, monkeypatch: pytest.MonkeyPatch, status: int, exit_code: int
) -> None:
    monkeypatch.setattr(objects, "_RETRIES", {**objects._RETRIES, "max_retries": 0})

    def respond(request: BaseHTTPRequestHandler) -> None:
        answer(request, 404 if request.command in ("HEAD", "GET") else status)

    with scripted(respond) as url:
        use(monkeypatch, url)
        with pytest.raises(OutputError, match="complete here, and the same command") as error:
            upload(run.layout.folder, "s3://bucket")
    assert error.value.exit_code == exit_code
    assert run.validate().is_whole


@pytest.mark.parametrize("to", ["screened", "https://host/x", "s3://", "s3://id:secret@bucket/x"])
def test_an_address_that_is_no_bucket_is_refused(run: WholeRun, to: str) -> None:
    with pytest.raises(ConfigurationError, match="names no bucket; write s3://") as error:
        upload(run.layout.folder, to)
    assert "secret" not in str(error.value)


def test_only_what_is_complete_and_whole_is_uploaded(run: WholeRun, bucket: Bucket) -> None:
    part = run.layout.part("results", 0)
    content = part.read_bytes()
    part.write_bytes(content[:-1] + b"?")
    with pytest.raises(InputError, match="is not what was written"):
        upload(run.layout.folder, bucket.address)
    part.write_bytes(content)
    run.layout.marker.unlink()
    with pytest.raises(InputError, match="is not complete, so it is not uploaded"):
        upload(run.layout.folder, bucket.address)
    shutil.rmtree(run.layout.run)
    with pytest.raises(InputError):
        upload(run.layout.folder, bucket.address, run.layout.run_id)
    assert bucket.keys == []


def test_digests_are_noted_beside_the_objects(run: WholeRun, bucket: Bucket) -> None:
    upload(run.layout.folder, bucket.address)
    store = ObjectStore(bucket.address, bucket.address)
    for key in bucket.keys:
        found = store.head(key)
        assert found
        assert found.sha256 == hashlib.sha256(bucket.get(key)).hexdigest()
