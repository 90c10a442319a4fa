"""Charts as plain numbers: the pace of a run, and the ages of the latest changes.

Only where the marks lie: charts.jinja draws them, and style sheets give them their colours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from batch_screen.model import LatestChange, Pace, Session
from batch_screen.reports.words import AGE_WORDS, RECENT_DAYS, counted, share
from batch_screen.tables.breakdown import FUTURE, UNKNOWN
from batch_screen.tables.results import NAMES, RECENT

# The pace: a panel for each session, side by side on one scale of requests per second.

_TICKS = 5
_ATTEMPTS_PER_STEP = 50
"""With fewer, a steady pace looks like a comb: nine or ten requests fall into a step."""
_LEAST_STEPS = 20
_LEAST_TICK_PIXELS = 46
_LEAST_BAR_PIXELS = 3.0
_BETWEEN_LABELS = 15.0
_UNITS = ((7200, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))


class Plot(NamedTuple):
    """Size of a pace chart and the place of its panels, in pixels.

    ``steps``: about as many as there are pixels to show apart; ``sessions``: as many as there is
    room for their dates below.
    """

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    gap: int = 18
    steps: int = 600
    sessions: int = 10


# Two for the page: its style can hide one of them, but not thin out the steps and ticks of one.
WIDE = Plot("wide", 960, 300, left=52, right=852, top=26, bottom=236)
NARROW = Plot("narrow", 380, 250, 52, 334, 24, 188, gap=8, steps=150, sessions=3)
FILE = Plot("file", 960, 420, left=76, right=936, top=84, bottom=312)


@dataclass(frozen=True)
class Panel:
    """One session's panel: its outlines as SVG path data, its time axis."""

    plot: Plot
    scale_end: float
    number: int
    session: Session
    pace: Pace
    seconds: float
    left: float
    width: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def refused(self) -> int:
        return sum(self.pace.refused)

    @property
    def summary(self) -> str:
        most = max(self.pace.rates_per_second)
        return (
            f"start {self.number}: {counted(self.session.attempts, 'request')}, "
            f"at most {most:,.0f} a second, {self.refused:,} refused"
        )

    def y(self, rate: float) -> float:
        height = (self.plot.bottom - self.plot.top) * rate / self.scale_end
        return round(self.plot.bottom - height, 1)

    def x(self, seconds: float) -> float:
        return self.left + self.width * min(1.0, seconds / self.seconds)

    def stairs(self, rates: Sequence[float]) -> str:
        """The line that stays at each rate for its step; equal neighbours are one stretch.

        No slopes: they would show rates that never were.
        """
        parts = [f"M{self.left:.1f} {self.y(rates[0])}"]
        for step, (before, rate) in enumerate(pairwise(map(self.y, rates)), 1):
            if before != rate:
                parts.append(f"H{self.x(step * self.pace.step_seconds):.1f}V{rate}")
        return "".join([*parts, f"H{self.right:.1f}"])

    @property
    def area(self) -> str:
        """The area between the line of what was sent and the axis."""
        edge = self.stairs(self.pace.rates_per_second).split(" ", 1)[1]
        return f"M{self.left:.1f} {self.plot.bottom}V{edge}V{self.plot.bottom}Z"

    @property
    def refusals(self) -> list[tuple[float, float, float]]:
        """The bars of refusals, tall enough to be seen: left edge, top and width."""
        seconds = self.pace.step_seconds
        bars = []
        for step, refused in enumerate(self.pace.refused):
            if refused:
                left, right = self.x(step * seconds), self.x((step + 1) * seconds)
                top = min(self.y(refused / seconds), self.plot.bottom - _LEAST_BAR_PIXELS)
                bars.append((left, top, max(1.0, right - left)))
        return bars

    @property
    def time_unit(self) -> tuple[int, str]:
        """Seconds to a unit of the time axis, and its name."""
        return next((size, name) for least, size, name in _UNITS if self.seconds >= least)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels of the time axis."""
        size, _ = self.time_unit
        most = max(1, int(self.width / _LEAST_TICK_PIXELS))
        every = _round_up(max(1.0, self.seconds / size / most), (1, 2, 3, 5, 10))
        marks = [tick * every for tick in range(int(self.seconds / size / every) + 1)]
        return [(self.x(mark * size), f"{mark:g}") for mark in marks]


@dataclass(frozen=True)
class PaceChart:
    """Requests per second of a run's last sessions, with limit and refusals."""

    plot: Plot
    scale: list[tuple[float, str]]
    panels: list[Panel]

    @property
    def refused(self) -> int:
        return sum(panel.refused for panel in self.panels)

    @property
    def first_refusal(self) -> tuple[float, float]:
        """The top of the first bar of refusals."""
        left, top, width = next(panel.refusals[0] for panel in self.panels if panel.refused)
        return left + width / 2, top

    @property
    def line_ends(self) -> tuple[float, float]:
        """Heights of the labels for limit and sent, one below the other where the lines meet."""
        last = self.panels[-1]
        limit = last.y(last.pace.limit_per_second[-1])
        # The last step was hardly ever a whole one, so what was sent in it looks too slow.
        sent = last.y(max(last.pace.rates_per_second[-2:]))
        return limit, limit + _BETWEEN_LABELS if abs(limit - sent) < _BETWEEN_LABELS else sent


