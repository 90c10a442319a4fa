"""Breakers: for an API that fails in the middle of a run, before more is paid for nothing.

They pause and probe while no connection can be made, and while nothing but failures comes back,
of the server or of one endpoint. What fails for good ends the endpoint, and the run only where no
other endpoint is left to ask.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from batch_screen.config.sections import Dialect, Guards
from batch_screen.engine.retry import FAILURES
from batch_screen.engine.scope import SEVERAL, Streak
from batch_screen.errors import (
    ApiError,
    AuthenticationError,
    BatchScreenError,
    ConfigurationError,
    Stopped,
)
from batch_screen.model import Answer, Endpoint, OutcomeKind

WINDOW_ATTEMPTS = 1_000

_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 10.0
_NEVER_FINE_SECONDS = 5.0
_PROBE_SECONDS = 1.0
_SUSPICIOUSFAILURESS = 20
_ENOUGH_TRIES = 10
_LONGEST_TRY_SECONDS = 30.0
_NOT_IMPLEMENTED = 501
_ACCUSED_NUMBERS = 5

_ERROR = FAILURES | {OutcomeKind.BAD_RESPONSE, OutcomeKind.FORBIDDEN, OutcomeKind.REJECTED}
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
        self,
        give_up_seconds: float,
        clock: Callable[[], float],
        give_up: Callable[[float], BatchScreenError],
    ) -> None:
        """``give_up`` makes the error of so many seconds of trying."""
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
            raise self._give_up(self._tried_seconds)
        pause = self._pause_seconds
        self._pause_seconds = min(2 * pause, _MAX_PAUSE_SECONDS)
        return pause


class Reachability:
    """Breaks while no connection can be made, which one that fails among others does not show."""

    def __init__(self, base_url: str, guards: Guards, clock: Callable[[], float]) -> None:
        self._failed = Streak()
        self._was_fine = False
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
        """Whether only one attempt at a time should probe."""
        return self._breaker.is_open

    def known_good(self) -> None:
        """An earlier start had answers, so the address is right."""
        self._was_fine = True
        self._breaker.fine()

    def fine(self, place: int) -> None:
        """The attempt of that place in the order of sending found the server."""
        if not self._was_fine or self._failed.passed(place):
            self.known_good()

    def failed(self, place: int, e164: str, *, sent_at: float) -> float:
        """How many seconds everybody should pause. Raises ``ApiError`` after the bound."""
        self._failed.refused(place, e164)
        if self._was_fine and not self.is_open and self._failed.count < SEVERAL:
            return 0.0
        return self._breaker.failed(sent_at=sent_at)


class Outage:
    """Breaks while attempts do nothing but fail: each of them may have been billed."""

    def __init__(
        self,
        whose: str,
        guards: Guards,
        clock: Callable[[], float],
        failures: frozenset[OutcomeKind] = FAILURES,
    ) -> None:
        self._whose = whose
        self._limit = guards.max_consecutive_failures
        self._kinds = failures
        self._failures = 0
        self._last_kind = OutcomeKind.SERVER_ERROR
        self._breaker = Breaker(guards.unreachable_seconds, clock, self._given_up)

    @property
    def is_open(self) -> bool:
        """Whether only one attempt at a time should probe."""
        return self._breaker.is_open

    @property
    def is_suspected(self) -> bool:
        """Whether so many attempts in a row have failed that the lookups are not to blame."""
        return self._failures >= _SUSPICIOUSFAILURESS

    def known_good(self) -> None:
        """An earlier start had answers, so the address is right."""
        self._breaker.fine()

    def heard(self, kind: OutcomeKind, *, sent_at: float) -> float:
        """How many seconds everybody should pause after an attempt that ended so.

        None up to ``limit`` failures in a row (0: never). Raises ``ApiError`` after the bound.
        """
        if kind not in self._kinds:
            self._failures = 0
            self._breaker.fine()
            return 0.0
        self._failures += 1
        self._last_kind = kind
        if self._limit == 0 or self._failures < self._limit:
            return 0.0
        return self._breaker.failed(sent_at=sent_at)

    def _given_up(self, seconds: float) -> ApiError:
        family = AuthenticationError if self._last_kind is OutcomeKind.FORBIDDEN else ApiError
        return family(
            f"the last {self._failures} attempts at {self._whose} all failed, for {seconds:.0f} s "
            f"one by one; {_REMEDY[self._last_kind]}"
        )


class Refusals:
    """Ends the run where nothing but refusals comes back, however slowly it asks."""

    def __init__(self, guards: Guards, clock: Callable[[], float], whose: str = "the API") -> None:
        self._whose = whose
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
                f"for {for_seconds:.0f} s {self._whose} has refused every request (429, 408), "
                f"{self._tries} tries one after the other: the quota may be used up, or another "
                "program uses the same key; start again later to resume"
            )


class EndpointBreaker:
    """Breaks for one endpoint, while the others are asked as before.

    It waits where several answers in a row, 503 with a Retry-After, ask for that, probes while
    nothing but failures comes back, and raises what gives the endpoint up: too many of its last
    thousand attempts failed. What the API does not know (404, 422) is no failure, and a refusal
    for the rate is none either.
    """

    def __init__(self, endpoint: Endpoint, guards: Guards, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._outage = Outage(
            endpoint.value, guards, clock, frozenset({*FAILURES, OutcomeKind.FORBIDDEN})
        )
        self._busy = Streak()
        self._busy_breaker = Breaker(guards.unreachable_seconds, clock, self._too_busy)
        self._busy_breaker.fine()  # who names a time to come again is no wrong address
        self._refusals = Refusals(guards, clock, endpoint.value)
        self._absent = Streak()
        self._accused = Streak()
        self._most = guards.max_error_share * WINDOW_ATTEMPTS
        self._recent: deque[OutcomeKind] = deque()
        self._counts: Counter[OutcomeKind] = Counter()
        self.not_before = clock()
        self.is_fine = True
        """Whether nothing stands against asking: kept, because it is asked so often."""

    @property
    def is_open(self) -> bool:
        """Whether only one attempt at a time should probe."""
        return self._busy_breaker.is_open or self._outage.is_open

    @property
    def is_suspected(self) -> bool:
        """Whether so many attempts in a row have failed that the lookups are not to blame."""
        return self._outage.is_suspected

    @property
    def is_absent(self) -> bool:
        """Whether several numbers in a row were told that there is no such endpoint (501)."""
        return self._absent.holds(SEVERAL)

    def accused(self, e164: str, place: int) -> bool:
        """Told 401, 402 or an empty quota while others are served; says whether to give it up."""
        self._accused.refused(place, e164)
        return self._accused.holds(_ACCUSED_NUMBERS)

    def known_good(self) -> None:
        """An earlier start had answers from it."""
        self._outage.known_good()

    def wait_seconds(self) -> float:
        """How long the endpoint must still be left alone."""
        return max(0.0, self.not_before - self._clock())

    def asks_to_wait(self, numbers: int) -> bool:
        """Whether so many numbers in a row were asked to come later (503)."""
        return self._busy.holds(numbers)

    def heard(  # noqa: PLR0913 (what was asked, what came, and what is known of it)
        self,
        answer: Answer,
        e164: str,
        place: int,
        *,
        sent_at: float,
        longest_seconds: float,
        is_closed: bool,
    ) -> None:
        """The attempt of that place in the endpoint's order of sending ended so.

        ``is_closed``: it refuses all it is asked. Raises ``ApiError`` or ``Stopped`` where the
        endpoint is to be given up.
        """
        kind, wait = answer.kind, answer.retry_after_seconds
        if kind is OutcomeKind.RATE_LIMITED:
            if is_closed:
                self._refusals.heard(kind, sent_at=sent_at)
            return
        if kind not in FAILURES:
            self._passed(kind, place, sent_at)
        elif answer.http_status == _NOT_IMPLEMENTED:
            self._absent.refused(place, e164)
        elif wait is not None:
            self._busy.refused(place, e164)
            if self._busy_breaker.is_open or self._busy.holds(SEVERAL):
                self._busy_breaker.failed(sent_at=sent_at)
                is_too_long = wait > longest_seconds  # others are tried before that counts
                self._wait(_PROBE_SECONDS if is_too_long else max(wait, _FIRST_PAUSE_SECONDS))
        self._wait(self._outage.heard(kind, sent_at=sent_at))
        self.is_fine = not (self.is_open or self.not_before > self._clock())
        self._count(kind)

    def _passed(self, kind: OutcomeKind, place: int, sent_at: float) -> None:
        if self._busy.passed(place) or not self._busy_breaker.is_open:
            self._busy_breaker.fine()
        self._absent.passed(place)
        self._accused.passed(place)
        self._refusals.heard(kind, sent_at=sent_at)

    def _too_busy(self, seconds: float) -> ApiError:
        return ApiError(
            f"for {seconds:.0f} s {self._endpoint} has asked everybody to come later (503); "
            f"{_REMEDY[OutcomeKind.SERVER_ERROR]}"
        )

    def _wait(self, seconds: float) -> None:
        self.not_before = max(self.not_before, self._clock() + seconds)

    def _count(self, kind: OutcomeKind) -> None:
        recent, counts = self._recent, self._counts
        if len(recent) == WINDOW_ATTEMPTS:
            counts[recent.popleft()] -= 1
        recent.append(kind)
        counts[kind] += 1
        if len(recent) < WINDOW_ATTEMPTS or kind not in _ERROR:
            return
        errors = {kind: counts[kind] for kind in _ERROR}
        if sum(errors.values()) > self._most:
            raise _too_many(self._endpoint, errors)


def _too_many(endpoint: Endpoint, errors: dict[OutcomeKind, int]) -> ApiError:
    worst = max(errors, key=lambda kind: errors[kind])
    family = AuthenticationError if worst is OutcomeKind.FORBIDDEN else ApiError
    return family(
        f"{sum(errors.values()):,} of the last {WINDOW_ATTEMPTS:,} attempts at {endpoint} failed "
        f"({errors[worst]:,} {worst}); {_REMEDY[worst]}. To go on all the same, raise "
        "guards.max_error_share"
    )


# The canary: an endpoint's first answers tell whether asking it is worth the money.

Item = TypeVar("Item")

_SUSPECT = frozenset(
    {
        OutcomeKind.NOT_FOUND,
        OutcomeKind.FORBIDDEN,
        OutcomeKind.REJECTED,
        OutcomeKind.BAD_RESPONSE,
    }
)
_PROOF = frozenset({OutcomeKind.SUCCESS, OutcomeKind.NOT_APPLICABLE})


class Canary(Generic[Item]):
    """Holds an endpoint's first answers back while all of them are bad in the same way.

    One that differs sets them free; ``size`` of them raise. A failure on the way (a 500, a
    timeout, a refusal) says nothing about the endpoint and is neither held nor counted. What
    is held at the end ``release`` gives out: whether it counts depends on how the run ended.
    """

    def __init__(self, size: int, dialect: Dialect) -> None:
        self._size = size
        self._dialect = dialect
        self._held: dict[Endpoint, list[Item]] = {}
        self._kinds: dict[Endpoint, OutcomeKind] = {}
        self._sings: set[Endpoint] = set()
        self._fell: set[Endpoint] = set()

    def trust(self, endpoint: Endpoint) -> None:
        """Holds nothing of this endpoint back."""
        self._sings.add(endpoint)

    def has_fallen(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint's first answers were all bad in the same way."""
        return endpoint in self._fell

    def admit(self, endpoint: Endpoint, kind: OutcomeKind, item: Item) -> list[Item]:
        """The items that may be saved now, ``item`` among them or held back."""
        if self._size == 0 or endpoint in self._sings:
            return [item]
        if kind not in _SUSPECT | _PROOF:
            return [item]
        if endpoint in self._fell and kind in _PROOF:  # too late, but paid for
            return [item]
        held = self._held.setdefault(endpoint, [])
        held.append(item)
        if endpoint in self._fell:
            return []
        if kind in _PROOF or self._kinds.setdefault(endpoint, kind) is not kind:
            self._sings.add(endpoint)
            return self._held.pop(endpoint)
        if len(held) >= self._size:
            self._fell.add(endpoint)
            raise self._fallen(endpoint, kind, len(held))
        return []

    def release(self) -> list[Item]:
        """Everything still held back; afterwards nothing is."""
        held = [item for items in self._held.values() for item in items]
        self._held.clear()
        return held

    def _fallen(self, endpoint: Endpoint, kind: OutcomeKind, count: int) -> Exception:
        head = f"the first {count} answers of {endpoint} were all "
        tail = "; none was saved. To go on all the same, set guards.canary_answers = 0"
        if kind is OutcomeKind.FORBIDDEN:
            return AuthenticationError(
                head
                + "403 or 401: the account seems to lack this endpoint; ask the vendor to enable it"
                + tail
            )
        if kind is OutcomeKind.NOT_FOUND:
            other = next(dialect for dialect in Dialect if dialect is not self._dialect)
            return ConfigurationError(
                head
                + f"404: the path may have moved; try api.dialect = '{other}', or set [api.paths]"
                + tail
            )
        if kind is OutcomeKind.REJECTED:
            return ConfigurationError(
                head
                + "refused as invalid (4xx): check api.base_url and screening.max_age_minutes"
                + tail
            )
        return ApiError(
            head + "unreadable: the server no longer speaks the contract, or is not the API; check "
            "api.base_url" + tail
        )
