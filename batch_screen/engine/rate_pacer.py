"""Rate pacer: starts attempts at the current rate and never above it.

A bucket lets attempts start evenly; its usual parameters would let a second's quota out at once. A
small one that leaks at nearly the rate makes up for the moments in which the event loop was busy
elsewhere, but not for a pause. So that what it makes up for never exceeds the rate either, the last
second's starts are counted: a window that is full is waited for.

The account's bucket is aiolimiter's, whose clock is the event loop's, so that a test that owns the
loop owns the time. It can only be waited for; an endpoint's is asked how long to leave it alone, so
it is a pure function of its state and the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from aiolimiter import AsyncLimiter

from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.recovery import Starts

_USED_SHARE = 0.998
_MADE_UP_FOR_SECONDS = 0.02  # aiolimiter's own sizes lost up to a tenth when the loop was busy
_ADJUST_SECONDS = 0.25
_ADJUST_SHARE = 0.01
_SHORTEST_SECONDS = 0.001
_SLOWEST = 0.001
_LOOK_AGAIN_SECONDS = 1.0  # at a slow pace, or at none, the permitted rate may change meanwhile


def bucket(rate_per_second: float) -> tuple[float, float]:
    """The (size, seconds to drain) of a leaky bucket that holds a few milliseconds of credit.

    >>> size, period = bucket(1000)
    >>> round(size, 2), round(size / period, 2)
    (20.96, 998.0)
    """
    rate = _USED_SHARE * rate_per_second
    size = 1 + _MADE_UP_FOR_SECONDS * rate
    return size, size / rate


class Bucket(NamedTuple):
    """A leaky bucket and its level at an instant; each attempt adds one."""

    size: float
    seconds: float
    level: float
    at: float

    def leaked(self, now: float) -> Bucket:
        """The bucket after leaking until now.

        >>> Bucket(2.0, 4.0, level=1.5, at=10.0).leaked(12.0)
        Bucket(size=2.0, seconds=4.0, level=0.5, at=12.0)
        """
        level = max(self.level - (now - self.at) * (self.size / self.seconds), 0)
        return self._replace(level=level, at=now)

    @property
    def has_room(self) -> bool:
        """Whether one more attempt would fit in."""
        return self.level + 1 <= self.size


class RatePacer:
    """Starts attempts one after the other at the adaptive rate."""

    def __init__(self, adaptive: AdaptiveRate, *, clock: Callable[[], float]) -> None:
        self._adaptive = adaptive
        self._clock = clock
        self._limiter: AsyncLimiter | None = None
        self._limiter_rate = adaptive.rate()
        if self._limiter_rate > 0:  # the first attempt need not wait
            self._limiter = AsyncLimiter(*bucket(self._limiter_rate))
        self._adjusted_at = self._granted_at = clock()

    async def acquire(self) -> None:
        """Waits until one attempt may start. For one caller at a time."""
        while True:
            # The instant may move while we sleep, so an event would only add a second clock.
            while (wait := self._adaptive.not_before - self._clock()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(wait)
            limiter = await self._adjusted()
            if limiter is None:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                continue
            if not limiter.has_capacity() and not await self._has_leaked(limiter):
                continue
            await limiter.acquire()  # there is room, so this does not wait
            self._granted_at = self._clock()
            # The bucket shapes, the window guarantees: no second ever holds more than the rate.
            opens_at = self._adaptive.window_opens_at(self._limiter_rate)
            if (wait := opens_at - self._granted_at) > 0:
                await asyncio.sleep(wait)
            # Something may have come between since the bucket granted it.
            is_due = self._clock() >= max(self._adaptive.not_before, opens_at)
            if is_due and self._adaptive.rate() > 0:
                self._adaptive.started()
                return

    async def _has_leaked(self, limiter: AsyncLimiter) -> bool:
        """Whether the bucket gets room for an attempt before the rate has to be read again.

        Not with the bucket's own wait: an event loop rounds timers to milliseconds, and it would
        spin through the rest of one.
        """
        began = self._clock()
        while not limiter.has_capacity():
            now = self._clock()
            if now - began >= _LOOK_AGAIN_SECONDS:
                return False
            # A bucket has room again at the latest when one attempt's worth has leaked.
            due = self._granted_at + limiter.time_period / limiter.max_rate
            wait = max(due - now, _SHORTEST_SECONDS)
            await asyncio.sleep(min(wait, _LOOK_AGAIN_SECONDS))
        return True

    async def _adjusted(self) -> AsyncLimiter | None:
        """The bucket for the current rate; None where that is 0.

        A new bucket starts with the credit of one attempt at most: a change of rate must not let
        a burst out.
        """
        now, rate = self._clock(), self._adaptive.rate()
        if rate <= 0:
            self._limiter = None
            return None
        # Falls at once; rises at most four times a second, for a new bucket forgets its credit.
        changed = abs(rate - self._limiter_rate) > _ADJUST_SHARE * self._limiter_rate
        at_ceiling = rate == self._adaptive.ceiling() != self._limiter_rate
        is_due = now - self._adjusted_at >= _ADJUST_SECONDS or rate < self._limiter_rate
        if self._limiter is None or at_ceiling or (changed and is_due):
            # What has leaked since the last attempt counts, or a rate that keeps changing, be it
            # slowly, would never let a slow one start.
            credit = min(1.0, (now - self._granted_at) * self._limiter_rate)
            self._limiter = AsyncLimiter(*bucket(rate))
            await self._limiter.acquire(self._limiter.max_rate - credit)
            self._limiter_rate, self._adjusted_at = rate, now
        return self._limiter


class EndpointPacer:
    """The own, lower rate of one endpoint; it may change."""

    def __init__(self, rate: Callable[[], float], *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate = rate
        self._starts = Starts()
        self._bucket_rate = max(rate(), _SLOWEST)
        self._bucket = Bucket(*bucket(self._bucket_rate), level=0.0, at=clock())
        self._due = self._granted_at = self._adjusted_at = clock()

    def wait_seconds(self) -> float:
        """Seconds until the endpoint may be asked; 0: now."""
        now = self._clock()
        self._adjust(now)
        self._bucket = self._bucket.leaked(now)
        wait = self._starts.window_opens_at(self._bucket_rate) - now
        if not self._bucket.has_room:
            wait = max(wait, self._due - now, _SHORTEST_SECONDS)
        # The rate may rise meanwhile, as at a full hour.
        return min(max(0.0, wait), _LOOK_AGAIN_SECONDS)

    def follow(self, rate: Callable[[], float]) -> None:
        """Follows another rate from now on; earlier starts still count."""
        self._rate = rate

    def started(self) -> None:
        """Records that an attempt starts now, after ``wait_seconds`` returned 0."""
        now = self._granted_at = self._clock()
        bucket = self._bucket.leaked(now)
        self._bucket = bucket._replace(level=bucket.level + 1)
        self._starts.add(now)
        self._due = now + bucket.seconds / bucket.size

    def _adjust(self, now: float) -> None:
        rate = max(self._rate(), _SLOWEST)
        changed = abs(rate - self._bucket_rate) > _ADJUST_SHARE * self._bucket_rate
        if changed and (rate < self._bucket_rate or now - self._adjusted_at >= _ADJUST_SECONDS):
            credit = min(1.0, (now - self._granted_at) * self._bucket_rate)
            size, seconds = bucket(rate)
            self._bucket = Bucket(size, seconds, level=size - credit, at=now)
            self._bucket_rate, self._adjusted_at = rate, now
            self._due = max(self._granted_at, now - credit / rate) + 1 / rate
