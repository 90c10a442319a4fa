"""Leases: a worker's side of the contract. Attempts start in slots that the coordinator has dealt.

A worker sends in a slot or not at all, so without the coordinator it falls silent. What its own
dispatcher sees goes into the next report, and the next orders say how the contract stands.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from hashlib import blake2b

from batch_screen.cluster.messages import (
    HORIZON_SECONDS,
    LATE_SECONDS,
    SYNC_SECONDS,
    Orders,
    Passed,
    Refused,
    Report,
    Slot,
    Standing,
)
from batch_screen.engine.budget import SpendGuard
from batch_screen.engine.tasks import Places
from batch_screen.errors import Stopped
from batch_screen.model import Allowance, Endpoint, Spent

# Not time.monotonic: that stands still while a machine sleeps, and a slot would outlive it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_COMPARED_SECONDS = 5.0
_DRIFT_SECONDS = 0.001
"""So far two clocks run apart in twice that time: 100 millionths."""
_SHORTEST_SECONDS = 0.001
_LOOK_AGAIN_SECONDS = 0.05
_MORE = 2.0
_MOST_UNDER_WAY = 16_384
_FEWEST = 2


def clock() -> float:
    """Seconds of this machine's clock that is never set."""
    return time.clock_gettime(_CLOCK)


class ClockOffset:
    """How far the coordinator's clock is ahead of this one, as an interval that holds the truth.

    An answer says that its clock showed ``now`` between the call and the answer: the quickest ones
    of the last seconds say it best.
    """

    def __init__(self) -> None:
        self._before = self._last = _ANY
        self._since = -math.inf

    def compare(self, now: float, called_at: float, answered_at: float) -> bool:
        """Adds an answer; returns whether it contradicts earlier ones: a clock was set."""
        if (age := answered_at - self._since) > _COMPARED_SECONDS:
            # Clocks run apart, so what is older says nothing, as after a machine has slept.
            self._before = self._last if age <= 2 * _COMPARED_SECONDS else _ANY
            self._last, self._since = _ANY, answered_at
        found = (now - answered_at, now - called_at)
        self._last = _both(self._last, found)
        low, high = _both(self._before, self._last)
        if low <= high + 2 * _DRIFT_SECONDS:
            return False
        self._before, self._last = _ANY, found
        return True

    def at(self, now: float) -> tuple[float, float]:
        """The earliest and the latest that the coordinator's clock may show."""
        low, high = _both(self._before, self._last)
        return now + low - _DRIFT_SECONDS, now + high + _DRIFT_SECONDS


_Interval = tuple[float, float]
_ANY = (-math.inf, math.inf)


def _both(one: _Interval, other: _Interval) -> _Interval:
    return max(one[0], other[0]), min(one[1], other[1])


