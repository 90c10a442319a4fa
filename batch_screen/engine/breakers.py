"""Breakers: for an API that fails in the middle of a run, before more is paid for nothing.

They pause and probe while no connection can be made, and while nothing but failures comes
back; they end the run where an endpoint fails too often to be worth asking.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable

from batch_screen.config.guards import Guards
from batch_screen.errors import ApiError, AuthenticationError, Stopped
from batch_screen.model import Endpoint, OutcomeKind

WINDOW_ATTEMPTS = 1_000

_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 10.0
_NEVER_FINE_SECONDS = 5.0
_SUSPICIOUS_FAILURES = 20
_ENOUGH_TRIES = 10
_LONGEST_TRY_SECONDS = 30.0

_FAILURE = frozenset({OutcomeKind.SERVER_ERROR, OutcomeKind.TIMEOUT, OutcomeKind.UNREACHABLE})
_ERROR = _FAILURE | {OutcomeKind.BAD_RESPONSE, OutcomeKind.FORBIDDEN, OutcomeKind.REJECTED}
_REMEDY = {
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


class Breaker:
    """For a server out of order: pause, probe one by one, give up after a while."""

    def __init__(
        self, give_up_seconds: float, clock: Callable[[], float], give_up: Callable[[float], str]
    ) -> None:
        self._give_up_seconds = give_up_seconds
        self._clock = clock
        self._give_up = give_up
        self._was_fine = False
        self._last_failure: float | None = None
        self._tried_seconds = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    @property
    def is_open(self) -> bool:
        """Whether only one attempt at a time should probe."""
        return self._last_failure is not None

    def fine(self) -> None:
        """The server did what was in doubt."""
        self._was_fine = True
        self._last_failure = None
        self._tried_seconds = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def failed(self, *, sent_at: float) -> float:
        """How many seconds everybody should pause. Raises ``ApiError`` after the bound.

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
        if not self._was_fine:  # a wrong address rather than an outage
            patience = min(patience, _NEVER_FINE_SECONDS)
        if self._tried_seconds >= patience:
            raise ApiError(self._give_up(self._tried_seconds))
        pause = self._pause_seconds
        self._pause_seconds = min(2 * pause, _MAX_PAUSE_SECONDS)
        return pause


def reachability(base_url: str, guards: Guards, clock: Callable[[], float]) -> Breaker:
    """Breaks while no connection can be made."""
    return Breaker(
        guards.unreachable_seconds,
        clock,
        lambda seconds: (
            f"{base_url} cannot be reached (tried for {seconds:.0f} s); check the address, the "
            "network and the proxy, then start again to resume"
        ),
    )


class Outage:
    """Breaks while attempts do nothing but fail: each of them may have been billed."""

    def __init__(self, base_url: str, guards: Guards, clock: Callable[[], float]) -> None:
        self._limit = guards.max_consecutive_failures
        self._failures = 0
        self._breaker = Breaker(
            guards.unreachable_seconds,
            clock,
            lambda seconds: (
                f"the last {self._failures} attempts at {base_url} all failed, for {seconds:.0f} s "
                "one by one; the API seems to be out of order: start again later to resume"
            ),
        )

    @property
    def is_open(self) -> bool:
        """Whether only one attempt at a time should probe."""
        return self._breaker.is_open

    @property
    def is_suspected(self) -> bool:
        """Whether so many attempts in a row have failed that the lookups are not to blame."""
        return self._failures >= _SUSPICIOUS_FAILURES

    def known_good(self) -> None:
        """An earlier start had answers, so the address is right."""
        self._breaker.fine()

    def heard(self, kind: OutcomeKind, *, sent_at: float) -> float:
        """How many seconds everybody should pause after an attempt that ended so.

        None up to ``limit`` failures in a row (0: never). Raises ``ApiError`` after the bound.
        """
        if kind not in _FAILURE:
            self._failures = 0
            self._breaker.fine()
            return 0.0
        self._failures += 1
        if self._limit == 0 or self._failures < self._limit:
            return 0.0
        return self._breaker.failed(sent_at=sent_at)


class Refusals:
    """Ends the run where nothing but refusals comes back, however slowly it asks."""

    def __init__(self, guards: Guards, clock: Callable[[], float]) -> None:
        self._give_up_seconds = guards.unreachable_seconds
        self._clock = clock
        self._since: float | None = None
        self._last = 0.0
        self._tries = 0

    def heard(self, kind: OutcomeKind, *, sent_at: float) -> None:
        """An attempt ended so. Raises ``Stopped``: another day, the account may be let in again.

        Attempts that were under way together are one try.
        """
        now = self._clock()
        if kind is not OutcomeKind.RATE_LIMITED:
            self._since, self._tries = None, 0
            return
        if self._since is None:
            self._since = now
        elif sent_at < self._last:
            return
        self._last = now
        self._tries += 1
        for_seconds = now - self._since
        if self._tries > _ENOUGH_TRIES and for_seconds >= self._give_up_seconds:
            raise Stopped(
                f"for {for_seconds:.0f} s the API has refused every request (429, 408), "
                f"{self._tries} tries one after the other: the quota may be used up, or another "
                "program uses the same key; start again later to resume"
            )


class ErrorRate:
    """Ends the run where too many of an endpoint's last thousand attempts failed.

    What the API does not know (404, 422) is no error, and a refusal for the rate is none either.
    """

    def __init__(self, guards: Guards) -> None:
        self._most = guards.max_error_share * WINDOW_ATTEMPTS
        self._recent: defaultdict[Endpoint, deque[OutcomeKind]] = defaultdict(deque)
        self._counts: defaultdict[Endpoint, Counter[OutcomeKind]] = defaultdict(Counter)

    def heard(self, endpoint: Endpoint, kind: OutcomeKind) -> None:
        """An attempt ended so. Raises ``ApiError`` above ``guards.max_error_share``."""
        if kind is OutcomeKind.RATE_LIMITED:
            return
        recent, counts = self._recent[endpoint], self._counts[endpoint]
        if len(recent) == WINDOW_ATTEMPTS:
            counts[recent.popleft()] -= 1
        recent.append(kind)
        counts[kind] += 1
        if len(recent) < WINDOW_ATTEMPTS or kind not in _ERROR:
            return
        errors = {kind: counts[kind] for kind in _ERROR}
        if sum(errors.values()) > self._most:
            raise _too_many(endpoint, errors)


def _too_many(endpoint: Endpoint, errors: dict[OutcomeKind, int]) -> ApiError:
    worst = max(errors, key=lambda kind: errors[kind])
    family = AuthenticationError if worst is OutcomeKind.FORBIDDEN else ApiError
    return family(
        f"{sum(errors.values()):,} of the last {WINDOW_ATTEMPTS:,} attempts at {endpoint} failed "
        f"({errors[worst]:,} {worst}); {_REMEDY[worst]}. To go on all the same, raise "
        "guards.max_error_share"
    )
