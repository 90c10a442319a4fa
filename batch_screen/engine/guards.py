"""Guards that watch every attempt, and the three for an API that fails as a whole.

They pause and probe while no connection can be made, or while nothing but failures comes back,
and end the run after a while, before more is paid for nothing. Those of one endpoint are in
``endpoints``.
"""

from __future__ import annotations

from collections.abc import Callable

from batch_screen.config.sections import Guards
from batch_screen.engine.retry import FAILURES
from batch_screen.engine.scope import SEVERAL, Streak
from batch_screen.engine.tasks import Result, Sent
from batch_screen.errors import ApiError, AuthenticationError, BatchScreenError, Stopped
from batch_screen.model import CANNOT_CONNECT, Endpoint, OutcomeKind

FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 10.0
_NEVER_HEALTHY_SECONDS = 5.0
_SUSPICIOUS_FAILURES = 20
_ENOUGH_TRIES = 10
_LONGEST_TRY_SECONDS = 30.0

REMEDY = {
    OutcomeKind.SERVER_ERROR: "the API seems to be out of order: start again later to resume",
    OutcomeKind.TIMEOUT: "the API is too slow: start again later, at a lower --rate or with a "
    "higher api.timeout_seconds, to resume",
    OutcomeKind.UNREACHABLE: "connections are lost: check the network and the proxy, then start "
    "again to resume",
    OutcomeKind.BAD_RESPONSE: "the server no longer speaks the contract: ask the vendor, then "
    "start again to resume",
    OutcomeKind.FORBIDDEN: "the account seems to have lost this endpoint: ask the vendor, then "
    "start again to resume",
    OutcomeKind.REJECTED: "the API refuses what it is asked: check screening.max_age_minutes and "
    "the list, then start again to resume",
}


class Guard:
    """A watcher of every attempt; subclasses override the events they care about."""

    counts_accusations: bool = False
    """Whether unconfirmed account-level errors count, too; most guards ignore them."""

    @property
    def is_open(self) -> bool:
        """Whether to probe, one attempt at a time."""
        return False

    def known_good(self) -> None:
        """An earlier session had answers: the address is right, so wait the full time."""

    def on_sent(self, endpoint: Endpoint, sent: Sent) -> None:
        """Records that an attempt goes out now."""

    def on_result(self, result: Result) -> float:
        """How many seconds to pause the run. Raises what ends it."""
        del result
        return 0.0


class Breaker:
    """Circuit breaker for an outage: pause, probe one by one, give up after a while."""

    def __init__(
        self,
        give_up_seconds: float,
        clock: Callable[[], float],
        give_up: Callable[[float], BatchScreenError],
    ) -> None:
        """``give_up`` makes the error from the seconds spent trying."""
        self._give_up_seconds = give_up_seconds
        self._clock = clock
        self._give_up = give_up
        self._was_healthy = False
        self._last_failure: float | None = None
        self._tried_seconds = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    @property
    def is_open(self) -> bool:
        """Whether to probe, one attempt at a time."""
        return self._last_failure is not None

    def reset(self) -> None:
        """Closes the breaker: the server works again."""
        self._was_healthy = True
        self._last_failure = None
        self._tried_seconds = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def fail(self, sent_at: float) -> float:
        """How many seconds to pause the run. Raises ``ApiError`` after the bound.

        Attempts that were under way together fail together: they count once.
        """
        now = self._clock()
        if self._last_failure is not None:
            if sent_at < self._last_failure:
                return 0.0
            # An hour in which nothing may be asked is no hour of trying.
            self._tried_seconds += min(now - self._last_failure, _LONGEST_TRY_SECONDS)
        self._last_failure = now
        patience = self._give_up_seconds
        if not self._was_healthy:  # a wrong address rather than an outage
            patience = min(patience, _NEVER_HEALTHY_SECONDS)
        if self._tried_seconds >= patience:
            raise self._give_up(self._tried_seconds)
        pause = self._pause_seconds
        self._pause_seconds = min(2 * pause, _MAX_PAUSE_SECONDS)
        return pause


