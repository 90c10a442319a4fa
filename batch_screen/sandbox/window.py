"""Counts events in a sliding window of one second."""

from __future__ import annotations

from collections import deque


class SlidingSecond:
    """The events of the last second, one already full second apart falling out.

    Costs constant time per event, spread over all of them, and the memory of one second.
    """

    def __init__(self) -> None:
        self._instants: deque[float] = deque()

    def count(self, now_seconds: float) -> int:
        """How many events lie less than a second before ``now_seconds``."""
        while self._instants and now_seconds - self._instants[0] >= 1.0:
            self._instants.popleft()
        return len(self._instants)

    def add(self, now_seconds: float) -> int:
        """How many there are with this one; instants must not run backwards."""
        self._instants.append(now_seconds)
        return self.count(now_seconds)
