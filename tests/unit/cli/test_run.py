from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_screen.cli import log, run
from batch_screen.cli.run import SessionConsole
from batch_screen.commands.run import RunResult
from batch_screen.config.sections import Output
from batch_screen.config.settings import Settings
from batch_screen.errors import AuthenticationError
from batch_screen.runs.layout import Layout
from batch_screen.tables.summary import Judgement, Summary

RUN_ID = "20261123-0123456789"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(output=Output(summary_file=str(tmp_path / "last.json")))


@pytest.fixture
def screened(summary: Callable[..., Summary], tmp_path: Path) -> RunResult:
    crossed = Judgement("rows < 9000", 1_250, crossed=True)
    judged = summary(thresholds=[crossed], exit_code=3)
    return RunResult(judged, Layout(tmp_path / "out", RUN_ID, "2026-11-23"))


def test_a_start_that_comes_to_its_end(
    settings: Settings, screened: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    log.choose(log.JSON)
    begun = SessionConsole("run", settings, as_json=True)
    with begun.reported():
        begun.name_run(RUN_ID)
        begun.result = screened
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told == json.loads(Path(settings.output.summary_file).read_bytes())
    assert (told["status"], told["exit_code"], told["run_id"]) == ("complete", 3, RUN_ID)
    [finished] = map(json.loads, said.err.splitlines())
    assert (finished["event"], finished["exit_code"], finished["run_id"]) == (
        "finished",
        3,
        RUN_ID,
    )
    assert finished["crossed"] == ["rows < 9000: crossed, 1,250 seen"]


def test_in_text_the_block_says_it_all(
    settings: Settings, screened: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = SessionConsole("run", settings, as_json=False)
    with begun.reported():
        begun.result = screened
    said = capsys.readouterr()
    assert f"run {RUN_ID}" in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (AuthenticationError("no key of +491713920012"), 77, "no key of +4917••••••12"),
        (KeyError("x"), 1, "this is a bug, please report it: KeyError at test_run.py"),
        (MemoryError(), 71, "a system resource ran out: MemoryError"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_whatever_ends_it_is_told_and_goes_on(
    settings: Settings, error: BaseException, code: int, cause: str
) -> None:
    begun = SessionConsole("run", settings, as_json=False)
    begun.run_date = "2026-11-23"
    with pytest.raises(type(error)), begun.reported():
        raise error
    told = json.loads(Path(settings.output.summary_file).read_bytes())
    assert (told["status"], told["exit_code"], told["run_date"]) == ("failed", code, "2026-11-23")
    assert cause in told["stopped"]["cause"]


def test_what_cannot_be_shown_is_told_all_the_same(
    settings: Settings, screened: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "closing_block", fail)
    begun = SessionConsole("run", settings, as_json=False)
    with pytest.raises(ZeroDivisionError), begun.reported():
        begun.result = screened
    assert Path(settings.output.summary_file).exists()


def test_a_file_that_is_lacking_in_the_end_is_no_success(
    settings: Settings, screened: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = SessionConsole("run", settings, as_json=False)
    with begun.reported():
        begun.result = screened
        Path(settings.output.summary_file).mkdir()
        (Path(settings.output.summary_file) / "x").touch()
    assert "cannot write" in capsys.readouterr().err
    assert [begun.exit_code(code) for code in (0, 3)] == [73, 3]
