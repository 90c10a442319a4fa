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
    if second == 60:  # a leap second: the last instant that datetime can say
        second, micros = 59, 999_999
    try:
        local = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
        return local - _offset(match)
    except (ValueError, OverflowError):
        return None


def _offset(match: re.Match[str]) -> timedelta:
    if match[8]:
        return timedelta(0)
    hours, minutes = int(match[10]), int(match[11])
    if hours > 23 or minutes > 59:
        raise ValueError("offset out of range")
    size = timedelta(hours=hours, minutes=minutes)
    return size if match[9] == "+" else -size
