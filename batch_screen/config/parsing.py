"""Parses values of settings: addresses, durations, lists, thresholds, small files."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time as time_of_day
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from batch_screen.model import Endpoint

# What flags, the environment and TOML write differently, read as one; and what an address is.
#
# Each raises ``ValueError`` with a message that ends the sentence "the setting …".

HOURS = 24

_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_HOURS = re.compile(r"([01][0-9]|2[0-3])-([01][0-9]|2[0-4])")
_REGION = re.compile(r"[A-Z]{2}|001")
REGION_ALIASES = {"UK": "GB", "EL": "GR"}
_DURATION = re.compile(
    r"(?:(?P<h>\d{1,6})h)?\s*(?:(?P<m>\d{1,6})m)?\s*(?:(?P<s>\d{1,9}(?:\.\d+)?)s?)?", re.ASCII
)


def address(value: str) -> SplitResult:
    """The parts of a base address that can be connected to. Raises ``ValueError``."""
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
    """The names in a list, or in comma-separated text from a flag or the environment."""
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list | tuple | set | frozenset) or not all(
        isinstance(name, str) for name in named
    ):
        raise ValueError("must be a list of names")
    return [name.strip() for names in named for name in names.split(",") if name.strip()]


def names_or_all(value: Any) -> list[str]:
    """The distinct names of ``list_of``; ``all`` must stand alone."""
    found = list(dict.fromkeys(list_of(value)))
    if "all" in found and len(found) > 1:
        raise ValueError("'all' stands alone")
    return found


def table_of(value: Any) -> Any:
    """The table that an environment variable holds as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a table, or JSON for one") from None


def region_code(text: str) -> str:
    """The ISO 3166-1 code of a region, or 001 for numbers of no country.

    >>> region_code("de"), region_code("UK")
    ('DE', 'GB')
    """
    code = text.strip().upper()
    if not _REGION.fullmatch(code):
        raise ValueError(f"'{code[:20]}' is neither a two-letter code such as DE nor 001")
    return REGION_ALIASES.get(code, code)


def table_by_region(value: Any) -> Any:
    """A table whose names are codes of regions; an environment variable holds it as JSON."""
    table = table_of(value)
    if not isinstance(table, dict):
        return table
    found = {region_code(str(code)): each for code, each in table.items()}
    if len(found) < len(table):
        raise ValueError("names a region twice")
    return found


def zone(name: str) -> ZoneInfo:
    """The time zone of that name in the IANA database, such as ``Europe/Berlin``."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # also a folder, or no name at all
        raise ValueError(
            f"there is no time zone '{name[:40]}'; name one such as Europe/Berlin"
        ) from None


def clock_time(text: str) -> time_of_day:
    """A time of day, HH:MM.

    >>> clock_time("06:00")
    datetime.time(6, 0)
    """
    if not (match := _CLOCK_TIME.fullmatch(text)):
        raise ValueError("must be a time of day, 00:00 to 23:59")
    return time_of_day(int(match[1]), int(match[2]))


def hours(text: str) -> list[int]:
    """The hours of the day from the first up to, not including, the second; also over midnight.

    >>> hours("22-02"), hours("06-08")
    ([22, 23, 0, 1], [6, 7])
    """
    if not (match := _HOURS.fullmatch(text)) or match[1] == match[2]:
        raise ValueError(f"'{text[:40]}' must be two hours of the day, as in 22-06")
    first, end = int(match[1]), int(match[2])
    length = (end - first) % HOURS or HOURS
    return [(first + step) % HOURS for step in range(length)]


def duration(text: str) -> float:
    """A duration in seconds, from 6h30m notation or a bare number of seconds.

    >>> duration("6h30m"), duration("90s"), duration("45")
    (23400.0, 90.0, 45.0)
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not text.strip():
        raise ValueError("must be a duration such as 6h30m, 90m, 45s, or a number of seconds")
    parts = match.groupdict(default="0")
    return int(parts["h"]) * 3600 + int(parts["m"]) * 60 + float(parts["s"])


