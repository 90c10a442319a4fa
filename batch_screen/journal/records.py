"""Journal records and their line format: CRC-32 in hex, a blank, compact JSON.

Every line shows whether it is complete. As safe as SQLite, readable with ``less``, and good on
network file systems too.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping

import msgspec

from batch_screen.model import (
    CANNOT_CONNECT,
    Attempt,
    Endpoint,
    Intent,
    Outcome,
    OutcomeKind,
    Spent,
    WithheldOutcome,
)

FORMAT = "batch-screen journal"
VERSION = 3


class Header(msgspec.Struct, frozen=True, tag="header", tag_field="t"):
    """First line of every segment: format, version, and the shard it belongs to."""

    format: str
    version: int
    run_id: str
    shard: int


class Synced(msgspec.Struct, frozen=True, tag="synced", tag_field="t"):
    """Sync mark: the segment's first ``bytes`` bytes were on disk when this was written."""

    bytes: int


Record = Header | Synced | Intent | Attempt | WithheldOutcome | Outcome

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)


class BadLineError(ValueError):
    """A line that is damaged or no record; the message never repeats its content."""


def encode(record: Record) -> bytes:
    r"""Encodes the record as one line, line feed included.

    >>> encode(Header(FORMAT, VERSION, "r", 0))
    b'9916befe {"t":"header","format":"batch-screen journal","version":3,"run_id":"r","shard":0}\n'
    """
    content = _ENCODER.encode(record)
    return b"%08x %s\n" % (zlib.crc32(content), content)


def decode_all(lines: list[bytes]) -> list[Record]:
    """Decodes lines together, in half the time of ``decode``; ``BadLineError`` if any is bad."""
    contents = []
    for line in lines:
        content = line[9:-1]
        if b"%08x %s\n" % (zlib.crc32(content), content) != line:
            raise BadLineError("not a whole line, or its checksum differs")
        contents.append(content)
    try:
        records: list[Record] = _DECODER.decode_lines(b"\n".join(contents))
    except ValueError as error:
        raise BadLineError("unknown record") from error
    if len(records) != len(lines):  # decode_lines passes over blank contents
        raise BadLineError("an empty record")
    return records


def decode(line: bytes) -> Record:
    """Decodes one line, line feed included. Raises ``BadLineError``."""
    if len(line) < 11 or line[8:9] != b" " or not line.endswith(b"\n"):
        raise BadLineError("not a whole line")
    content = line[9:-1]
    if b"%08x" % zlib.crc32(content) != line[:8]:
        raise BadLineError("checksum differs")
    try:
        record: Record = _DECODER.decode(content)
    except ValueError as error:  # msgspec's, or bytes that are no UTF-8
        raise BadLineError("unknown record") from error
    return record


class SpendCounter:
    """Counts requests and refusals per endpoint from journal records, in any order."""

    def __init__(self) -> None:
        self._requests: Counter[Endpoint] = Counter()
        self._refusals: Counter[Endpoint] = Counter()

    def count(self, record: Record) -> None:
        """Adds one record."""
        if isinstance(record, Intent):
            # Every request is noted before it is sent, so the notes are the requests.
            self._requests[record.endpoint] += 1
        elif isinstance(record, Outcome | Attempt):
            # A lookup's last refusal is its outcome; those before it were attempts.
            if record.kind is OutcomeKind.RATE_LIMITED:
                self._refusals[record.endpoint] += 1
            elif isinstance(record, Attempt) and record.reason == CANNOT_CONNECT:
                self._requests[record.endpoint] -= 1  # nothing was sent

    def add(self, spent: Mapping[Endpoint, Spent]) -> None:
        """Adds another counter's counts."""
        for endpoint, more in spent.items():
            self._requests[endpoint] += more.requests
            self._refusals[endpoint] += more.refusals

    def spent(self) -> dict[Endpoint, Spent]:
        """The counts of each endpoint that was asked."""
        asked = sorted({*self._requests, *self._refusals})
        return {e: Spent(self._requests[e], self._refusals[e]) for e in asked}
