"""RFC 3339 instants with 0 to 9 fraction digits, kept to the microsecond.

Truncated, never rounded up: an instant must not move into the future. Not parsed to
nanoseconds, which wrap silently outside 1677..2262.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def parse_instant(text: str) -> datetime | None:
    """The instant in UTC, or None if the text is no RFC 3339 date-time.

    >>> parse_instant("2024-09-18T07:37:53.471829447Z")
    datetime.datetime(2024, 9, 18, 7, 37, 53, 471829, tzinfo=datetime.timezone.utc)
    >>> parse_instant("2024-09-18") is None
    True
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    is_leap = second == 60
    if is_leap:  # the last instant before it that datetime can say
        second, micros = 59, 999_999
    try:
        local = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
        instant = local - _offset(match)
        return None if is_leap and not _ends_a_month(instant) else instant
    except (ValueError, OverflowError):
        return None


def _ends_a_month(instant: datetime) -> bool:
    """Whether a leap second may follow: in UTC, months alone end with one (RFC 3339, 5.7)."""
    is_midnight_next = (instant.hour, instant.minute) == (23, 59)
    return is_midnight_next and (instant + timedelta(days=1)).day == 1


def _offset(match: re.Match[str]) -> timedelta:
    if match[8]:
        return timedelta(0)
    hours, minutes = int(match[10]), int(match[11])
    if hours > 23 or minutes > 59:
        raise ValueError("offset out of range")
    size = timedelta(hours=hours, minutes=minutes)
    return size if match[9] == "+" else -size
