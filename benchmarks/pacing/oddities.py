"""Odd answers: what they say, and which requests get them. Pure; it knows no clock and no server.

A lookup is named as the endpoint and the number, with a space between them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from math import inf
from typing import NamedTuple

from benchmarks.pacing.windows import Sliding

ECHO = "{x-correlator}"
"""In a header's value: the request's own correlator."""
NEVER = 1e6
"""Seconds to wait, for an answer that never comes."""


class Oddity(NamedTuple):
    """An answer, and the requests that get it: those for which all that is said holds."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    code: str = ""
    """The error's code, where it is not the status's name."""
    wait_seconds: float = 0.0
    """How much later it comes than others do."""
    numbers: frozenset[str] = frozenset()
    """Those asked about; none: all."""
    endpoint: str = ""
    """The one asked; empty: all."""
    times: int = 0
    """Only the first so many requests of each lookup; 0: always."""
    beyond: int = 0
    """Only what exceeds so many a second; 0: everything."""
    begin: float = 0.0
    """Seconds after the first request of all."""
    end: float = inf

    @property
    def body(self) -> bytes:
        """The error's body."""
        status = HTTPStatus(self.status)
        said = {"status": status, "code": self.code or status.name, "message": status.phrase}
        return json.dumps(said).encode()

    @property
    def names_some(self) -> bool:
        """Whether it concerns certain lookups, and not all of them."""
        return bool(self.numbers or self.endpoint)

    def concerns(self, lookup: str) -> bool:
        """Whether it is about the lookup, whenever that is asked.

        >>> Oddity(endpoint="sim-swap/check").concerns("sim-swap/check +447700900000")
        True
        """
        endpoint, _, number = lookup.partition(" ")
        return self.endpoint in ("", endpoint) and (not self.numbers or number in self.numbers)


REFUSAL = Oddity(429, (("Retry-After", "1"),))
USUAL = Oddity()


class Encounter:
    """An oddity that remembers whom it has met."""

    def __init__(self, oddity: Oddity) -> None:
        self.oddity = oddity
        self._met: Counter[str] = Counter()
        self._window = Sliding()

    def meets(self, lookup: str, seconds: float) -> bool:
        """Whether the request for the lookup, so long after the first of all, gets the answer."""
        odd = self.oddity
        if not (odd.begin <= seconds < odd.end and odd.concerns(lookup)):
            return False
        if odd.times:
            self._met[lookup] += 1
            return self._met[lookup] <= odd.times
        return not (odd.beyond and self._window.takes(seconds, odd.beyond))


def chosen(numbers: Iterable[str], count: int) -> frozenset[str]:
    """So many of the numbers, anywhere in the list and the same each time: by their digests.

    >>> numbers = [f"+4477009000{last:02}" for last in range(50)]
    >>> chosen(numbers, 2) < chosen(numbers[::-1], 3)
    True
    """
    return frozenset(sorted(numbers, key=lambda each: sha256(each.encode()).digest())[:count])


def odd_ones(oddities: Iterable[Oddity], lookups: Iterable[str]) -> set[str]:
    """The lookups that are odd themselves: those that an oddity names, whenever it is."""
    naming = [oddity for oddity in oddities if oddity.names_some]
    return {lookup for lookup in lookups if any(odd.concerns(lookup) for odd in naming)}


def to_text(oddities: Iterable[Oddity]) -> str:
    """What ``from_text`` reads.

    >>> from_text(to_text([REFUSAL])) == (REFUSAL,)
    True
    """
    return json.dumps([oddity._asdict() for oddity in oddities], default=sorted)


def from_text(text: str) -> tuple[Oddity, ...]:
    """The oddities that a text says; ValueError, TypeError or KeyError if it says none."""
    return tuple(
        Oddity(**fields)._replace(
            headers=tuple((name, value) for name, value in fields["headers"]),
            numbers=frozenset(fields["numbers"]),
        )
        for fields in json.loads(text)
    )
