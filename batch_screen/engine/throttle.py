"""When the next attempt may start and how many may be under way: hears all, holds the reins.

Puts governor, pacers and concurrency together, so that the dispatcher asks one and tells one.
"""

from __future__ import annotations

from collections.abc import Callable

from batch_screen.config.settings import Pacing
from batch_screen.engine.concurrency import Concurrency
from batch_screen.engine.governor import Governor
from batch_screen.engine.pace import PaceLog
from batch_screen.engine.pacing import EndpointPacers, Pacer
from batch_screen.masking import masked_logger
from batch_screen.model import Answer, Endpoint, OutcomeKind, Pace

_WORTH_TELLING_SECONDS = 5.0
_STOOD_STILL_SECONDS = 1.0

_log = masked_logger(__name__)


class Throttle:
    """Lets attempts start one after the other, and learns from every answer."""

    def __init__(self, pacing: Pacing, governor: Governor, *, clock: Callable[[], float]) -> None:
        self._pacing = pacing
        self._governor = governor
        self._clock = clock
        self._pacer = Pacer(governor, clock=clock)
        self._endpoints = EndpointPacers(
            {e: r * (1 - pacing.headroom) for e, r in pacing.rate_per_second_by_endpoint.items()},
            clock=clock,
        )
        self._concurrency = Concurrency(pacing.max_concurrency, governor.rate, clock=clock)
        self._heard_at = self._stood_still_until = clock()
        self._log = PaceLog(clock(), governor.rate())

    def slots(self) -> int:
        """How many attempts may be under way now."""
        return self._concurrency.limit()

    def wait_seconds(self, endpoint: Endpoint) -> float:
        """How long this endpoint must be left alone, whatever the others do."""
        return self._endpoints.wait_seconds(endpoint)

    async def acquire(self, endpoint: Endpoint) -> None:
        """Returns when an attempt at the endpoint may start; ``wait_seconds`` has said 0."""
        await self._pacer.acquire()
        self._endpoints.started(endpoint)

    def sent(self) -> None:
        """The attempt goes out now: one that was let start may be called off before that."""
        self._log.started(self._clock())

    def heard(self, answer: Answer, *, sent_at: float) -> None:
        """What an attempt that started at ``sent_at`` brought back."""
        now = self._clock()
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
        if answer.allowance is not None:
            self._governor.said(answer.allowance)
        self._obey(answer, sent_at)

    def pause(self, seconds: float) -> None:
        """Nobody starts an attempt for so long."""
        self._governor.pause(seconds)

    def ramp_up(self) -> None:
        """The server is back: on new connections requests would arrive in a bunch."""
        self._governor.ramp_up()

    def pulse(self, lag_seconds: float) -> None:
        """To be called several times a second, with how late the event loop was for it."""
        self._concurrency.lagged(lag_seconds)
        self._log.limit(self._clock(), self._governor.rate())

    def taken(self) -> Pace:
        """The pace so far."""
        return self._log.taken(self._clock())

    def _obey(self, answer: Answer, sent_at: float) -> None:
        wait = answer.retry_after_seconds
        if wait is not None:
            if wait >= _WORTH_TELLING_SECONDS:
                _log.warning("the API asks to wait %.0f s", wait)
            # The last refusal a lookup may have is no reason to hang.
            wait = min(wait, self._pacing.max_retry_after_seconds)
        if answer.kind is OutcomeKind.RATE_LIMITED:
            self._log.refused(self._clock())
            self._governor.refused(sent_at=sent_at, retry_after_seconds=wait)
        elif wait is not None:
            self._governor.pause(wait)
