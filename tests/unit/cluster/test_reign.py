from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batch_screen.cluster import reign
from batch_screen.cluster.reign import Follower, Reign, latest_reign, living, prove, reigning
from batch_screen.errors import OutputError, RunLockedError
from batch_screen.runs.events import RunEvents, Silent
from batch_screen.storage.objects import ObjectStore
from tests.buckets import Bucket, Faults, faulty, use
from tests.e2e.conftest import until


class Notes(Silent):
    """The lines that a user is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    return ObjectStore(bucket.address, bucket.address, OutputError)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenths of a second in the place of seconds."""
    for name, seconds in (
        ("BEAT", 0.05),
        ("HOLD", 0.5),
        ("TAKE", 0.8),
        ("_LOOK", 0.05),
        ("SETTLE", 0.3),
    ):
        monkeypatch.setattr(reign, f"{name}_SECONDS", seconds)


def of_another_machine(bucket: Bucket, number: int) -> None:
    """As if that machine had been lost."""
    key = f"p/reigns/{number:08d}"
    found = msgspec.json.decode(bucket.get(key), type=Reign)
    bucket.put(key, msgspec.json.encode(msgspec.structs.replace(found, machine="another")))


@pytest.mark.usefixtures("quick")
def test_one_after_the_other(store: ObjectStore, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with reigning(store, "p/", tmp_path, RunEvents()) as ruler:
            assert ruler.number == number
            assert ruler.is_held
            assert living(store, "p/") is not None
        assert living(store, "p/") is None
    found = latest_reign(store, "p/")
    assert found is not None
    assert found[1] is not None
    assert found[1].has_ended


@pytest.mark.usefixtures("quick")
def test_who_beats_is_not_disturbed(store: ObjectStore, tmp_path: Path) -> None:
    events = RunEvents()
    with (
        reigning(store, "p/", tmp_path, events) as ruler,
        pytest.raises(RunLockedError, match=r"another run holds .*\(process \d+ on .*, since 20"),
        reigning(store, "p/", tmp_path, RunEvents()),
    ):
        pass
    assert ruler.number == 1
    assert not events.stop.is_requested


@pytest.mark.usefixtures("quick")
def test_who_is_not_heard_is_taken_over_and_leaves(
    store: ObjectStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = RunEvents()
    with reigning(store, "p/", tmp_path, events) as first:
        until(lambda: f"p/beats/{1:08d}" in bucket.keys)
        put: Callable[[], None] = first._put
        monkeypatch.setattr(first, "_put", lambda **_: time.sleep(2.5))  # frozen
        until(lambda: not first.is_held)
        with reigning(store, "p/", tmp_path, RunEvents()) as second:
            assert second.number == 2
            monkeypatch.setattr(first, "_put", put)
            until(lambda: events.stop.is_requested)
            assert not first.is_held
            until(lambda: second.is_held)
    with pytest.raises(RunLockedError, match="another machine has taken over"):
        events.stop.check()


@pytest.mark.usefixtures("quick")
def test_a_lost_machine_is_waited_for_a_dead_process_of_this_one_is_not(
    store: ObjectStore, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reign.Ruler, "end", lambda self: self._has_ended.set())  # killed
    with reigning(store, "p/", tmp_path, RunEvents()):
        pass
    time.sleep(0.2)  # the last beat is through
    of_another_machine(bucket, 1)
    began, notes = time.monotonic(), Notes()
    with reigning(store, "p/", tmp_path, RunEvents(notes)) as ruler:
        assert ruler.number == 2
    assert time.monotonic() - began > 0.7
    [line] = notes.lines
    assert "for a sign of life" in line

    time.sleep(0.2)
    monkeypatch.setattr(reign, "is_dead", lambda _: True)
    notes = Notes()
    with reigning(store, "p/", tmp_path, RunEvents(notes)) as ruler:
        assert ruler.number == 3
    assert notes.lines == []


@pytest.mark.usefixtures("quick")
def test_a_beat_between_the_last_look_and_the_claim_is_waited_out(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reign, "SETTLE_SECONDS", 0.05)
    put, put_new, is_away = reign.Ruler._put, ObjectStore.put_new, threading.Event()

    def put_if_there(ruler: reign.Ruler, **how: bool) -> None:
        if ruler.number == 1 and is_away.is_set():
            raise OutputError("away")
        put(ruler, **how)

    def claim_late(own: ObjectStore, key: str, *content: Any) -> bool:
        if key == f"p/reigns/{2:08d}":
            is_away.clear()
            until(lambda: first.is_held)  # a beat comes through
            is_away.set()
        return put_new(own, key, *content)

    monkeypatch.setattr(reign.Ruler, "_put", put_if_there)
    monkeypatch.setattr(ObjectStore, "put_new", claim_late)
    with reigning(store, "p/", tmp_path, RunEvents()) as first:
        until(lambda: f"p/beats/{1:08d}" in [item.key for item in store.keys("p")])
        is_away.set()
        until(lambda: not first.is_held)
        with reigning(store, "p/", tmp_path, RunEvents()) as second:
            while not second.is_held:
                time.sleep(0.01)
            assert not first.is_held


@pytest.mark.usefixtures("quick")
def test_damage_and_other_names_end_no_start(
    store: ObjectStore, bucket: Bucket, tmp_path: Path
) -> None:
    with reigning(store, "p/", tmp_path, RunEvents()):
        pass
    for name in ("reigns/.DS_Store", "reigns/x/00000009", "reigns/123456789"):
        bucket.put(f"p/{name}", b"")
    bucket.put(f"p/beats/{1:08d}", b"\xff")
    assert (latest_reign(store, "p/") or ())[1:] == (None,)
    for number, content in ((2, b"{"), (4, bucket.get(f"p/reigns/{1:08d}"))):
        bucket.put(f"p/reigns/{number:08d}", content)
        notes = Notes()
        assert living(store, "p/") is None
        with reigning(store, "p/", tmp_path, RunEvents(notes)) as ruler:
            assert ruler.number == number + 1
        assert "for a sign of life" in notes.lines[0]  # nobody knows whose it is


@pytest.mark.usefixtures("quick")
def test_a_bucket_that_is_away_silences_and_then_ends_the_run(
    bucket: Bucket,
    bucket_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reign, "_AWAY_SECONDS", 1.0)
    faults, events = Faults(), RunEvents()
    monkeypatch.setattr("batch_screen.storage.objects._RETRIES", {"max_retries": 0})
    with faulty(bucket_server, faults) as url:
        use(monkeypatch, url)
        store = ObjectStore(bucket.address, bucket.address, OutputError)
        with reigning(store, "p/", tmp_path, events) as ruler:
            faults.is_away = True
            until(lambda: not ruler.is_held)
            assert not events.stop.is_requested
            until(lambda: events.stop.is_requested)
            faults.is_away = False
    with pytest.raises(OutputError, match="HTTP 503") as raised:
        events.stop.check()
    assert raised.value.exit_code == 69


@pytest.mark.usefixtures("quick")
def test_workers_are_silent_before_the_next_reign_asks(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reign, "SETTLE_SECONDS", 1.0)
    monkeypatch.setattr(reign.Ruler, "end", lambda self: self._has_ended.set())  # killed
    with reigning(store, "p/", tmp_path, RunEvents()):
        worker = Follower(store, "p/")
        assert worker.is_held
    monkeypatch.setattr(reign, "is_dead", lambda _: True)
    with reigning(store, "p/", tmp_path, RunEvents()) as ruler:
        assert not ruler.is_held
        until(lambda: not worker.is_held)
        assert not ruler.is_held
        until(lambda: ruler.is_held)
        assert not worker.is_held


def test_a_bucket_proves_that_it_creates_once(
    store: ObjectStore, bucket: Bucket, bucket_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(store, "p/")
    assert bucket.keys == []
    with faulty(bucket_server, Faults(ignores_conditions=True)) as url:
        use(monkeypatch, url)
        careless = ObjectStore(bucket.address, bucket.address, OutputError)
        with pytest.raises(OutputError, match="writes over an object"):
            prove(careless, "p/")
    assert bucket.keys == []
