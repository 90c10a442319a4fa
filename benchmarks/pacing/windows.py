"""How gateways count a limit: three ways to say which request is still within it.

Pure: the instant and the limit are passed in. What is not taken counts against nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import floor
from typing import Protocol


class Window(Protocol):
    """Counts what was taken; instants must not go back."""

    def takes(self, now: float, limit: int) -> bool:
        """Whether a request at this instant is within so many a second."""
        ...


class Sliding:
    """Fewer than the limit in the second before. The strictest: no second has more, ever."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque()

    def takes(self, now: float, limit: int) -> bool:
        taken = self._taken
        while taken and now - taken[0] >= 1.0:
            taken.popleft()
        if len(taken) >= limit:
            return False
        taken.append(now)
        return True


class Fixed:
    """Fewer than the limit since the clock's last full second, however close that was."""

    def __init__(self) -> None:
        self._second = 0
        self._taken = 0

    def takes(self, now: float, limit: int) -> bool:
        if floor(now) != self._second:
            self._second, self._taken = floor(now), 0
        if self._taken >= limit:
            return False
        self._taken += 1
        return True


class Bucket:
    """A token for each request; the bucket holds a second's worth and is filled evenly."""

    def __init__(self) -> None:
        self._tokens = float("inf")
        self._at = 0.0

    def takes(self, now: float, limit: int) -> bool:
        self._tokens = min(limit, self._tokens + limit * (now - self._at))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


WINDOWS: dict[str, Callable[[], Window]] = {"sliding": Sliding, "fixed": Fixed, "bucket": Bucket}
