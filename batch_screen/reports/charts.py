"""The report's drawings: the pace, in the page and as a file of its own, and the ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from batch_screen.model import LatestChange, Session
from batch_screen.reports.geometry import (
    TICKS,
    Panel,
    Plot,
    area_below,
    panels_of,
    path,
    refusals,
    scale_end,
    stairs,
    text,
    ticks,
    unit,
)
from batch_screen.reports.words import RECENT_DAYS, age_words, counted, share
from batch_screen.tables.breakdown import FUTURE, UNKNOWN
from batch_screen.tables.results import NAMES, RECENT

# Draws the pace into the page: once for wide pages and once for narrow ones and paper.
#
# What a line is stands at its end, and how many were refused at the first that was, so that
# there is no legend to look for. Colours are the page's, by classes.

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


# Draws the pace of a run's starts as one SVG file that needs nothing else to be shown.
#
# No script, no address, no font of its own; it brings its background, so it can be read on a
# dark page too.

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
    _draw_scale_of_file(svg, top)
    for panel in panels:
        _draw_panel_of_file(svg, panel, top)
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


def _draw_scale_of_file(svg: ET.Element, top: float) -> None:
    for tick in range(TICKS + 1):
        y = _PLOT.y(top * tick / TICKS, top)
        path(svg, f"M{_PLOT.left} {y:.1f}H{_PLOT.right}", stroke=_GRID)
        text(svg, _PLOT.left - 8, y + 4, f"{top * tick / TICKS:,.6g}", anchor="end", fill=_FAINT)
    middle = (_PLOT.top + _PLOT.bottom) / 2
    upright = f"rotate(-90 18 {middle:.1f})"
    text(svg, 18, middle, "requests per second", anchor="middle", fill=_FAINT, transform=upright)


def _draw_panel_of_file(svg: ET.Element, panel: Panel, top: float) -> None:
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
    _draw_time_of_file(group, panel)


def _draw_time_of_file(group: ET.Element, panel: Panel) -> None:
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


# How old the latest changes are: one bar for each band, its name and its count beside it.

_AGES_WIDTH, _AGES_HEIGHT, _BAR = 380, 19, 12
_LEFT, _RIGHT = 128, 250
_LEAST = 1.5
"""A bar of few is still to be seen."""
_GAP = 12
_NONE = LatestChange.NONE_REPORTED.value


class _Row(NamedTuple):
    """A band, or what there is in place of one, and the style of its bar."""

    band: str
    look: str


def ages_svg(counts: Mapping[str, int], title: str) -> str:
    """A drawing of numbers by band; those without an age stand apart below."""
    groups = _groups(counts)
    lines = sum(1 + len(rows) for rows in groups.values())
    height = lines * _AGES_HEIGHT + (len(groups) - 1) * _GAP + 4
    figure = {"class": "chart ages", "role": "img", "viewBox": f"0 0 {_AGES_WIDTH} {height}"}
    svg = ET.Element("svg", figure)
    ET.SubElement(svg, "title").text = f"{title}: numbers by age"
    ET.SubElement(svg, "desc").text = _ages_described(counts)
    y = 2.0
    for heading, rows in groups.items():
        _name(svg, y, heading, sum(counts.get(row.band, 0) for row in rows), counts)
        for line, row in enumerate(rows, 1):
            _draw_ages(svg, y + line * _AGES_HEIGHT, row, counts)
        y += (1 + len(rows)) * _AGES_HEIGHT + _GAP
    return ET.tostring(svg, encoding="unicode")


def _groups(counts: Mapping[str, int]) -> dict[str, list[_Row]]:
    """Changes young and old, and what has no age."""
    young = [_Row(name, "positive") for name in NAMES if name in RECENT]
    old = [_Row(name, "older") for name in NAMES if name not in RECENT]
    none = [_Row(_NONE, "older")]
    if counts.get(FUTURE):
        none.append(_Row(FUTURE, "unknown"))
    none.append(_Row(UNKNOWN, "unknown"))
    return {f"less than {RECENT_DAYS} days": young, "older": old, "no age": none}


def _name(svg: ET.Element, y: float, words: str, count: int, counts: Mapping[str, int]) -> None:
    """The group's name, and how many it has in all."""
    middle = y + _AGES_HEIGHT / 2 + 4
    text(svg, _LEFT - 8, middle, words, anchor="end", weight="650")
    value = f"{count:,} · {share(count, sum(counts.values()))}"
    text(svg, _LEFT, middle, value, weight="650")


def _draw_ages(svg: ET.Element, y: float, row: _Row, counts: Mapping[str, int]) -> None:
    count, middle = counts.get(row.band, 0), y + _AGES_HEIGHT / 2 + 4
    text(svg, _LEFT - 8, middle, age_words(row.band), anchor="end")
    if not count:
        text(svg, _LEFT + 6, middle, "0")
        return
    wide = max(_LEAST, (_RIGHT - _LEFT) * count / max(counts.values()))
    place = {"x": str(_LEFT), "y": f"{y + (_AGES_HEIGHT - _BAR) / 2:.1f}"}
    size = {"width": f"{wide:.1f}", "height": str(_BAR)}
    ET.SubElement(svg, "rect", {**place, **size, "class": row.look})
    value = f"{count:,} · {share(count, sum(counts.values()))}"
    text(svg, _LEFT + wide + 6, middle, value)


def _ages_described(counts: Mapping[str, int]) -> str:
    always = (_NONE, UNKNOWN)
    names = [n for n in (*NAMES, FUTURE, *always) if counts.get(n) or n in always]
    return ", ".join(f"{age_words(name)} {counts.get(name, 0):,}" for name in names)
