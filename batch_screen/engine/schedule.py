"""Wall-clock schedule: the rate by hour of day, and the closing time.

Reads no clock: every instant is passed in, aware of its zone. Days have 23 to 25 hours and
offsets may end in 30 or 45 minutes, so nothing is computed with hours of a wall clock; only
instants are subtracted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from batch_screen.config.parsing import clock_time, hours, zone
from batch_screen.config.settings import Budget, Schedule, Settings
from batch_screen.errors import Stopped

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_INSTANT = timedelta(seconds=1)  # clocks change at whole seconds
_YEAR = timedelta(days=366)
_LONGEST_SECONDS = 100 * _YEAR.total_seconds()  # more is no bound, and no date can hold it
_MARGIN_SECONDS = 1.0
_MARGIN_SHARE = 0.25


def next_at(wall: time, after: datetime, place: ZoneInfo) -> datetime:
    """The first instant (UTC) after ``after`` at which clocks in that zone show this time.

    Where they jump over it, the instant of the jump; where it comes twice, each counts. A
    zone that leaves out a whole day moves no hand of a clock: the next day counts.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> next_at(time(2, 30), datetime(2026, 3, 28, 12, tzinfo=UTC), berlin).isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    after = after.astimezone(UTC)
    today = after.astimezone(place).date()
    days = (today + step * _DAY for step in range(-1, 5))  # a day may be left out
    return min(instant for day in days for instant in _shown(wall, day, place) if instant > after)


def _shown(wall: time, day: date, place: ZoneInfo) -> list[datetime]:
    """The instants of that day at which clocks show the time; the clock change if they skip it."""
    local = datetime.combine(day, wall)
    first, second = (local.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(place).replace(tzinfo=None) == local:
        return [first, second]
    if first - second >= _DAY:
        return []
    # What is skipped is read with the offset before the jump or after it: it lies in between.
    return [_first(lambda at: at.astimezone(place).replace(tzinfo=None) > local, second, first)]


def _first(has_come: Callable[[datetime], bool], low: datetime, high: datetime) -> datetime:
    """The first whole second for which it holds, by bisection; ``low`` fails and ``high`` holds."""
    while high - low > _INSTANT:
        middle = low + (high - low) // _INSTANT // 2 * _INSTANT
        low, high = (low, middle) if has_come(middle) else (middle, high)
    return high


class Timetable:
    """The rate permitted at each hour of the day, as the schedule allows.

    ``headroom`` is the share of either that is left unused.
    """

    def __init__(self, schedule: Schedule, rate_per_second: float, *, headroom: float = 0) -> None:
        self._rate = rate_per_second * (1 - headroom)
        self._by_hour = {
            hour: min(rate_per_second, allowed) * (1 - headroom)
            for text, allowed in schedule.rate_per_second_by_hour.items()
            for hour in hours(text)
        }
        # Where no system knows any zone, runs without a timetable work all the same.
        self._place = zone(schedule.timezone) if self._by_hour else UTC

    def rate(self, at: datetime) -> float:
        """Requests per second permitted at that instant; 0: none."""
        if not self._by_hour:
            return self._rate
        return self._by_hour.get(at.astimezone(self._place).hour, self._rate)

    def next_hour(self, at: datetime) -> datetime:
        """The next instant (UTC) at which the rate may change: a full local hour.

        A change of the clocks comes before it, where there is one.
        """
        local = at.astimezone(self._place)
        over = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        began = at.astimezone(UTC) - over
        if (began + _HOUR).astimezone(self._place).utcoffset() == local.utcoffset():
            return began + _HOUR
        offset = local.utcoffset()
        return _first(
            lambda later: later.astimezone(self._place).utcoffset() != offset,
            low=at.astimezone(UTC).replace(microsecond=0),
            high=began + _HOUR,
        )

    def opens_at(self, at: datetime) -> datetime:
        """The first instant from then on at which requests are permitted, in local time."""
        while self.rate(at) == 0:  # ends: some hour permits something
            at = self.next_hour(at)
        return at.astimezone(self._place)

    def seconds_needed(self, requests: float, at: datetime) -> float:
        """Seconds that so many requests take from that instant on, pauses included.

        Goes hour by hour through one year; those after it are taken to be like it.
        """
        if requests <= 0:
            return 0.0
        if not self._by_hour:
            return requests / self._rate
        at = at.astimezone(UTC)  # two instants of one zone would be subtracted as clocks
        left, now = requests, at
        while now - at < _YEAR:
            later, rate = self.next_hour(now), self.rate(now)
            possible = rate * (later - now).total_seconds()
            if left <= possible:
                return (now - at).total_seconds() + left / rate
            left, now = left - possible, later
        years, rest = divmod(left, requests - left)
        return (1 + years) * (now - at).total_seconds() + self.seconds_needed(rest, at)


class Bound(StrEnum):
    """The setting that decides when a run must have stopped."""

    STOP_AT = "schedule.stop_at"
    MAX_DURATION = "budget.max_duration_seconds"


class ClosingTime(msgspec.Struct, frozen=True):
    """The time by which all must be done; nothing is asked after ``last_orders`` (both UTC)."""

    by: datetime
    last_orders: datetime
    bound: Bound
    text: str

    def stopped(self) -> Stopped:
        """The exception to raise at closing time."""
        return Stopped(
            f"stopped {self.text}, as {self.bound} says; what was answered is saved: start the "
            "same command again to resume"
        )


def closing_of(settings: Settings, began: datetime) -> ClosingTime | None:
    """The closing time that the settings set for a command started then."""
    timeout = settings.api.timeout_seconds
    return closing_time(began, settings.schedule, settings.budget, timeout)


def closing_time(
    began: datetime, schedule: Schedule, budget: Budget, timeout_seconds: float
) -> ClosingTime | None:
    """The earlier of the two bounds for a command started then; None if there is none.

    Last orders come so early that what is under way is answered or has timed out by closing
    time, but never more than a quarter of the time before it: a short window is used too.
    """
    began = began.astimezone(UTC)
    bounds: list[tuple[datetime, Bound, str]] = []
    if schedule.stop_at:
        by = next_at(clock_time(schedule.stop_at), began, zone(schedule.timezone))
        bounds.append((by, Bound.STOP_AT, f"before {schedule.stop_at} ({schedule.timezone})"))
    if 0 < (seconds := budget.max_duration_seconds) < _LONGEST_SECONDS:
        by = began + timedelta(seconds=seconds)
        bounds.append((by, Bound.MAX_DURATION, f"before {spelled(seconds)} were over"))
    if not bounds:
        return None
    by, bound, text = min(bounds, key=lambda found: found[0])
    left = (by - began).total_seconds()
    margin = min(timeout_seconds + _MARGIN_SECONDS, left * _MARGIN_SHARE)
    return ClosingTime(by, by - timedelta(seconds=margin), bound, text)


def spelled(seconds: float) -> str:
    """A duration as the settings take it.

    >>> spelled(23400), spelled(90), spelled(0.5), spelled(3600)
    ('6h30m', '1m30s', '0.5s', '1h')
    """
    minutes, rest = divmod(seconds, 60)
    full_hours, minutes = divmod(int(minutes), 60)
    parts = ((full_hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{value:.12g}{unit}" for value, unit in parts if value)
