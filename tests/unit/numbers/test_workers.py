from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from batch_screen.config.screening import Numbers
from batch_screen.numbers import workers
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.workers import judge

CELLS = [
    ("0171 3920012 ext. 5", None),
    ("tel:+44-7400-123456", "GB"),
    (None, None),
    ("n/a", "?"),
] * 3


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that are started, all of which really run."""
    commands: list[list[str]] = []
    run = subprocess.run

    def noted(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", noted)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return commands


def test_many_cells_are_judged_in_processes_as_few_are_here(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    normaliser = Normaliser(Numbers(vanity_letters=True), "DE")
    here = judge(CELLS, normaliser)
    assert started == []
    assert here[0] == ("+491713920012", "DE", "mobile", "national+extension_dropped", None, None)
    monkeypatch.setattr(workers, "MANY", 4)
    assert judge(CELLS, normaliser) == here
    assert len(started) == 2
    assert all(command[1:] == ["-P", "-m", "batch_screen.numbers.workers"] for command in started)


def test_a_process_is_made_of_the_same_modules(
    started: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever lies in the folder where it is started: it gets the list."""
    (tmp_path / "phonenumbers.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "MANY", 4)
    found = judge(CELLS, Normaliser(Numbers(), "DE"))
    assert found[0][0] == "+491713920012"
    assert len(started) == 2
    assert caplog.text == ""


@pytest.mark.parametrize("answer", [b"[]", b"[[1]]", b"Traceback", b""])
def test_an_answer_that_is_none_is_done_without(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    normaliser = Normaliser(Numbers(), "DE")
    here = judge(CELLS, normaliser)
    done = subprocess.CompletedProcess[bytes]([], 0, answer)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(workers, "MANY", 4)
    assert judge(CELLS, normaliser) == here


def test_a_process_that_fails_is_told_and_done_without(
    started: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(workers, "MANY", 4)
    monkeypatch.setattr("sys.executable", "/bin/false")
    normaliser = Normaliser(Numbers(), "DE")
    went_on = judge(CELLS, normaliser)
    monkeypatch.setattr(workers, "MANY", len(CELLS) + 1)
    assert went_on == judge(CELLS, normaliser)
    assert "a normalisation process ended with 1" in caplog.text
    assert "3920012" not in caplog.text
