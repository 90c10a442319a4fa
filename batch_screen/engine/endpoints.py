"""Circuit breakers per endpoint: one that fails alone is given up while the others are asked.

The run ends only where no other endpoint is left to ask.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from batch_screen.config.settings import Settings
from batch_screen.engine.guards import FIRST_PAUSE_SECONDS, REMEDY, Breaker, Guard, Outage, Refusals
from batch_screen.engine.retry import FAILURES
from batch_screen.engine.scope import SEVERAL, Streak
from batch_screen.engine.tasks import Result
from batch_screen.errors import ApiError, AuthenticationError, BatchScreenError, Stopped
from batch_screen.masking import masked_logger
from batch_screen.model import Endpoint, OutcomeKind

WINDOW_ATTEMPTS = 1_000

_PROBE_SECONDS = 1.0
_NOT_IMPLEMENTED = 501
_ACCUSED_NUMBERS = 5
_ERROR = FAILURES | {OutcomeKind.BAD_RESPONSE, OutcomeKind.FORBIDDEN, OutcomeKind.REJECTED}

_log = masked_logger(__name__)


class EndpointBreaker(Guard):
    """Circuit breaker of one endpoint.

    It waits where several answers in a row, 503 with a Retry-After, ask for that, probes while
    nothing but failures comes back, and raises ``ApiError`` or ``Stopped`` where the endpoint is
    to be given up: too many of its last thousand attempts failed. What the API does not know
    (404, 422) is no failure, and a refusal for the rate is none either.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        clock: Callable[[], float],
        refuses_all: Callable[[], bool],
    ) -> None:
        """``refuses_all``: whether the endpoint lets nothing pass just now."""
        guards = settings.guards
        self._endpoint = endpoint
        self._clock = clock
        self._longest_seconds = settings.pacing.max_retry_after_seconds
        self._outage = Outage(endpoint.value, guards, clock, FAILURES | {OutcomeKind.FORBIDDEN})
        self._busy = Streak()
        self._busy_breaker = Breaker(
            guards.unreachable_seconds,
            clock,
            lambda seconds: ApiError(
                f"for {seconds:.0f} s {endpoint} has asked everybody to come later (503); "
                f"{REMEDY[OutcomeKind.SERVER_ERROR]}"
            ),
        )
        self._busy_breaker.reset()  # a server that names a time to come again is no wrong address
        self._refusals = Refusals(guards, clock, refuses_all, endpoint.value)
        self._absent = Streak()
        self._accused = Streak()
        self._most = guards.max_error_share * WINDOW_ATTEMPTS
        self._recent: deque[OutcomeKind] = deque()
        self._counts: Counter[OutcomeKind] = Counter()
        self.not_before = clock()
        self.is_healthy = True
        """Whether the endpoint may be asked without restriction; cached, as it is read so often."""

    @property
    def is_open(self) -> bool:
        return self._busy_breaker.is_open or self._outage.is_open

    @property
    def is_suspected(self) -> bool:
        """Whether so many attempts in a row failed that the endpoint must be the cause."""
        return self._outage.is_suspected

    @property
    def is_absent(self) -> bool:
        """Whether several numbers in a row got 501: the server has no such endpoint."""
        return self._absent.holds(SEVERAL)

    def is_accused(self, result: Result) -> bool:
        """Records a 401, 402 or empty quota while others are served; returns whether to give up."""
        self._accused.refused(result.sent.places.at_endpoint, result.task.lookup.e164)
        return self._accused.holds(_ACCUSED_NUMBERS)

    def known_good(self) -> None:
        self._outage.known_good()

    def wait_seconds(self) -> float:
        """Seconds until the endpoint may be asked again."""
        return max(0.0, self.not_before - self._clock())

    def asks_to_wait(self, numbers: int) -> bool:
        """Whether at least so many numbers in a row got a 503 with Retry-After."""
        return self._busy.holds(numbers)

    def on_result(self, result: Result) -> float:
        answer, sent = result.answer, result.sent
        kind, wait, place = answer.kind, answer.retry_after_seconds, sent.places.at_endpoint
        if kind is OutcomeKind.RATE_LIMITED:
            return self._refusals.on_result(result)
        if kind not in FAILURES:
            if self._busy.passed(place) or not self._busy_breaker.is_open:
                self._busy_breaker.reset()
            self._absent.passed(place)
            self._accused.passed(place)
            self._refusals.on_result(result)
        elif answer.http_status == _NOT_IMPLEMENTED:
            self._absent.refused(place, result.task.lookup.e164)
        elif wait is not None:  # one that asks to come later may mean its lookup alone
            self._busy.refused(place, result.task.lookup.e164)
            if self._busy_breaker.is_open or self._busy.holds(SEVERAL):
                self._busy_breaker.fail(sent.at)
                is_too_long = wait > self._longest_seconds  # others are tried before that counts
                self._wait(_PROBE_SECONDS if is_too_long else max(wait, FIRST_PAUSE_SECONDS))
        if seconds := self._outage.on_result(result):
            self._wait(seconds)
        self.is_healthy = not (self.is_open or self.not_before > self._clock())
        self._count(kind)
        return 0.0  # it is the endpoint that pauses, and nobody else

    def _wait(self, seconds: float) -> None:
        self.not_before = max(self.not_before, self._clock() + seconds)

    def _count(self, kind: OutcomeKind) -> None:
        recent, counts = self._recent, self._counts
        # Counted by kind as they come and go: a thousand are not counted anew with each attempt.
        if len(recent) == WINDOW_ATTEMPTS:
            counts[recent.popleft()] -= 1
        recent.append(kind)
        counts[kind] += 1
        if len(recent) < WINDOW_ATTEMPTS or kind not in _ERROR:
            return
        errors = {kind: counts[kind] for kind in _ERROR}
        count = sum(errors.values())
        if count > self._most:
            worst = max(errors, key=lambda kind: errors[kind])
            family = AuthenticationError if worst is OutcomeKind.FORBIDDEN else ApiError
            raise family(
                f"{count:,} of the last {WINDOW_ATTEMPTS:,} attempts at {self._endpoint} failed "
                f"({errors[worst]:,} {worst}); {REMEDY[worst]}. To go on all the same, raise "
                "guards.max_error_share"
            )


