"""Pacer: when the next attempt may start, and how many may be in flight.

Puts the account's adaptive rate, those of endpoints with a limit of their own, and concurrency
together. Decides whose a refusal is: the account's, unless one endpoint has nearly all of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.concurrency import Concurrency
from batch_screen.engine.guards import Guard
from batch_screen.engine.pace_log import PaceLog
from batch_screen.engine.rate_pacer import EndpointPacer, RatePacer
from batch_screen.engine.retry import FAILURES
from batch_screen.engine.scope import SEVERAL, Blame, ShareTest, Streak
from batch_screen.engine.tasks import Places, Result, Sent
from batch_screen.masking import masked_logger
from batch_screen.model import Endpoint, OutcomeKind, Pace

_STOOD_STILL_SECONDS = 1.0

_log = masked_logger(__name__)


class Pacer(Guard):
    """Paces attempts by account and endpoint, and adapts to every answer."""

    def __init__(
        self,
        pacing: Pacing,
        adaptive: AdaptiveRate,
        *,
        clock: Callable[[], float],
        endpoints: Collection[Endpoint] = tuple(Endpoint),
    ) -> None:
        """``endpoints``: those that are asked; a single one cannot be compared with others."""
        self._pacing = pacing
        self._adaptive = adaptive
        self._clock = clock
        self._pacer = RatePacer(adaptive, clock=clock)
        self._is_alone = len(endpoints) < 2
        self._blame = Blame()
        self._last_passed = 0
        self._last_passed_at: Counter[Endpoint] = Counter()
        self._sent_at_endpoint: Counter[Endpoint] = Counter()
        self._streaks = {endpoint: Streak() for endpoint in Endpoint}
        self._tests = {endpoint: ShareTest() for endpoint in Endpoint}
        self._own: dict[Endpoint, AdaptiveRate] = {}
        self._pacers = {
            endpoint: EndpointPacer(partial(float, rate * (1 - pacing.headroom)), clock=clock)
            for endpoint, rate in pacing.rate_per_second_by_endpoint.items()
        }
        self._concurrency = Concurrency(pacing.max_concurrency, adaptive.rate, clock=clock)
        self._answered_at = self._stood_still_until = clock()
        self._log = PaceLog(clock(), adaptive.rate())

    @property
    def is_open(self) -> bool:
        """Whether the whole account is refused, so that attempts probe one at a time."""
        return self._adaptive.is_closed

    @property
    def refuses_all(self) -> bool:
        """Whether everything is refused just now, or was from the start."""
        return self._adaptive.is_closed or not self._adaptive.has_passed

    def own_refusal(self, endpoint: Endpoint, places: Places) -> float:
        """How far a refusal counts against its own lookup; 0 while the account refuses all."""
        if self.refuses_all or self.is_probing(endpoint):
            return 0.0
        if (adaptive := self._own.get(endpoint)) is not None:
            return adaptive.weight(places.at_endpoint)
        return self._adaptive.weight(places.of_all)

    def refuses(self, endpoint: Endpoint | None, numbers: int) -> bool:
        """Whether so many numbers in a row were refused, at an endpoint or overall."""
        if endpoint is None or self._is_alone:
            return self._adaptive.refuses(numbers)
        return self._streaks[endpoint].holds(numbers)

    def last_passed(self, endpoint: Endpoint) -> Places:
        """The last attempt sent that was not refused: of all, and of the endpoint."""
        return Places(self._last_passed, self._last_passed_at[endpoint])

    def is_probing(self, endpoint: Endpoint) -> bool:
        """Whether the whole endpoint is refused, so that attempts at it probe one at a time."""
        adaptive = self._own.get(endpoint)
        return adaptive is not None and adaptive.is_closed

    def slots(self) -> int:
        """How many attempts may be in flight now."""
        return self._concurrency.limit()

    def wait_seconds(self, endpoint: Endpoint) -> float:
        """Seconds until this endpoint may be asked, whatever the others do."""
        pacer = self._pacers.get(endpoint)
        if pacer is None:
            return 0.0
        wait = pacer.wait_seconds()
        adaptive = self._own.get(endpoint)
        return wait if adaptive is None else max(wait, adaptive.not_before - self._clock())

    async def acquire(self, endpoint: Endpoint) -> None:
        """Waits until an attempt at the endpoint may start; ``wait_seconds`` has returned 0."""
        await self._pacer.acquire()
        if (pacer := self._pacers.get(endpoint)) is not None:
            pacer.started()
        if (adaptive := self._own.get(endpoint)) is not None:
            adaptive.started()

    def on_sent(self, endpoint: Endpoint, sent: Sent) -> None:
        """Records that the attempt goes out now; before that, it may still be called off."""
        place, at_endpoint = sent.places
        self._log.started(sent.at)
        self._adaptive.sent(place)
        self._concurrency.sent(place, sent.at)
        if self._is_alone:
            return
        self._sent_at_endpoint[endpoint] = at_endpoint
        if (adaptive := self._own.get(endpoint)) is not None:
            adaptive.sent(at_endpoint)
        else:
            self._blame.sent(endpoint)

    def ended(self, places: Places) -> None:
        """Records that the attempt has ended, whatever its result."""
        self._concurrency.ended(places.of_all)

    def on_result(self, result: Result) -> float:
        now, answer, sent_at = self._clock(), result.answer, result.sent.at
        latency = now - sent_at
        if now - self._answered_at > _STOOD_STILL_SECONDS:
            self._stood_still_until = now
        self._answered_at = now
        if answer.kind is OutcomeKind.TIMEOUT:
            self._concurrency.timed_out(sent_at=sent_at)
        else:
            # A server that stood still finds all that was under way at once: the next seconds owe
            # it, or their requests would come on top.
            is_late = latency > _STOOD_STILL_SECONDS and sent_at < self._stood_still_until
            if is_late and self._concurrency.is_slow(latency):
                self._pacer.owe()
            self._concurrency.answered(latency)
        if answer.kind is OutcomeKind.RATE_LIMITED:
            self._log.refused(now)
            self._refused(result)
        elif answer.kind not in FAILURES:
            self._passed(result.task.lookup.endpoint, result.sent.places)
            self._adaptive.answered(answer, sent_at=sent_at)
        return 0.0

    def known_good(self) -> None:
        self._adaptive.has_passed = True

    def pause(self, seconds: float) -> None:
        """Starts no attempt for so long."""
        self._adaptive.pause(seconds)

    def ramp_up(self) -> None:
        """Starts the ramp again: after an outage, new connections would deliver a burst."""
        self._adaptive.ramp_up()

    def pulse(self, lag_seconds: float) -> None:
        """Called several times a second with the event loop's lag."""
        now = self._clock()
        self._concurrency.lagged(lag_seconds)
        self._log.limit(now, self._adaptive.rate(), is_headers=self._adaptive.is_held_by_headers)

    def snapshot(self) -> Pace:
        """The pace so far."""
        return self._log.snapshot(self._clock())

    def _passed(self, endpoint: Endpoint, places: Places) -> None:
        self._last_passed = max(self._last_passed, places.of_all)
        last = self._last_passed_at[endpoint]
        self._last_passed_at[endpoint] = max(last, places.at_endpoint)
        self._adaptive.passed(places.of_all)
        if self._is_alone:
            return
        self._streaks[endpoint].passed(places.at_endpoint)
        if (adaptive := self._own.get(endpoint)) is not None:
            adaptive.passed(places.at_endpoint)

    def _refused(self, result: Result) -> None:
        task, answer, sent, _, _ = result
        wait, endpoint, e164 = answer.retry_after_seconds, task.lookup.endpoint, task.lookup.e164
        sent_at, places = sent.at, sent.places
        streak, is_first = self._streaks[endpoint], not task.was_refused
        if is_first and not self._is_alone:
            streak.refused(places.at_endpoint, e164, sent_at)
        if (own := self._own.get(endpoint)) is not None:
            place = places.at_endpoint
            if own.refused(place, e164, sent_at, wait, is_first=is_first):
                own.slow_down(place, sent_at=sent_at)
            return
        place = places.of_all
        is_too_high = self._adaptive.refused(place, e164, sent_at, wait, is_first=is_first)
        if not (self._is_alone or self._adaptive.is_closed) and is_first:
            self._blame.refused(endpoint)
            is_much = self._tests[endpoint].refused(places.at_endpoint)
            is_closed = streak.holds(SEVERAL)
            if (is_too_high or is_much or is_closed) and self._blame.of_one() == endpoint:
                adaptive = self._separate(endpoint)
                if is_closed:
                    adaptive.close(wait)
                return
        # Neither one endpoint's for sure nor spread: the next refusals will show.
        if is_too_high and (self._is_alone or self._blame.is_spread()):
            self._adaptive.slow_down(place, sent_at=sent_at)
            for each, test in self._tests.items():
                test.restart(self._sent_at_endpoint[each])

    def _separate(self, endpoint: Endpoint) -> AdaptiveRate:
        """Gives the endpoint a rate of its own, apart from the account's."""
        pacing, total = self._pacing, self._adaptive
        most = pacing.rate_per_second_by_endpoint.get(endpoint, math.inf) * (1 - pacing.headroom)
        adaptive = AdaptiveRate(
            lambda: min(most, total.ceiling()),
            pacing.model_copy(update={"ramp_up_seconds": 0.0}),
            clock=self._clock,
            whose=endpoint.value,
        )
        adaptive.has_passed = True
        adaptive.sent(self._sent_at_endpoint[endpoint])
        adaptive.forget()
        if delivered := self._blame.delivered(endpoint):
            adaptive.hold(delivered * total.rate())
        self._own[endpoint] = adaptive
        if (pacer := self._pacers.get(endpoint)) is not None:
            pacer.follow(adaptive.rate)
        else:
            self._pacers[endpoint] = EndpointPacer(adaptive.rate, clock=self._clock)
        self._blame.clear()
        total.forget()
        _log.warning(
            "%s alone refuses requests: it gets a rate of its own, the others are asked as before",
            endpoint,
        )
        return adaptive
