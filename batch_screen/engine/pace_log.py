"""Log of attempts over time, in memory that does not grow with the run.

Knows no clock: every call brings its instant, in seconds of any clock that runs forward.
"""

from __future__ import annotations

from typing import TypeVar

from batch_screen.model import Pace

Count = TypeVar("Count", int, float)

MOST_STEPS = 600
FIRST_STEP_SECONDS = 1.0
"""The limit is per second: in shorter steps a permitted burst would look like a breach."""


class PaceLog:
    """Counts per step; at ``MOST_STEPS``, steps are merged in pairs and become twice as long.

    Of the limit it keeps how many attempts were permitted: that adds up as the counts do, so a
    merged step shows the mean limit. The smaller of two limits would make a pair look as if it
    had broken the limit, the larger one would hide a cut.
    """

    def __init__(self, began: float, limit_per_second: float) -> None:
        self._began = self._until = began
        self._limit = limit_per_second
        self._step_seconds = FIRST_STEP_SECONDS
        self._attempts = [0]
        self._refused = [0]
        self._permitted = [0.0]
        self._step_ends = began + FIRST_STEP_SECONDS
        self._limited_at = began
        self._is_headers = False
        self._header_seconds = 0.0

    def started(self, now: float) -> None:
        """Records an attempt about to be sent."""
        if now >= self._step_ends:  # most attempts fall into the step of the one before
            self._go_on(now)
        self._attempts[-1] += 1

    def started_before(self, at: float) -> None:
        """Records an attempt of which a worker tells a moment after it was sent."""
        self._go_on(at)
        self._attempts[max(0, int((at - self._began) // self._step_seconds))] += 1

    def refused(self, now: float) -> None:
        """Records a refusal, in the step in which its answer arrived."""
        self._go_on(now)
        self._refused[-1] += 1

    def limit(self, now: float, rate_per_second: float, *, is_headers: bool = False) -> None:
        """Records the limit from now on, and whether the server's headers set it."""
        self._go_on(now)
        if self._is_headers:
            self._header_seconds += now - self._limited_at
        self._limit, self._limited_at, self._is_headers = rate_per_second, now, is_headers

    def snapshot(self, now: float) -> Pace:
        """The pace so far; its last step may be incomplete."""
        self._go_on(now)
        limits = [permitted / self._step_seconds for permitted in self._permitted[:-1]]
        over_seconds = self._until - self._end(len(self._attempts) - 1)
        limits.append(self._permitted[-1] / over_seconds if over_seconds else self._limit)
        return Pace(
            self._step_seconds,
            list(self._attempts),
            list(self._refused),
            [round(limit, 3) for limit in limits],
            round(self._header_seconds, 3),
        )

    def _go_on(self, now: float) -> None:
        """Makes the step that holds ``now`` the last one, with empty steps in between.

        Merges before it adds steps, so that hours without an event are at most as many steps
        as there may be.
        """
        while now >= self._end(MOST_STEPS):
            self._step_seconds *= 2
            self._attempts = _in_pairs(self._attempts)
            self._refused = _in_pairs(self._refused)
            self._permitted = _in_pairs(self._permitted)
        while now >= (end := self._end(len(self._attempts))):
            self._permit(end)
            self._attempts.append(0)
            self._refused.append(0)
            self._permitted.append(0.0)
        self._permit(now)
        self._step_ends = self._end(len(self._attempts))

    def _permit(self, until: float) -> None:
        if until > self._until:
            self._permitted[-1] += self._limit * (until - self._until)
            self._until = until

    def _end(self, steps: int) -> float:
        """The instant at which ``steps`` steps end."""
        return self._began + steps * self._step_seconds


def _in_pairs(counts: list[Count]) -> list[Count]:
    """Adjacent values added in pairs; the last may be single.

    >>> _in_pairs([1, 2, 3, 4, 5])
    [3, 7, 5]
    """
    pairs = (counts[first : first + 2] for first in range(0, len(counts), 2))
    return [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
