"""Journal segments: append-only files per shard, each written by one process only.

A segment holds sync marks: how much of it was on disk. Bad bytes behind the last mark are what a
crash leaves, also with good lines behind them, because pages reach a disk in any order: dropped
and counted. A bad line before a mark is damage: refused by name, never guessed around.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batch_screen.errors import BatchScreenError, JournalError
from batch_screen.journal.records import (
    FORMAT,
    VERSION,
    BadLineError,
    Header,
    Record,
    Synced,
    decode,
    decode_all,
    encode,
)
from batch_screen.model import Attempt, Intent, Outcome, WithheldOutcome
from batch_screen.storage.atomic import open_private, sync_folder, translated
from batch_screen.storage.reading import bounded_lines, open_regular, read_bytes

_SUFFIX = ".journal"
_OF_LOOKUPS = (Outcome, Intent, Attempt, WithheldOutcome)
_LINES_AT_ONCE = 1_000
_FIVE_DIGITS = "[0-9]" * 5


class Segment:
    """An open segment, with its bytes written, synced, and marked as synced."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.file: BinaryIO = open_private(path)
        self.number = number
        self.written = self.synced = self.noted = 0
        self.header = 0
        """How long its first line is."""

    def append(self, content: bytes) -> None:
        """Writes the content, after a sync mark if more was synced since the last one."""
        if self.synced > self.noted:
            self.noted = self.synced
            content = encode(Synced(self.synced)) + content
        _write_all(self.file, content)
        self.written += len(content)

    def close(self) -> None:
        """Closes the file, with a last sync mark if it can be written."""
        with suppress(OSError):  # without it, later damage at the end passes for a torn line
            self.append(b"")
        self.file.close()


class SegmentWriter:
    """Appends records to this process's own segment of each shard.

    For two threads: one notes, one syncs. After the first failure nothing more is written: a line
    may be left half done, and nothing may follow it.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self._open: dict[int, Segment] = {}
        self._lock = threading.Lock()
        self._failure: OSError | BatchScreenError | None = None

    def claim(self, shard: int) -> int:
        """The epoch of this process at the shard: the number of its segment, begun now."""
        if shard not in self._open:
            # Outside the lock: it may take long, and records of other shards are noted meanwhile.
            segment = self._begin(shard)
            with self._lock:
                self._open[shard] = segment
        return self._open[shard].number

    def note(self, shard: int, *records: Record) -> None:
        """Writes the records to the operating system: they survive this process.

        They survive a power cut after the next ``sync``. OSError: they may be lost.
        """
        content = b"".join([encode(record) for record in records])
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                if (segment := self._open.get(shard)) is None:
                    segment = self._open[shard] = self._begin(shard)
                segment.append(content)
            except OSError as error:
                self._failure = error
                raise

    def sync(self, shard: int) -> None:
        """Waits until all records noted for the shard are on disk. OSError: none of them count."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            segment = self._open[shard]
            reached = segment.written
        try:
            # Outside the lock: records are noted while the disk works.
            self._keep(shard, segment, reached)
        except (OSError, BatchScreenError) as error:
            self._failure = error
            raise
        segment.synced = reached

    def write(self, shard: int, records: Iterable[Record]) -> None:
        """Notes and syncs the records. OSError: none of them count."""
        self.note(shard, *records)
        self.sync(shard)

    def close_shard(self, shard: int) -> None:
        """Closes the shard's segment, whose records are on disk by then."""
        with self._lock:
            segment = self._open.pop(shard, None)
        if segment is None:
            return
        if self._failure is None:
            segment.close()
        else:
            segment.file.close()  # a line may be half done

    def close(self) -> None:
        for shard in list(self._open):
            self.close_shard(shard)

    def _keep(self, shard: int, segment: Segment, reached: int) -> None:
        """Makes the segment's first ``reached`` bytes survive."""
        del shard, reached
        os.fdatasync(segment.file.fileno())

    def _next_number(self, shard: int) -> int:
        return next_number(self._folder, shard)

    def _header(self, shard: int) -> bytes:
        return encode(Header(FORMAT, VERSION, self._run_id, shard))

    def _begin(self, shard: int) -> Segment:
        number = self._next_number(shard)
        segment = Segment(segment_path(self._folder, shard, number), number)
        try:
            segment.append(self._header(shard))
            segment.header = segment.written
            # The header before the folder's entry: a segment that survives a power cut has one.
            os.fdatasync(segment.file.fileno())
            sync_folder(self._folder)
        except BaseException:
            segment.file.close()
            raise
        return segment


def segment_path(folder: Path, shard: int, number: int) -> Path:
    """Path of a shard's segment."""
    return folder / f"{shard:05d}-{number:05d}{_SUFFIX}"


def next_number(folder: Path, shard: int) -> int:
    """A number that no segment of the shard has yet."""
    numbers = [int(path.stem.rsplit("-", 1)[1]) for path in segments(folder, shard)]
    return max(numbers, default=-1) + 1


def segments(folder: Path, shard: int) -> list[Path]:
    """The shard's segments, oldest first."""
    return sorted(folder.glob(f"{shard:05d}-{_FIVE_DIGITS}{_SUFFIX}"))


