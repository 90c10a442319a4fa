from __future__ import annotations

import subprocess
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
    assert all(command[1:] == ["-m", "batch_screen.numbers.workers"] for command in started)


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
