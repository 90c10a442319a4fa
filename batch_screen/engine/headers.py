"""Rate from the server's headers: slows down only if most answers agree.

A single answer may come from another node, from another account's window, or from a program with
a mistake in it. So the middle one of the last answers counts, answers without headers included;
and a promise that is broken by what passes is one nobody need believe again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from operator import itemgetter

from batch_screen.config.settings import Pacing
from batch_screen.masking import masked_logger
from batch_screen.model import Allowance

_ANSWERS = 5
_WORTH_WARNING_SHARE = 0.9
_WARN_AGAIN_SECONDS = 60.0
_LEAST_SHARE = 0.1
_LONG_SECONDS = 5.0
_MORE_THAN_SAID = 5

_log = masked_logger(__name__)


def said_rate(allowance: Allowance, most_seconds: float) -> tuple[float, float] | None:
    """The (rate, seconds it is valid) that the headers permit, or None.

    A window longer than ``most_seconds`` is a quota, and no pace: slowing down to make it last
    would be slower than going on tomorrow. Servers round the time left up to whole seconds, so
    only what is too fast even in a second less slows anybody down. Nothing remaining is nearly
    nothing: one attempt in that time shows whether it is so.

    >>> said_rate(Allowance(remaining=30, reset_seconds=4), 900)
    (10.0, 4)
    >>> said_rate(Allowance(remaining=0, reset_seconds=40), 900)
    (0.025, 40)
    >>> said_rate(Allowance(remaining=30, reset_seconds=86_400), 900)
    """
    found = []
    reset = allowance.reset_seconds
    if allowance.limit_per_second is not None and allowance.limit_per_second > 0:
        seconds = 1.0 if reset is None else min(max(1.0, reset), most_seconds)
        found.append((allowance.limit_per_second, seconds))
    if allowance.remaining is not None and reset is not None and 0 < reset <= most_seconds:
        if allowance.remaining == 0:
            found.append((1 / reset, reset))
        elif reset > 1:
            found.append((allowance.remaining / (reset - 1), reset))
    return min(found, default=None)


class Headers:
    """The rate that the headers of the last answers permit."""

    def __init__(self, pacing: Pacing, *, clock: Callable[[], float]) -> None:
        self._pacing = pacing
        self._clock = clock
        self._said: deque[tuple[float, float, int | None]] = deque(maxlen=_ANSWERS)
        self._rate, self._until = math.inf, 0.0
        self._remaining: int | None = None
        self._promised_at, self._promised_until = math.inf, -math.inf
        self._passed = 0
        self._warned_at = -math.inf
        self._is_believed = True
        self.is_silent = True
        """Whether no answer has said anything yet."""

    def rate(self, now: float, otherwise: float) -> float:
        """Attempts per second that the headers permit, where the rate would otherwise be ``rate``.

        Never a standstill: the tenth part goes on, and shows whether the headers are right.
        """
        if now >= self._until:
            return otherwise
        return max(self._rate, _LEAST_SHARE * otherwise)

    def answered(self, allowance: Allowance | None, *, sent_at: float) -> None:
        """Records the headers of an answer that is no refusal, and when its attempt was sent."""
        self.is_silent = False
        now = self._clock()
        if sent_at > self._promised_at:
            self._keep_count(now)
        # Silent answers count as "no limit": one node that speaks is outvoted by the others.
        longest = self._pacing.max_retry_after_seconds
        found = said_rate(allowance, longest) if allowance is not None else None
        remaining = allowance.remaining if allowance is not None else None
        self._said.append((*found, remaining) if found else (math.inf, 0.0, None))
        if not self._is_believed or len(self._said) < _ANSWERS // 2 + 1:
            return
        ordered = sorted(self._said, key=itemgetter(0))
        rate, seconds, remaining = ordered[len(ordered) // 2]
        if rate < math.inf:
            self._believe(rate * (1 - self._pacing.headroom), seconds, remaining, now)

    def _believe(self, rate: float, seconds: float, remaining: int | None, now: float) -> None:
        # A promise is judged over its whole time, however often it is said anew meanwhile.
        if now >= self._promised_until:
            self._remaining, self._passed = remaining, 0
            self._promised_at, self._promised_until = now, now + seconds
        self._rate, self._until = rate, now + seconds
        is_slow = rate < _WORTH_WARNING_SHARE * self._pacing.rate_per_second
        if is_slow and now - self._warned_at >= _WARN_AGAIN_SECONDS:
            self._warned_at = now
            _log.warning(
                "the API's headers permit %.3g requests a second for %.0f s", rate, seconds
            )

    def _keep_count(self, now: float) -> None:
        """Detects wrong headers: more requests passed than they said were left."""
        self._passed += 1
        remaining = self._remaining
        is_long = self._promised_until - self._promised_at >= _LONG_SECONDS
        if remaining is None or not (is_long and now < self._promised_until):
            return
        if self._is_believed and self._passed > 2 * remaining + _MORE_THAN_SAID:
            self._is_believed = False
            self._until = 0.0
            _log.warning(
                "more requests pass than the API's headers permit; they are ignored from now on"
            )
