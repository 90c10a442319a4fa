"""Guards that stop a run before money is spent for nothing.

The canary looks at each endpoint's first answers; breakers pause and probe while no
connection can be made, and while nothing but failures comes back from a server that can be
reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from batch_screen.config.settings import Guards
from batch_screen.errors import ApiError, AuthenticationError, ConfigurationError
from batch_screen.model import Endpoint, OutcomeKind

Held = TypeVar("Held")

_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 10.0
_NEVER_FINE_SECONDS = 5.0
_SUSPICIOUS_FAILURES = 20

_SUSPECT = frozenset(
    {
        OutcomeKind.NOT_FOUND,
        OutcomeKind.FORBIDDEN,
        OutcomeKind.REJECTED,
        OutcomeKind.BAD_RESPONSE,
    }
)
_PROOF = frozenset({OutcomeKind.SUCCESS, OutcomeKind.NOT_APPLICABLE})
_FAILURE = frozenset({OutcomeKind.SERVER_ERROR, OutcomeKind.TIMEOUT, OutcomeKind.UNREACHABLE})


class Canary(Generic[Held]):
    """Holds an endpoint's first answers back while all of them are bad in the same way.

    One that differs sets them free; ``size`` of them raise. A failure on the way (a 500, a
    timeout, a refusal) says nothing about the endpoint and is neither held nor counted. What
    is held at the end ``release`` gives out: whether it counts depends on how the run ended.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: dict[Endpoint, list[Held]] = {}
        self._kinds: dict[Endpoint, OutcomeKind] = {}
        self._sings: set[Endpoint] = set()
        self._fell: set[Endpoint] = set()

    def trust(self, endpoint: Endpoint) -> None:
        """Holds nothing of this endpoint back."""
        self._sings.add(endpoint)

    def has_fallen(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint's first answers were all bad in the same way."""
        return endpoint in self._fell

    def admit(self, endpoint: Endpoint, kind: OutcomeKind, item: Held) -> list[Held]:
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
            raise _canary_error(endpoint, kind, len(held))
        return []

    def release(self) -> list[Held]:
        """Everything still held back; afterwards nothing is."""
        held = [item for items in self._held.values() for item in items]
        self._held.clear()
        return held


def _canary_error(endpoint: Endpoint, kind: OutcomeKind, count: int) -> Exception:
    head = f"the first {count} answers of {endpoint} were all "
    tail = "; none was saved. To go on all the same, set guards.canary_answers = 0"
    if kind is OutcomeKind.FORBIDDEN:
        return AuthenticationError(
            head
            + "403: the account seems to lack this endpoint; ask the vendor to enable it"
            + tail
        )
    if kind is OutcomeKind.NOT_FOUND:
        return ConfigurationError(
            head
            + "404: the path may have moved; try api.dialect = '2026-04' (or back to 'v1.0.0'), "
            "or set it under [api.paths]" + tail
        )
    if kind is OutcomeKind.REJECTED:
        return ConfigurationError(
            head
            + "refused as invalid (4xx): check api.base_url and screening.max_age_minutes"
            + tail
        )
    return ApiError(
        head + "unreadable: the server no longer speaks the contract, or api.base_url points to "
        "something else" + tail
    )


class Breaker:
    """For a server out of order: pause, probe one by one, give up after a while."""

    def __init__(
        self, give_up_seconds: float, clock: Callable[[], float], give_up: Callable[[float], str]
    ) -> None:
        self._give_up_seconds = give_up_seconds
        self._clock = clock
        self._give_up = give_up
        self._was_fine = False
        self._failing_since: float | None = None
        self._last_failure = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    @property
    def is_open(self) -> bool:
        """Whether only one attempt at a time should probe."""
        return self._failing_since is not None

    def fine(self) -> None:
        """The server did what was in doubt."""
        self._was_fine = True
        self._failing_since = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def failed(self, *, sent_at: float) -> float:
        """How many seconds everybody should pause. Raises ``ApiError`` after the bound.

        Attempts that were under way together fail together: they count once.
        """
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        elif sent_at < self._last_failure:
            return 0.0
        self._last_failure = now
        patience = self._give_up_seconds
        if not self._was_fine:  # a wrong address rather than an outage
            patience = min(patience, _NEVER_FINE_SECONDS)
        if now - self._failing_since >= patience:
            raise ApiError(self._give_up(now - self._failing_since))
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
