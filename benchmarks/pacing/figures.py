"""From what the judge saw to figures. Pure functions; they know no client and no clock.

An *arrival* is a request that reached the server, accepted or refused. Seconds count from the
first one. Spans of time are half-open, so a client that sends evenly at the limit has used
exactly all of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.pacing.timetable import Timetable

RAMP_UP_SECONDS = 6.0
"""The default ramp-up of batch-screen takes 5 s; what comes after 6 s owes nothing to it."""
RETRY_AFTER_SECONDS = 1.0
UNDER_WAY_SECONDS = 0.05
"""What arrives so soon after a refusal may have been sent before anybody could know of it."""
TAIL_SHARE = 0.01
NEAR_SHARE = 0.05
STAYS_SECONDS = 2.0
_STEP_SECONDS = 0.1


class Arrivals(NamedTuple):
    """The instants, in the order of time and beginning at 0, and which of them were accepted."""

    seconds: Sequence[float]
    is_accepted: Sequence[bool]

    @property
    def accepted(self) -> list[float]:
        """The instants of the accepted ones."""
        return [s for s, yes in zip(self.seconds, self.is_accepted, strict=True) if yes]

    @property
    def refused(self) -> list[float]:
        """The instants of the refused ones."""
        return [s for s, yes in zip(self.seconds, self.is_accepted, strict=True) if not yes]

    @property
    def last(self) -> float:
        """The instant of the last one; 0 if there was none."""
        return self.seconds[-1] if self.seconds else 0.0

    def until(self, seconds: float) -> Arrivals:
        """Those that came before the instant."""
        end = bisect_left(self.seconds, seconds)
        return Arrivals(self.seconds[:end], self.is_accepted[:end])


def count(instants: Sequence[float], begin: float, end: float) -> int:
    """How many sorted instants lie in [begin, end).

    >>> count([0, 1, 2, 3], 1, 3)
    2
    """
    return bisect_left(instants, end) - bisect_left(instants, begin)


def used(arrivals: Arrivals, limit: Timetable, begin: float = 0.0, end: float = -1.0) -> float:
    """Share of what the limit allowed that was accepted, up to the last arrival by default.

    Not a number where the span is empty.
    """
    end = arrivals.last if end < 0 else end
    allowed = limit.allowed(begin, end)
    return count(arrivals.accepted, begin, end) / allowed if allowed > 0 else float("nan")


def used_after_ramp_up(arrivals: Arrivals, limit: Timetable) -> float:
    """Share of the limit used from 6 s on, without the tail.

    The tail is the time in which the last hundredth of all requests is accepted: stragglers that
    wait out a backoff say nothing about the pace. The share of a whole run counts them.
    """
    accepted = arrivals.accepted
    if not accepted:
        return float("nan")
    tail = accepted[int(len(accepted) * (1 - TAIL_SHARE)) - 1]
    return used(arrivals, limit, RAMP_UP_SECONDS, tail)


def worst_second(arrivals: Arrivals) -> int:
    """The most arrivals, accepted or refused, in any second, wherever it begins.

    >>> worst_second(Arrivals([0.0, 0.6, 0.9, 1.5], [True] * 4))
    3
    """
    return max(last_second(arrivals.seconds), default=0)


def last_second(instants: Sequence[float]) -> Iterator[int]:
    """For each sorted instant how many lie in the second up to it, itself included."""
    oldest = 0
    for index, instant in enumerate(instants):
        while instant - instants[oldest] >= 1.0:
            oldest += 1
        yield index - oldest + 1


def before_retry_after(arrivals: Arrivals) -> int:
    """How many came although a refusal had said to wait.

    A refusal asks for a second without requests. What comes within 50 ms of it may have been
    under way; what comes later than that and before the second is over counts, once, whatever
    number of refusals it disregards. Whatever its own fate is.

    >>> before_retry_after(Arrivals([0.0, 0.04, 0.5, 1.02, 2.0], [False, True, True, True, True]))
    1
    """
    refused = arrivals.refused
    return sum(
        count(refused, s - RETRY_AFTER_SECONDS + 1e-9, s - UNDER_WAY_SECONDS) > 0
        for s in arrivals.seconds
    )


def refused_share(arrivals: Arrivals) -> float:
    """Share of all arrivals that were refused; 0 if there were none."""
    return len(arrivals.refused) / len(arrivals.seconds) if arrivals.seconds else 0.0


def done_after(answered: Mapping[str, float], lookups: Collection[str]) -> float | None:
    """Seconds until the last of the lookups was answered; None if one never was.

    >>> done_after({"a": 1.0, "b": 3.0, "c": 9.0}, ["a", "b"]), done_after({"a": 1.0}, ["a", "b"])
    (3.0, None)
    """
    if any(lookup not in answered for lookup in lookups):
        return None
    return max((answered[lookup] for lookup in lookups), default=0.0)


def seconds_until_near(
    arrivals: Arrivals, limit: Timetable, change: float, end: float
) -> float | None:
    """Seconds after a change of the limit until what is accepted keeps within 5 % of it.

    Kept for 2 s: every second within those, a tenth of a second apart, has between 95 % and
    105 % of the limit. None if that is never so before ``end``.
    """
    accepted, target = arrivals.accepted, limit.at(change)
    windows = round((STAYS_SECONDS - 1) / _STEP_SECONDS) + 1
    steps = int((end - change - STAYS_SECONDS) / _STEP_SECONDS) + 1
    near_in_a_row = 0
    for step in range(steps + windows - 1):
        begin = change + step * _STEP_SECONDS
        is_near = abs(count(accepted, begin, begin + 1) - target) <= NEAR_SHARE * target
        near_in_a_row = near_in_a_row + 1 if is_near else 0
        if near_in_a_row == windows:
            return (step - windows + 1) * _STEP_SECONDS
    return None
