"""What the dispatcher needs of others and knows nothing else of: a client, a journal, names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from batch_screen.model import Answer, Attempt, Held, Intent, Lookup, Outcome

Ask = Callable[[Lookup, str], Awaitable[Answer]]
"""One attempt for a lookup, under the name given with it."""

Correlate = Callable[[Lookup, int], str]
"""The name of a lookup's attempt, by its number."""


Clock = Callable[[], datetime]
"""What time it is where the API is, in UTC: the sandbox may stand for another day."""


def utc_now() -> datetime:
    """What time it is."""
    return datetime.now(UTC)


class Journal(Protocol):
    """Where what is asked and answered is kept."""

    @property
    def unsaved(self) -> int:
        """Outcomes on their way to the disk: what a power cut would cost beside what is sent."""

    @property
    def is_behind(self) -> bool:
        """Whether so many are on their way that no more may be asked for."""

    def note(self, shard: int, intent: Intent) -> None:
        """A request is about to be sent, after ``flush``."""

    def flush(self) -> None:
        """All that was noted will outlive this process; if this raises, nothing is sent."""

    def save(self, shard: int, record: Attempt | Held | Outcome) -> None:
        """Keeps the record; decides when it counts."""

    def drop(self, shard: int, lookup: Lookup) -> None:
        """The lookup is not asked in this start, and has no outcome."""

    def hurry(self) -> None:
        """Saves what waits without waiting for more."""
