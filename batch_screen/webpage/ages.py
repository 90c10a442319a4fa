"""How old the latest changes are: one bar for each band, its name and its count beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from xml.etree import ElementTree as ET

from batch_screen.model import LatestChange
from batch_screen.output.bands import NAMES, RECENT
from batch_screen.output.breakdown import FUTURE, UNKNOWN
from batch_screen.output.svg import text
from batch_screen.webpage.words import RECENT_DAYS, age_words, share

_WIDTH, _HEIGHT, _BAR = 380, 19, 12
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
    middle = y + _HEIGHT / 2 + 4
    text(svg, _LEFT - 8, middle, words, anchor="end", weight="650")
    value = f"{count:,} · {share(count, sum(counts.values()))}"
    text(svg, _LEFT, middle, value, weight="650")


def _draw(svg: ET.Element, y: float, row: _Row, counts: Mapping[str, int]) -> None:
    count, middle = counts.get(row.band, 0), y + _HEIGHT / 2 + 4
    text(svg, _LEFT - 8, middle, age_words(row.band), anchor="end")
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
    always = (_NONE, UNKNOWN)
    names = [n for n in (*NAMES, FUTURE, *always) if counts.get(n) or n in always]
    return ", ".join(f"{age_words(name)} {counts.get(name, 0):,}" for name in names)
