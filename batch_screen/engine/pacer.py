"""When the next attempt may start and how many may be under way: hears all, holds the reins.

Puts governors, pacers and concurrency together, so that the dispatcher asks one and tells one.
Decides whose a refusal is: the account's, unless one endpoint has nearly all of them.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial

from aiolimiter import AsyncLimiter

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.concurrency import Concurrency
from batch_screen.engine.guards import Guard
from batch_screen.engine.pace_log import PaceLog
from batch_screen.engine.recovery import Starts
from batch_screen.engine.retry import FAILURES
from batch_screen.engine.scope import SEVERAL, Blame, ShareTest, Streak
from batch_screen.engine.tasks import Places, Result, Sent
from batch_screen.masking import masked_logger
from batch_screen.model import Endpoint, OutcomeKind, Pace

# When the next attempt may start: at the governor's rate, and never above it.
#
# aiolimiter is the bucket. Its usual parameters let a second's quota out at once; a small bucket
# that leaks at nearly the rate starts attempts evenly, and makes up for the moments in which the
# event loop was busy elsewhere, but not for a pause. So that what it makes up for never exceeds
# the rate either, the last second's starts are counted: a window that is full is waited for.
#
# The clock is the event loop's (monotonic), from which aiolimiter takes its time too, so that a
# test that owns the loop owns the time.

_USED_SHARE = 0.998
_MADE_UP_FOR_SECONDS = 0.02
_ADJUST_SECONDS = 0.25
_ADJUST_SHARE = 0.01
_SHORTEST_SECONDS = 0.001
_SLOWEST = 0.001
_LOOK_AGAIN_SECONDS = 1.0  # at a slow pace, or at none, the permitted rate may change meanwhile


def bucket(rate_per_second: float) -> tuple[float, float]:
    """The (max_rate, time_period) for aiolimiter: the credit of some milliseconds, no more.

    >>> size, period = bucket(1000)
    >>> round(size, 2), round(size / period, 2)
    (20.96, 998.0)
    """
    rate = _USED_SHARE * rate_per_second
    size = 1 + _MADE_UP_FOR_SECONDS * rate
    return size, size / rate


class RatePacer:
    """Lets attempts start, one after the other, at the governor's rate."""

    def __init__(self, governor: AdaptiveRate, *, clock: Callable[[], float]) -> None:
        self._governor = governor
        self._clock = clock
        self._limiter: AsyncLimiter | None = None
        self._limiter_rate = governor.rate()
        if self._limiter_rate > 0:  # the first attempt need not wait
            self._limiter = AsyncLimiter(*bucket(self._limiter_rate))
        self._adjusted_at = self._granted_at = clock()
        self._owed = 0

    async def acquire(self) -> None:
        """Returns when one attempt may start. For one caller at a time."""
        while True:
            # Nothing is awaited for nothing: at thousands a second, coroutines that end at once
            # would cost more than what they do.
            if self._governor.not_before > self._clock():
                await self._wait_until_not_before()
            limiter = self._adjusted()
            if limiter is None:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                continue
            if not limiter.has_capacity() and not await self._has_leaked(limiter):
                continue
            take(limiter, 1)
            self._granted_at = self._clock()
            if self._owed:
                self._owed -= 1
                continue
            opens_at = self._governor.window_opens_at(self._limiter_rate)
            if (wait := opens_at - self._granted_at) > 0:
                await asyncio.sleep(wait)
            if self._may_start(opens_at):
                self._governor.started()
                return

    def owe(self) -> None:
        """An attempt reached the server only now, long after it had started.

        A server that stood still finds everything that was under way at once; as much less may
        start afterwards, or the same second would hold more than the rate.
        """
        self._owed = min(self._owed + 1, round(self._limiter_rate))

    async def _has_leaked(self, limiter: AsyncLimiter) -> bool:
        """Whether the bucket has room for an attempt within the time in which its rate holds.

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

    def _may_start(self, opens_at: float) -> bool:
        """Whether nothing has come between since the bucket granted an attempt."""
        is_due = self._clock() >= max(self._governor.not_before, opens_at)
        return is_due and self._governor.rate() > 0

    async def _wait_until_not_before(self) -> None:
        # The instant may move while we sleep, so an event would only add a second clock.
        while (wait := self._governor.not_before - self._clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)

    def _adjusted(self) -> AsyncLimiter | None:
        """The bucket for the rate of this moment; None where that is 0.

        A new bucket starts with the credit of one attempt at most: a change of rate must not let
        a burst out.
        """
        now, rate = self._clock(), self._governor.rate()
        if rate <= 0:
            self._limiter = None
            return None
        changed = abs(rate - self._limiter_rate) > _ADJUST_SHARE * self._limiter_rate
        at_ceiling = rate == self._governor.ceiling() != self._limiter_rate
        is_due = now - self._adjusted_at >= _ADJUST_SECONDS or rate < self._limiter_rate
        if self._limiter is None or at_ceiling or (changed and is_due):
            # What has leaked since the last attempt counts, or a rate that keeps changing, be it
            # slowly, would never let a slow one start.
            credit = min(1.0, (now - self._granted_at) * self._limiter_rate)
            self._limiter = bucket_with(credit, rate)
            self._limiter_rate, self._adjusted_at = rate, now
        return self._limiter


class EndpointPacer:
    """The lower rate of one endpoint, kept by itself; it may change."""

    def __init__(self, rate: Callable[[], float], *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate = rate
        self._starts = Starts()
        self._bucket_rate = max(rate(), _SLOWEST)
        self._limiter = AsyncLimiter(*bucket(self._bucket_rate))
        self._due = self._granted_at = self._adjusted_at = clock()

    def wait_seconds(self) -> float:
        """How long the endpoint must still be left alone; 0: an attempt may start now."""
        self._adjust()
        wait = self._starts.window_opens_at(self._bucket_rate) - self._clock()
        if not self._limiter.has_capacity():
            wait = max(wait, self._due - self._clock(), _SHORTEST_SECONDS)
        # The rate may rise meanwhile, as at a full hour.
        return min(max(0.0, wait), _LOOK_AGAIN_SECONDS)

    def follow(self, rate: Callable[[], float]) -> None:
        """Keeps another rate from now on; what has started counts on."""
        self._rate = rate

    def started(self) -> None:
        """An attempt starts now, after ``wait_seconds`` said 0."""
        now = self._granted_at = self._clock()
        take(self._limiter, 1)
        self._starts.add(now)
        self._due = now + self._limiter.time_period / self._limiter.max_rate

    def _adjust(self) -> None:
        now, rate = self._clock(), max(self._rate(), _SLOWEST)
        changed = abs(rate - self._bucket_rate) > _ADJUST_SHARE * self._bucket_rate
        if changed and (rate < self._bucket_rate or now - self._adjusted_at >= _ADJUST_SECONDS):
            credit = min(1.0, (now - self._granted_at) * self._bucket_rate)
            self._limiter = bucket_with(credit, rate)
            self._bucket_rate, self._adjusted_at = rate, now
            self._due = max(self._granted_at, now - credit / rate) + 1 / rate


def bucket_with(credit: float, rate_per_second: float) -> AsyncLimiter:
    """A bucket for the rate that would grant so much at once."""
    limiter = AsyncLimiter(*bucket(rate_per_second))
    take(limiter, limiter.max_rate - credit)
    return limiter


def take(limiter: AsyncLimiter, amount: float) -> None:
    """Takes from a bucket what it has."""
    # A bucket grants what it has without waiting, so this coroutine ends at once.
    granting = limiter.acquire(amount)
    try:
        granting.send(None)
    except StopIteration:
        return
    raise RuntimeError("the bucket made us wait")


_STOOD_STILL_SECONDS = 1.0

_log = masked_logger(__name__)


class Pacer(Guard):
    """Lets attempts start one after the other, and learns from every answer."""

    def __init__(
        self,
        pacing: Pacing,
        governor: AdaptiveRate,
        *,
        clock: Callable[[], float],
        endpoints: Collection[Endpoint] = tuple(Endpoint),
    ) -> None:
        """``endpoints``: those that are asked; one alone cannot be compared with others."""
        self._pacing = pacing
        self._governor = governor
        self._clock = clock
        self._pacer = RatePacer(governor, clock=clock)
        self._is_alone = len(endpoints) < 2
        self._blame = Blame()
        self._last_passed = 0
        self._last_passed_at: Counter[Endpoint] = Counter()
        self._sent_at_endpoint: Counter[Endpoint] = Counter()
        self._streaks = {endpoint: Streak() for endpoint in Endpoint}
        self._tests = {endpoint: ShareTest() for endpoint in Endpoint}
        self._governors: dict[Endpoint, AdaptiveRate] = {}
        self._pacers = {
            endpoint: EndpointPacer(partial(_same, rate * (1 - pacing.headroom)), clock=clock)
            for endpoint, rate in pacing.rate_per_second_by_endpoint.items()
        }
        self._concurrency = Concurrency(pacing.max_concurrency, governor.rate, clock=clock)
        self._heard_at = self._stood_still_until = clock()
        self._log = PaceLog(clock(), governor.rate())

    @property
    def is_open(self) -> bool:
        """Whether the account is refused whatever it asks: then one attempt at a time is enough."""
        return self._governor.is_closed

    @property
    def refuses_all(self) -> bool:
        """Whether nothing is let pass just now, or nothing ever was."""
        return self._governor.is_closed or not self._governor.has_passed

    def own_refusal(self, endpoint: Endpoint, places: Places) -> float:
        """How far a refusal just heard of is the lookup's own; 0: the account refuses all."""
        if self.refuses_all or self.is_probing(endpoint):
            return 0.0
        if (governor := self._governors.get(endpoint)) is not None:
            return governor.weight(places.at_endpoint)
        return self._governor.weight(places.of_all)

    def refuses(self, endpoint: Endpoint | None, numbers: int) -> bool:
        """Whether so many numbers in a row were refused, at an endpoint or anywhere."""
        if endpoint is None or self._is_alone:
            return self._governor.refuses(numbers)
        return self._streaks[endpoint].holds(numbers)

    def last_passed(self, endpoint: Endpoint) -> Places:
        """The last attempt that was let pass in the order of sending: of all, at the endpoint."""
        return Places(self._last_passed, self._last_passed_at[endpoint])

    def is_probing(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint is refused whatever it is asked: one attempt at a time is enough."""
        governor = self._governors.get(endpoint)
        return governor is not None and governor.is_closed

    def slots(self) -> int:
        """How many attempts may be under way now."""
        return self._concurrency.limit()

    def wait_seconds(self, endpoint: Endpoint) -> float:
        """How long this endpoint must be left alone, whatever the others do."""
        pacer = self._pacers.get(endpoint)
        if pacer is None:
            return 0.0
        wait = pacer.wait_seconds()
        governor = self._governors.get(endpoint)
        return wait if governor is None else max(wait, governor.not_before - self._clock())

    async def acquire(self, endpoint: Endpoint) -> None:
        """Returns when an attempt at the endpoint may start; ``wait_seconds`` has said 0."""
        await self._pacer.acquire()
        if (pacer := self._pacers.get(endpoint)) is not None:
            pacer.started()
        if (governor := self._governors.get(endpoint)) is not None:
            governor.started()

    def on_sent(self, endpoint: Endpoint, sent: Sent) -> None:
        """The attempt goes out now: one that was let start may be called off before that."""
        place, at_endpoint = sent.places
        self._log.started(sent.at)
        self._governor.sent(place)
        self._concurrency.sent(place, sent.at)
        if self._is_alone:
            return
        self._sent_at_endpoint[endpoint] = at_endpoint
        if (governor := self._governors.get(endpoint)) is not None:
            governor.sent(at_endpoint)
        else:
            self._blame.sent(endpoint)

    def ended(self, places: Places) -> None:
        """The attempt is not under way any more, whatever became of it."""
        self._concurrency.ended(places.of_all)

    def on_result(self, result: Result) -> float:
        now, answer, sent_at = self._clock(), result.answer, result.sent.at
        latency = now - sent_at
        if now - self._heard_at > _STOOD_STILL_SECONDS:
            self._stood_still_until = now
        self._heard_at = now
        if answer.kind is OutcomeKind.TIMEOUT:
            self._concurrency.timed_out(sent_at=sent_at)
        else:
            is_late = latency > _STOOD_STILL_SECONDS and sent_at < self._stood_still_until
            if is_late and self._concurrency.is_slow(latency):
                self._pacer.owe()
            self._concurrency.answered(latency)
        if answer.kind is OutcomeKind.RATE_LIMITED:
            self._log.refused(now)
            self._refused(result)
        elif answer.kind not in FAILURES:
            self._passed(result.task.lookup.endpoint, result.sent.places)
            self._governor.heard(answer, sent_at=sent_at)
        return 0.0

    def known_good(self) -> None:
        self._governor.has_passed = True

    def pause(self, seconds: float) -> None:
        """Nobody starts an attempt for so long."""
        self._governor.pause(seconds)

    def ramp_up(self) -> None:
        """The server is back: on new connections requests would arrive in a bunch."""
        self._governor.ramp_up()

    def pulse(self, lag_seconds: float) -> None:
        """To be called several times a second, with how late the event loop was for it."""
        now = self._clock()
        self._concurrency.lagged(lag_seconds)
        self._log.limit(now, self._governor.rate(), is_headers=self._governor.is_held_by_headers)

    def taken(self) -> Pace:
        """The pace so far."""
        return self._log.taken(self._clock())

    def _passed(self, endpoint: Endpoint, places: Places) -> None:
        self._last_passed = max(self._last_passed, places.of_all)
        last = self._last_passed_at[endpoint]
        self._last_passed_at[endpoint] = max(last, places.at_endpoint)
        self._governor.passed(places.of_all)
        if self._is_alone:
            return
        self._streaks[endpoint].passed(places.at_endpoint)
        if (governor := self._governors.get(endpoint)) is not None:
            governor.passed(places.at_endpoint)

    def _refused(self, result: Result) -> None:
        task, answer, sent, _, _ = result
        wait, endpoint, e164 = answer.retry_after_seconds, task.lookup.endpoint, task.lookup.e164
        sent_at, places = sent.at, sent.places
        streak, is_first = self._streaks[endpoint], not task.was_refused
        if is_first and not self._is_alone:
            streak.refused(places.at_endpoint, e164, sent_at)
        if (own := self._governors.get(endpoint)) is not None:
            place = places.at_endpoint
            if own.refused(place, e164, sent_at, wait, is_first=is_first):
                own.slow_down(place, sent_at=sent_at)
            return
        place = places.of_all
        is_too_high = self._governor.refused(place, e164, sent_at, wait, is_first=is_first)
        if not (self._is_alone or self._governor.is_closed) and is_first:
            self._blame.refused(endpoint)
            is_much = self._tests[endpoint].refused(places.at_endpoint)
            is_closed = streak.holds(SEVERAL)
            if (is_too_high or is_much or is_closed) and self._blame.of_one() == endpoint:
                governor = self._part(endpoint)
                if is_closed:
                    governor.close(wait)
                return
        if is_too_high and (self._is_alone or self._blame.is_spread()):
            self._governor.slow_down(place, sent_at=sent_at)
            for each, test in self._tests.items():
                test.restart(self._sent_at_endpoint[each])

    def _part(self, endpoint: Endpoint) -> AdaptiveRate:
        """From now on the endpoint has a rate of its own, and the account's knows nothing of it."""
        pacing, total = self._pacing, self._governor
        most = pacing.rate_per_second_by_endpoint.get(endpoint, math.inf) * (1 - pacing.headroom)
        governor = AdaptiveRate(
            lambda: min(most, total.ceiling()),
            pacing.model_copy(update={"ramp_up_seconds": 0.0}),
            clock=self._clock,
            whose=endpoint.value,
        )
        governor.has_passed = True
        governor.sent(self._sent_at_endpoint[endpoint])
        governor.forget()
        if delivered := self._blame.delivered(endpoint):
            governor.hold(delivered * total.rate())
        self._governors[endpoint] = governor
        if (pacer := self._pacers.get(endpoint)) is not None:
            pacer.follow(governor.rate)
        else:
            self._pacers[endpoint] = EndpointPacer(governor.rate, clock=self._clock)
        self._blame.clear()
        total.forget()
        _log.warning(
            "%s alone refuses requests: it gets a rate of its own, the others are asked as before",
            endpoint,
        )
        return governor


def _same(rate: float) -> float:
    return rate