class Reachability(Guard):
    """Pauses and probes while no connection can be made; single failures among successes pass."""

    counts_accusations = True  # they have found the server

    def __init__(
        self,
        base_url: str,
        guards: Guards,
        clock: Callable[[], float],
        *,
        on_return: Callable[[], None],
    ) -> None:
        """``on_return`` is called when the server is reachable again."""
        self._failed = Streak()
        self._was_healthy = False
        self._on_return = on_return
        self._breaker = Breaker(
            guards.unreachable_seconds,
            clock,
            lambda seconds: ApiError(
                f"{base_url} cannot be reached (tried for {seconds:.0f} s); check the address, the "
                "network and the proxy, then start again to resume"
            ),
        )

    @property
    def is_open(self) -> bool:
        return self._breaker.is_open

    def known_good(self) -> None:
        self._was_healthy = True
        self._breaker.reset()

    def on_result(self, result: Result) -> float:
        place = result.sent.places.of_all
        if result.answer.reason == CANNOT_CONNECT:
            self._failed.refused(place, result.task.lookup.e164)
            if self._was_healthy and not self.is_open and self._failed.count < SEVERAL:
                return 0.0
            return self._breaker.fail(result.sent.at)
        if not self._was_healthy or self._failed.passed(place):
            was_open, self._was_healthy = self.is_open, True
            self._breaker.reset()
            if was_open:
                self._on_return()
        return 0.0


class Outage(Guard):
    """Pauses and probes while every attempt fails: each may have been billed."""

    def __init__(
        self,
        whose: str,
        guards: Guards,
        clock: Callable[[], float],
        failures: frozenset[OutcomeKind] = FAILURES,
    ) -> None:
        self._whose = whose
        self._limit = guards.max_consecutive_failures  # 0: never
        self._kinds = failures
        self._failures = 0
        self._last_kind = OutcomeKind.SERVER_ERROR
        self._breaker = Breaker(guards.unreachable_seconds, clock, self._given_up)

    @property
    def is_open(self) -> bool:
        return self._breaker.is_open

    @property
    def is_suspected(self) -> bool:
        """Whether so many attempts in a row failed that the API must be the cause."""
        return self._failures >= _SUSPICIOUS_FAILURES

    def known_good(self) -> None:
        self._breaker.reset()

    def on_result(self, result: Result) -> float:
        kind = result.answer.kind
        if kind not in self._kinds:
            self._failures = 0
            self._breaker.reset()
            return 0.0
        self._failures += 1
        self._last_kind = kind
        if self._limit == 0 or self._failures < self._limit:
            return 0.0
        return self._breaker.fail(result.sent.at)

    def _given_up(self, seconds: float) -> ApiError:
        family = AuthenticationError if self._last_kind is OutcomeKind.FORBIDDEN else ApiError
        return family(
            f"the last {self._failures} attempts at {self._whose} all failed, for {seconds:.0f} s "
            f"one by one; {REMEDY[self._last_kind]}"
        )


class Refusals(Guard):
    """Ends the run where every request is refused, however slow the rate.

    Only by ``Stopped``: another day, the account may be let in again. ``refuses_all`` says
    whether nothing is let pass just now; a refusal among answers does not count.
    """

    def __init__(
        self,
        guards: Guards,
        clock: Callable[[], float],
        refuses_all: Callable[[], bool],
        whose: str = "the API",
    ) -> None:
        self._whose = whose
        self._give_up_seconds = guards.unreachable_seconds
        self._clock = clock
        self._refuses_all = refuses_all
        self._since: float | None = None
        self._last = 0.0
        self._tries = 0

    def on_result(self, result: Result) -> float:
        if result.answer.kind is not OutcomeKind.RATE_LIMITED:
            self._since, self._tries = None, 0
            return 0.0
        if not self._refuses_all():
            return 0.0
        now = self._clock()
        if self._since is None:
            self._since = now
        elif result.sent.at < self._last:  # it was under way with another: they are one try
            return 0.0
        self._last = now
        self._tries += 1
        for_seconds = now - self._since
        if self._tries > _ENOUGH_TRIES and for_seconds >= self._give_up_seconds:
            raise Stopped(
                f"for {for_seconds:.0f} s {self._whose} has refused every request (429, 408), "
                f"{self._tries} tries one after the other: the quota may be used up, or another "
                "program uses the same key; start again later to resume"
            )
        return 0.0
