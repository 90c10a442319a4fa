"""Scripted outages: a while in the middle of a run in which every admitted request fails alike.

Driven by the requests themselves, so nothing happens behind a test's back: an outage begins
with the first request at which it is due, and the sandbox is well again when its time is over.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from batch_screen.sandbox.magic import Behaviour


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong, from when on and for how long.

    Due after so many requests or so many seconds after the first one, whichever is given;
    neither: from the first request on.
    """

    behaviour: Behaviour | None
    """What every request meets; None: nobody listens, so connections are refused."""
    lasting_seconds: float
    after_requests: int | None = None
    at_seconds: float | None = None


class Outages:
    """Tells request by request which outage is on; requests and seconds count from its making."""

    def __init__(self, planned: Sequence[Outage]) -> None:
        self._planned = planned
        self._requests = 0
        self._first_at = 0.0
        self._began: dict[int, float] = {}

    def meet(self, now_seconds: float) -> tuple[Outage, float] | None:
        """The first outage that is on at this request, and the seconds it has left."""
        self._requests += 1
        if self._requests == 1:
            self._first_at = now_seconds
        for index, outage in enumerate(self._planned):
            if index not in self._began and self._is_due(outage, now_seconds):
                self._began[index] = now_seconds
        for index, began in sorted(self._began.items()):
            left = began + self._planned[index].lasting_seconds - now_seconds
            if left > 0:
                return self._planned[index], left
        return None

    def _is_due(self, outage: Outage, now_seconds: float) -> bool:
        if outage.after_requests is not None:
            return self._requests > outage.after_requests
        return now_seconds - self._first_at >= (outage.at_seconds or 0)
