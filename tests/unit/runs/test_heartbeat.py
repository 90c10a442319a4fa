from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
from msgspec.structs import replace

from batch_screen.runs import heartbeat
from batch_screen.runs.events import Silent
from batch_screen.runs.heartbeat import Heartbeat, HeartbeatWriter, read_heartbeat


class Heard(Silent):
    """A progress that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self.heard.append((name, total, done))

    def advance(self, count: int) -> None:
        self.heard.append(count)

    def note(self, message: str) -> None:
        self.heard.append(message)

    def close(self) -> None:
        self.heard.append("closed")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def read(folder: Path) -> Heartbeat:
    found = read_heartbeat(folder)
    assert found is not None
    return found


def test_all_is_passed_on(tmp_path: Path) -> None:
    heard = Heard()
    telling = HeartbeatWriter(heard, tmp_path)
    telling.stage("asking", total=9, done=2)
    telling.advance(3)
    telling.note("a word")
    telling.close()
    telling.end()
    assert heard.heard == [("asking", 9, 2), 3, "a word", "closed"]


def test_others_read_how_far_it_is_and_how_fast(tmp_path: Path) -> None:
    clock = Clock()
    telling = HeartbeatWriter(Silent(), tmp_path, clock)
    telling.identify("20261123-0123456789")
    telling.stage("asking", total=1_000, done=100)
    assert (read(tmp_path).done, read(tmp_path).per_second) == (100, 0)
    assert read(tmp_path).seconds_left is None
    clock.now += 5
    telling.advance(50)
    telling.advance(50)
    assert read(tmp_path).done == 100  # not at every word
    telling.beat()
    found = read(tmp_path)
    assert (found.run_id, found.stage, found.total) == ("20261123-0123456789", "asking", 1_000)
    assert (found.done, found.per_second, found.seconds_left) == (200, 20, 40)
    assert replace(found, per_second=1e-320).seconds_left is None  # longer than can be said
    assert found.age_seconds(found.at + timedelta(seconds=7)) == 7
    assert (tmp_path / "progress.json").stat().st_mode & 0o777 == 0o600
    telling.end()
    assert list(tmp_path.iterdir()) == []


def test_the_pace_is_that_of_the_last_minute(tmp_path: Path) -> None:
    clock = Clock()
    telling = HeartbeatWriter(Silent(), tmp_path, clock)
    telling.stage("asking", total=100_000)
    for second in range(300):
        clock.now += 1
        telling.advance(1 if second < 200 else 50)
        telling.beat()
    assert read(tmp_path).per_second == pytest.approx(50, rel=0.05)
    telling.stage("writing", total=3)
    assert (read(tmp_path).done, read(tmp_path).per_second) == (0, 0)
    telling.end()


def test_what_does_not_advance_grows_old(tmp_path: Path) -> None:
    telling = HeartbeatWriter(Silent(), tmp_path)
    telling.stage("asking", total=9)
    before = read(tmp_path)
    telling.beat()
    assert read(tmp_path) == before
    telling.advance(1)
    telling.beat()
    assert read(tmp_path).at > before.at
    telling.end()


def test_a_thread_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_EVERY_SECONDS", 0.001)
    telling = HeartbeatWriter(Silent(), tmp_path)
    telling.stage("asking", total=9)
    telling.advance(4)
    deadline = monotonic() + 10
    while read(tmp_path).done != 4:
        assert monotonic() < deadline
        sleep(0.001)
    telling.end()
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff", b'{"pid": 1}'])
def test_what_a_power_cut_leaves_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "progress.json").write_bytes(content)
    assert read_heartbeat(tmp_path) is None


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    telling = HeartbeatWriter(Silent(), tmp_path / "gone")
    telling.stage("asking", total=3)
    telling.advance(1)
    telling.beat()
    telling.end()
    assert read_heartbeat(tmp_path / "gone") is None
