"""When the next attempt may start: at the contract's rate, and never above it.

aiolimiter is the bucket. Its usual parameters let a second's quota out at once; with the
permitted rate N, ``r = 0.995 N`` and a bucket of ``1 + 0.005 r`` it starts at most N
attempts in any window of one second and still uses 99.5 % of the budget.

The rules are pure functions of time; the clock is the event loop's (monotonic), so that a
test that owns the loop owns the time.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from aiolimiter import AsyncLimiter

START_SHARE = 0.2
CUT = 0.9
RECOVERY_SECONDS = 10.0
_DELIVERED_WINDOW_SECONDS = 2.0
_DELIVERED_ENOUGH = 5
_ADJUST_SECONDS = 0.25
_ADJUST_SHARE = 0.01
_PAUSE_WITHOUT_RETRY_AFTER_SECONDS = 1.0
_JITTER_SHARE = 0.05


def bucket(rate_per_second: float) -> tuple[float, float]:
    """The (max_rate, time_period) for aiolimiter that never exceed the rate in any second.

    >>> size, period = bucket(1000)
    >>> round(size, 3), round(size / period, 3)
    (5.975, 995.0)
    """
    rate = 0.995 * rate_per_second
    size = 1 + 0.005 * rate
    return size, size / rate


def ramp(elapsed_seconds: float, ramp_up_seconds: float) -> float:
    """Share of the rate to use so long after the start: a fifth at first, then all.

    >>> ramp(0, 5), ramp(1.25, 5), ramp(5, 5), ramp(0, 0)
    (0.2, 0.4, 1.0, 1.0)
    """
    if elapsed_seconds >= ramp_up_seconds:
        return 1.0
    return START_SHARE + (1 - START_SHARE) * elapsed_seconds / ramp_up_seconds


def recovered(since_cut_seconds: float, rate_at_cut: float) -> float:
    """CUBIC growth after a cut: 0.9 of the old rate, back at it after 10 s, then probing.

    >>> recovered(0, 100), recovered(10, 100), round(recovered(20, 100), 1)
    (90.0, 100.0, 110.0)
    """
    steps = (max(0.0, since_cut_seconds) - RECOVERY_SECONDS) / RECOVERY_SECONDS
    return rate_at_cut * (1 + (1 - CUT) * steps**3)


class Pacer:
    """Lets attempts start; told of refusals, it slows down and recovers by itself."""

    def __init__(
        self,
        rate_per_second: float,
        *,
        ramp_up_seconds: float,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ceiling = rate_per_second
        self._ramp_up_seconds = ramp_up_seconds
        self._clock = clock
        self._jitter = jitter
        self._began = clock()
        self._not_before = self._began
        self._cut_at: float | None = None
        self._rate_at_cut = rate_per_second
        self._delivered: deque[float] = deque()
        self._limiter_rate = self.rate()
        self._limiter = AsyncLimiter(*bucket(self._limiter_rate))
        self._adjusted_at = self._began

    def rate(self) -> float:
        """Attempts per second permitted now; never above the contract's."""
        now = self._clock()
        rate = self._ceiling * ramp(now - self._began, self._ramp_up_seconds)
        if self._cut_at is not None:
            rate = min(rate, recovered(now - self._cut_at, self._rate_at_cut))
        return rate

    async def acquire(self) -> None:
        """Returns when one attempt may start."""
        while True:
            await self._wait_until_not_before()
            await self._adjusted().acquire()
            if self._clock() >= self._not_before:
                return

    def delivered(self) -> None:
        """An attempt was answered and not refused."""
        now = self._clock()
        self._delivered.append(now)
        while self._delivered[0] < now - _DELIVERED_WINDOW_SECONDS:
            self._delivered.popleft()

    def refused(self, *, sent_at: float, retry_after_seconds: float | None) -> None:
        """An attempt that started at ``sent_at`` was refused for the rate.

        Only the first refusal of an epoch cuts: answers to attempts sent before the last cut
        speak of the rate that was cut already.
        """
        self.pause(
            _PAUSE_WITHOUT_RETRY_AFTER_SECONDS
            if retry_after_seconds is None
            else retry_after_seconds
        )
        if self._cut_at is not None and sent_at <= self._cut_at:
            return
        self._rate_at_cut = self._delivered_rate()
        self._cut_at = max(self._clock(), self._not_before)

    def pause(self, seconds: float) -> None:
        """Nobody starts an attempt for so long; the instant only ever moves later."""
        jittered = seconds * (1 + _JITTER_SHARE * self._jitter())
        self._not_before = max(self._not_before, self._clock() + jittered)

    def _delivered_rate(self) -> float:
        now = self._clock()
        recent = [at for at in self._delivered if at >= now - _DELIVERED_WINDOW_SECONDS]
        seconds = min(_DELIVERED_WINDOW_SECONDS, now - self._began)
        if len(recent) < _DELIVERED_ENOUGH or seconds <= 0:
            return self.rate()
        return min(self.rate(), len(recent) / seconds)

    async def _wait_until_not_before(self) -> None:
        # The instant may move while we sleep, so an event would only add a second clock.
        while (wait := self._not_before - self._clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)

    def _adjusted(self) -> AsyncLimiter:
        """The bucket for the rate of this moment.

        A new bucket starts full of water, that is without any credit: a change of rate must
        not let a burst out.
        """
        now, rate = self._clock(), self.rate()
        changed = abs(rate - self._limiter_rate) > _ADJUST_SHARE * self._limiter_rate
        at_ceiling = rate == self._ceiling != self._limiter_rate
        if at_ceiling or (changed and now - self._adjusted_at >= _ADJUST_SECONDS):
            self._limiter = AsyncLimiter(*bucket(rate))
            self._limiter_rate, self._adjusted_at = rate, now
            _fill(self._limiter)
        return self._limiter


def _fill(limiter: AsyncLimiter) -> None:
    # An empty bucket grants its whole size without waiting, so this coroutine ends at once.
    granting = limiter.acquire(limiter.max_rate)
    try:
        granting.send(None)
    except StopIteration:
        return
    raise RuntimeError("a new bucket made us wait")
