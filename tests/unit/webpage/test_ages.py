from __future__ import annotations

from itertools import pairwise

import pytest

from batch_screen.output.bands import NAMES
from batch_screen.output.breakdown import FUTURE
from batch_screen.webpage.ages import ages_svg
from batch_screen.webpage.words import age_words

from .reading import Element, read

COUNTS = {"<4h": 1, "<14d": 50, "none_reported": 40, "unknown": 9}


def drawn(counts: dict[str, int]) -> Element:
    return read(ages_svg(counts, "Latest SIM change").encode())


def words(svg: Element) -> list[str]:
    return [text.text for text in svg.all("text")]


def test_every_band_has_its_name_and_its_count_beside_its_bar() -> None:
    svg = drawn(COUNTS)
    said = words(svg)
    assert said[:4] == ["less than 7 days", "1 · 1.0 %", "under 4 hours", "1 · 1.0 %"]
    assert {age_words(name) for name in NAMES} <= set(said)
    assert said[-4:] == ["none reported", "40 · 40.0 %", "unknown", "9 · 9.0 %"]
    assert "dated in the future" not in said
    bars = svg.all("rect")
    assert [bar.attributes["class"] for bar in bars] == ["positive", "older", "older", "unknown"]
    wide = [float(bar.attributes["width"]) for bar in bars]
    assert max(wide) == wide[1]
    assert wide[2] / wide[1] == pytest.approx(40 / 50)
    assert min(wide) >= 1.5


def test_dates_in_the_future_show_where_there_are_some() -> None:
    svg = drawn({**COUNTS, FUTURE: 3})
    said = words(svg)
    assert said[-8:-6] == ["no age", "52 · 50.5 %"]
    assert said[-4:-2] == ["dated in the future", "3 · 2.9 %"]
    assert svg.all("rect")[-2].attributes["class"] == "unknown"
    assert "dated in the future 3, none reported 40" in svg.all("desc")[0].text


def test_nothing_overlaps_or_leaves_the_drawing() -> None:
    svg = drawn({**dict.fromkeys((*NAMES, FUTURE), 12_345_678), "unknown": 1})
    [figure] = svg.all("svg")
    _, _, width, height = map(float, figure.attributes["viewbox"].split())
    lines = sorted({float(text.attributes["y"]) for text in svg.all("text")})
    assert all(after - before >= 12 for before, after in pairwise(lines))
    assert lines[-1] < height
    for text in svg.all("text"):
        if text.attributes.get("text-anchor") != "end":
            # Letters and figures of this size are at most this wide, on the average.
            assert float(text.attributes["x"]) + 6.6 * len(text.text) < width


def test_no_numbers_at_all() -> None:
    svg = drawn({})
    assert svg.all("rect") == []
    assert "unknown 0" in svg.all("desc")[0].text
