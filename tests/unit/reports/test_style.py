"""Contrast as WCAG 2.2 reckons it: 4.5 for text, 3 for what a drawing is made of."""

from __future__ import annotations

import re
from importlib import resources

import pytest

STYLE = (resources.files("batch_screen.reports") / "style.css").read_text("utf-8")
DARK, PRINT = "@media (prefers-color-scheme: dark)", "@media print"
TEXT = ("ink", "faint", "accent", "sent", "positive", "unknown", "good", "stopped")
SHAPES = ("sent", "positive", "older", "unknown", "ink", "good", "stopped")


def colours(scheme: str) -> dict[str, str]:
    start = STYLE.index(scheme)
    block = STYLE[STYLE.index(":root {", start) :].split("}")[0]
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))


SCHEMES = {"light": colours(":root"), "dark": colours(DARK), "print": colours(PRINT)}


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_reckoned_as_the_guidelines_do() -> None:
    assert contrast("#ffffff", "#000000") == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_has_every_colour(name: str) -> None:
    assert SCHEMES[name].keys() == SCHEMES["light"].keys()
    used = set(re.findall(r"var\(--([a-z]+)\)", STYLE))
    assert used == SCHEMES["light"].keys()


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("colour", TEXT)
@pytest.mark.parametrize("ground", ["card", "page"])
def test_text_can_be_read(name: str, colour: str, ground: str) -> None:
    assert contrast(SCHEMES[name][colour], SCHEMES[name][ground]) >= 4.5


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("colour", SHAPES)
def test_shapes_can_be_seen(name: str, colour: str) -> None:
    assert contrast(SCHEMES[name][colour], SCHEMES[name]["card"]) >= 3


@pytest.mark.parametrize("name", SCHEMES)
def test_what_stands_on_the_area_of_a_pace_can_be_seen(name: str) -> None:
    for colour in ("ink", "positive"):
        assert contrast(SCHEMES[name][colour], SCHEMES[name]["area"]) >= 3


def test_no_colour_stands_outside_the_schemes() -> None:
    outside = re.sub(r":root \{.*?\}", "", STYLE, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-f]{3,8}\b", outside)
