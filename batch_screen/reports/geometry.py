"""Where the marks of a chart of pace lie: panels, steps, refusals and the ticks of its scales.

Knows nothing of colours and words. Long paths stand for many shapes: one shape per step would
be ten times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

from batch_screen.model import Pace, Session

TICKS = 5
_ATTEMPTS_TO_A_STEP = 50
"""With fewer, whether nine or ten fall into a step makes a comb of a steady pace."""
_LEAST_STEPS = 20
_LEAST_TICK_PIXELS = 46
_LEAST_MARK_PIXELS = 3.0
_UNITS = ((7200, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))


@dataclass(frozen=True)
class Plot:
    """The place of all panels, in pixels.

    ``steps``: about as many as it has pixels to show apart; ``starts``: as many dates as there
    is room for below it.
    """

    left: float
    right: float
    top: float
    bottom: float
    gap: float = 18
    steps: int = 600
    starts: int = 10

    def y(self, value: float, most: float) -> float:
        """The height of a value on a scale that ends with ``most``."""
        return round(self.bottom - (self.bottom - self.top) * value / most, 1)


@dataclass(frozen=True)
class Panel:
    """One start: its place from left to right, and its pace."""

    number: int
    session: Session
    pace: Pace
    left: float
    width: float
    seconds: float

    @property
    def right(self) -> float:
        return self.left + self.width

    def x(self, seconds: float) -> float:
        return self.left + self.width * min(1.0, seconds / self.seconds)


def panels_of(starts: Sequence[Session], plot: Plot) -> list[Panel]:
    """The last starts side by side, as wide as they were long, but none too narrow to read."""
    shown = [(n, s) for n, s in enumerate(starts, 1) if s.pace.attempts][-plot.starts :]
    room = plot.right - plot.left - plot.gap * (len(shown) - 1)
    lengths = [_seconds(session) for _, session in shown]
    widths = _widths(lengths, room)
    panels, left = [], float(plot.left)
    for (number, session), width, seconds in zip(shown, widths, lengths, strict=True):
        steps = max(_LEAST_STEPS, sum(session.pace.attempts) // _ATTEMPTS_TO_A_STEP)
        pace = session.pace.at_most(min(plot.steps // len(shown), steps))
        panels.append(Panel(number, session, pace, left, width, seconds))
        left += width + plot.gap
    return panels


def _seconds(session: Session) -> float:
    """How long it asked; the last step may not have been over."""
    longest = len(session.pace.attempts) * session.pace.step_seconds
    shortest = longest - session.pace.step_seconds
    return min(longest, max(session.asking_seconds, shortest, 0.001))


def _widths(lengths: Sequence[float], room: float) -> list[float]:
    """The room, half of it dealt out equally and half by length.

    >>> _widths([10, 30], 100)
    [37.5, 62.5]
    """
    return [room / 2 / len(lengths) + room / 2 * each / sum(lengths) for each in lengths]


def scale_end(panels: Sequence[Panel]) -> float:
    """The end of the scale of rates, which shows every rate and every limit."""
    return nice_top(max([0.0, *(rate for panel in panels for rate in _heights(panel.pace))]))


def _heights(pace: Pace) -> Iterator[float]:
    yield from pace.rates_per_second
    yield from pace.limit_per_second


def nice_top(most: float) -> float:
    """The end of a scale whose five parts are round; no lower than the highest value.

    >>> nice_top(9.8), nice_top(490), nice_top(0)
    (10.0, 500.0, 1.0)
    """
    if most <= 0:
        return 1.0
    part = most / TICKS
    unit = 10.0 ** math.floor(math.log10(part))
    return next(n * unit for n in (1, 2, 2.5, 5, 10) if n * unit >= part) * TICKS


def stairs(panel: Panel, values: Sequence[float], most: float, plot: Plot) -> str:
    """A path that stays at each value for its step; equal neighbours are one stretch.

    In each step of its own, or a slope would show what never was.
    """
    parts = [f"M{panel.left:.1f} {plot.y(values[0], most):.1f}"]
    for step, (before, value) in enumerate(pairwise(values), 1):
        if plot.y(before, most) != plot.y(value, most):
            x, y = panel.x(step * panel.pace.step_seconds), plot.y(value, most)
            parts.append(f"H{x:.1f}V{y:.1f}")
    return "".join([*parts, f"H{panel.right:.1f}"])


def area_below(edge: str, panel: Panel, plot: Plot) -> str:
    """The path around what lies between the stairs and the axis."""
    return f"M{panel.left:.1f} {plot.bottom}V{edge[1:].split(' ', 1)[1]}V{plot.bottom}Z"


def refusals(panel: Panel, most: float, plot: Plot) -> str:
    """A bar for each step with refusals, on the same scale, high enough to be seen."""
    seconds = panel.pace.step_seconds
    bars = []
    for step, refused in enumerate(panel.pace.refused):
        if refused:
            height = max(_LEAST_MARK_PIXELS, plot.bottom - plot.y(refused / seconds, most))
            left, right = panel.x(step * seconds), panel.x((step + 1) * seconds)
            wide = max(1.0, right - left)
            bars.append(f"M{left:.1f} {plot.bottom}v-{height:.1f}h{wide:.1f}V{plot.bottom}Z")
    return "".join(bars)


def ticks(panel: Panel) -> Iterator[tuple[float, str]]:
    """Where the axis of time is marked, and with what, in ``unit``s."""
    unit_seconds, _ = _unit(panel.seconds)
    most = max(1, int(panel.width / _LEAST_TICK_PIXELS))
    every = _nice_step(panel.seconds / unit_seconds / most)
    for tick in range(int(panel.seconds / unit_seconds / every) + 1):
        yield panel.x(tick * every * unit_seconds), f"{tick * every:g}"


def unit(panel: Panel) -> str:
    """What the panel's time is told in."""
    return _unit(panel.seconds)[1]


def _nice_step(least: float) -> float:
    """The next round number that is not less; never below one.

    >>> _nice_step(0.2), _nice_step(7.3), _nice_step(23)
    (1.0, 10.0, 30.0)
    """
    power = 10.0 ** math.floor(math.log10(max(1.0, least)))
    return next(n * power for n in (1, 2, 3, 5, 10) if n * power >= least)


def _unit(seconds: float) -> tuple[int, str]:
    """What time is told in: so many seconds, and its name."""
    return next((size, name) for least, size, name in _UNITS if seconds >= least)


# Elements of an SVG drawing; what is written into it is escaped when it becomes text.

_NAMES = {
    "width": "stroke-width",
    "dashes": "stroke-dasharray",
    "size": "font-size",
    "weight": "font-weight",
    "anchor": "text-anchor",
}


def path(parent: ET.Element, d: str, **style: str) -> None:
    """A path, unfilled unless ``fill`` is named; an empty one is none."""
    if d:
        ET.SubElement(parent, "path", {"d": d, **_look({"fill": "none", **style})})


def text(parent: ET.Element, x: float, y: float, words: str, **style: str) -> None:
    """Words that begin at a place, or end there, by ``anchor``."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
    ET.SubElement(parent, "text", {**place, **_look(style)}).text = words


def _look(style: dict[str, str]) -> dict[str, str]:
    return {_NAMES.get(name, name): value for name, value in style.items()}
