"""Pacer: when the next attempt may start, and how many may be in flight.

Puts the rates that a contract's refusals leave, the gate that lets attempts start at them, and
concurrency together. Of several workers of one contract each has limits and a gate that a
coordinator leads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.concurrency import Concurrency
from batch_screen.engine.guards import Guard
from batch_screen.engine.pace_log import PaceLog
from batch_screen.engine.rate_limits import RateLimits
from batch_screen.engine.rate_pacer import EndpointPacer, RatePacer
from batch_screen.engine.retry import FAILURES
from batch_screen.engine.tasks import Places, Result, Sent
from batch_screen.model import Allowance, Endpoint, OutcomeKind, Pace

_STOOD_STILL_SECONDS = 0.02
_STOOD_STILL_SENDS = 10


class Account(Protocol):
    """The part of an ``AdaptiveRate`` that a dispatcher asks and tells."""

    has_passed: bool

    @property
    def is_closed(self) -> bool: ...
    @property
    def is_held_by_headers(self) -> bool: ...
    def rate(self) -> float: ...
    def pause(self, seconds: float) -> None: ...
    def ramp_up(self) -> None: ...


class Limits(Protocol):
    """What ``RateLimits`` does, for one dispatcher or in the name of several."""

    @property
    def account(self) -> Account: ...
    @property
    def refuses_all(self) -> bool: ...
    def is_probing(self, endpoint: Endpoint) -> bool: ...
    def own_refusal(self, endpoint: Endpoint, places: Places) -> float: ...
    def refuses(self, endpoint: Endpoint | None, numbers: int) -> bool: ...
    def sent(self, endpoint: Endpoint, places: Places) -> None: ...
    def passed(
        self, endpoint: Endpoint, places: Places, sent_at: float, allowance: Allowance | None
    ) -> None: ...
    def refused(  # noqa: PLR0913 (as RateLimits)
        self,
        endpoint: Endpoint,
        places: Places,
        e164: str,
        sent_at: float,
        wait: float | None,
        *,
        is_first: bool,
    ) -> None: ...


class Gate(Protocol):
    """Lets attempts start at the permitted rates."""

    def wait_seconds(self, endpoint: Endpoint) -> float:
        """Seconds until this endpoint may be asked, whatever the others do."""

    async def acquire(self, endpoint: Endpoint) -> None:
        """Waits until an attempt at the endpoint may start; ``wait_seconds`` has returned 0."""

    def delayed(self, sent_at: float, seconds: float) -> None:
        """Accounts for an attempt that reached the server so much later than others do."""


class RateGate:
    """The gate of a dispatcher that has the contract to itself."""

    def __init__(self, pacing: Pacing, limits: RateLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._pacer = RatePacer(limits.account, clock=clock)
        self.delayed = limits.account.delayed
        self._pacers = endpoint_pacers(pacing, limits, clock)

    def wait_seconds(self, endpoint: Endpoint) -> float:
        pacer = self._pacers.get(endpoint)
        if pacer is None:
            return 0.0
        wait = pacer.wait_seconds()
        own = self._limits.own.get(endpoint)
        return wait if own is None else max(wait, own.not_before - self._clock())

    async def acquire(self, endpoint: Endpoint) -> None:
        await self._pacer.acquire()
        if (pacer := self._pacers.get(endpoint)) is not None:
            pacer.started()
        if (own := self._limits.own.get(endpoint)) is not None:
            own.started()


def endpoint_pacers(
    pacing: Pacing, limits: RateLimits, clock: Callable[[], float]
) -> dict[Endpoint, EndpointPacer]:
    """Pacers of the endpoints with a limit of their own, and in time of those that get one."""
    pacers = {
        endpoint: EndpointPacer(partial(float, rate * (1 - pacing.headroom)), clock=clock)
        for endpoint, rate in pacing.rate_per_second_by_endpoint.items()
    }

    def follow(endpoint: Endpoint, rate: Callable[[], float]) -> None:
        if (pacer := pacers.get(endpoint)) is not None:
            pacer.follow(rate)
        else:
            pacers[endpoint] = EndpointPacer(rate, clock=clock)

    limits.on_own_rate = follow
    return pacers


def local_pacer(
    pacing: Pacing,
    account: AdaptiveRate,
    *,
    clock: Callable[[], float],
    endpoints: Collection[Endpoint] = tuple(Endpoint),
) -> Pacer:
    """The pacer of a dispatcher that has the contract to itself."""
    limits = RateLimits(pacing, account, clock=clock, endpoints=endpoints)
    return Pacer(pacing, limits, RateGate(pacing, limits, clock), clock=clock)


class Pacer(Guard):
    """Paces attempts by account and endpoint, and adapts to every answer."""

    def __init__(
        self, pacing: Pacing, limits: Limits, gate: Gate, *, clock: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._account = account = limits.account
        self._gate = gate
        self._clock = clock
        self.refuses = limits.refuses
        self.own_refusal = limits.own_refusal
        self.is_probing = limits.is_probing
        self.wait_seconds = gate.wait_seconds
        self.acquire = gate.acquire
        self._last_passed = 0
        self._last_passed_at: Counter[Endpoint] = Counter()
        self._concurrency = Concurrency(pacing.max_concurrency, account.rate, clock=clock)
        self._answered_at = self._stood_still_until = clock()
        self._log = PaceLog(clock(), account.rate())

    @property
    def is_open(self) -> bool:
        """Whether the whole account is refused, so that attempts probe one at a time."""
        return self._account.is_closed

    @property
    def refuses_all(self) -> bool:
        """Whether everything is refused just now, or was from the start."""
        return self._limits.refuses_all

    def last_passed(self, endpoint: Endpoint) -> Places:
        """The last attempt sent that was not refused: of all, and of the endpoint."""
        return Places(self._last_passed, self._last_passed_at[endpoint])

    def slots(self) -> int:
        """How many attempts may be in flight now."""
        return self._concurrency.limit()

    def on_sent(self, endpoint: Endpoint, sent: Sent) -> None:
        """Records that the attempt goes out now; before that, it may still be called off."""
        self._log.started(sent.at)
        self._limits.sent(endpoint, sent.places)
        self._concurrency.sent(sent.places.of_all, sent.at)

    def ended(self, places: Places) -> None:
        """Records that the attempt has ended, whatever its result."""
        self._concurrency.ended(places.of_all)

    def on_result(self, result: Result) -> float:
        now, answer, sent_at = self._clock(), result.answer, result.sent.at
        latency = now - sent_at
        silent = now - self._answered_at
        if silent > _STOOD_STILL_SECONDS and silent * self._account.rate() > _STOOD_STILL_SENDS:
            self._stood_still_until = now
        self._answered_at = now
        if answer.kind is OutcomeKind.TIMEOUT:
            self._concurrency.timed_out(sent_at=sent_at)
        else:
            # A server that stood still finds all that was under way at once: it counts in the
            # second in which it arrived, or the next requests would come on top.
            if sent_at < self._stood_still_until and (delay := self._concurrency.delay(latency)):
                self._gate.delayed(sent_at, delay)
            self._concurrency.answered(latency)
        lookup, places = result.task.lookup, result.sent.places
        if answer.kind is OutcomeKind.RATE_LIMITED:
            self._log.refused(now)
            self._limits.refused(
                lookup.endpoint,
                places,
                lookup.e164,
                sent_at,
                answer.retry_after_seconds,
                is_first=not result.task.was_refused,
            )
        elif answer.kind not in FAILURES:
            self._last_passed = max(self._last_passed, places.of_all)
            last = self._last_passed_at[lookup.endpoint]
            self._last_passed_at[lookup.endpoint] = max(last, places.at_endpoint)
            self._limits.passed(lookup.endpoint, places, sent_at, answer.allowance)
        return 0.0

    def known_good(self) -> None:
        self._account.has_passed = True

    def pause(self, seconds: float) -> None:
        """Starts no attempt for so long."""
        self._account.pause(seconds)

    def ramp_up(self) -> None:
        """Starts the ramp again: after an outage, new connections would deliver a burst."""
        self._account.ramp_up()

    def pulse(self, lag_seconds: float) -> None:
        """Called several times a second with the event loop's lag."""
        now, account = self._clock(), self._account
        self._concurrency.lagged(lag_seconds)
        self._log.limit(now, account.rate(), is_headers=account.is_held_by_headers)

    def snapshot(self) -> Pace:
        """The pace so far."""
        return self._log.snapshot(self._clock())
