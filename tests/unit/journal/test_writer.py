from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from batch_screen.journal import writer as commit_module
from batch_screen.journal.segments import Replay, SegmentWriter
from batch_screen.journal.writer import COMMIT_RECORDS, Entry, GroupCommit
from batch_screen.model import Endpoint, Outcome

RUN = "20261123-c0ffee0000"


def outcome(i: int) -> Outcome:
    return Outcome(f"+4477009{i:05d}", Endpoint.SIM_SWAP_CHECK, 2400)


class Saving:
    """A group commit on disk and what it has reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batches: list[list[Entry]] = []
        self.failures: list[Exception] = []
        self.writer = SegmentWriter(folder, RUN)
        self.commit = GroupCommit(
            self.writer,
            on_saved=self.batches.append,
            on_failure=self.failures.append,
        )

    def save(self, shard: int, record: Outcome) -> None:
        self.writer.note(shard, record)
        self.commit.append([(shard, record)])

    @property
    def saved(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch]

    def on_disk(self, shard: int) -> list[object]:
        return list(Replay(self.folder, RUN, shard))


@pytest.fixture
def saving(tmp_path: Path) -> Saving:
    return Saving(tmp_path)


def test_everything_is_saved_in_order_and_counted_once(saving: Saving) -> None:
    entries: list[Entry] = [(i % 3, outcome(i)) for i in range(2000)]
    for shard, record in entries:
        saving.save(shard, record)
    saving.commit.close()
    assert saving.saved == entries
    assert len(saving.batches) <= 20
    for shard in range(3):
        assert saving.on_disk(shard) == [r for s, r in entries if s == shard]
    assert saving.failures == []


def test_what_has_been_counted_is_on_disk_already(tmp_path: Path) -> None:
    seen: list[bool] = []

    def check(entries: list[Entry]) -> None:
        on_disk = list(Replay(tmp_path, RUN, 0))
        seen.append(all(record in on_disk for _, record in entries))

    writer = SegmentWriter(tmp_path, RUN)
    commit = GroupCommit(writer, on_saved=check, on_failure=lambda _: seen.append(False))
    for i in range(100):
        writer.note(0, outcome(i))
        commit.append([(0, outcome(i))])
    commit.close()
    assert seen
    assert all(seen)


def test_it_is_saved_without_being_closed(saving: Saving) -> None:
    arrived = threading.Event()
    saving.commit._on_saved = lambda _: arrived.set()
    saving.save(0, outcome(0))
    assert arrived.wait(5)
    saving.commit.close()


def test_outcomes_that_come_together_are_synced_together(
    saving: Saving, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    for i in range(COMMIT_RECORDS):
        saving.save(0, outcome(i))
    saving.commit.close()
    assert 1 <= len(syncs) <= 3


def test_nothing_to_save_saves_nothing(saving: Saving) -> None:
    saving.commit.close()
    assert saving.saved == []
    assert list(saving.folder.iterdir()) == []


def test_the_first_failure_is_told_once_and_nothing_more_counts(
    saving: Saving, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(28, "No space left on device")

    def fail(_descriptor: int) -> None:
        raise error

    saving.writer.note(0, outcome(0))
    monkeypatch.setattr(os, "fdatasync", fail)
    saving.commit.append([(0, outcome(0))])
    saving.commit._thread.join(5)
    assert not saving.commit._thread.is_alive()
    monkeypatch.undo()
    for i in range(1000):
        saving.commit.append([(0, outcome(i))])
    saving.commit.close()
    assert saving.failures == [error]
    assert saving.saved == []


def test_a_failure_after_some_batches_leaves_those_counted(
    saving: Saving, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving.save(0, outcome(0))
    while not saving.saved:
        threading.Event().wait(0.005)

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    saving.writer.note(0, outcome(1))
    monkeypatch.setattr(os, "fdatasync", fail)
    saving.commit.append([(0, outcome(1))])
    saving.commit.close()
    assert saving.saved == [(0, outcome(0))]
    assert len(saving.failures) == 1
    assert saving.on_disk(0)[0] == outcome(0)


def test_a_bug_in_the_saving_thread_is_a_failure_too(
    saving: Saving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(_shard: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(saving.writer, "sync", bug)
    saving.save(0, outcome(0))
    saving.commit.close()
    assert [type(failure) for failure in saving.failures] == [ZeroDivisionError]
    assert saving.saved == []


def test_many_that_wait_are_saved_without_waiting_for_more(
    saving: Saving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_module, "COMMIT_SECONDS", 60)
    arrived = threading.Event()
    saving.commit._on_saved = lambda _: arrived.set()
    saving.save(0, outcome(0))
    assert not arrived.wait(0.1)
    for _ in range(2):  # as often as there are enough again
        saving.writer.note(0, outcome(1))
        saving.commit.append([(0, outcome(1))] * COMMIT_RECORDS)
        assert arrived.wait(5)
        arrived.clear()
    saving.commit.close()


def test_an_answer_is_at_risk_for_less_than_a_tenth_of_a_second() -> None:
    assert commit_module.COMMIT_SECONDS <= 0.05
