"""What a client believes of a limit, and what is so. Data only."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.pacing.timetable import Timetable

LIMIT = 200
GATEWAYS = {"fixed": "seconds of the server's clock", "bucket": "a bucket of tokens"}


class Case(NamedTuple):
    """What the client believes and what is so."""

    name: str
    rate: int
    limit: Timetable
    seconds: float
    window: str = "sliding"


def cases(seconds: float) -> list[Case]:
    """The three cases, for runs of so long, and two of them as gateways count, for half of it."""
    constant = Timetable.read(str(LIMIT))
    third = seconds / 3
    changing = Timetable.read(f"{LIMIT},{third}:{LIMIT // 2},{2 * third}:{LIMIT}")
    old = [
        Case("set 5 × too high", 5 * LIMIT, constant, seconds),
        Case("set 1.1 × too high", LIMIT * 11 // 10, constant, seconds),
        Case("set 5 × too high, limit halves and doubles", 5 * LIMIT, changing, seconds),
    ]
    counted = [
        case._replace(name=f"{case.name}, {name}", window=window, seconds=seconds / 2)
        for window, name in GATEWAYS.items()
        for case in old[:2]
    ]
    return old + counted


def is_meant(name: str, only: str | None) -> bool:
    """Whether a row of that name is to be run.

    >>> is_meant("set 5 × too high", None), is_meant("set 5 × too high", "Too High")
    (True, True)
    """
    return only is None or only.casefold() in name.casefold()
