"""The configuration of a sandbox, as one frozen record."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from batch_screen.config.sections import Dialect
from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import Population, World
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.profiles import PROFILES, FaultRule, ScriptedOutage
from batch_screen.sandbox.window import Window

BASE_PATH = "/network-signal/v1"
DEFAULT_KEY = "sandbox-key"
EXPIRED_KEY = "sandbox-expired-key"


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one sandbox; the defaults answer everything at once and without faults."""

    seed: int = 0
    """The seed of the population, and of which lookups a profile's faults affect."""
    now: datetime | None = None
    """The instant at which its clock stands, for tests; None: it goes, as this machine's does."""
    ahead: timedelta = timedelta()
    """How far a clock that goes is ahead of this machine's."""
    since: datetime | None = None
    """The instant that ages count back from; None: when it starts."""
    dialect: Dialect = Dialect.PAGE
    """Which of the two published contracts it speaks."""
    population: Population = Population()
    """How common swaps, missing dates, forwarding and unknown numbers are."""

    keys: tuple[str, ...] = (DEFAULT_KEY,)
    """The keys it accepts."""
    expired_keys: tuple[str, ...] = (EXPIRED_KEY,)
    """Keys it refuses, even if they are among ``keys``."""
    not_entitled: tuple[Endpoint, ...] = ()
    """Endpoints that no key is entitled to: they answer 403."""
    strict_body: bool = False
    """Whether unknown properties in a body are refused, which the page does not say."""
    revoke_keys_after: int | None = None
    """After so many requests with a good key every key is refused."""
    rate_limit_per_second: int | None = None
    """So many requests are accepted in a second; the others get 429."""
    rate_limit_by_endpoint: dict[Endpoint, int] = {}
    """Limits that endpoints have besides, each for itself."""
    rate_window: Window = Window.SLIDING
    """How these limits count a second."""
    quota: int | None = None
    """After so many accepted requests the rest gets 429 QUOTA_EXCEEDED."""

    profiles: tuple[str, ...] = ()
    """Names from ``profiles.PROFILES``."""
    rules: tuple[FaultRule, ...] = ()
    """Further faults, tried before those of the profiles."""
    outages: tuple[ScriptedOutage, ...] = ()
    """When everything fails for a while; an outage comes before magic numbers and rules."""
    latency: Latency | None = None
    """How long every answer takes; None: what the profiles say, or nothing."""
    slow_seconds: float = 2.0
    """What the behaviour ``slow`` adds."""
    hang_seconds: float = 60.0
    """What the behaviour ``hang`` adds; longer than a client's timeout."""
    retry_after_seconds: int = 1
    """What a forced 429 or 503 asks for, unless its fault says otherwise."""

    journal_path: Path | None = None
    """Where to append one JSON line per request; it holds whole numbers."""

    def __post_init__(self) -> None:
        """Raises ``ConfigurationError``, with the values that are accepted."""
        unknown = [name for name in self.profiles if name not in PROFILES]
        if unknown:
            raise ConfigurationError(
                f"no sandbox profile is called {unknown[0]!r}; choose among {', '.join(PROFILES)}"
            )
        instants = (each for each in (self.now, self.since) if each is not None)
        if any(instant.tzinfo is None for instant in instants):
            raise ConfigurationError("the sandbox's now needs a time zone, as in 2026-01-01T00:00Z")
        shares = [*msgspec.structs.astuple(self.population), *(r.share for r in self.rules)]
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigurationError("every share of the sandbox must lie between 0 and 1")
        by_endpoint = self.rate_limit_by_endpoint
        # A record made in Python is not checked for its types, and these names come from a user.
        if strangers := sorted({*by_endpoint, *self.not_entitled} - set(Endpoint)):
            raise ConfigurationError(
                f"the API has no endpoint {strangers[0]!r}; choose among {', '.join(Endpoint)}"
            )
        bounds = (
            *(self.rate_limit_per_second, self.quota, self.revoke_keys_after),
            *by_endpoint.values(),
        )
        if not all(bound is None or bound >= 0 for bound in bounds):
            raise ConfigurationError("rate limits, quota and revocation must not be negative")
        waits = [self.slow_seconds, self.hang_seconds, self.retry_after_seconds]
        waits += [r.fault.delay_seconds or 0 for r in self.rules]
        if not all(0 <= wait < math.inf for wait in waits):
            raise ConfigurationError("the sandbox's waiting times must not be negative or endless")
        for outage in self.outages:
            begins = [b for b in (outage.after_requests, outage.at_seconds) if b is not None]
            is_sensible = len(begins) < 2 and all(b >= 0 for b in begins)
            if not (is_sensible and 0 < outage.lasting_seconds < math.inf):
                raise ConfigurationError(
                    "an outage of the sandbox must last a while, and begin after a number of "
                    "requests or of seconds, not both and not below 0"
                )

    def world(self) -> World:
        """What decides the answers; call it once, because ages count back from this moment."""
        now = self.now or datetime.now(UTC) + self.ahead
        return World(
            seed=self.seed,
            now=now,
            since=self.since or now,
            dialect=self.dialect,
            population=self.population,
        )

    def all_rules(self) -> tuple[FaultRule, ...]:
        """Its own fault rules, then those of its profiles in order."""
        return self.rules + tuple(r for name in self.profiles for r in PROFILES[name].rules)

    def all_outages(self) -> tuple[ScriptedOutage, ...]:
        """Its own outages, then those of its profiles in order."""
        return self.outages + tuple(o for name in self.profiles for o in PROFILES[name].outages)

    def effective_latency(self) -> Latency:
        """The latency set here, else that of the last profile with one, else none."""
        named = (self.latency, *(PROFILES[name].latency for name in reversed(self.profiles)))
        return next((latency for latency in named if latency is not None), Latency())