def shards_with_segments(folder: Path) -> list[int]:
    """The shards that have begun and are not yet sealed."""
    found = folder.glob(f"{_FIVE_DIGITS}-{_FIVE_DIGITS}{_SUFFIX}")
    return sorted({int(path.name[:5]) for path in found})


class Replay:
    """Reads a shard's segments back; ``dropped_bytes`` counts bytes that a crash cut off."""

    def __init__(self, folder: Path, run_id: str, shard: int) -> None:
        self._paths = segments(folder, shard)
        self._expected = Header(FORMAT, VERSION, run_id, shard)
        self.dropped_bytes = 0

    def __iter__(self) -> Iterator[Record]:
        """Yields the records in the order of writing. Raises ``JournalError`` on damage."""
        for path in self._paths:
            with translated("read", path), open_regular(path) as file:
                yield from self._segment(path, file)

    def _segment(self, path: Path, file: BinaryIO) -> Iterator[Record]:
        at, bad = 0, None
        for number, (line, found) in enumerate(_decoded(file)):
            if isinstance(found, _OF_LOOKUPS) and number:
                yield found
            elif isinstance(found, BadLineError):
                if number == 0:
                    # Torn only if all there is are the header's first bytes, and zeros behind.
                    content = read_bytes(path, _MOST_BYTES)
                    if not encode(self._expected).startswith(content.rstrip(b"\0")):
                        raise _no_journal(path)
                    self.dropped_bytes += len(content)
                    return
                self.dropped_bytes += len(line)
                bad = bad or _BadLine(number + 1, at, str(found))
            elif isinstance(found, Synced):
                _refuse_damage(path, bad, found)
            else:  # another header: two files may have been joined
                self._check_header(path, found)
            at += len(line)

    def _check_header(self, path: Path, header: Record) -> None:
        if not isinstance(header, Header):  # any other record holds a number, and is not shown
            raise _no_journal(path)
        if header != self._expected:
            raise JournalError(
                f"{path} belongs to another run, shard or version ({header}, expected "
                f"{self._expected}); nothing was changed: put it back where it was, or move it away"
            )


def _decoded(file: BinaryIO) -> Iterator[tuple[bytes, Record | BadLineError]]:
    """Each line with its record or its error."""
    # A thousand lines are decoded at once, in half the time; alone only where one of them is bad.
    every = bounded_lines(file)
    while lines := list(islice(every, _LINES_AT_ONCE)):
        try:
            yield from zip(lines, decode_all(lines), strict=True)
        except BadLineError:
            for line in lines:
                try:
                    yield line, decode(line)
                except BadLineError as error:
                    yield line, error


def _no_journal(path: Path) -> JournalError:
    return JournalError(
        f"{path} is no journal of this run, or its first line is missing or damaged; nothing was "
        "changed: restore it, or move it away and its lookups are asked again"
    )


class _BadLine(NamedTuple):
    """The first bad line of a segment."""

    number: int
    at: int
    why: str


def _refuse_damage(path: Path, bad: _BadLine | None, synced: Synced) -> None:
    """Raises ``JournalError`` if the bad line was synced before: no crash can have cut it off."""
    if bad is not None and bad.at < synced.bytes:
        raise JournalError(
            f"{path}, line {bad.number} is damaged ({bad.why}) though it was on disk; nothing was "
            f"changed: restore the file, or delete that line (sed -i {bad.number}d '{path}') and "
            "what it held is asked again"
        )


def _write_all(file: BinaryIO, content: bytes) -> None:
    written = file.write(content)
    while written < len(content):  # the disk is nearly full, or a signal came
        written += file.write(memoryview(content)[written:])


_OUTCOME_TAG = b'"t":"outcome"'
_MOST_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def outcomes_at_a_glance(
    journal: Path, sealed: Path, lookups: list[int], carried: Sequence[int] = ()
) -> int:
    """Counts answered lookups while a run may write; ``lookups`` has each shard's number of them.

    ``carried`` has each shard's outcomes that are in no journal.

    Quick, because lines are counted by their tag and not checked; ``Replay`` checks them. Raises
    ``OSError`` where the folders cannot be read.
    """
    counted = Counter(dict(enumerate(carried)))
    for path in journal.glob(f"{_FIVE_DIGITS}-{_FIVE_DIGITS}{_SUFFIX}"):
        counted[int(path.name[:5])] += _count_outcomes(path)
    # Seals after segments: a shard sealed meanwhile has its seal before its segments go.
    finished = {int(path.stem) for path in sealed.glob(f"{_FIVE_DIGITS}.seal")}
    return sum(
        # At most all: where a process was killed, a lookup may have been answered twice.
        most if shard in finished else min(most, counted[shard])
        for shard, most in enumerate(lookups)
    )


def _count_outcomes(segment: Path) -> int:
    found, end = 0, b""
    try:
        with open_regular(segment) as file:
            while chunk := file.read(_CHUNK_BYTES):
                text = end + chunk
                found += text.count(_OUTCOME_TAG)
                end = text[-len(_OUTCOME_TAG) + 1 :]  # a tag may lie across two chunks
    except FileNotFoundError:  # sealed since the folder was read
        return 0
    return found
