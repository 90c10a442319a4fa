"""Adaptive concurrency: how many requests may be in flight, by rate and latency, within a cap.

By Little's law that is rate × latency; half as much again, so that the pace and not the number
of slots decides. Requests that take far longer than usual are stuck: while others are answered,
they hold slots of their own, so that a few that hang cost themselves and nobody else. A server
that leaves many unanswered gets fewer at once, whatever the rate.
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
_STUCK_TIMES = 3.0
_ADJUST_SECONDS = 0.2
_GROWTH = 1.1
_CUT = 0.5
_LAG_SECONDS = 0.05
_LAG_COUNTS_SECONDS = 1.0
_LAST_ANSWERS = 32
_MANY_SHARE = 0.25
_SOME = 4
_SILENT_SECONDS = 1.0


def wanted(rate_per_second: float, latency_seconds: float) -> int:
    """The requests in flight that the rate needs at this latency.

    >>> wanted(100, 0.8), wanted(10, 0.05)
    (120, 4)
    """
    return max(FEWEST, math.ceil(rate_per_second * latency_seconds * SPARE))


class Concurrency:
    """The concurrency limit, from latency, timeouts and the lag of the event loop."""

    def __init__(
        self, most: int, rate_per_second: Callable[[], float], *, clock: Callable[[], float]
    ) -> None:
        self._most = most
        self._rate_per_second = rate_per_second
        self._clock = clock
        self._latencies: deque[float] = deque(maxlen=_SAMPLES)
        self._under_way: dict[int, float] = {}
        self._in_time: deque[bool] = deque(maxlen=_LAST_ANSWERS)
        self._limit = min(most, wanted(rate_per_second(), _ASSUMED_LATENCY_SECONDS))
        self._timeout_cap = float(most)
        self._cut_at = self._lagged_at = self._answered_at = -math.inf
        self._adjusted_at = clock()

    def limit(self) -> int:
        """How many requests may be in flight now."""
        now = self._clock()
        if now - self._adjusted_at >= _ADJUST_SECONDS:  # sorting latencies each time costs too much
            self._adjusted_at = now
            self._adjust(now)
        return min(self._limit, max(1, int(self._timeout_cap)))

    def sent(self, place: int, now: float) -> None:
        """Records a request sent; places come in the order of sending."""
        self._under_way[place] = now

    def ended(self, place: int) -> None:
        """Records that a request is no longer in flight."""
        self._under_way.pop(place, None)

    def answered(self, latency_seconds: float) -> None:
        """Records an answer and its latency."""
        self._latencies.append(latency_seconds)
        self._in_time.append(True)
        self._answered_at = self._clock()

    def timed_out(self, *, sent_at: float) -> None:
        """Records a timeout; of requests sent before the last cut it shows nothing new.

        One that hangs says nothing of the server: only where many of the last ones did.
        """
        self._in_time.append(False)
        late = self._in_time.count(False)
        # What was sent at the old limit times out for seconds after a cut: it would cut again.
        if sent_at > self._cut_at and late >= max(_SOME, _MANY_SHARE * len(self._in_time)):
            self._cut_at = self._clock()
            self._timeout_cap = max(1.0, _CUT * min(self._timeout_cap, self._limit))

    def lagged(self, seconds: float) -> None:
        """Records how late the event loop is: then this machine is at its limit."""
        if seconds >= _LAG_SECONDS:
            self._lagged_at = self._clock()

    def delay(self, latency_seconds: float) -> float:
        """Seconds by which a latency is above the middle one, as after a server that stalled."""
        if len(self._latencies) < _ENOUGH_SAMPLES:
            return 0.0
        # Not above the slowest of twenty: those are soon the ones that it held up.
        return max(0.0, latency_seconds - sorted(self._latencies)[len(self._latencies) // 2])

    def _adjust(self, now: float) -> None:
        latency = _ASSUMED_LATENCY_SECONDS
        if len(self._latencies) >= _ENOUGH_SAMPLES:
            latency = self._usual()
        needed = wanted(self._rate_per_second(), latency)
        # Those that hang have slots of their own, so the others go on at their pace.
        limit = min(self._most, needed + self._stuck(now, _STUCK_TIMES * latency))
        is_lagging = now - self._lagged_at < _LAG_COUNTS_SECONDS
        # More requests would only wait longer for a loop that does not get round to them.
        self._limit = min(limit, self._limit) if is_lagging else limit
        self._timeout_cap = min(
            float(self._most), max(self._timeout_cap * _GROWTH, self._timeout_cap + 1)
        )

    def _stuck(self, now: float, usual_seconds: float) -> int:
        """How many requests take far longer than usual; 0 where nothing is answered."""
        if now - self._answered_at > max(_SILENT_SECONDS, usual_seconds):
            return 0
        count = 0
        for sent_at in self._under_way.values():  # in the order of sending
            if now - sent_at <= usual_seconds:
                break
            count += 1
        return count

    def _usual(self) -> float:
        ordered = sorted(self._latencies)
        return ordered[int(_PERCENTILE * (len(ordered) - 1))]