class Endpoints(Guard):
    """The breakers of all endpoints, and those that were given up."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        *,
        refuses_all: Callable[[Endpoint], bool],
        on_given_up: Callable[[Endpoint], None],
    ) -> None:
        """``on_given_up`` is called before the run ends, if no endpoint is left."""
        self.breakers = {
            endpoint: EndpointBreaker(endpoint, settings, clock, partial(refuses_all, endpoint))
            for endpoint in settings.endpoints
        }
        self.absent: set[Endpoint] = set()
        self.given_up: dict[Endpoint, BatchScreenError] = {}
        self._on_given_up = on_given_up

    def on_result(self, result: Result) -> float:
        endpoint = result.task.lookup.endpoint
        breaker = self.breakers[endpoint]
        try:
            breaker.on_result(result)
        except (ApiError, Stopped) as error:
            self.give_up(endpoint, error)
        else:
            if breaker.is_absent:
                self.absent.add(endpoint)
        return 0.0

    def give_up(self, endpoint: Endpoint, error: BatchScreenError) -> None:
        """Gives the endpoint up for this session. Raises if none is left."""
        if endpoint in self.given_up:
            return
        # Before the end is raised: what is withheld there must reach the journal.
        self.given_up[endpoint] = error
        self._on_given_up(endpoint)
        if len(self.given_up) == len(self.breakers):
            raise self.error()
        _log.warning("%s is given up, the others are asked: %s", endpoint, error)

    def error(self) -> BatchScreenError:
        """The error for endpoints that were given up; the gravest reason gives the exit code."""
        errors = list(self.given_up.values())
        if len(errors) == 1 == len(self.breakers):
            return errors[0]
        gravest = max(errors, key=lambda error: error.exit_code)
        reasons = "; ".join(dict.fromkeys(map(str, errors)))
        rest = "; what else could be asked is answered and saved"
        return type(gravest)(
            f"{reasons}{'' if len(errors) == len(self.breakers) else rest} "
            f"(given up: {', '.join(self.given_up)})",
            exit_code=gravest.exit_code,
            endpoints=tuple(endpoint.value for endpoint in self.given_up),
        )
