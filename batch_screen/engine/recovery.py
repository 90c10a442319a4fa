"""Pure functions of the adaptive rate: ramp-up, level after a refusal, recovery.

A refusal shows where the limit is: at the number of attempts that had started in the second
before it. The rate holds just below that level and probes above it from time to time. A probe
that is refused costs a pause (Retry-After), so a limit that stays is probed ever more rarely,
and one that has fallen, and may rise again, every few seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from typing import NamedTuple

START_SHARE = 0.2
HOLD_SHARE = 0.99  # arrival at the server jitters by some milliseconds
HOLD_SECONDS = 12.0
LEAST_PER_SECOND = 0.1

_SETTLING_SECONDS = 5.0
_DEPTH = 0.01
_DEPTH_WITHOUT_RETRY_AFTER = 0.05  # no pause has emptied the server's window
_DOUBLING_SECONDS = 3.0

_STRIKE_SECONDS = 1.3  # a full window of a second, and the way there and back
_FIRST_STRIKE = 0.88
_LATER_STRIKES = 0.9
_DEEPEST = 0.5
_DEEPER = 0.035
_DEEP = 0.75
_TOO_CLOSE = 0.98
_EARLY_SEEN = 0.985  # while connections are new, attempts do not arrive in their order
_ENOUGH_SEEN = 2  # a first request that is refused says nothing about the limit
_SAME = 0.9

_LONGEST_HOLD_SECONDS = 120.0
_LONGER = 4.0
_WORTHWHILE_GAIN = 0.2
_LITTLE_GAIN_LONGER = 8.0

_BEST_SECONDS = 300.0
_FEW_PER_SECOND = 5.0
_FEW = 10.0


class Epoch(NamedTuple):
    """The time from one cut to the next: its level, and when it is probed."""

    level: float
    paused_at: float
    resumes_at: float
    probes_at: float
    hold_seconds: float
    depth: float = _DEPTH
    strikes: int = 0


class Refusal(NamedTuple):
    """The facts at a refusal: the current rate, and what had passed.

    ``seen``: attempts a second that were let pass just before; ``average``: since the last
    refusal, its pause included. ``has_closed``: everything was refused before, or is now.
    """

    at: float
    not_before: float
    rate: float
    seen: float
    average: float
    ceiling: float
    best: float
    has_instant: bool
    has_closed: bool


def ramp(elapsed_seconds: float, ramp_up_seconds: float) -> float:
    """Share of the rate to use so long after the start: a fifth at first, then all.

    >>> ramp(0, 5), ramp(1.25, 5), ramp(5, 5), ramp(0, 0)
    (0.2, 0.4, 1.0, 1.0)
    """
    if elapsed_seconds >= ramp_up_seconds:
        return 1.0
    return START_SHARE + (1 - START_SHARE) * elapsed_seconds / ramp_up_seconds


def recovered(epoch: Epoch, now: float) -> float:
    """CUBIC growth: up to just below the level, a plateau, then ever faster beyond it.

    >>> epoch = Epoch(100, paused_at=0, resumes_at=0, probes_at=12, hold_seconds=12)
    >>> [round(recovered(epoch, t), 1) for t in (0, 5, 12, 13, 15)]
    [98.0, 99.0, 99.0, 102.7, 198.0]
    """
    held = HOLD_SHARE * epoch.level
    since = max(0.0, now - epoch.resumes_at)
    if now < epoch.probes_at:
        return held * (1 - epoch.depth * max(0.0, 1 - since / _SETTLING_SECONDS) ** 3)
    probing = min(since, now - epoch.probes_at)
    # What was held briefly is little more than a guess, and probed as fast as the ramp rises.
    doubling = min(_DOUBLING_SECONDS, epoch.hold_seconds / _LONGER)
    return held * (1 + (probing / doubling) ** 3)


def next_epoch(last: Epoch | None, refusal: Refusal) -> Epoch:
    """The next epoch after a refusal: a new level, and how long to hold it."""
    # Refused at once after a pause: the pause was right, the level was not.
    is_strike = last is not None and refusal.at - last.resumes_at < _STRIKE_SECONDS
    was_probe = last is not None and refusal.rate > last.level
    level = max(LEAST_PER_SECOND, _level(last, refusal, is_strike, was_probe))
    held = _hold_seconds(last, level, refusal, was_probe)
    is_kept = last is not None and not was_probe and level >= _SAME * refusal.best
    probes_at = refusal.not_before + held
    if last is not None and is_kept:  # it was held, and goes on being held
        probes_at = max(last.probes_at, refusal.not_before)
    return Epoch(
        level,
        refusal.at,
        refusal.not_before,
        probes_at,
        held,
        _DEPTH if refusal.has_instant else _DEPTH_WITHOUT_RETRY_AFTER,
        last.strikes + 1 if last is not None and is_strike else 0,
    )


def _level(last: Epoch | None, refusal: Refusal, is_strike: bool, was_probe: bool) -> float:  # noqa: FBT001 (two facts about the same refusal)
    """The server's limit, as estimated from the refusal.

    Refused at once after a pause, the rate is still too high. The first time, what was seen is the
    limit of a sliding window; after that it may be a window of another kind, in which more passes
    for a moment than in the long run, so it is felt for, with growing steps.
    """
    if last is None:
        enough = refusal.seen >= _ENOUGH_SEEN
        if not enough:
            return _DEEPEST * refusal.rate
        is_early = refusal.seen < _SAME * refusal.rate  # the window was not full before
        return min(refusal.rate, refusal.seen * (_EARLY_SEEN if is_early else 1))
    if was_probe and not is_strike:  # the probe found where it ends, maybe above the level
        return min(refusal.rate, max(refusal.seen, _DEEPEST * last.level))
    if not is_strike:  # refused while held: the limit has fallen, or was a little lower
        return min(_TOO_CLOSE * last.level, max(refusal.seen, _DEEPEST * last.level))
    if last.strikes == 0:
        return min(max(refusal.seen, _DEEPEST * last.level), _FIRST_STRIKE * last.level)
    floor: float = max(_DEEP, 1 - _DEEPER * 2**last.strikes)
    return min(max(refusal.average, floor * last.level), _LATER_STRIKES * last.level)


def _hold_seconds(last: Epoch | None, level: float, refusal: Refusal, was_probe: bool) -> float:  # noqa: FBT001 (as above)
    """How long to hold a level before the next probe.

    Longer where little can be won, and each time a probe has found the limit where it was; short
    while the level is below the best of late, for what has fallen may rise again.
    """
    gain = max(refusal.ceiling / level - 1, 0.01)
    worth: float = min(max(1.0, (_WORTHWHILE_GAIN / gain) ** 2), _LITTLE_GAIN_LONGER)
    if last is None:  # a few refusals side by side may be chance, and the first probe shows
        return HOLD_SECONDS * worth / (1 if refusal.has_closed else _LONGER)
    if level < _SAME * refusal.best:
        return HOLD_SECONDS
    if was_probe:
        longer = _LONGER * max(HOLD_SECONDS * worth, last.hold_seconds)
        return min(_LONGEST_HOLD_SECONDS, longer)
    return last.hold_seconds


# When attempts started of late: what a sliding window of one second holds.

REMEMBERED_SECONDS = 5.0


class Starts:
    """The start times of the last seconds, in order."""

    def __init__(self) -> None:
        self._instants: deque[float] = deque()

    def add(self, now: float) -> None:
        """Records an attempt's start; instants must not run backwards."""
        self._instants.append(now)
        while self._instants[0] < now - REMEMBERED_SECONDS:
            self._instants.popleft()

    def move(self, started_at: float, later: float) -> None:
        """Counts one that started then as if it had started later."""
        index = bisect_right(self._instants, started_at) - 1
        if index >= 0:
            del self._instants[index]
        insort(self._instants, later)

    def window_opens_at(self, rate_per_second: float) -> float:
        """The instant from which one more start keeps every one-second window within the rate.

        >>> starts = Starts()
        >>> for instant in (10.0, 10.25, 10.5):
        ...     starts.add(instant)
        >>> starts.window_opens_at(3), starts.window_opens_at(2), starts.window_opens_at(4)
        (11.0, 11.25, -inf)
        """
        most = max(1, math.ceil(rate_per_second))
        return self._instants[-most] + 1.0 if len(self._instants) >= most else -math.inf

    def count(self, since: float, until: float = math.inf) -> int:
        """How many started in the half-open interval between two instants."""
        return sum(since <= instant < until for instant in self._instants)


