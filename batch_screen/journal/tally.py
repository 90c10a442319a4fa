"""What a run has spent, counted from its journal's records as they pass by.

Every request is noted before it is sent, so the notes are the requests; only those for which
no connection could be made are taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from batch_screen.journal.lines import Record
from batch_screen.model import (
    CANNOT_CONNECT,
    Attempt,
    Endpoint,
    Intent,
    Outcome,
    OutcomeKind,
    Spent,
)


class Tally:
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
