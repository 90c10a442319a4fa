from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from batch_screen.cli.progress import Bar, ProgressLines, watcher
from batch_screen.runs.events import Progress

NUMBER = "+491713920012"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def heard(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines since the last call; nothing may go to stdout."""

    def read() -> list[str]:
        seen = capsys.readouterr()
        assert not seen.out
        return seen.err.splitlines()

    return read


def test_a_line_for_each_stage_and_one_every_so_often(heard: Callable[[], list[str]]) -> None:
    clock = Clock()
    heartbeat = ProgressLines(30, clock)
    heartbeat.stage("asking", total=12_000, done=2_000)
    assert heard() == ["asking: 2,000 of 12,000 lookups"]
    clock.now = 29.9
    heartbeat.advance(500)
    assert heard() == []
    clock.now = 30.0
    heartbeat.advance(100)
    assert heard() == ["asking: 2,600 of 12,000 lookups, 20/s"]  # those of this start
    heartbeat.advance(100)
    assert heard() == []
    clock.now = 60.0
    heartbeat.advance(2_300)
    assert heard() == ["asking: 5,000 of 12,000 lookups, 50/s"]
    heartbeat.close()
    assert heard() == []


def test_every_stage_counts_afresh(heard: Callable[[], list[str]]) -> None:
    clock = Clock()
    heartbeat = ProgressLines(10, clock)
    heartbeat.stage("reading")
    clock.now = 20.0
    heartbeat.advance(5_000)
    heartbeat.stage("writing", total=3)
    clock.now = 31.0
    heartbeat.advance(1)
    assert heard() == [
        "reading: 0 rows",
        "reading: 5,000 rows, 250/s",
        "writing: 0 of 3 parts",
        "writing: 1 of 3 parts, 0/s",
    ]
    heartbeat.close()


def test_a_stage_of_another_name_has_no_unit(heard: Callable[[], list[str]]) -> None:
    heartbeat = ProgressLines(10)
    heartbeat.stage("thinking")
    heartbeat.close()
    assert heard() == ["thinking: 0"]


@pytest.mark.parametrize("progress", [Bar(), ProgressLines(1)])
def test_notes_are_masked(progress: Progress, heard: Callable[[], list[str]]) -> None:
    progress.note(f"about {NUMBER}")
    assert heard() == ["about +4917••••••12"]


def test_a_bar_for_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar()
    bar.advance(1)  # before any stage: nothing to show, nothing to fail
    bar.stage("asking", total=10, done=4)
    bar.advance(3)
    bar.stage("writing", total=2)
    bar.advance(2)
    bar.close()
    bar.close()
    bar.advance(1)
    shown = capsys.readouterr().err
    assert "asking:  40%" in shown
    assert "4/10" in shown
    assert "writing:   0%" in shown
    assert "\n" not in shown.rstrip("\n")  # finished bars leave no line


def test_the_watcher_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with watcher(30) as progress:
        assert isinstance(progress, Bar)


def test_the_watcher_fits_a_log(heard: Callable[[], list[str]]) -> None:
    with watcher(30) as progress:
        progress.stage("reading")
    assert isinstance(progress, ProgressLines)
    assert heard() == ["reading: 0 rows"]


def test_the_watcher_is_closed_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    closed = []

    def fail() -> None:
        with watcher(30) as progress:
            progress.stage("asking", total=1)
            closed.append(progress)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert closed[0]._bar is None


class Dead:
    """A stderr whose reader has gone, or whose disk is full."""

    encoding = "utf-8"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def write(self, _: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "gone"), OSError(28, "full"), ValueError("closed")]
)
def test_a_dead_stderr_ends_nothing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(sys, "stderr", Dead(error))
    for progress in (Bar(), ProgressLines(0.0)):
        progress.stage("asking", total=3)
        progress.advance(1)
        progress.note("hello")
        progress.close()


def test_a_pause_is_no_silence(heard: Callable[[], list[str]]) -> None:
    clock = Clock()
    heartbeat = ProgressLines(30, clock)
    heartbeat.stage("asking", total=10)
    clock.now = 29.9
    heartbeat.beat()
    assert heard() == ["asking: 0 of 10 lookups"]
    clock.now = 30.0
    heartbeat.beat()
    heartbeat.beat()
    assert heard() == ["asking: 0 of 10 lookups, 0/s"]
    heartbeat.close()
    clock.now = 90.0
    heartbeat.beat()
    assert heard() == []


def test_the_timer_beats_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat, twice = ProgressLines(0.001), threading.Semaphore(0)
    monkeypatch.setattr(heartbeat, "_say", lambda event: twice.release())
    heartbeat.stage("asking")
    assert twice.acquire(timeout=10)
    assert twice.acquire(timeout=10)
    heartbeat.close()
    assert heartbeat._timer is not None
    heartbeat._timer.join(timeout=10)
    assert not heartbeat._timer.is_alive()


@pytest.fixture(autouse=True)
def _no_heart_beats_on() -> Iterator[None]:
    yield
    beating = [t for t in threading.enumerate() if t.name == "heartbeat" and t.is_alive()]
    for thread in beating:
        thread.join(timeout=1)
    assert not any(thread.is_alive() for thread in beating), "a test has left a heartbeat"
