"""Draws the pace of a run's starts as one SVG file that needs nothing else to be shown.

No script, no address, no font of its own; it brings its background, so it can be read on a
dark page too.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from batch_screen.model import Session
from batch_screen.output.pace_geometry import (
    TICKS,
    Panel,
    Plot,
    area_below,
    panels_of,
    refusals,
    scale_end,
    stairs,
    ticks,
    unit,
)
from batch_screen.output.svg import path, text

_WIDTH, _HEIGHT = 960, 420
_PLOT = Plot(left=76, right=936, top=84, bottom=312)

_INK, _FAINT, _GRID = "#1f2933", "#52606d", "#e4e7eb"
_ASKED, _REFUSED, _LIMIT = "#3b82c4", "#c81e1e", "#1f2933"


def pace_svg(starts: Sequence[Session]) -> bytes:
    """The starts one after the other: requests sent per second, the limit, what was refused.

    Only the last ten of them, if there are more. Always less than 50 KB.
    """
    panels = panels_of(starts, _PLOT)
    top = scale_end(panels)
    svg = _canvas(starts, len(panels))
    _draw_scale(svg, top)
    for panel in panels:
        _draw_panel(svg, panel, top)
    _draw_words(svg, starts, panels)
    drawn: bytes = ET.tostring(svg, encoding="utf-8", xml_declaration=True)
    return drawn + b"\n"


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
    text(svg, _PLOT.left, 28, heading, size="16", weight="bold")
    return svg


def _draw_scale(svg: ET.Element, top: float) -> None:
    for tick in range(TICKS + 1):
        y = _PLOT.y(top * tick / TICKS, top)
        path(svg, f"M{_PLOT.left} {y:.1f}H{_PLOT.right}", stroke=_GRID)
        text(svg, _PLOT.left - 8, y + 4, f"{top * tick / TICKS:,.6g}", anchor="end", fill=_FAINT)
    middle = (_PLOT.top + _PLOT.bottom) / 2
    upright = f"rotate(-90 18 {middle:.1f})"
    text(svg, 18, middle, "requests per second", anchor="middle", fill=_FAINT, transform=upright)


def _draw_panel(svg: ET.Element, panel: Panel, top: float) -> None:
    group = ET.SubElement(svg, "g")
    ET.SubElement(group, "title").text = (
        f"start {panel.number}: {panel.session.attempts:,} requests, "
        f"{sum(panel.pace.refused):,} refused, in steps of {panel.pace.step_seconds:g} s"
    )
    edge = stairs(panel, panel.pace.rates_per_second, top, _PLOT)
    path(group, area_below(edge, panel, _PLOT), fill=_ASKED, opacity="0.35")
    path(group, edge, stroke=_ASKED, width="1.5")
    path(group, refusals(panel, top, _PLOT), fill=_REFUSED)
    limit = stairs(panel, panel.pace.limit_per_second, top, _PLOT)
    path(group, limit, stroke=_LIMIT, dashes="6 3")
    _draw_time(group, panel)


def _draw_time(group: ET.Element, panel: Panel) -> None:
    bottom = _PLOT.bottom
    path(group, f"M{panel.left:.1f} {bottom}H{panel.right:.1f}", stroke=_FAINT)
    for x, words in ticks(panel):
        path(group, f"M{x:.1f} {bottom}v5", stroke=_FAINT)
        text(group, x, bottom + 18, words, anchor="middle", fill=_FAINT)
    began = panel.session.started_at
    for line, words in enumerate((unit(panel), f"{began:%Y-%m-%d}", f"{began:%H:%M:%S} UTC")):
        text(group, panel.left, bottom + 34 + 15 * line, words, size="11", fill=_FAINT)


def _draw_words(svg: ET.Element, starts: Sequence[Session], panels: Sequence[Panel]) -> None:
    where = (_PLOT.left + _PLOT.right) / 2
    if not panels:
        text(svg, where, 200, "no pace was recorded", anchor="middle", fill=_FAINT)
    refused = sum(sum(start.pace.refused) for start in starts)
    left, y = _PLOT.left, 60
    path(svg, f"M{left} {y - 9}h22v9h-22Z", fill=_ASKED, opacity="0.6")
    text(svg, left + 30, y, "requests sent")
    path(svg, f"M{left + 140} {y - 4}h26", stroke=_LIMIT, dashes="6 3")
    text(svg, left + 174, y, "limit: settings, and what the server said")
    if refused:
        path(svg, f"M{left + 440} {y - 9}h10v9h-10Z", fill=_REFUSED)
        text(svg, left + 458, y, f"refused for the rate (429): {refused:,}")
    words = "time since the start began to ask"
    text(svg, where, _HEIGHT - 12, words, anchor="middle", fill=_FAINT)
