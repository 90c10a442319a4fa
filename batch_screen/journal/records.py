"""One journal line: the CRC-32 of the rest in eight hex digits, a blank, compact JSON.

A person can read it with ``less``; a machine sees at once whether it is whole.
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
    """First line of every segment: what it is and whose."""

    format: str
    version: int
    run_id: str
    shard: int


class Synced(msgspec.Struct, frozen=True, tag="synced", tag_field="t"):
    """When this was written, the segment's first so many bytes were on disk."""

    bytes: int


Record = Header | Synced | Intent | Attempt | WithheldOutcome | Outcome

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)


class BadLineError(ValueError):
    """The line is not whole or not ours; its content is not repeated here."""


def encode(record: Record) -> bytes:
    r"""The record as one line, line feed included.

    >>> encode(Header(FORMAT, VERSION, "r", 0))
    b'9916befe {"t":"header","format":"batch-screen journal","version":3,"run_id":"r","shard":0}\n'
    """
    content = _ENCODER.encode(record)
    return b"%08x %s\n" % (zlib.crc32(content), content)


def decode_all(lines: list[bytes]) -> list[Record]:
    """As ``decode`` of each line, in half the time; ``BadLineError`` if any of them is bad."""
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
    if len(records) != len(lines):
        raise BadLineError("an empty record")
    return records


def decode(line: bytes) -> Record:
    """The record of one line (line feed included), or ``BadLineError``."""
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


# What a run has spent, counted from its journal's records as they pass by.
#
# Every request is noted before it is sent, so the notes are the requests; only those for which
# no connection could be made are taken back.


class SpendCounter:
    """Counts records, whatever their order, and what was counted before."""

    def __init__(self) -> None:
        self._requests: Counter[Endpoint] = Counter()
        self._refusals: Counter[Endpoint] = Counter()

    def count(self, record: Record) -> None:
        """Takes the record into account."""
        if isinstance(record, Intent):
            self._requests[record.endpoint] += 1
        elif isinstance(record, Outcome | Attempt):
            # A lookup's last refusal is its outcome; those before it were attempts.
            if record.kind is OutcomeKind.RATE_LIMITED:
                self._refusals[record.endpoint] += 1
            elif isinstance(record, Attempt) and record.reason == CANNOT_CONNECT:
                self._requests[record.endpoint] -= 1

    def add(self, spent: Mapping[Endpoint, Spent]) -> None:
        """Adds what another tally has counted."""
        for endpoint, more in spent.items():
            self._requests[endpoint] += more.requests
            self._refusals[endpoint] += more.refusals

    def spent(self) -> dict[Endpoint, Spent]:
        """What was spent at each endpoint that was asked."""
        asked = sorted({*self._requests, *self._refusals})
        return {e: Spent(self._requests[e], self._refusals[e]) for e in asked}
