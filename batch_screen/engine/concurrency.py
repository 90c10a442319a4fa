"""How many requests may be under way at once: what rate and latency need, within a cap.

By Little's law that is rate × latency; half as much again, so that the pace and not the number
of slots decides. A server that does not answer in time gets fewer at once, whatever the rate.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

FEWEST = 4
SPARE = 1.5

_SAMPLES = 256
_ENOUGH_SAMPLES = 16
_ASSUMED_LATENCY_SECONDS = 0.5
_PERCENTILE = 0.95
_ADJUST_SECONDS = 0.2
_GROWTH = 1.1
_CUT = 0.5
_LAG_SECONDS = 0.05
_LAG_COUNTS_SECONDS = 1.0


def wanted(rate_per_second: float, latency_seconds: float) -> int:
    """The requests under way that the rate needs at this latency.

    >>> wanted(100, 0.8), wanted(10, 0.05)
    (120, 4)
    """
    return max(FEWEST, math.ceil(rate_per_second * latency_seconds * SPARE))


class Concurrency:
    """The limit at each moment; told of latencies, timeouts and a loop that lags."""

    def __init__(
        self, most: int, rate_per_second: Callable[[], float], *, clock: Callable[[], float]
    ) -> None:
        self._most = most
        self._rate_per_second = rate_per_second
        self._clock = clock
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)
        self._limit = min(most, wanted(rate_per_second(), _ASSUMED_LATENCY_SECONDS))
        self._patience = float(most)
        self._cut_at = self._lagged_at = -math.inf
        self._adjusted_at = clock()

    def limit(self) -> int:
        """How many requests may be under way now."""
        now = self._clock()
        if now - self._adjusted_at >= _ADJUST_SECONDS:
            self._adjusted_at = now
            self._adjust(now)
        return min(self._limit, max(1, int(self._patience)))

    def answered(self, latency_seconds: float) -> None:
        """An answer came after so long."""
        self._latencies.append(latency_seconds)

    def timed_out(self, *, sent_at: float) -> None:
        """No answer came in time. Those sent before the last cut say nothing new."""
        if sent_at > self._cut_at:
            self._cut_at = self._clock()
            self._patience = max(1.0, _CUT * min(self._patience, self._limit))

    def lagged(self, seconds: float) -> None:
        """The event loop came so much later than it was to: this machine is at its limit."""
        if seconds >= _LAG_SECONDS:
            self._lagged_at = self._clock()

    def is_slow(self, latency_seconds: float) -> bool:
        """Whether this is far slower than usual, as after a server that stood still."""
        return len(self._latencies) >= _ENOUGH_SAMPLES and latency_seconds > 3 * self._usual()

    def _adjust(self, now: float) -> None:
        latency = _ASSUMED_LATENCY_SECONDS
        if len(self._latencies) >= _ENOUGH_SAMPLES:
            latency = self._usual()
        limit = min(self._most, wanted(self._rate_per_second(), latency))
        is_lagging = now - self._lagged_at < _LAG_COUNTS_SECONDS
        # More requests would only wait longer for a loop that does not get round to them.
        self._limit = min(limit, self._limit) if is_lagging else limit
        self._patience = min(float(self._most), max(self._patience * _GROWTH, self._patience + 1))

    def _usual(self) -> float:
        ordered = sorted(self._latencies)
        return ordered[int(_PERCENTILE * (len(ordered) - 1))]