def pace_chart(sessions: Sequence[Session], plot: Plot) -> PaceChart:
    """Lays the last sessions out side by side, their widths half equal and half by duration."""
    shown = [(n, s) for n, s in enumerate(sessions, 1) if s.pace.attempts][-plot.sessions :]
    paces = []
    for _, session in shown:
        steps = max(_LEAST_STEPS, sum(session.pace.attempts) // _ATTEMPTS_PER_STEP)
        paces.append(session.pace.at_most(min(plot.steps // len(shown), steps)))
    most = max([0.0, *(rate for p in paces for rate in (*p.rates_per_second, *p.limit_per_second))])
    end = _TICKS * _round_up(most / _TICKS, (1, 2, 2.5, 5, 10)) if most else 1.0

    room = plot.right - plot.left - plot.gap * (len(shown) - 1)
    lengths = [_seconds(session) for _, session in shown]
    panels, left = [], float(plot.left)
    for (number, session), pace, seconds in zip(shown, paces, lengths, strict=True):
        width = room / 2 / len(shown) + room / 2 * seconds / sum(lengths)
        panels.append(Panel(plot, end, number, session, pace, seconds, left, width))
        left += width + plot.gap
    step = (plot.bottom - plot.top) / _TICKS
    scale = [(plot.bottom - n * step, f"{end * n / _TICKS:,.6g}") for n in range(_TICKS + 1)]
    return PaceChart(plot, scale, panels)


def _seconds(session: Session) -> float:
    """Seconds of asking, within the recorded steps: the last one may be incomplete."""
    longest = len(session.pace.attempts) * session.pace.step_seconds
    shortest = longest - session.pace.step_seconds
    return min(longest, max(session.asking_seconds, shortest, 0.001))


def _round_up(least: float, round_numbers: Sequence[float]) -> float:
    """Rounds up to one of these numbers times a power of ten.

    >>> _round_up(7.3, (1, 2, 3, 5, 10)), _round_up(98, (1, 2, 2.5, 5, 10))
    (10.0, 100.0)
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(n * power for n in round_numbers if n * power >= least)


# How old the latest changes are: one bar for each band, its name and its count beside it.

_LINE, _GAP = 19, 12
_LONGEST, _SHORTEST = 122, 1.5
"""In pixels, so that the bar of a small count is visible."""
_NONE = LatestChange.NONE_REPORTED.value


class AgeLine(NamedTuple):
    """A band with its bar, or the heading of a group of bands, which has none."""

    y: int
    name: str
    value: str
    style: str
    length: float = 0.0


class AgesChart(NamedTuple):
    """Numbers by the age of their latest change."""

    title: str
    description: str
    height: int
    lines: list[AgeLine]


def ages_chart(counts: Mapping[str, int], title: str) -> AgesChart:
    """Bars for recent changes, for older ones and for numbers without an age."""
    total, most = sum(counts.values()), max(counts.values(), default=0)
    future = [FUTURE] if counts.get(FUTURE) else []
    groups = {
        f"less than {RECENT_DAYS} days": {name: "positive" for name in NAMES if name in RECENT},
        "older": {name: "older" for name in NAMES if name not in RECENT},
        "no age": {_NONE: "older", **dict.fromkeys([*future, UNKNOWN], "unknown")},
    }
    lines, y = [], 2
    for heading, styles in groups.items():
        of_group = sum(counts.get(name, 0) for name in styles)
        lines.append(AgeLine(y, heading, f"{of_group:,} · {share(of_group, total)}", "heading"))
        for name, style in styles.items():
            y += _LINE
            count = counts.get(name, 0)
            words = f"{count:,} · {share(count, total)}" if count else "0"
            length = max(_SHORTEST, _LONGEST * count / most) if count else 0.0
            lines.append(AgeLine(y, AGE_WORDS[name], words, style, length))
        y += _LINE + _GAP
    described = [name for name in (*NAMES, *future) if counts.get(name)]
    description = ", ".join(
        f"{AGE_WORDS[name]} {counts.get(name, 0):,}" for name in (*described, _NONE, UNKNOWN)
    )
    return AgesChart(f"{title}: numbers by age", description, y - _GAP + 2, lines)
