from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from batch_screen.errors import JournalError, OutputError
from batch_screen.journal import segments as segments_module
from batch_screen.journal.records import FORMAT, VERSION, Header, Record, Synced, encode
from batch_screen.journal.segments import (
    Replay,
    SegmentWriter,
    outcomes_at_a_glance,
    segments,
    shards_with_segments,
)
from batch_screen.model import Attempt, Endpoint, Intent, Outcome, OutcomeKind
from batch_screen.storage.atomic import make_folder
from tests.thoroughness import examples

CHECK = Endpoint.SIM_SWAP_CHECK


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A journal with three outcomes of shard 0 and one of shard 2, and an empty folder of seals."""
    journal, sealed = make_folder(tmp_path / "journal"), make_folder(tmp_path / "sealed")
    writer = SegmentWriter(journal, "r")
    for shard, count in ((0, 3), (2, 1)):
        for i in range(count):
            number = f"+44770090000{i}"
            text = 'says "t":"outcome" itself'
            outcome = Outcome(number, CHECK, 2400, kind=OutcomeKind.REJECTED, message=text)
            writer.write(shard, [Intent(number, CHECK, 2400), outcome])
    writer.close()
    return journal, sealed


@pytest.mark.parametrize("chunk_bytes", [7, 100, 1 << 20])
def test_outcomes_are_counted(
    folders: tuple[Path, Path], chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments_module, "_CHUNK_BYTES", chunk_bytes)
    assert outcomes_at_a_glance(*folders, [10, 10, 10]) == 4
    assert outcomes_at_a_glance(*folders, [2, 10, 10]) == 3  # as many as there are lookups
    (folders[1] / "00001.seal").touch()
    assert outcomes_at_a_glance(*folders, [10, 10, 10]) == 14


def test_a_shard_that_is_sealed_meanwhile_counts_once(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, sealed = folders
    counted = segments_module._count_outcomes

    def seal(segment: Path) -> int:
        found = counted(segment)
        if segment.name.startswith("00000"):
            (sealed / "00000.seal").touch()
            for path in journal.glob("*"):
                path.unlink()
        return found

    monkeypatch.setattr(segments_module, "_count_outcomes", seal)
    assert outcomes_at_a_glance(journal, sealed, [3, 0, 5]) in (3, 4)


RUN = "20261123-c0ffee0000"
RECORDS: list[Record] = [
    record
    for i in range(4)
    for record in (
        Intent(f"+4477009{i:05d}", Endpoint.SIM_SWAP_CHECK, 2400),
        Attempt(f"+4477009{i:05d}", Endpoint.SIM_SWAP_CHECK, 2400, OutcomeKind.TIMEOUT),
        Outcome(
            f"+4477009{i:05d}",
            Endpoint.SIM_SWAP_CHECK,
            2400,
            kind=OutcomeKind.SUCCESS,
            swapped=i % 2 == 0,
        ),
    )
]


def written(folder: Path, records: list[Record], shard: int = 0, run_id: str = RUN) -> Path:
    writer = SegmentWriter(folder, run_id)
    writer.write(shard, records)
    writer.close()
    return segments(folder, shard)[-1]


def left_by_a_crash(folder: Path, on_disk: list[Record], noted: list[Record]) -> Path:
    """A segment whose last records were noted and never synced."""
    writer = SegmentWriter(folder, RUN)
    writer.write(0, on_disk)
    writer.note(0, *noted)
    path = segments(folder, 0)[-1]
    content = path.read_bytes()
    writer.close()
    path.write_bytes(content)
    return path


def replayed(folder: Path, shard: int = 0, run_id: str = RUN) -> list[Record]:
    return list(Replay(folder, run_id, shard))


def test_records_come_back_in_the_order_of_writing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, RUN)
    for record in RECORDS:
        writer.write(0, [record])
    writer.close()
    replay = Replay(tmp_path, RUN, 0)
    assert list(replay) == RECORDS
    assert replay.dropped_bytes == 0


def test_a_shard_without_segments_is_empty(tmp_path: Path) -> None:
    assert replayed(tmp_path) == []


def test_each_process_has_its_own_segment_and_never_touches_anothers(tmp_path: Path) -> None:
    first = written(tmp_path, RECORDS[:5])
    content = first.read_bytes()
    second = written(tmp_path, RECORDS[5:])
    assert second != first
    assert first.read_bytes() == content
    assert replayed(tmp_path) == RECORDS


def test_a_torn_tail_of_an_earlier_process_costs_only_itself(tmp_path: Path) -> None:
    first = left_by_a_crash(tmp_path, RECORDS[:5], RECORDS[5:6])
    first.write_bytes(first.read_bytes()[:-7])
    written(tmp_path, RECORDS[6:])
    replay = Replay(tmp_path, RUN, 0)
    assert list(replay) == RECORDS[:5] + RECORDS[6:]
    assert replay.dropped_bytes == len(encode(RECORDS[5])) - 7


def test_shards_are_apart(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, RUN)
    writer.write(3, RECORDS[:2])
    writer.write(11, RECORDS[2:4])
    writer.write(3, RECORDS[4:6])
    writer.close()
    assert shards_with_segments(tmp_path) == [3, 11]
    assert replayed(tmp_path, 3) == RECORDS[:2] + RECORDS[4:6]
    assert replayed(tmp_path, 11) == RECORDS[2:4]


def test_a_closed_shard_can_be_written_again(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, RUN)
    writer.write(0, RECORDS[:2])
    writer.close_shard(0)
    writer.write(0, RECORDS[2:])
    writer.close()
    assert replayed(tmp_path) == RECORDS
    assert len(segments(tmp_path, 0)) == 2


def test_segments_are_private(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        path = written(tmp_path, RECORDS)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "header",
    [
        Header(FORMAT, VERSION, "20261123-0000000000", 0),
        Header(FORMAT, VERSION + 1, RUN, 0),
        Header("another journal", VERSION, RUN, 0),
        Header(FORMAT, VERSION, RUN, 1),
        RECORDS[2],
    ],
)
def test_what_is_another_runs_or_versions_is_refused_by_name(
    tmp_path: Path, header: Record
) -> None:
    path = tmp_path / "00000-00000.journal"
    content = encode(header) + encode(RECORDS[0])
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"00000-00000\.journal"):
        replayed(tmp_path)
    assert path.read_bytes() == content


def test_a_segment_without_its_header_shows_no_number(tmp_path: Path) -> None:
    path = written(tmp_path, RECORDS)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(JournalError, match="first line is missing") as caught:
        replayed(tmp_path)
    assert "+4477" not in str(caught.value)


def test_another_runs_segment_appended_to_ours_is_refused(tmp_path: Path) -> None:
    ours = written(tmp_path, RECORDS[:3])
    (tmp_path / "other").mkdir()
    theirs = written(tmp_path / "other", RECORDS[3:], run_id="20261123-0000000000")
    ours.write_bytes(ours.read_bytes() + theirs.read_bytes())
    with pytest.raises(JournalError, match="another run"):
        replayed(tmp_path)


def test_damage_with_good_lines_behind_it_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"+4477", b"+4478")
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=r"00000-00000\.journal, line 5 .*sed -i 5d") as caught:
        replayed(tmp_path)
    assert "+4478" not in str(caught.value)
    assert path.read_bytes() == b"".join(lines)


def test_pages_that_never_reached_the_disk_cost_only_themselves(tmp_path: Path) -> None:
    path = left_by_a_crash(tmp_path, RECORDS[:4], RECORDS[4:])
    lines = path.read_bytes().splitlines(keepends=True)
    lost = len(lines[7]) + len(lines[8])
    lines[7], lines[8] = bytes(len(lines[7])), bytes(len(lines[8]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    replay = Replay(tmp_path, RUN, 0)
    assert list(replay) == RECORDS[:5] + RECORDS[7:]
    assert replay.dropped_bytes == lost


@pytest.mark.parametrize("line", [1, 4])
def test_what_was_on_disk_is_no_torn_tail(tmp_path: Path, line: int) -> None:
    path = left_by_a_crash(tmp_path, RECORDS[:4], RECORDS[4:])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = bytes(len(lines[line]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=rf"line {line + 1} is damaged .* though it was on disk"):
        replayed(tmp_path)


def test_a_segment_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, RECORDS)
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match=r"00000-00000\.journal"):
        replayed(tmp_path)


def test_zeros_at_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    path = written(tmp_path, RECORDS)
    with path.open("ab") as file:
        file.write(bytes(4096))
    replay = Replay(tmp_path, RUN, 0)
    assert list(replay) == RECORDS
    assert replay.dropped_bytes == 4096


@pytest.mark.parametrize("length", [0, 1, 10, 50])
def test_a_header_torn_off_leaves_an_empty_segment(tmp_path: Path, length: int) -> None:
    path = written(tmp_path, RECORDS)
    path.write_bytes(path.read_bytes()[:length])
    assert replayed(tmp_path) == []


@pytest.mark.parametrize("length", [0, 7, 40])
def test_a_header_that_never_reached_the_disk_is_zeros(tmp_path: Path, length: int) -> None:
    path = written(tmp_path, RECORDS)
    path.write_bytes(path.read_bytes()[:length] + bytes(4096 - length))
    replay = Replay(tmp_path, RUN, 0)
    assert list(replay) == []
    assert replay.dropped_bytes == 4096


@pytest.mark.parametrize("content", [b"\n", b"no journal\n", b"\xff" * 5000, b"\0\0x\0\0"])
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, RECORDS)
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"00000-00000\.journal is no journal of this run"):
        replayed(tmp_path)
    assert path.read_bytes() == content


def test_a_damaged_line_can_be_taken_out_by_hand(tmp_path: Path) -> None:
    path = written(tmp_path, RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"+4477", b"+4478")
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    assert replayed(tmp_path) == RECORDS[:3] + RECORDS[4:]


def test_files_of_another_name_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.journal", "00000-x.journal", "0000-00000.journal", "x-00000.journal"):
        (tmp_path / name).write_bytes(b"whatever")
    assert shards_with_segments(tmp_path) == []
    written(tmp_path, RECORDS)
    assert replayed(tmp_path) == RECORDS
    assert len(list(tmp_path.iterdir())) == 5


def test_what_was_noted_outlives_the_process_without_a_commit(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, RUN)
    writer.note(0, *RECORDS[:2])
    assert replayed(tmp_path) == RECORDS[:2]
    writer.write(0, RECORDS[2:])
    writer.close()
    assert replayed(tmp_path) == RECORDS


def test_two_threads_never_mix_their_lines(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, RUN)

    def note_all() -> None:
        for _ in range(200):
            for record in RECORDS:
                writer.note(0, record)

    thread = threading.Thread(target=note_all)
    thread.start()
    for _ in range(20):
        writer.write(0, RECORDS)
    thread.join()
    writer.close()
    assert len(replayed(tmp_path)) == 220 * len(RECORDS)


def test_nothing_is_written_behind_a_line_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path, RUN)
    writer.write(0, RECORDS[:2])

    def half(file: BinaryIO, content: bytes) -> None:
        file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segments_module, "_write_all", half)
        with pytest.raises(OSError, match="No space"):
            writer.write(0, RECORDS[2:4])
    for later in (lambda: writer.note(0, RECORDS[4]), lambda: writer.write(0, RECORDS[4:])):
        with pytest.raises(OSError, match="No space"):
            later()
    writer.close()
    assert replayed(tmp_path) == RECORDS[:2]


SYNCED = 6
"""So many of the records are on disk when a segment is damaged."""


def damage(data: st.DataObject, content: bytes) -> bytes:
    how = data.draw(st.sampled_from(["cut", "zero", "flip", "swap", "junk", "drop", "repeat"]))
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, len(content) - 1))
    low, high = min(at, other), max(at, other)
    changed = bytearray(content)
    match how:
        case "cut":
            return content[:at]
        case "zero":
            return content[:at] + bytes(len(content) - at)
        case "flip":
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        case "swap":
            changed[at], changed[other] = changed[other], changed[at]
        case "junk":
            return content + data.draw(st.binary(min_size=1, max_size=200))
        case "drop":
            return content[:low] + content[high:]
        case _:
            return content[:high] + content[low:]
    return bytes(changed)


@examples(2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_yields_a_wrong_record(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "00000-00000.journal"
    whole = encode(Header(FORMAT, VERSION, RUN, 0)) + b"".join(map(encode, RECORDS[:SYNCED]))
    for _ in range(3):  # more than one damage reaches
        whole += encode(Synced(len(whole)))
    whole += b"".join(map(encode, RECORDS[SYNCED:]))
    path.unlink(missing_ok=True)  # truncating it would wait for the disk
    path.write_bytes(damage(data, whole))
    records: list[Record] = []
    is_refused = False
    try:
        for record in Replay(tmp_path, RUN, 0):
            records.append(record)  # noqa: PERF402 (what came before the error counts)
    except JournalError as error:
        is_refused = path.name in str(error)
        assert is_refused
    written_ones = set(map(encode, RECORDS))
    assert all(encode(record) in written_ones for record in records)
    if is_refused or len(path.read_bytes()) != len(whole):  # whole lines cut out or repeated
        return
    known = records[:SYNCED]
    assert known == RECORDS[: len(known)], "none is missing in the middle of what was on disk"
    rest = iter(RECORDS[SYNCED:])
    assert all(record in rest for record in records[SYNCED:]), "the others come in their order"


def test_a_full_disk_leaves_no_record_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path, RUN)
    writer.write(0, RECORDS[:3])

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OSError, match="No space"):
        writer.write(0, RECORDS[3:])
    writer.close()