# The little language of ``fail_if``: NAME OP VALUE, as in ``failure_rate > 1%``.
#
# Knows which figures there are and between which bounds each can lie, not how they are counted.

RATES = ("failure_rate", "unknown_rate", "reject_rate", "duplicate_rate", "positive_rate")
AMOUNTS = ("rows", "numbers", "lookups", "cost")
OF_ENDPOINTS = ("failure_rate", "unknown_rate", "positive_rate", "lookups", "cost")
CHANGE = "_change"
"""Suffix of a figure's name: its relative change since the previous run."""

_LONGEST = 200
_FORM = re.compile(
    r"\s*(?P<name>\w+)(?::(?P<endpoint>[\w/-]+))?\s*(?P<op>>=|<=|>|<)"
    r"\s*(?P<value>[+-]?\d{1,15}(?:\.\d{1,9})?)\s*(?P<percent>%?)\s*",
    re.ASCII,
)
_CLAIMS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Threshold:
    """A figure, overall or of one endpoint, and its bound.

    ``bound`` is a share (0.01 for 1 %), or an amount in the figure's own unit.
    """

    text: str
    figure: str
    endpoint: Endpoint | None
    is_change: bool
    sign: str
    bound: float

    @property
    def is_share(self) -> bool:
        return self.is_change or self.figure in RATES

    def is_crossed_by(self, seen: float) -> bool:
        return _CLAIMS[self.sign](seen, self.bound)


def threshold(text: str) -> Threshold:
    """Parses one threshold. Raises ``ValueError`` with a suggestion.

    >>> threshold("failure_rate>1%").text
    'failure_rate > 1%'
    >>> threshold("positive_rate_change:sim-swap/check > 50 %").bound
    0.5
    """
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if not match:
        raise ValueError(f"'{text[:_LONGEST]}' must be a name, > >= < or <=, and a value")
    name, value, percent = match["name"], match["value"], match["percent"]
    bound = float(value) / 100 if percent else float(value)
    figure = _figure(name, of_endpoint=match["endpoint"] is not None)
    endpoint = _endpoint(match["endpoint"])
    whose = f":{endpoint}" if endpoint else ""
    plain = f"{name}{whose} {match['op']} {value}{percent}"
    found = Threshold(plain, figure, endpoint, name != figure, match["op"], bound)
    _refuse_senseless(found, is_percentage=bool(percent))
    return found


def _figure(name: str, *, of_endpoint: bool) -> str:
    """The figure's name without the suffix for a change."""
    figures = OF_ENDPOINTS if of_endpoint else (*RATES, *AMOUNTS)
    figure = name.removesuffix(CHANGE)
    if figure not in figures:
        known = [*figures, *(f"{each}{CHANGE}" for each in figures)]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(figures)}"
        of = "of an endpoint " if of_endpoint else ""
        raise ValueError(f"there is no figure {of}'{name[:40]}'; {hint}")
    return figure


def _endpoint(name: str | None) -> Endpoint | None:
    if name is not None and name not in set(Endpoint):
        close = get_close_matches(name, list(Endpoint), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"there is no endpoint '{name[:40]}'{hint}")
    return Endpoint(name) if name else None


def _refuse_senseless(found: Threshold, *, is_percentage: bool) -> None:
    """Raises ``ValueError`` for a bound that is always or never crossed: a likely typo."""
    if is_percentage and not found.is_share:
        raise ValueError(f"'{found.text}': {found.figure} is an amount and no share; drop the %")
    if found.is_change and not is_percentage:
        raise ValueError(f"'{found.text}': write a change in percent, as in 50%")
    low = -1.0 if found.is_change else 0.0
    high = 1.0 if found.is_share and not found.is_change else math.inf
    crossed = {found.is_crossed_by(low), found.is_crossed_by(high)}
    if len(crossed) == 1:
        hint = f"; did you mean {found.bound:g}%?" if found.is_share and not is_percentage else ""
        always = "always" if crossed == {True} else "never"
        raise ValueError(f"'{found.text}' is {always} so{hint}")
