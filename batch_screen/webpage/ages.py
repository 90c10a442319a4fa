"""How old the latest changes are: one bar for each band, its name and its count beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from xml.etree import ElementTree as ET

from batch_screen.model import LatestChange
from batch_screen.output.bands import BANDS, FUTURE, RECENT, RECENT_DAYS
from batch_screen.output.breakdown import UNKNOWN
from batch_screen.output.svg import text
from batch_screen.webpage.words import share

_WIDTH, _HEIGHT, _BAR = 380, 19, 12
_LEFT, _RIGHT = 122, 250
_LEAST = 1.5
"""A bar of few is still to be seen."""
_GAP = 12


class _Row(NamedTuple):
    """A band, how it is called, and the style of its bar."""

    band: str
    words: str
    look: str


def ages_svg(counts: Mapping[str, int], title: str) -> str:
    """A drawing of numbers by band; those without a date stand apart below."""
    groups = _groups(counts)
    lines = sum(1 + len(rows) for rows in groups.values())
    height = lines * _HEIGHT + (len(groups) - 1) * _GAP + 4
    figure = {"class": "chart ages", "role": "img", "viewBox": f"0 0 {_WIDTH} {height}"}
    svg = ET.Element("svg", figure)
    ET.SubElement(svg, "title").text = f"{title}: numbers by age"
    ET.SubElement(svg, "desc").text = _described(counts)
    y = 2.0
    for heading, rows in groups.items():
        _name(svg, y, heading, sum(counts.get(row.band, 0) for row in rows), counts)
        for line, row in enumerate(rows, 1):
            _draw(svg, y + line * _HEIGHT, row, counts)
        y += (1 + len(rows)) * _HEIGHT + _GAP
    return ET.tostring(svg, encoding="unicode")


def _groups(counts: Mapping[str, int]) -> dict[str, list[_Row]]:
    """Changes young and old, and what has no date."""
    young = [_Row(band.name, band.name, "positive") for band in BANDS if band.name in RECENT]
    old = [_Row(band.name, band.name, "older") for band in BANDS if band.name not in RECENT]
    if counts.get(FUTURE):
        young.insert(0, _Row(FUTURE, FUTURE, "positive"))
    none = _Row(LatestChange.NONE_REPORTED.value, "none reported", "older")
    undated = [none, _Row(UNKNOWN, "unknown", "unknown")]
    return {f"less than {RECENT_DAYS} days": young, "older": old, "no date": undated}


def _name(svg: ET.Element, y: float, words: str, count: int, counts: Mapping[str, int]) -> None:
    """The group's name, and how many it has in all."""
    middle = y + _HEIGHT / 2 + 4
    text(svg, _LEFT - 8, middle, words, anchor="end", weight="650")
    value = f"{count:,} · {share(count, sum(counts.values()))}"
    text(svg, _LEFT, middle, value, weight="650")


def _draw(svg: ET.Element, y: float, row: _Row, counts: Mapping[str, int]) -> None:
    count, middle = counts.get(row.band, 0), y + _HEIGHT / 2 + 4
    text(svg, _LEFT - 8, middle, row.words, anchor="end")
    if not count:
        text(svg, _LEFT + 6, middle, "0")
        return
    wide = max(_LEAST, (_RIGHT - _LEFT) * count / max(counts.values()))
    place = {"x": str(_LEFT), "y": f"{y + (_HEIGHT - _BAR) / 2:.1f}"}
    size = {"width": f"{wide:.1f}", "height": str(_BAR)}
    ET.SubElement(svg, "rect", {**place, **size, "class": row.look})
    value = f"{count:,} · {share(count, sum(counts.values()))}"
    text(svg, _LEFT + wide + 6, middle, value)


def _described(counts: Mapping[str, int]) -> str:
    names = (FUTURE, *(band.name for band in BANDS))
    told = [f"{name} {counts[name]:,}" for name in names if counts.get(name)]
    none, unknown = (counts.get(n, 0) for n in (LatestChange.NONE_REPORTED.value, UNKNOWN))
    return ", ".join([*told, f"none reported {none:,}", f"unknown {unknown:,}"])
