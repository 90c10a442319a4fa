"""How fast attempts may start: what settings, the clock on the wall and the server permit now.

The rules are pure functions of time; ``Governor`` only remembers what was heard, and never
makes anybody wait: that is the pacer's.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

from batch_screen.config.settings import Pacing
from batch_screen.engine.recovery import (
    LEAST_PER_SECOND,
    Epoch,
    Refusal,
    next_epoch,
    recovered,
)
from batch_screen.engine.starts import REMEMBERED_SECONDS, Starts
from batch_screen.model import Allowance

START_SHARE = 0.2
_BEST_SECONDS = 300.0
_FEW_PER_SECOND = 5.0
_FEW = 10.0
_PAUSE_WITHOUT_RETRY_AFTER_SECONDS = 0.2
_JITTER_SHARE = 0.05


def ramp(elapsed_seconds: float, ramp_up_seconds: float) -> float:
    """Share of the rate to use so long after the start: a fifth at first, then all.

    >>> ramp(0, 5), ramp(1.25, 5), ramp(5, 5), ramp(0, 0)
    (0.2, 0.4, 1.0, 1.0)
    """
    if elapsed_seconds >= ramp_up_seconds:
        return 1.0
    return START_SHARE + (1 - START_SHARE) * elapsed_seconds / ramp_up_seconds


def said_rate(allowance: Allowance, most_seconds: float) -> tuple[float, float] | None:
    """The (rate, seconds it holds for) that a server's headers permit, or None.

    A window longer than ``most_seconds`` is a quota, and no pace: slowing down to make it last
    would be slower than going on tomorrow. Servers round the time left up to whole seconds, so
    only what is too fast even in a second less slows anybody down.

    >>> said_rate(Allowance(remaining=30, reset_seconds=4), 900)
    (10.0, 4)
    >>> said_rate(Allowance(remaining=30, reset_seconds=86_400), 900)
    """
    found = []
    reset = allowance.reset_seconds
    if allowance.limit_per_second is not None and allowance.limit_per_second > 0:
        found.append((allowance.limit_per_second, 1.0 if reset is None else max(1.0, reset)))
    if allowance.remaining and reset is not None and 1 < reset <= most_seconds:
        found.append((allowance.remaining / (reset - 1), reset))
    return min(found, default=None)


class Governor:
    """Says the rate permitted now, and the instant before which nothing may start.

    ``ceiling`` is the rate that settings and timetable permit at the moment; headroom has been
    taken off it.
    """

    def __init__(
        self,
        ceiling: Callable[[], float],
        pacing: Pacing,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ceiling = ceiling
        self._pacing = pacing
        self._clock = clock
        self._jitter = jitter
        self._began = clock()
        self._epoch: Epoch | None = None
        self._levels: deque[tuple[float, float]] = deque()
        self._starts = Starts()
        self._said = (math.inf, 0.0)
        self.not_before = self._began

    def ceiling(self) -> float:
        """Attempts per second that settings and timetable permit now, without the server's say."""
        return self._ceiling()

    def rate(self) -> float:
        """Attempts per second permitted now; never above the ceiling, and 0 while it is 0."""
        now, ceiling = self._clock(), self._ceiling()
        if ceiling <= 0:
            self._began = now  # the ramp begins when the asking does
            return 0.0
        rate = ceiling * ramp(now - self._began, self._pacing.ramp_up_seconds)
        if self._epoch is not None:
            rate = min(rate, recovered(self._epoch, now))
        said, until = self._said
        return min(rate, said) if now < until else rate

    def ramp_up(self) -> None:
        """Begins with a fifth of the rate again: after an outage every connection is new."""
        self._began = self._clock()

    def started(self) -> None:
        """An attempt starts now."""
        self._starts.add(self._clock())

    def window_opens_at(self, rate_per_second: float) -> float:
        """The instant from which one more start would leave every second within that rate."""
        return self._starts.window_opens_at(rate_per_second)

    def refused(self, *, sent_at: float, retry_after_seconds: float | None) -> None:
        """An attempt that started at ``sent_at`` was refused for the rate.

        Only the first refusal of an epoch changes the level: answers to attempts that were sent
        before it speak of the rate that was cut already.
        """
        has_instant = retry_after_seconds is not None
        self.pause(
            _PAUSE_WITHOUT_RETRY_AFTER_SECONDS
            if retry_after_seconds is None
            else retry_after_seconds
        )
        last = self._epoch
        if last is not None and sent_at <= last.resumes_at:
            self._epoch = last._replace(resumes_at=max(last.resumes_at, self.not_before))
            return
        now, rate = self._clock(), self.rate()
        refusal = Refusal(
            at=now,
            not_before=self.not_before,
            rate=rate,
            seen=self._seen(sent_at, rate),
            average=self._average(last, now),
            ceiling=self._ceiling(),
            best=self._best(now),
            has_instant=has_instant,
        )
        self._epoch = next_epoch(last, refusal)
        self._levels.append((now, self._epoch.level))

    def said(self, allowance: Allowance) -> None:
        """The server said what it permits; that only ever lowers the rate, and for a while."""
        reset = allowance.reset_seconds
        if allowance.remaining == 0 and reset is not None:
            if 0 < reset <= self._pacing.max_retry_after_seconds:
                self.pause(reset)
        elif found := said_rate(allowance, self._pacing.max_retry_after_seconds):
            rate, seconds = found
            self._said = (rate * (1 - self._pacing.headroom), self._clock() + seconds)

    def pause(self, seconds: float) -> None:
        """Nobody starts an attempt for so long; the instant only ever moves later."""
        jittered = seconds * (1 + _JITTER_SHARE * self._jitter())
        self.not_before = max(self.not_before, self._clock() + jittered)

    def _seen(self, sent_at: float, rate: float) -> float:
        """Attempts a second in the second before this one; at a slow pace, in a longer while."""
        seconds = 1.0 if rate >= _FEW_PER_SECOND else _FEW / max(rate, LEAST_PER_SECOND)
        seconds = min(seconds, REMEMBERED_SECONDS)
        return self._starts.count(sent_at - seconds, sent_at) / seconds

    def _average(self, last: Epoch | None, now: float) -> float:
        if last is None or now <= last.paused_at:
            return 0.0
        return self._starts.count(last.resumes_at) / (now - last.paused_at)

    def _best(self, now: float) -> float:
        while self._levels and self._levels[0][0] < now - _BEST_SECONDS:
            self._levels.popleft()
        return max((level for _, level in self._levels), default=0.0)
