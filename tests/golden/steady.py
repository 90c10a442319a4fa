"""Text without what is another in each run: times, ids by chance, ports, folders, sizes.

What is replaced keeps its place, so that a figure that disappears still shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

FIXTURES_MADE = (datetime(2026, 3, 2, 22, 41, tzinfo=UTC), datetime(2026, 3, 2, 22, 44, tzinfo=UTC))
"""When the runs in ``fixtures/`` took place: times in there are the same ones for ever."""

_VERSION = version("batch-screen")
_RUN_ID = re.compile(r"\b(20\d{6}-)([0-9a-f]{10})(?![0-9a-f])")
# When something happened, as ISO 8601 and as pages write it.
_TIME = re.compile(r"\b(20\d\d-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|\+00:00| UTC)")
_RAW_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?"  # not the comma that follows in JSON
_UNITS = r"(?:ms|s|/s|min|KiB|MiB|GiB)"

_JSON_FIGURES = (
    # How long answers took and how long was waited: the machine's and the moment's.
    *("p50", "p95", "p99", "asking_seconds", "held_by_headers_seconds"),
    # How fast it went, and what is reckoned from that.
    *("step_seconds", "per_second", "seconds_left", "idle_seconds"),
)
_ANYWHERE = (
    # Files have other sizes by other libraries and with other times in them.
    *("bytes", "size"),
    # How long this start and its stages took, also where all other figures are recorded ones.
    *(
        "seconds",
        "opting_out",
        "reading",
        "reading_again",
        "recalling",
        "asking",
        "writing",
        "comparing",
    ),
)
_JSON_LISTS = ("attempts", "refused", "limit_per_second")

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_CHANCE: tuple[Rule, ...] = (
    # Parquet compresses latencies and times, which differ: a file is 0.1 KiB more or less.
    (re.compile(rf"{_NUMBER} KiB\b"), "<n> KiB"),
    (re.compile(rf'("(?:{"|".join(_ANYWHERE)})": ?){_NUMBER}'), r"\1<n>"),
    # How long a start took that had nothing to ask; the others of an exact scene are recorded ones.
    (re.compile(rf'("attempts": 0,\s*"asking_seconds": ){_NUMBER}'), r"\1<n>"),
    # Of files that hold times; that they fit the files is what validate tells.
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    # A request's correlator is drawn by chance.
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
)
_FIGURES: tuple[Rule, ...] = (
    (re.compile(rf'("(?:{"|".join(_JSON_FIGURES)})": ?){_NUMBER}'), r"\1<n>"),
    # As many as steps; how many that are depends on how fast the machine is.
    (re.compile(rf'("(?:{"|".join(_JSON_LISTS)})": ?)\[[^\]]*\]'), r"\1[<n>]"),
    # How long answers took.
    (re.compile(r"p50=\S+ p95=\S+ p99=\S+"), "p50=<n> p95=<n> p99=<n>"),
    # Not said at all of a start that took less than a second.
    (re.compile(r"^  rate \.+ .*\n", re.MULTILINE), ""),
    # The same; both stay in exact scenes, where a recorded run's are shown.
    (re.compile(r"^  pace \.+ .*?(?=^  \w+ \.+ )", re.MULTILINE | re.DOTALL), ""),
)


@dataclass
class Steady:
    """Makes the texts of one scene steady; ``is_exact``: figures are fixed there, and stay."""

    places: dict[str, str] = field(default_factory=dict)
    """Folder or port → the word in its place."""
    base: datetime | None = None
    """The instant that a sandbox of its own counts its dates back from."""
    is_exact: bool = False
    run_ids: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        for place, word in self.places.items():
            text = text.replace(place, word)
        text = _RUN_ID.sub(self._run_id, text)
        # A release must not change every text.
        text = re.sub(rf"(?<![\d.]){re.escape(_VERSION)}(?![\d.])", "<version>", text)
        text = _TIME.sub(_time, text)
        # Runs that are not told a date have today's.
        text = text.replace(datetime.now(UTC).date().isoformat(), "<today>")
        for pattern, word in _CHANCE if self.is_exact else (*_CHANCE, *_FIGURES):
            text = pattern.sub(word, text)
        return text

    def _run_id(self, found: re.Match[str]) -> str:
        """A word as long in its place: the id follows from all settings, a sandbox's port too."""
        return self.run_ids.setdefault(found[0], f"{found[1]}run{len(self.run_ids) + 1:07}")

    def moment(self, instant: datetime) -> str:
        """When something happened in a run."""
        first, last = FIXTURES_MADE
        return instant.isoformat() if first <= instant < last else "<time>"

    def date(self, instant: datetime) -> str:
        """A date that the API has told."""
        if self.base is None:
            return instant.isoformat()
        return before(self.base - instant)

    def raw_date(self, text: str) -> str:
        """The same as it was written, with as many digits and its offset."""
        found = _RAW_DATE.fullmatch(text)
        if self.base is None or found is None:
            return text
        instant = datetime.fromisoformat(found[1] + found[3])
        return f"{before(self.base - instant)} written {found[2] or ''}{found[3]}"

    def told_run_ids(self) -> Iterator[str]:
        """What stands for which id."""
        for run_id, word in self.run_ids.items():
            yield f"{word} is {run_id}"


def before(age: timedelta) -> str:
    """How long before the sandbox's now.

    >>> before(timedelta(days=3, seconds=61, microseconds=5))
    'now - 3d 0:01:01.000005'
    """
    rest = age - timedelta(days=age.days)
    return f"now - {age.days}d {rest}"


def _time(found: re.Match[str]) -> str:
    first, last = FIXTURES_MADE
    instant = datetime.fromisoformat(f"{found[1]}T{found[2][:8]}+00:00")
    return found[0] if first <= instant < last else "<time>"


def without_durations(text: str) -> str:
    """Text in which no figure with a unit of time, speed or size is left.

    >>> without_durations("1.0 s of asking, 125.8/s, half below 0.5 ms, 40 hours")
    '<n> s of asking, <n>/s, half below <n> ms, 40 hours'
    """
    # On a busy machine a minute is over.
    in_seconds = re.sub(rf"(?:{_NUMBER} h )?{_NUMBER} min (?={_NUMBER} s\b)", "", text)
    return re.sub(rf"{_NUMBER}(?= ?{_UNITS}\b)", "<n>", in_seconds)
