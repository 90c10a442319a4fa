from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from batch_screen.model import Pace
from batch_screen.webpage.pace import pace_svgs

from .materials import session
from .reading import Element, read

LONG = Pace(1.0, [480] * 90, [0] * 40 + [9, 1] + [0] * 48, [490.0] * 90)
CALM = Pace(1.0, [480] * 90, [0] * 90, [490.0] * 90)


def drawn(*paces: Pace) -> list[Element]:
    return [read(svg.encode()) for svg in pace_svgs([session(pace) for pace in paces])]


def named(svg: Element, name: str) -> list[Element]:
    return [e for e in svg.all() if e.attributes.get("class") == name]


def test_one_drawing_is_for_wide_pages_and_one_for_narrow_ones() -> None:
    wide, narrow = drawn(LONG)
    assert wide.all("svg")[0].attributes["class"] == "chart pace wide"
    assert narrow.all("svg")[0].attributes["class"] == "chart pace narrow"


@pytest.mark.parametrize("place", [0, 1])
def test_lines_are_named_at_their_ends(place: int) -> None:
    svg = drawn(LONG)[place]
    [limit], [sent] = named(svg, "name-limit"), named(svg, "name-sent")
    assert limit.text.startswith("limit")
    assert sent.text == "sent"
    # The two lines meet, their names do not.
    assert float(sent.attributes["y"]) - float(limit.attributes["y"]) > 14.9
    [refused] = named(svg, "name-refused")
    assert refused.text == "10 refused (429)"
    assert "10 refused" in svg.all("desc")[0].text


def test_without_refusals_none_are_named() -> None:
    for svg in drawn(CALM):
        assert named(svg, "name-refused") == named(svg, "refused") == []


def test_a_last_step_that_was_not_over_does_not_place_the_name() -> None:
    cut = Pace(1.0, [100] * 9 + [1], [0] * 10, [490.0] * 10)
    whole = Pace(1.0, [100] * 10, [0] * 10, [490.0] * 10)
    places = [named(drawn(pace)[0], "name-sent")[0].attributes["y"] for pace in (cut, whole)]
    assert places[0] == places[1]


def test_no_pace_no_drawing() -> None:
    assert pace_svgs([]) == []
    assert pace_svgs([session(Pace())]) == []


def test_drawings_are_small_however_long_a_run_was() -> None:
    rough = Pace(1.0, [n * 7919 % 9000 for n in range(1200)], [1] * 1200, [9800.0] * 1200)
    for svg in pace_svgs([session(rough)] * 30):
        assert len(svg) < 60_000
        ET.fromstring(svg)
