from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batch_screen
from batch_screen.commands.validate import runs_in, validate
from batch_screen.errors import InputError
from batch_screen.runs.events import RunEvents, Silent
from batch_screen.runs.layout import LOOKUPS, RESULTS
from tests.thoroughness import examples
from tests.unit.tables.whole_run import WholeRun, digests, new_whole_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"))


def test_the_latest_run_is_taken(run: WholeRun) -> None:
    found = validate(str(run.layout.folder))
    assert (found.run_id, found.folder) == (run.layout.run_id, str(run.layout.folder))
    assert found.is_whole


def test_a_runs_own_folder_will_do(run: WholeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert validate(run.layout.run).is_whole
    monkeypatch.chdir(run.layout.run)
    assert validate(".").is_whole
    monkeypatch.chdir(run.layout.folder)
    assert validate(".").is_whole
    assert validate(f"runs/{run.layout.run_id}/").is_whole


def test_a_copy_elsewhere_will_do(run: WholeRun, tmp_path: Path) -> None:
    assert validate(run.copy(tmp_path / "elsewhere").layout.folder).is_whole


def test_it_is_public(run: WholeRun) -> None:
    found = batch_screen.validate(run.layout.folder)
    assert isinstance(found, batch_screen.Validation)
    assert all(isinstance(check, batch_screen.VerifyCheck) for check in found.checks)


def test_nothing_is_written(run: WholeRun) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.layout.folder.rglob("*")}
    assert validate(run.layout.folder).is_whole
    assert {path: path.stat().st_mtime_ns for path in run.layout.folder.rglob("*")} == before


@pytest.mark.parametrize(
    "run_id", ["20261123-0123456789", "../runs", "", "..", "20261123-0123456789/.."]
)
def test_a_run_that_is_not_there(run: WholeRun, run_id: str) -> None:
    with pytest.raises(InputError, match="there is no run") as caught:
        validate(run.layout.folder, run_id)
    assert caught.value.exit_code == 66


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for look in (validate, runs_in):
        with pytest.raises(InputError, match="there is no such folder") as caught:
            look(tmp_path / "nowhere")
        assert caught.value.exit_code == 66


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no latest\.json") as caught:
        validate(tmp_path)
    assert caught.value.exit_code == 66
    with pytest.raises(InputError, match="no run has written there") as caught:
        runs_in(tmp_path)
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("content", [b"", b"{}", b'{"run_id": "20261123-0123456789"}'])
def test_a_damaged_latest_is_no_missing_folder(
    run: WholeRun, tmp_path: Path, content: bytes
) -> None:
    copy = run.copy(tmp_path / "out")
    copy.layout.latest.write_bytes(content)
    with pytest.raises(InputError, match=r"latest\.json is damaged.*--run") as caught:
        validate(copy.layout.folder)
    assert caught.value.exit_code == 65


def test_all_runs(run: WholeRun, tmp_path: Path) -> None:
    copy = run.copy(tmp_path / "out")
    shutil.copytree(copy.layout.run, copy.layout.run.with_name("20261122-0123456789"))
    (copy.layout.run.parent / "notes").mkdir()
    assert runs_in(copy.layout.folder) == ["20261122-0123456789", copy.layout.run_id]
    assert runs_in(copy.layout.run) == [copy.layout.run_id]
    assert validate(copy.layout.folder, copy.layout.run_id).is_whole
    assert not validate(copy.layout.folder, "20261122-0123456789").is_whole


def test_progress_is_told(run: WholeRun) -> None:
    told: Counter[str] = Counter()
    totals: dict[str, int | None] = {}

    class Telling(Silent):
        def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
            totals[name] = total

        def advance(self, count: int) -> None:
            told[list(totals)[-1]] += count

    validate(run.layout.folder, events=RunEvents(Telling()))
    assert totals == told
    assert totals["comparing"] == 2


@examples(60)
@given(st.data())
def test_any_changed_byte_of_any_file_is_found(run: WholeRun, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(run.files())))
    held = path.read_bytes()
    at = data.draw(st.integers(0, len(held) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != held[at]))
    path.write_bytes(held[:at] + bytes([byte]) + held[at + 1 :])
    try:
        assert not run.validate().is_whole
    finally:
        path.write_bytes(held)


@examples(60)
@given(st.data())
def test_a_damaged_part_whose_digest_fits_never_ends_in_an_exception(
    run: WholeRun, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    copy = run.copy(tmp_path_factory.mktemp("damaged") / "out")
    path = copy.layout.part(data.draw(st.sampled_from([RESULTS, LOOKUPS])), 1)
    held = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(held) - 1))
    held[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(held)
    manifest = copy.manifest()
    entry = next(e for e in manifest["files"] if copy.layout.folder / e["path"] == path)
    entry.update(digests(path))
    copy.write_manifest(manifest)
    found = copy.validate()
    assert "files" in [check.name for check in found.checks]
    assert all("PanicException" not in d.what for check in found.checks for d in check.differences)
    shutil.rmtree(copy.layout.folder)


def test_files_that_are_all_empty(run: WholeRun, tmp_path: Path) -> None:
    copy = run.copy(tmp_path / "out")
    for path in copy.files():
        if path != copy.layout.latest:
            path.write_bytes(b"")
    found = copy.validate()
    assert [check.name for check in found.checks] == ["marker", "latest", "manifest"]
    assert not any(check.is_ok for check in found.checks)
