"""The worlds of odd answers: what is asked how fast, and who is told something odd.

In each of them one odd answer, or a few, must not be taken for the whole account. Data only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.memory import ENDPOINTS
from benchmarks.pacing.contestants import ENDPOINT, e164s
from benchmarks.pacing.oddities import ECHO, NEVER, REFUSAL, Oddity, chosen

SHARES = (0.001, 0.003, 0.01, 0.03)
_PAST = "Wed, 21 Oct 2015 07:28:00 GMT"
_TIMEOUT = "15 s"
"""The command's default."""


class Shape(NamedTuple):
    """What is asked, and how fast it may be."""

    numbers: int
    rate: int
    endpoints: tuple[str, ...] = (ENDPOINT,)
    limit: int | None = None
    """What the server accepts a second; None: anything."""

    @property
    def lookups(self) -> list[str]:
        """All of them."""
        return [f"{e} {number}" for number in e164s(self.numbers) for e in self.endpoints]

    def __str__(self) -> str:
        times = f"{len(self.endpoints)} × " if len(self.endpoints) > 1 else ""
        limit = "" if self.limit is None else f", limit {self.limit}/s"
        return f"{times}{self.numbers:,} at {self.rate}/s{limit}"


class World(NamedTuple):
    """A row of the table."""

    name: str
    shape: Shape
    oddities: tuple[Oddity, ...]
    own_wait: str = "–"
    """What the odd answers themselves make their lookups wait for."""


LONG = Shape(4_000, 400)
LIMITED = Shape(12_000, 400, limit=200)
MANY = Shape(500, 100, ENDPOINTS)
SHORT = Shape(500, 50)


def worlds() -> list[World]:
    """All of them; those of a shape follow each other."""
    return [*_long(), *_limited(), *_many(), *_short()]


def _long() -> Iterator[World]:
    waits = {
        "Retry-After 1": (_retry_after("1"), "1 s"),
        "no Retry-After": ((), "–"),
        "Retry-After 30": (_retry_after("30"), "30 s"),
        "Retry-After 86400": (_retry_after("86400"), "86,400 s"),
        "Retry-After in the past": (_retry_after(_PAST), "0 s"),
    }
    for share in SHARES:
        some = _some(LONG, share)
        for said, (headers, wait) in waits.items():
            once = Oddity(429, headers, numbers=some, times=1)
            yield World(f"{100 * share:g} % refused once, {said}", LONG, (once,), wait)
    ten = chosen(e164s(LONG.numbers), 10)
    always = REFUSAL._replace(numbers=ten)
    yield World("ten numbers always refused", LONG, (always,), "1 s, each time")
    storm = Oddity(503, _retry_after("1"), begin=4, end=9)
    yield World("503 for 5 s, Retry-After 1", LONG, (storm,), "5 s")


def _limited() -> Iterator[World]:
    once = REFUSAL._replace(numbers=_some(LIMITED, 0.005), times=1)
    yield World("0.5 % refused once, true limit half the rate", LIMITED, (once,), "1 s")


def _many() -> Iterator[World]:
    # Asked in turn, each endpoint has a fifth of the rate: 20/s is just enough, 10/s is not.
    for most in (20, 10):
        slow = REFUSAL._replace(endpoint="call-forwarding/check", beyond=most)
        wait = f"{MANY.numbers // most} s"
        yield World(f"one endpoint of five limited to {most}/s", MANY, (slow,), wait)
    away = Oddity(503, _retry_after("20"), endpoint="device-swap/check")
    yield World("one endpoint of five always 503, Retry-After 20", MANY, (away,), "20 s, each time")
    broken = Oddity(500, endpoint="device-swap/check")
    yield World("one endpoint of five always 500", MANY, (broken,))


def _short() -> Iterator[World]:
    def one(name: str, oddity: Oddity, wait: str = "–") -> World:
        return World(f"one number {name}", SHORT, (oddity._replace(numbers=only),), wait)

    def some(share: float, does: str, seconds: float, wait: str) -> World:
        late = Oddity(wait_seconds=seconds, numbers=_some(SHORT, share), times=1)
        return World(f"{100 * share:g} % {does}", SHORT, (late,), wait)

    only = chosen(e164s(SHORT.numbers), 1)
    day = REFUSAL._replace(headers=_retry_after("86400"), times=1)
    yield one("always 401", Oddity(401))
    yield one("always 402", Oddity(402))
    yield one("always 429 QUOTA_EXCEEDED", Oddity(429, code="QUOTA_EXCEEDED"))
    yield one("always 429", REFUSAL, "1 s, each time")
    yield one("always 408", Oddity(408))
    yield one("once 429, Retry-After 86400", day, "86,400 s")
    yield one("always 404, Retry-After 60", Oddity(404, _retry_after("60")))
    yield one("200, Remaining 0, Reset 40", Oddity(200, _remaining("0", "40"), times=1))
    yield one("200, Remaining 1, Reset 100", Oddity(200, _remaining("1", "100"), times=1))
    yield some(0.02, "never answered at first", NEVER, _TIMEOUT)
    yield some(0.04, "never answered at first", NEVER, _TIMEOUT)
    yield some(0.04, "answered after 14 s", 14.0, "14 s")
    half = Oddity(headers=(("x-correlator", "a-node-of-its-own"),), numbers=_some(SHORT, 0.5))
    echo = Oddity(headers=(("x-correlator", ECHO),))
    yield World("half echo the correlator, half send their own", SHORT, (half, echo))


def _some(shape: Shape, share: float) -> frozenset[str]:
    return chosen(e164s(shape.numbers), round(share * shape.numbers))


def _retry_after(value: str) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", value),)


def _remaining(left: str, reset: str) -> tuple[tuple[str, str], ...]:
    return (("X-RateLimit-Remaining", left), ("X-RateLimit-Reset", reset))
