"""Rate limits by the second: sliding window, fixed window, token bucket.

Pure: instants are passed in and must not run backwards; knows neither clock nor HTTP.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum


class SlidingSecond:
    """Counts the events of the last second; one exactly a second old no longer counts.

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
        """Adds an event and returns the count; instants must not run backwards."""
        self._instants.append(now_seconds)
        return self.count(now_seconds)


class Window(StrEnum):
    """How a server's limit per second counts."""

    SLIDING = "sliding"  # in no second, wherever it begins, more than that
    FIXED = "fixed"  # in no second of the clock more: twice as many around its tick
    BUCKET = "bucket"  # a bucket of that many tokens, full at first and refilled evenly


class RateLimit(ABC):
    """A rate limit; a refused request takes nothing from it."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        """May be changed between two requests; earlier requests still count."""

    @abstractmethod
    def has_room(self, now_seconds: float) -> bool:
        """Whether one more request would be admitted."""

    @abstractmethod
    def take(self, now_seconds: float) -> None:
        """Counts a request for which there was room."""

    def admit(self, now_seconds: float) -> bool:
        """Whether a request may pass; if so, it is counted."""
        if has_room := self.has_room(now_seconds):
            self.take(now_seconds)
        return has_room


class SlidingLimit(RateLimit):
    """Sliding window: never more than ``per_second`` requests less than a second apart."""

    def __init__(self, per_second: int) -> None:
        super().__init__(per_second)
        self._taken = SlidingSecond()

    def has_room(self, now_seconds: float) -> bool:
        return self._taken.count(now_seconds) < self.per_second

    def take(self, now_seconds: float) -> None:
        self._taken.add(now_seconds)


class FixedLimit(RateLimit):
    """Fixed window: never more than ``per_second`` requests in a second of the clock."""

    _second = 0
    _taken = 0

    def has_room(self, now_seconds: float) -> bool:
        return self._taken_at(now_seconds) < self.per_second

    def take(self, now_seconds: float) -> None:
        self._taken = self._taken_at(now_seconds) + 1
        self._second = math.floor(now_seconds)

    def _taken_at(self, now_seconds: float) -> int:
        return self._taken if math.floor(now_seconds) == self._second else 0


class TokenBucket(RateLimit):
    """Token bucket: a request takes a token, and ``per_second`` come back each second."""

    _tokens = math.inf  # full at first
    _counted_at = 0.0

    def has_room(self, now_seconds: float) -> bool:
        # Ten tenths of a second add up to a little less than a token's time.
        return self._tokens_at(now_seconds) >= 1 - 1e-9

    def take(self, now_seconds: float) -> None:
        self._tokens = max(0.0, self._tokens_at(now_seconds) - 1)
        self._counted_at = now_seconds

    def _tokens_at(self, now_seconds: float) -> float:
        refilled = (now_seconds - self._counted_at) * self.per_second
        return min(float(self.per_second), self._tokens + refilled)


def rate_limit(window: Window, per_second: int) -> RateLimit:
    """A fresh limit of this kind."""
    return _KINDS[window](per_second)


_KINDS: dict[Window, type[RateLimit]] = {
    Window.SLIDING: SlidingLimit,
    Window.FIXED: FixedLimit,
    Window.BUCKET: TokenBucket,
}
