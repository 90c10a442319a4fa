"""Elements of an SVG drawing; what is written into it is escaped when it becomes text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

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
