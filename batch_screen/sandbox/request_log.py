"""The optional request log: one JSON line per request, the tests' record of truth.

A line follows its answer by some microseconds; whoever reads the file while the sandbox runs
asks for the statistics first, which are taken after it.
"""

from __future__ import annotations

import os
from io import BufferedWriter
from pathlib import Path

import msgspec


class RequestLine(msgspec.Struct, frozen=True, kw_only=True):
    """One request; ``was_sent`` is false for a cut answer.

    Instants are the monotonic clock's: ``at`` when its head was in, ``ended_at`` when its
    answer was handed to the kernel or given up.
    """

    at: float
    ended_at: float
    number: str | None
    endpoint: str | None
    max_age_minutes: int | None
    status: int | None
    correlator: str | None
    was_sent: bool
    is_clean: bool


class RequestLog:
    """Appends lines to a file that only its owner can read; without a path, does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file: BufferedWriter | None = None
        if path is not None:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "ab")

    def write(self, line: RequestLine) -> None:
        """Hands one line to the operating system: it survives the sandbox's sudden death."""
        if self._file is not None:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Requests that end after this one are not logged."""
        if self._file is not None:
            self._file.close()
            self._file = None
