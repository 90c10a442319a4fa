"""Formatting and wording of the report's figures, names and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from batch_screen.model import Endpoint, LatestChange
from batch_screen.tables.breakdown import FUTURE, UNKNOWN
from batch_screen.tables.results import RECENT_HOURS

_TITLES = {
    Endpoint.SIM_SWAP_CHECK: "SIM changed",
    Endpoint.SIM_SWAP_DATE: "Latest SIM change",
    Endpoint.DEVICE_SWAP_CHECK: "Device changed",
    Endpoint.DEVICE_SWAP_DATE: "Latest device change",
    Endpoint.CALL_FORWARDING_CHECK: "Calls forwarded unconditionally",
}
AGE_WORDS = {
    "<4h": "under 4 hours",
    "<12h": "4 to 12 hours",
    "<1d": "12 to 24 hours",
    "<2d": "1 day",
    "<5d": "2 to 4 days",
    "<7d": "5 to 6 days",
    "<14d": "7 to 13 days",
    "<30d": "14 to 29 days",
    "<60d": "30 to 59 days",
    "<90d": "60 to 89 days",
    "<180d": "90 to 179 days",
    "<1y": "180 days to 1 year",
    "<2y": "1 year",
    "<3y": "2 years",
    "3y+": "3 years and more",
    LatestChange.NONE_REPORTED.value: "none reported",
    FUTURE: "dated in the future",
    UNKNOWN: "unknown",
}
"""An age band, or its substitute, in words."""
RECENT_DAYS = RECENT_HOURS // 24
_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")


def title_of(endpoint: Endpoint, settings: Mapping[str, object]) -> str:
    """The endpoint's signal as a heading, with the window that was asked about.

    >>> title_of(Endpoint.SIM_SWAP_CHECK, {"screening.max_age_minutes": 2400})
    'SIM changed in the last 40 hours'
    """
    title = _TITLES[endpoint]
    return f"{title} {window(settings)}".rstrip() if endpoint.takes_max_age else title


def window(settings: Mapping[str, object]) -> str:
    """A check's window in words; empty if the settings have none.

    >>> window({"screening.max_age_minutes": 90}), window({})
    ('in the last 90 minutes', '')
    """
    minutes = settings.get("screening.max_age_minutes")
    if not isinstance(minutes, int):
        return ""
    hours, rest = divmod(minutes, 60)
    return f"in the last {minutes} minutes" if rest else f"in the last {hours} hours"


def share(part: float, whole: float) -> str:
    """A percentage; a small share that is not zero is never shown as zero.

    >>> share(3, 100), share(1, 1_000_000), share(0, 7), share(999_999, 1_000_000), share(1, 0)
    ('3.0 %', '< 0.1 %', '0 %', '> 99.9 %', '–')
    """
    if not whole:
        return "–"
    # All and none are said only where they are exact: a rounded 0 % would read as "nothing found".
    if part in (0, whole):
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def size(count: int) -> str:
    """A byte count in a readable unit.

    >>> size(812), size(53_000), size(7_340_032)
    ('812 bytes', '51.8 KiB', '7.0 MiB')
    """
    scaled, power = float(count), 0
    while scaled >= 1024 and power < len(_SIZES) - 1:
        scaled, power = scaled / 1024, power + 1
    return f"{scaled:.1f} {_SIZES[power]}" if power else f"{count:,} bytes"


def duration(seconds: float) -> str:
    """Seconds in at most two units.

    >>> duration(7.25), duration(754), duration(100_000)
    ('7.2 s', '12 min 34 s', '27 h 46 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def counted(count: int, one: str) -> str:
    """A count with its noun, singular or plural.

    >>> counted(1, "number"), counted(2_105, "number")
    ('1 number', '2,105 numbers')
    """
    return f"{count:,} {one if count == 1 else one + 's'}"


MOST_ROWS = 40
"""Rows of any table; the rest is summed up in a line."""


def headed(kinds: str, *headings: str) -> dict[str, str]:
    """Column headings, each with its kind: text, number, code or bar, a style of the page.

    >>> headed("text number", "Region", "Numbers")
    {'Region': 'text', 'Numbers': 'number'}
    """
    return dict(zip(headings, kinds.split(), strict=True))


class ShareBar(NamedTuple):
    """A share in words with a bar behind it; ``length`` from 0 to 1."""

    words: str
    length: float


class PageTable(NamedTuple):
    """Rows whose first cell is their heading; ``columns`` as ``headed`` has them.

    ``has_total``: the first row sums up the others; ``is_wide``: on a narrow page each row
    becomes a block of lines.
    """

    caption: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[str | ShareBar]]
    has_total: bool = False
    is_wide: bool = False
    note: str = ""


T = TypeVar("T")


def parted(things: Iterable[T], most: int) -> tuple[list[T], list[T]]:
    """Splits a list at a limit; a single further item is kept.

    >>> parted("abcd", 3), parted("abcd", 2)
    ((['a', 'b', 'c', 'd'], []), (['a', 'b'], ['c', 'd']))
    """
    listed = list(things)
    return (listed, []) if len(listed) <= most + 1 else (listed[:most], listed[most:])
