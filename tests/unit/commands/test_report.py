from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec.structs
import pytest

import batch_screen.commands.report as command
from batch_screen.commands.report import report
from batch_screen.errors import ConfigurationError, InputError, OutputError
from batch_screen.tables.summary import STOPPED, Ending, read_summary, write_summary
from tests.unit.tables.whole_run import WholeRun, new_whole_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(made: WholeRun, tmp_path: Path) -> WholeRun:
    return made.copy(tmp_path / "out")


def stop(run: WholeRun) -> None:
    """What a run leaves that was stopped."""
    told = read_summary(run.layout.summary)
    for path in run.files():
        path.unlink()
    ending = Ending("the account is empty", 4)
    write_summary(run.layout.summary, msgspec.structs.replace(told, status=STOPPED, stopped=ending))


def test_what_a_run_left_gives_the_page_it_wrote_itself(run: WholeRun, tmp_path: Path) -> None:
    own = run.layout.html.read_bytes()
    elsewhere = tmp_path / "page.html"
    told = report(run.layout.folder, path=elsewhere)
    assert elsewhere.read_bytes() == own
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert (told.bytes, told.sha256) == (len(own), hashlib.sha256(own).hexdigest())
    assert (told.run_id, told.status) == (run.layout.run_id, "complete")
    assert told.verdict.startswith("Complete, but 11.1 % of the lookups failed; ")
    assert told.breakdown is not None
    assert told.breakdown.numbers == 108
    assert told.verdict.endswith(f"{told.breakdown.signs.numbers} of 108 numbers deserve a look")
    assert run.validate().is_whole


@pytest.mark.parametrize("content", [None, b"<p>other</p>"])
def test_a_page_that_was_lost_or_changed_comes_back(run: WholeRun, content: bytes | None) -> None:
    run.layout.html.unlink()
    if content is not None:
        run.layout.html.write_bytes(content)
    assert not run.validate().is_whole
    told = report(run.layout.run)
    assert told.path == str(run.layout.html)
    assert run.validate().is_whole


def test_a_page_that_is_there_is_not_written_again(run: WholeRun) -> None:
    before = run.layout.html.stat().st_ino
    report(run.layout.folder, run.layout.run_id)
    assert run.layout.html.stat().st_ino == before


def test_another_version_does_not_make_a_whole_run_differ(
    run: WholeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "page", lambda _: b"<p>a later version</p>")
    with pytest.raises(OutputError, match=r"report.html is listed .* --write"):
        report(run.layout.folder)
    assert run.validate().is_whole
    report(run.layout.folder, path=tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == b"<p>a later version</p>"


@pytest.mark.parametrize("name", ["summary", "errors_csv", "part"])
def test_files_that_changed_are_not_reported_on(run: WholeRun, tmp_path: Path, name: str) -> None:
    layout = run.layout
    path = layout.part("results", 0) if name == "part" else getattr(layout, name)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=rf"{path.name}: its content changed.* validate") as caught:
        report(layout.folder, path=tmp_path / "page.html")
    assert caught.value.exit_code == 65
    assert not (tmp_path / "page.html").exists()


def test_a_manifest_that_does_not_fit_is_not_believed(run: WholeRun) -> None:
    run.layout.marker.write_bytes(b"0" * 64)
    with pytest.raises(InputError, match="_SUCCESS") as caught:
        report(run.layout.folder)
    assert caught.value.exit_code == 65


def test_a_stopped_run_says_so_and_becomes_no_complete_one(run: WholeRun) -> None:
    stop(run)
    told = report(run.layout.run)
    assert (told.status, told.breakdown) == ("stopped", None)
    written = run.layout.html.read_text("utf-8")
    assert "the account is empty (exit code 4)" in written
    assert f"--run-date {run.layout.run_date}" in written
    assert sorted(p.name for p in run.files()) == ["report.html", "summary.json"]
    report(run.layout.run)  # a second time, over the first


def test_a_run_that_was_killed_has_nothing_to_report(run: WholeRun) -> None:
    for path in (run.layout.marker, run.layout.summary):
        path.unlink()
        with pytest.raises(InputError, match="ended abruptly or is going on") as caught:
            report(run.layout.run)
        assert caught.value.exit_code == 65


def test_no_file_of_a_run_is_written_over(run: WholeRun) -> None:
    for path in (run.layout.summary, run.layout.folder / "results" / "page.html"):
        with pytest.raises(ConfigurationError, match="lies in the output folder"):
            report(run.layout.folder, path=path)
    assert run.validate().is_whole


def test_what_is_not_there(run: WholeRun, tmp_path: Path) -> None:
    for folder, run_id in (
        (tmp_path / "nowhere", None),
        (run.layout.folder, "20261123-0000000000"),
    ):
        with pytest.raises(InputError) as caught:
            report(folder, run_id)
        assert caught.value.exit_code == 66


def with_summary(run: WholeRun, change: Callable[[dict[str, Any]], object]) -> None:
    """A hostile run whose digests all fit."""
    summary = json.loads(run.layout.summary.read_bytes())
    change(summary)
    run.layout.summary.write_text(json.dumps(summary))
    run.relist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["rows"]["rejected_by_reason"].update({"odd\x1b[31m": 1}), "unknown reason"),
        (lambda s: s["endpoints"].update({"x/+4915112345678": next(iter(s["endpoints"].values()))}),
         "unknown endpoint"),
        (lambda s: next(iter(s["endpoints"].values()))["by_outcome"].update({"odd": 1}),
         "unknown outcome"),
        (lambda s: s["session"].update(pace={"step_seconds": 0, "attempts": [1]}), "steps"),
    ],
)  # fmt: skip
def test_a_hostile_run_is_refused_in_a_line(
    run: WholeRun, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with_summary(run, change)
    said = [d.what for check in run.validate().checks for d in check.differences]
    assert any(words in what for what in said)
    with pytest.raises(InputError, match=words) as error:
        report(run.layout.folder, path=run.layout.folder.parent / "page.html")
    assert error.value.exit_code == 65
    assert not {"\x1b", "\n"} & {*str(error.value)}
    assert "4915112345678" not in "".join((*said, str(error.value)))


def test_no_control_character_reaches_the_page(run: WholeRun) -> None:
    with_summary(run, lambda s: s.update(currency="\x1b[31mEUR\x9b", version="0\x07"))
    page = run.layout.folder.parent / "page.html"
    report(run.layout.folder, path=page)
    assert not {*page.read_text("utf-8")} & {"\x1b", "\x07", "\x9b"}
