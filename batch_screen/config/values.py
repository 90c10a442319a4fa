"""What flags, the environment and TOML write differently, read as one; and what an address is.

Each raises ``ValueError`` with a message that ends the sentence "the setting …".
"""

from __future__ import annotations

import json
import re
from datetime import time
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HOURS = 24

_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_HOURS = re.compile(r"([01][0-9]|2[0-3])-([01][0-9]|2[0-4])")
_DURATION = re.compile(
    r"(?:(?P<h>\d{1,6})h)?\s*(?:(?P<m>\d{1,6})m)?\s*(?:(?P<s>\d{1,9}(?:\.\d+)?)s?)?", re.ASCII
)


def address(value: str) -> SplitResult:
    """The parts of an address that can be connected to. Raises ``ValueError``."""
    try:
        parts = urlsplit(value)
        usable = (
            parts.scheme in ("https", "http")
            and bool(parts.hostname)
            and parts.port != 0
            and value.isprintable()
            and " " not in value
        )
        (parts.hostname or "").encode("idna")
    except ValueError:  # its text may quote a password
        usable = False
    if not usable:
        raise ValueError("must be a full http:// or https:// address")
    return parts


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, and 127.example.com is one too
        return False


def list_of(value: Any) -> list[str]:
    """The names in a list, or in comma-separated text as flags and the environment give it."""
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list | tuple | set | frozenset) or not all(
        isinstance(name, str) for name in named
    ):
        raise ValueError("must be a list of names")
    return [name.strip() for names in named for name in names.split(",") if name.strip()]


def names_or_all(value: Any) -> list[str]:
    """The distinct names of ``list_of``; ``all`` is none among others."""
    found = list(dict.fromkeys(list_of(value)))
    if "all" in found and len(found) > 1:
        raise ValueError("'all' stands alone")
    return found


def table_of(value: Any) -> Any:
    """The table that an environment variable writes as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a table, or JSON for one") from None


def zone(name: str) -> ZoneInfo:
    """The time zone of that name in the IANA database, as ``Europe/Berlin``."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # also a folder, or no name at all
        raise ValueError(
            f"there is no time zone '{name[:40]}'; name one such as Europe/Berlin"
        ) from None


def clock_time(text: str) -> time:
    """A time of day as a clock on a wall shows it.

    >>> clock_time("06:00")
    datetime.time(6, 0)
    """
    if not (match := _CLOCK_TIME.fullmatch(text)):
        raise ValueError("must be a time of day, 00:00 to 23:59")
    return time(int(match[1]), int(match[2]))


def hours(text: str) -> list[int]:
    """The hours of the day from the first up to, not with, the second; over midnight too.

    >>> hours("22-02"), hours("06-08")
    ([22, 23, 0, 1], [6, 7])
    """
    if not (match := _HOURS.fullmatch(text)) or match[1] == match[2]:
        raise ValueError(f"'{text[:40]}' must be two hours of the day, as in 22-06")
    first, end = int(match[1]), int(match[2])
    length = (end - first) % HOURS or HOURS
    return [(first + step) % HOURS for step in range(length)]


def duration(text: str) -> float:
    """Seconds, written with hours, minutes and seconds or as a bare number of seconds.

    >>> duration("6h30m"), duration("90s"), duration("45")
    (23400.0, 90.0, 45.0)
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not text.strip():
        raise ValueError("must be a duration such as 6h30m, 90m, 45s, or a number of seconds")
    parts = match.groupdict(default="0")
    return int(parts["h"]) * 3600 + int(parts["m"]) * 60 + float(parts["s"])
