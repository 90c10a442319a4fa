"""When attempts started of late: what a sliding window of one second holds."""

from __future__ import annotations

import math
from collections import deque

REMEMBERED_SECONDS = 5.0


class Starts:
    """The instants of the last seconds, in order; what is older is forgotten."""

    def __init__(self) -> None:
        self._instants: deque[float] = deque()

    def add(self, now: float) -> None:
        """An attempt starts now; instants must not run backwards."""
        self._instants.append(now)
        while self._instants[0] < now - REMEMBERED_SECONDS:
            self._instants.popleft()

    def window_opens_at(self, rate_per_second: float) -> float:
        """From when on one more start leaves every window of a second within the rate.

        >>> starts = Starts()
        >>> for instant in (10.0, 10.25, 10.5):
        ...     starts.add(instant)
        >>> starts.window_opens_at(3), starts.window_opens_at(2), starts.window_opens_at(4)
        (11.0, 11.25, -inf)
        """
        most = max(1, math.ceil(rate_per_second))
        return self._instants[-most] + 1.0 if len(self._instants) >= most else -math.inf

    def count(self, since: float, until: float = math.inf) -> int:
        """How many started from the one instant on and before the other."""
        return sum(since <= instant < until for instant in self._instants)
