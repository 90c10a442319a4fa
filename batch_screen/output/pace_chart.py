"""Draws the pace of a run's starts as one SVG file that needs nothing else to be shown.

No script, no address, no font of its own; it brings its background, so it can be read on a
dark page too. Long paths stand for many shapes: one shape per step would be ten times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

from batch_screen.model import Pace, Session

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 936, 84, 312
_GAP = 18
_STEPS = 600
"""About as many as the plot has pixels to show apart."""
_ATTEMPTS_TO_A_STEP = 50
"""With fewer, whether nine or ten fall into a step makes a comb of a steady pace."""
_LEAST_STEPS = 20
_MOST_STARTS = 10
"""As many dates as there is room for below the chart."""
_TICKS = 5
_LEAST_TICK_PIXELS = 46
_LEAST_MARK_PIXELS = 3.0

_INK, _FAINT, _GRID = "#1f2933", "#52606d", "#e4e7eb"
_ASKED, _REFUSED, _LIMIT = "#3b82c4", "#c81e1e", "#1f2933"
_UNITS = ((7200, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))


@dataclass(frozen=True)
class _Panel:
    """One start: its place from left to right, and its pace."""

    number: int
    session: Session
    pace: Pace
    left: float
    width: float
    seconds: float

    def x(self, seconds: float) -> float:
        return self.left + self.width * min(1.0, seconds / self.seconds)


def pace_svg(starts: Sequence[Session]) -> bytes:
    """The starts one after the other: requests sent per second, the limit, what was refused.

    Only the last ten of them, if there are more. Always less than 50 KB.
    """
    panels = _panels(starts)
    top = _nice_top(max([0.0, *(rate for panel in panels for rate in _heights(panel.pace))]))
    svg = _canvas(starts, len(panels))
    _draw_scale(svg, top)
    for panel in panels:
        _draw_panel(svg, panel, top)
    _draw_words(svg, starts, panels)
    drawn: bytes = ET.tostring(svg, encoding="utf-8", xml_declaration=True)
    return drawn + b"\n"


def _panels(starts: Sequence[Session]) -> list[_Panel]:
    """The last starts side by side, as wide as they were long, but none too narrow to read."""
    shown = [(n, s) for n, s in enumerate(starts, 1) if s.pace.attempts][-_MOST_STARTS:]
    room = _RIGHT - _LEFT - _GAP * (len(shown) - 1)
    lengths = [_seconds(session) for _, session in shown]
    widths = _widths(lengths, room)
    panels, left = [], float(_LEFT)
    for (number, session), width, seconds in zip(shown, widths, lengths, strict=True):
        steps = max(_LEAST_STEPS, sum(session.pace.attempts) // _ATTEMPTS_TO_A_STEP)
        pace = session.pace.at_most(min(_STEPS // len(shown), steps))
        panels.append(_Panel(number, session, pace, left, width, seconds))
        left += width + _GAP
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


def _heights(pace: Pace) -> Iterator[float]:
    yield from pace.rates_per_second
    yield from pace.limit_per_second


def _nice_top(most: float) -> float:
    """The end of a scale whose five parts are round; no lower than the highest value.

    >>> _nice_top(9.8), _nice_top(490), _nice_top(0)
    (10.0, 500.0, 1.0)
    """
    if most <= 0:
        return 1.0
    part = most / _TICKS
    unit = 10.0 ** math.floor(math.log10(part))
    return next(n * unit for n in (1, 2, 2.5, 5, 10) if n * unit >= part) * _TICKS


def _canvas(starts: Sequence[Session], shown: int) -> ET.Element:
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
            "width": str(_WIDTH),
            "height": str(_HEIGHT),
            "role": "img",
            "font-family": "sans-serif",
            "font-size": "12",
            "fill": _INK,
        },
    )
    ET.SubElement(svg, "title").text = "Requests per second over time, with limit and refusals"
    ET.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    attempts = sum(start.attempts for start in starts)
    heading = f"{attempts:,} requests in {len(starts)} start{'' if len(starts) == 1 else 's'}"
    if shown < len(starts):
        heading += f", the last {shown} shown"
    _text(svg, _LEFT, 28, heading, size="16", weight="bold")
    return svg


def _draw_scale(svg: ET.Element, top: float) -> None:
    for tick in range(_TICKS + 1):
        y = _y(top * tick / _TICKS, top)
        _path(svg, f"M{_LEFT} {y:.1f}H{_RIGHT}", stroke=_GRID)
        _text(svg, _LEFT - 8, y + 4, f"{top * tick / _TICKS:,.6g}", anchor="end", fill=_FAINT)
    middle = (_TOP + _BOTTOM) / 2
    upright = f"rotate(-90 18 {middle:.1f})"
    _text(svg, 18, middle, "requests per second", anchor="middle", fill=_FAINT, transform=upright)


def _draw_panel(svg: ET.Element, panel: _Panel, top: float) -> None:
    group = ET.SubElement(svg, "g")
    ET.SubElement(group, "title").text = (
        f"start {panel.number}: {panel.session.attempts:,} requests, "
        f"{sum(panel.pace.refused):,} refused, in steps of {panel.pace.step_seconds:g} s"
    )
    edge = _stairs(panel, panel.pace.rates_per_second, top)
    area = f"M{panel.left:.1f} {_BOTTOM}V{edge[1:].split(' ', 1)[1]}V{_BOTTOM}Z"
    _path(group, area, fill=_ASKED, opacity="0.35")
    _path(group, edge, stroke=_ASKED, width="1.5")
    _path(group, _refusals(panel, top), fill=_REFUSED)
    _path(group, _stairs(panel, panel.pace.limit_per_second, top), stroke=_LIMIT, dashes="6 3")
    _draw_time(group, panel)


def _stairs(panel: _Panel, values: Sequence[float], top: float) -> str:
    """A line that stays at each value for its step; equal neighbours are one stretch.

    In each step of its own, or a slope would show what never was.
    """
    parts = [f"M{panel.left:.1f} {_y(values[0], top):.1f}"]
    for step, (before, value) in enumerate(pairwise(values), 1):
        if _y(before, top) != _y(value, top):
            parts.append(f"H{panel.x(step * panel.pace.step_seconds):.1f}V{_y(value, top):.1f}")
    return "".join([*parts, f"H{panel.left + panel.width:.1f}"])


def _refusals(panel: _Panel, top: float) -> str:
    """A bar for each step with refusals, on the same scale, high enough to be seen."""
    seconds = panel.pace.step_seconds
    bars = []
    for step, refused in enumerate(panel.pace.refused):
        if refused:
            height = max(_LEAST_MARK_PIXELS, _BOTTOM - _y(refused / seconds, top))
            left, right = panel.x(step * seconds), panel.x((step + 1) * seconds)
            bars.append(
                f"M{left:.1f} {_BOTTOM}v-{height:.1f}h{max(1.0, right - left):.1f}V{_BOTTOM}Z"
            )
    return "".join(bars)


def _draw_time(group: ET.Element, panel: _Panel) -> None:
    right = panel.left + panel.width
    _path(group, f"M{panel.left:.1f} {_BOTTOM}H{right:.1f}", stroke=_FAINT)
    unit_seconds, _ = _unit(panel.seconds)
    most = max(1, int(panel.width / _LEAST_TICK_PIXELS))
    every = _nice_step(panel.seconds / unit_seconds / most)
    for tick in range(int(panel.seconds / unit_seconds / every) + 1):
        x = panel.x(tick * every * unit_seconds)
        _path(group, f"M{x:.1f} {_BOTTOM}v5", stroke=_FAINT)
        _text(group, x, _BOTTOM + 18, f"{tick * every:g}", anchor="middle", fill=_FAINT)
    _, unit = _unit(panel.seconds)
    began = panel.session.started_at
    for line, words in enumerate((unit, f"{began:%Y-%m-%d}", f"{began:%H:%M:%S} UTC")):
        _text(group, panel.left, _BOTTOM + 34 + 15 * line, words, size="11", fill=_FAINT)


def _nice_step(least: float) -> float:
    """The next round number that is not less; never below one.

    >>> _nice_step(0.2), _nice_step(7.3), _nice_step(23)
    (1.0, 10.0, 30.0)
    """
    unit = 10.0 ** math.floor(math.log10(max(1.0, least)))
    return next(n * unit for n in (1, 2, 3, 5, 10) if n * unit >= least)


def _unit(seconds: float) -> tuple[int, str]:
    """What time is told in: so many seconds, and its name."""
    return next((size, name) for least, size, name in _UNITS if seconds >= least)


def _draw_words(svg: ET.Element, starts: Sequence[Session], panels: Sequence[_Panel]) -> None:
    if not panels:
        _text(svg, (_LEFT + _RIGHT) / 2, 200, "no pace was recorded", anchor="middle", fill=_FAINT)
    refused = sum(sum(start.pace.refused) for start in starts)
    y = 60
    _path(svg, f"M{_LEFT} {y - 9}h22v9h-22Z", fill=_ASKED, opacity="0.6")
    _text(svg, _LEFT + 30, y, "requests sent")
    _path(svg, f"M{_LEFT + 140} {y - 4}h26", stroke=_LIMIT, dashes="6 3")
    _text(svg, _LEFT + 174, y, "limit: settings, and what the server said")
    if refused:
        _path(svg, f"M{_LEFT + 440} {y - 9}h10v9h-10Z", fill=_REFUSED)
        _text(svg, _LEFT + 458, y, f"refused for the rate (429): {refused:,}")
    where = (_LEFT + _RIGHT) / 2
    _text(
        svg, where, _HEIGHT - 12, "time since the start began to ask", anchor="middle", fill=_FAINT
    )


def _y(value: float, top: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * value / top, 1)


def _path(parent: ET.Element, d: str, **style: str) -> None:
    if d:
        names = {"width": "stroke-width", "dashes": "stroke-dasharray"}
        look = {names.get(name, name): value for name, value in {"fill": "none", **style}.items()}
        ET.SubElement(parent, "path", {"d": d, **look})


def _text(parent: ET.Element, x: float, y: float, words: str, **style: str) -> None:
    names = {"size": "font-size", "weight": "font-weight", "anchor": "text-anchor"}
    look = {names.get(name, name): value for name, value in style.items()}
    ET.SubElement(parent, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", **look}).text = words