class Leases:
    """The slots that a worker holds. Knows the time only as it is given."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque()
        self._clock = ClockOffset()
        self.incarnation = -1
        self.settled = self.lost = 0

    def __len__(self) -> int:
        return len(self._slots)

    def receive(self, orders: Orders, called_at: float, answered_at: float) -> None:
        """Adds the slots of an answer to a call."""
        if orders.incarnation != self.incarnation:  # another machine's clock is another number
            self.incarnation, self._clock = orders.incarnation, ClockOffset()
            self._drop_all()
            self.settled = 0  # it knows nothing of the other one's slots
        if self._clock.compare(orders.now, called_at, answered_at):
            self._drop_all()
        self._slots.extend(orders.slots)

    def take(self, endpoint: Endpoint, *, is_limited: bool) -> Slot:
        """The slot in which an attempt at the endpoint starts now; ``wait`` has returned 0."""
        while (slot := self._slots.popleft()) and is_limited and endpoint not in slot.permits:
            self._lose()
        self.settled += 1
        return slot

    def wait(self, now: float, endpoint: Endpoint, *, is_limited: bool) -> float:
        """Seconds until an attempt may start; inf: no slot is held for it."""
        earliest, latest = self._clock.at(now)
        while self._slots and latest > self._slots[0].at + LATE_SECONDS:
            self._slots.popleft()
            self._lose()
        for slot in self._slots:
            if not is_limited or endpoint in slot.permits:
                return max(0.0, slot.at - earliest)
        return math.inf

    def _drop_all(self) -> None:
        self.settled += len(self._slots)
        self.lost += len(self._slots)
        self._slots.clear()

    def _lose(self) -> None:
        self.settled += 1
        self.lost += 1


class LeasedContract:
    """What a dispatcher knows of a contract that a coordinator leads: limits, gate and account."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._limited: set[Endpoint] = set()
        self._clock = clock
        self._leases = Leases()
        self._standing = Standing()
        self._left_alone: set[Endpoint] = set()
        self._taken: deque[Slot] = deque()
        self._slots: dict[int, Slot] = {}
        self._came = asyncio.Event()
        self.hungry = asyncio.Event()
        """An attempt waits and no slot is held for it."""
        self._is_waiting = False
        self._starts = 0
        self._wanted = 0.0
        self._salt = os.urandom(16)
        self._started: list[tuple[int, float, Endpoint]] = []
        self._results: list[Passed | Refused] = []
        self._pause = 0.0
        self._ramps_up = False
        self._owed = 0.0
        self._has_passed = False

    def begin(self) -> None:
        """Another dispatcher begins, which counts its attempts anew."""
        self._slots.clear()

    # --- reports and orders ---------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Writes into the report what has come since the last one."""
        report.incarnation = self._leases.incarnation
        report.wants = self._wants()
        report.settled, report.lost = self._leases.settled, self._leases.lost
        report.started, self._started = self._started, []
        report.results, self._results = self._results, []
        report.pause_seconds, self._pause = self._pause, 0.0
        report.ramps_up, self._ramps_up = self._ramps_up, False
        report.owed, self._owed = self._owed, 0.0

    def obey(self, orders: Orders, called_at: float, answered_at: float) -> None:
        """Takes over what the answer to a report says."""
        if orders.incarnation != self._leases.incarnation:
            self._started, self._results = [], []
            self._slots.clear()
            self._taken.clear()
        self._leases.receive(orders, called_at, answered_at)
        self._standing, self._left_alone = orders.standing, orders.left_alone
        self._limited = orders.limited
        self._came.set()

    def _wants(self) -> int:
        """So many slots more: what was used of late, and twice that where slots were short."""
        is_short, used, self._starts = self.hungry.is_set(), self._starts, 0
        self.hungry.clear()
        if not (used or is_short or self._is_waiting):
            self._wanted = 0.0
            return 0
        within_horizon = used * HORIZON_SECONDS / SYNC_SECONDS
        grown = _MORE * self._wanted if is_short or self._is_waiting else 0.0
        self._wanted = max(_FEWEST, within_horizon, min(grown, _MORE * within_horizon))
        return max(0, math.ceil(self._wanted) - len(self._leases))

    # --- the gate -------------------------------------------------------------------------------

    def wait_seconds(self, endpoint: Endpoint) -> float:
        """Seconds until this endpoint may be asked, whatever the others do."""
        if endpoint in self._left_alone:
            return _LOOK_AGAIN_SECONDS
        if endpoint not in self._limited:
            return 0.0
        wait = self._leases.wait(self._clock(), endpoint, is_limited=True)
        if math.isinf(wait):
            self.hungry.set()
        return min(wait, _LOOK_AGAIN_SECONDS)

    async def acquire(self, endpoint: Endpoint) -> None:
        """Waits until an attempt at the endpoint may start."""
        self._is_waiting = True
        while (wait := self.start(endpoint)) > 0:
            if math.isinf(wait):
                self._came.clear()
                await self._came.wait()
            else:
                await asyncio.sleep(max(wait, _SHORTEST_SECONDS))
        self._is_waiting = False

    def start(self, endpoint: Endpoint) -> float:
        """Takes a slot for an attempt, or returns the seconds to wait; inf: until one comes."""
        now, is_limited = self._clock(), endpoint in self._limited
        if (wait := self._leases.wait(now, endpoint, is_limited=is_limited)) > 0:
            if math.isinf(wait):
                self.hungry.set()
            return wait
        self._taken.append(self._leases.take(endpoint, is_limited=is_limited))
        self._starts += 1
        return 0.0

    def delayed(self, sent_at: float, seconds: float) -> None:
        """Accounts for an attempt that reached the server so much later than others do."""
        del sent_at
        self._owed += min(1.0, seconds)

    # --- the limits -----------------------------------------------------------------------------

    @property
    def account(self) -> LeasedContract:
        return self

    @property
    def is_closed(self) -> bool:
        return self._standing.is_closed

    @property
    def is_held_by_headers(self) -> bool:
        return False  # the coordinator keeps the pace

    @property
    def has_passed(self) -> bool:
        return self._has_passed or self._standing.has_passed

    @has_passed.setter
    def has_passed(self, value: bool) -> None:
        self._has_passed = value

    def rate(self) -> float:
        """Attempts per second that are this worker's share."""
        return self._standing.rate

    def pause(self, seconds: float) -> None:
        """Starts no attempt for so long, and makes the others wait too."""
        self._pause = max(self._pause, seconds)

    def ramp_up(self) -> None:
        """Starts the ramp again."""
        self._ramps_up = True

    @property
    def refuses_all(self) -> bool:
        """Whether everything is refused just now, or was from the start."""
        return self.is_closed or not self.has_passed

    def is_probing(self, endpoint: Endpoint) -> bool:
        """Whether the whole endpoint is refused, so that attempts at it probe one at a time."""
        return endpoint in self._standing.probing

    def own_refusal(self, endpoint: Endpoint, places: Places) -> float:
        """How far a refusal counts against its own lookup; 0 while the account refuses all."""
        del places
        return self._standing.weights.get(endpoint, 0.0)

    def refuses(self, endpoint: Endpoint | None, numbers: int) -> bool:
        """Whether so many numbers in a row were refused, at an endpoint or overall."""
        del numbers
        return endpoint in self._standing.refusing

    def sent(self, endpoint: Endpoint, places: Places) -> None:
        """Records that the attempt with these places goes out."""
        # In the order of their slots, but for those that were called off in between.
        while len(self._taken) > 1 and self._taken[0].at < self._taken[-1].at - HORIZON_SECONDS:
            self._taken.popleft()
        if not self._taken:
            return
        slot = self._slots[places.of_all] = self._taken.popleft()
        if len(self._slots) > _MOST_UNDER_WAY:  # those that failed say nothing of the rate
            del self._slots[next(iter(self._slots))]
        self._started.append((slot.number, slot.at, endpoint))

    def passed(
        self, endpoint: Endpoint, places: Places, sent_at: float, allowance: Allowance | None
    ) -> None:
        """Records an answer that is neither a refusal nor a failure, and its headers."""
        del sent_at
        if (slot := self._slots.pop(places.of_all, None)) is None:
            return
        result = Passed(slot.number, slot.at, endpoint, allowance)
        last = self._results[-1] if self._results else None
        if isinstance(last, Passed) and last < result and last[2:] == (endpoint, None):
            self._results.pop()  # it says no more
        self._results.append(result)

    def refused(  # noqa: PLR0913 (as RateLimits)
        self,
        endpoint: Endpoint,
        places: Places,
        e164: str,
        sent_at: float,
        wait: float | None,
        *,
        is_first: bool,
    ) -> None:
        """Records a refusal; the number stays here."""
        del sent_at
        if (slot := self._slots.pop(places.of_all, None)) is None:
            return
        who = blake2b(e164.encode(), key=self._salt, digest_size=8).hexdigest()
        self._results.append(Refused(slot.number, slot.at, endpoint, who, wait, is_first))


class LeasedSpend(SpendGuard):
    """Counts what a worker spends: each slot that it gets is paid for."""

    def __init__(self) -> None:
        self._requests: Counter[Endpoint] = Counter()
        self._refusals: Counter[Endpoint] = Counter()

    def permits(self, endpoint: Endpoint) -> bool:
        del endpoint
        return True

    def add(self, endpoint: Endpoint, requests: int, refusals: int) -> None:
        self._requests[endpoint] += requests
        self._refusals[endpoint] += refusals

    def spent(self) -> dict[Endpoint, Spent]:
        """The totals since the worker's start."""
        return {e: Spent(self._requests[e], self._refusals[e]) for e in self._requests}

    def stop(self) -> Stopped:
        return Stopped("the budget is used up; start the same command again with a higher one")
