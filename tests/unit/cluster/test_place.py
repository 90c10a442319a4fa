from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_screen.cluster.kept import pieces
from batch_screen.cluster.place import RunPlace
from batch_screen.errors import JournalError, OutputError
from batch_screen.journal.records import Record
from batch_screen.journal.segments import Replay, segments
from batch_screen.model import Endpoint, Intent
from batch_screen.storage.objects import ObjectStore, StoredObject
from tests.buckets import Bucket
from tests.threads import at_once

RUN = "20260302-0123456789"


def place(bucket: Bucket, folder: Path) -> RunPlace:
    """The run as one machine has it."""
    for name in ("journal", "sealed", "sessions"):
        (folder / RUN / name).mkdir(parents=True, exist_ok=True)
    store = ObjectStore(bucket.address, bucket.address, OutputError)
    return RunPlace(store, f"p/runs/{RUN}/", folder / RUN, None)


def note(number: int) -> Intent:
    return Intent(f"+44207946{number:04}", Endpoint.SIM_SWAP_CHECK, attempt=1)


def read(folder: Path, shard: int = 0) -> list[Record]:
    replay = Replay(folder / RUN / "journal", RUN, shard)
    found = list(replay)
    assert replay.dropped_bytes == 0
    return found


def restored(bucket: Bucket, folder: Path) -> RunPlace:
    """A machine that has read the journal from the bucket."""
    found = place(bucket, folder)
    for shard, there in pieces(found._kept.names("")).items():
        found._restore_shard(shard, there)
    return found


def test_pieces_in_a_row_are_the_segment(bucket: Bucket, tmp_path: Path) -> None:
    first = place(bucket, tmp_path / "a")
    writer = first.writer()
    assert writer.claim(0) == 0
    for number in range(5):
        writer.note(0, note(number))
        writer.sync(0)
        writer.sync(0)  # nothing new
    writer.note(0, note(5))  # closing keeps it, too
    writer.close()
    assert len(bucket.keys) == 7
    restored(bucket, tmp_path / "b")
    assert read(tmp_path / "b") == [note(number) for number in range(6)]


def test_two_owners_have_different_epochs_and_neither_loses_an_answer(
    bucket: Bucket, tmp_path: Path
) -> None:
    old, new = place(bucket, tmp_path / "a"), place(bucket, tmp_path / "b")
    writers = old.writer(), new.writer()
    assert [writer.claim(0) for writer in writers] == [0, 1]
    writers[1].note(0, note(1))
    writers[1].close()
    writers[0].note(0, note(0))  # it was taken for dead, and saves late
    writers[0].close()
    assert new.may_seal(0)
    assert read(tmp_path / "b") == [note(0), note(1)]


def test_contracts_of_one_process_that_claim_at_once_have_different_epochs(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = place(bucket, tmp_path / "a")
    writers = [own.writer() for _ in range(4)]
    look, barrier = ObjectStore.keys, threading.Barrier(4)

    def look_together(store: ObjectStore, folder: str) -> Iterator[StoredObject]:
        barrier.wait(30)  # none waits for another: all look before the first one takes it
        return look(store, folder)

    monkeypatch.setattr(ObjectStore, "keys", look_together)
    assert sorted(at_once(lambda n: writers[n].claim(0), range(4), threads=4)) == [0, 1, 2, 3]
    for number, writer in enumerate(writers):
        writer.note(0, note(number))
        writer.close()
    assert sorted(read(tmp_path / "a"), key=str) == [note(number) for number in range(4)]


def test_what_a_killed_process_has_noted_here_is_handed_in(bucket: Bucket, tmp_path: Path) -> None:
    writer = place(bucket, tmp_path / "a").writer()
    writer.claim(0)
    writer.note(0, note(0))
    writer.sync(0)
    writer.note(0, note(1))
    writer._open[0].file.close()  # type: ignore[attr-defined]  # killed
    [segment] = segments(tmp_path / "a" / RUN / "journal", 0)
    with segment.open("ab") as file:
        file.write(b"half a li")
    restored(bucket, tmp_path / "a")
    restored(bucket, tmp_path / "b")
    assert read(tmp_path / "b") == [note(0), note(1)]


def test_a_segment_of_the_same_name_from_elsewhere_is_kept_beside(
    bucket: Bucket, tmp_path: Path
) -> None:
    for name, number in (("a", 0), ("b", 1)):
        other = Bucket(bucket.client, f"{bucket.name}-{name}") if name == "b" else bucket
        writer = place(other, tmp_path / name).writer()
        assert writer.claim(0) == 0
        writer.note(0, note(number))
        writer.close()
    restored(bucket, tmp_path / "b")
    assert sorted(read(tmp_path / "b"), key=str) == [note(0), note(1)]
    restored(bucket, tmp_path / "c")
    assert sorted(read(tmp_path / "c"), key=str) == [note(0), note(1)]


def test_a_missing_piece_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    writer = place(bucket, tmp_path / "a").writer()
    writer.claim(0)
    for number in range(3):
        writer.note(0, note(number))
        writer.sync(0)
    bucket.delete(f"p/runs/{RUN}/journal/00000/00000/00000001")
    with pytest.raises(JournalError, match="pieces of the journal are missing"):
        restored(bucket, tmp_path / "b")
    writer.close()


@pytest.mark.parametrize("segment", [0, 1])  # which the bucket has, and which it has not
def test_a_pipe_in_the_place_of_a_segment_is_not_waited_for(
    bucket: Bucket, tmp_path: Path, segment: int
) -> None:
    writer = place(bucket, tmp_path / "a").writer()
    writer.claim(0)
    writer.close()
    place(bucket, tmp_path / "b")
    os.mkfifo(tmp_path / "b" / RUN / "journal" / f"00000-{segment:05d}.journal")
    with pytest.raises(OutputError, match="it is not a regular file; move away"):
        restored(bucket, tmp_path / "b")


def test_a_piece_of_somebody_else_ends_the_process(bucket: Bucket, tmp_path: Path) -> None:
    writer = place(bucket, tmp_path / "a").writer()
    writer.claim(0)
    bucket.put(f"p/runs/{RUN}/journal/00000/00000/00000001", b"")
    writer.note(0, note(0))
    with pytest.raises(JournalError, match="was not written by this process"):
        writer.sync(0)
    with pytest.raises(JournalError):
        writer.note(0, note(1))
    writer.close()