class Seen:
    """Recent starts, refusals, and levels that were held without refusals."""

    def __init__(self) -> None:
        self.starts = Starts()
        self.refused = Starts()
        self._levels: deque[tuple[float, float]] = deque()
        self._first_at = math.inf

    def started(self, now: float) -> None:
        """Records an attempt's start."""
        self.starts.add(now)
        self._first_at = min(self._first_at, now)

    def held(self, level: float, now: float) -> None:
        """Records that the level was held for its full time, until now."""
        self._levels.append((now, level))

    def best_level(self, now: float) -> float:
        """The best level held in the last minutes; 0: none."""
        while self._levels and self._levels[0][0] < now - _BEST_SECONDS:
            self._levels.popleft()
        return max((level for _, level in self._levels), default=0.0)

    def delivered(self, until: float, rate: float, share_refused: float) -> float:
        """Attempts per second that passed in the second before, or longer at a slow rate."""
        seconds = 1.0 if rate >= _FEW_PER_SECOND else _FEW / max(rate, LEAST_PER_SECOND)
        seconds = min(seconds, REMEMBERED_SECONDS)
        began = until - seconds
        passed = self.starts.count(began, until) - self.refused.count(began, until)
        if began >= self._first_at:
            return max(0, passed) / seconds
        return max(passed / seconds, rate * (1 - share_refused))

    def average(self, last: Epoch | None, now: float) -> float:
        """Attempts per second started since the epoch's pause began, that pause included."""
        if last is None or now <= last.paused_at:
            return 0.0
        return self.starts.count(last.resumes_at) / (now - last.paused_at)
