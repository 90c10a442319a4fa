"""Statistics of the sandbox, and optionally a log with one line per request.

The counts take two small counters per lookup and nothing per request. The log is the tests'
record of truth: a line follows its answer by some microseconds, and statistics asked for later
are taken after it.
"""

from __future__ import annotations

import os
from collections import Counter
from io import BufferedWriter
from pathlib import Path
from typing import Any

import msgspec

from batch_screen.model import Endpoint
from batch_screen.sandbox.contract import Question
from batch_screen.sandbox.gate import Gate
from batch_screen.sandbox.window import SlidingSecond

_ENDPOINTS = tuple(Endpoint)


class Statistics:
    """Counts since the start or the last reset; instants are the monotonic clock's."""

    def __init__(self) -> None:
        self.requests = 0
        self.redirects_followed = 0
        self._by_endpoint: Counter[str] = Counter()
        self._by_status: Counter[str] = Counter()
        self._second = SlidingSecond()
        self._worst_second = 0
        self._open = 0
        self._most_open = 0
        # A lookup is one integer here: a tuple of two texts takes four times the memory.
        self._asked: Counter[int] = Counter()
        self._clean: Counter[int] = Counter()

    def arrive(self, now_seconds: float, endpoint: Endpoint | None) -> None:
        """Counts a request once its headers are in; None if the path is unknown."""
        self.requests += 1
        self._by_endpoint[endpoint.value if endpoint else "unknown"] += 1
        self._worst_second = max(self._worst_second, self._second.add(now_seconds))
        self._open += 1
        self._most_open = max(self._most_open, self._open)

    def ask(self, question: Question) -> int:
        """How often this lookup was admitted, this time included; refusals don't count."""
        lookup = _packed(question)
        self._asked[lookup] += 1
        return self._asked[lookup]

    def depart(self, status: int | None) -> None:
        """Counts an answer; None if there was none (reset, hang, client gone)."""
        self._open -= 1
        self._by_status["none" if status is None else str(status)] += 1

    def answer_cleanly(self, question: Question) -> None:
        """Counts an honest 200 that was sent to its end."""
        self._clean[_packed(question)] += 1

    def snapshot(self, gate: Gate, *, detail: bool = False) -> dict[str, Any]:
        """All counts as JSON values; with detail, every lookup asked more than once."""
        repeated = [lookup for lookup, times in self._asked.items() if times > 1]
        seen: dict[str, Any] = {
            "requests": self.requests,
            "by_endpoint": dict(self._by_endpoint),
            "by_status": dict(self._by_status),
            "rate_refusals": gate.rate_refusals,
            "quota_refusals": gate.quota_refusals,
            "quota_used": gate.used_quota,
            "requests_after_revocation": gate.after_revocation,
            "redirects_followed": self.redirects_followed,
            "worst_second": self._worst_second,
            "open_requests": self._open,
            "most_open_requests": self._most_open,
            "distinct_lookups": len(self._asked),
            "answered_lookups": len(self._clean),
            "clean_answers": self._clean.total(),
            "repeats": len(repeated),
            "answered_twice": sum(times > 1 for times in self._clean.values()),
        }
        if detail:
            seen["repeated"] = [
                {
                    "number": f"+{lookup >> 3}",
                    "endpoint": _ENDPOINTS[lookup & 7].value,
                    "asked": self._asked[lookup],
                    "clean_answers": self._clean[lookup],
                }
                for lookup in repeated
            ]
        return seen


def _packed(question: Question) -> int:
    return int(question.number[1:]) << 3 | _ENDPOINTS.index(question.endpoint)


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
        """Writes one line to the operating system, so that it survives a crash of the sandbox."""
        if self._file is not None:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the log; requests that end later are not logged."""
        if self._file is not None:
            self._file.close()
            self._file = None
