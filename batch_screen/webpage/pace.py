"""Draws the pace into the page: once for wide pages and once for narrow ones and paper.

What a line is stands at its end, and how many were refused at the first that was, so that
there is no legend to look for. Colours are the page's, by classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
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
from batch_screen.webpage.words import counted

_BETWEEN_LABELS = 15.0


class _Look(NamedTuple):
    """How large a drawing is and how much it says."""

    name: str
    width: int
    height: int
    plot: Plot
    says_values: bool


_WIDE = _Look("wide", 960, 300, Plot(left=52, right=852, top=26, bottom=236), says_values=True)
_NARROW = _Look(
    "narrow",
    380,
    250,
    Plot(left=52, right=334, top=24, bottom=188, gap=8, steps=150, starts=3),
    says_values=False,
)


def pace_svgs(starts: Sequence[Session]) -> list[str]:
    """The drawings, of which the page shows one; none where no pace was recorded."""
    if not any(start.pace.attempts for start in starts):
        return []
    return [_draw(starts, look) for look in (_WIDE, _NARROW)]


def _draw(starts: Sequence[Session], look: _Look) -> str:
    panels = panels_of(starts, look.plot)
    most = scale_end(panels)
    box = f"0 0 {look.width} {look.height}"
    svg = ET.Element("svg", {"class": f"chart pace {look.name}", "role": "img", "viewBox": box})
    ET.SubElement(svg, "title").text = "Requests per second over time, with limit and refusals"
    ET.SubElement(svg, "desc").text = "; ".join(map(_described, panels))
    _draw_scale(svg, most, look)
    for panel in panels:
        _draw_panel(svg, panel, most, look)
    _name_lines(svg, panels[-1], most, look)
    _name_refusals(svg, panels, most, look.plot)
    return ET.tostring(svg, encoding="unicode")


def _described(panel: Panel) -> str:
    refused = sum(panel.pace.refused)
    return (
        f"start {panel.number}: {counted(panel.session.attempts, 'request')}, at most "
        f"{max(panel.pace.rates_per_second):,.0f} a second, {refused:,} refused"
    )


def _draw_scale(svg: ET.Element, most: float, look: _Look) -> None:
    plot = look.plot
    for tick in range(TICKS + 1):
        y = plot.y(most * tick / TICKS, most)
        path(svg, f"M{plot.left} {y:.1f}H{plot.right}", **{"class": "grid"})
        text(svg, plot.left - 6, y + 4, f"{most * tick / TICKS:,.6g}", anchor="end")
    text(svg, 0, 13, "requests per second")


def _draw_panel(svg: ET.Element, panel: Panel, most: float, look: _Look) -> None:
    plot = look.plot
    edge = stairs(panel, panel.pace.rates_per_second, most, plot)
    path(svg, area_below(edge, panel, plot), **{"class": "area"})
    path(svg, edge, **{"class": "sent"})
    path(svg, refusals(panel, most, plot), **{"class": "refused"})
    path(svg, stairs(panel, panel.pace.limit_per_second, most, plot), **{"class": "limit"})
    _draw_time(svg, panel, look)


def _draw_time(svg: ET.Element, panel: Panel, look: _Look) -> None:
    bottom = look.plot.bottom
    path(svg, f"M{panel.left:.1f} {bottom}H{panel.right:.1f}", **{"class": "axis"})
    for x, mark in ticks(panel):
        path(svg, f"M{x:.1f} {bottom}v4", **{"class": "axis"})
        text(svg, x, bottom + 17, mark, anchor="middle")
    began = panel.session.started_at
    words = [unit(panel), f"start {panel.number}"]
    if look.says_values:
        words = [unit(panel), f"{began:%Y-%m-%d}", f"{began:%H:%M:%S} UTC"]
    for line, each in enumerate(words):
        text(svg, panel.left, bottom + 33 + 14 * line, each)


def _name_lines(svg: ET.Element, panel: Panel, most: float, look: _Look) -> None:
    """At the ends of the last panel's lines; the limit above where both would meet."""
    plot = look.plot
    # The last step was hardly ever a whole one, so what was sent in it looks too slow.
    limit, sent = panel.pace.limit_per_second[-1], max(panel.pace.rates_per_second[-2:])
    limit_y, sent_y = plot.y(limit, most), plot.y(sent, most)
    if abs(limit_y - sent_y) < _BETWEEN_LABELS:
        sent_y = limit_y + _BETWEEN_LABELS
    limit_words = f"limit {limit:,.6g}/s" if look.says_values else "limit"
    text(svg, plot.right + 6, limit_y + 4, limit_words, **{"class": "name-limit"})
    text(svg, plot.right + 6, sent_y + 4, "sent", **{"class": "name-sent"})


def _name_refusals(svg: ET.Element, panels: Sequence[Panel], most: float, plot: Plot) -> None:
    """Above the first refusal of all: how many there were."""
    refused = sum(sum(panel.pace.refused) for panel in panels)
    if not refused:
        return
    panel = next(panel for panel in panels if any(panel.pace.refused))
    step = next(step for step, count in enumerate(panel.pace.refused) if count)
    x = panel.x((step + 0.5) * panel.pace.step_seconds)
    height = plot.bottom - plot.y(panel.pace.refused[step] / panel.pace.step_seconds, most)
    y = plot.bottom - max(3.0, height)
    is_left = x < (plot.left + plot.right) / 2
    path(svg, f"M{x:.1f} {y - 2:.1f}v-12", **{"class": "pointer"})
    anchor = "start" if is_left else "end"
    words = f"{refused:,} refused (429)"
    place = x + (4 if is_left else -4)
    text(svg, place, y - 8, words, anchor=anchor, **{"class": "name-refused"})
