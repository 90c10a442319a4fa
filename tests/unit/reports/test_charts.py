from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Pace, Session
from batch_screen.reports.charts import NARROW, WIDE, ages_chart, pace_chart
from batch_screen.reports.page import pace_svg, page, templates
from batch_screen.reports.words import AGE_WORDS
from batch_screen.tables.breakdown import FUTURE
from batch_screen.tables.results import NAMES

from .materials import material, session
from .reading import Element, read

BEGAN = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def start(
    attempts: list[int],
    *,
    refused: list[int] | None = None,
    limits: list[float] | None = None,
    step_seconds: float = 1.0,
    later: timedelta = timedelta(),
) -> Session:
    count = len(attempts)
    pace = Pace(step_seconds, attempts, refused or [0] * count, limits or [490.0] * count)
    began, seconds = BEGAN + later, count * step_seconds
    return Session(began, began + timedelta(seconds=seconds), sum(attempts), seconds, pace)


def drawn(*starts: Session) -> ET.Element:
    return ET.fromstring(pace_svg(starts))


def words(svg: ET.Element) -> list[str]:
    return [str(text.text) for text in svg.iter(SVG + "text")]


def drawings(svg: ET.Element, name: str) -> list[str]:
    """Of the panels; the legend's samples stand outside of them."""
    return [p.attrib["d"] for p in svg.findall(f"{SVG}g/{SVG}path[@class='{name}']")]


def test_a_chart_says_what_it_shows() -> None:
    svg = drawn(start([480] * 90))
    assert svg.find(f"{SVG}title") is not None
    said = words(svg)
    for expected in ("43,200 requests in 1 start", "requests per second", "seconds"):
        assert expected in said
    assert {"0", "100", "500", "2026-11-23", "02:15:00 UTC"} <= set(said)
    assert not [text for text in said if "refused" in text]
    assert drawings(svg, "refused") == []


def test_refusals_are_red_and_counted() -> None:
    svg = drawn(start([480] * 50, refused=[0] * 20 + [30, 1] + [0] * 28))
    [legend] = [text for text in words(svg) if "refused" in text]
    assert legend.endswith(": 31")
    marks = drawings(svg, "refused")[0]
    assert marks.count("Z") == 2
    assert "V309.0" in marks, "a single one is high enough to be seen"


def test_the_starts_of_a_run_stand_apart_with_their_dates() -> None:
    svg = drawn(
        start([480] * 90),
        start([300] * 14, later=timedelta(hours=3)),
        start([100] * 600, step_seconds=16.0, later=timedelta(days=1)),
    )
    said = words(svg)
    assert {"05:15:00 UTC", "2026-11-24", "seconds", "hours"} <= set(said)
    areas = drawings(svg, "area")
    lefts = [float(area[1:].split(" ")[0]) for area in areas]
    rights = [float(area.rsplit("H", 1)[1].split("V")[0]) for area in areas]
    assert len(areas) == 3
    gaps = [right - left for left, right in zip(lefts[1:], rights[:2], strict=True)]
    assert all(gap == pytest.approx(-18, abs=0.2) for gap in gaps)
    assert rights[-1] == pytest.approx(936, abs=0.2)


def test_a_start_of_one_second_and_none_at_all() -> None:
    assert drawings(drawn(start([442])), "area")
    assert "no pace was recorded" in words(drawn())
    assert "no pace was recorded" in words(drawn(Session(BEGAN, BEGAN)))


def test_too_many_starts_to_show() -> None:
    svg = drawn(*(start([10] * 5, later=timedelta(hours=n)) for n in range(25)))
    assert "1,250 requests in 25 starts, the last 10 shown" in words(svg)
    assert len(drawings(svg, "area")) == 10


def test_it_needs_nothing_from_elsewhere() -> None:
    text = pace_svg([start([480] * 90, refused=[1] * 90)]).decode()
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(script|image|use|foreignObject)|@|href|url\(|on\w+=", text)


def test_the_worst_is_below_50_kilobytes() -> None:
    draw = random.Random(1)

    def noise(most: float) -> list[int]:
        return [draw.randint(1, int(most)) for _ in range(600)]

    worst = [
        start(
            noise(1e9),
            refused=noise(1e9),
            limits=[draw.random() * 1e9 for _ in range(600)],
            step_seconds=65536.0,
        )
        for _ in range(12)
    ]
    for count in (1, 2, 12):
        assert len(pace_svg(worst[:count])) < 50_000


@given(
    attempts=st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
    step_seconds=st.sampled_from([1.0, 2.0, 512.0]),
    starts=st.integers(1, 4),
    limit=st.floats(0, 1e4),
)
def test_whatever_happened_can_be_drawn_inside_the_plot(
    attempts: list[int], step_seconds: float, starts: int, limit: float
) -> None:
    one = start(attempts, limits=[limit] * len(attempts), step_seconds=step_seconds)
    for area in drawings(drawn(*[one] * starts), "area"):
        xs = [float(x) for x in re.findall(r"H([\d.]+)", area)]
        ys = [float(y) for y in re.findall(r"V([\d.]+)", area)]
        assert 75.9 <= min(xs) <= max(xs) <= 936.1
        assert 84 <= min(ys) <= max(ys) <= 312


COUNTS = {"<4h": 1, "<14d": 50, "none_reported": 40, "unknown": 9}


def drawn_of_ages(counts: dict[str, int]) -> Element:
    charts = templates().get_template("charts.jinja").module
    return read(str(charts.ages(ages_chart(counts, "Latest SIM change"))).encode())


def words_of_ages(svg: Element) -> list[str]:
    return [text.text for text in svg.all("text")]


def test_every_band_has_its_name_and_its_count_beside_its_bar() -> None:
    svg = drawn_of_ages(COUNTS)
    said = words_of_ages(svg)
    assert said[:4] == ["less than 7 days", "1 · 1.0 %", "under 4 hours", "1 · 1.0 %"]
    assert {AGE_WORDS[name] for name in NAMES} <= set(said)
    assert said[-4:] == ["none reported", "40 · 40.0 %", "unknown", "9 · 9.0 %"]
    assert "dated in the future" not in said
    bars = svg.all("rect")
    assert [bar.attributes["class"] for bar in bars] == ["positive", "older", "older", "unknown"]
    wide = [float(bar.attributes["width"]) for bar in bars]
    assert max(wide) == wide[1]
    assert wide[2] / wide[1] == pytest.approx(40 / 50)
    assert min(wide) >= 1.5


def test_dates_in_the_future_show_where_there_are_some() -> None:
    svg = drawn_of_ages({**COUNTS, FUTURE: 3})
    said = words_of_ages(svg)
    assert said[-8:-6] == ["no age", "52 · 50.5 %"]
    assert said[-4:-2] == ["dated in the future", "3 · 2.9 %"]
    assert svg.all("rect")[-2].attributes["class"] == "unknown"
    assert "dated in the future 3, none reported 40" in svg.all("desc")[0].text


def test_nothing_overlaps_or_leaves_the_drawing() -> None:
    svg = drawn_of_ages({**dict.fromkeys((*NAMES, FUTURE), 12_345_678), "unknown": 1})
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
    svg = drawn_of_ages({})
    assert svg.all("rect") == []
    assert "unknown 0" in svg.all("desc")[0].text


LONG = Pace(1.0, [480] * 90, [0] * 40 + [9, 1] + [0] * 48, [490.0] * 90)
CALM = Pace(1.0, [480] * 90, [0] * 90, [490.0] * 90)


def svgs_of_pace(*paces: Pace) -> list[str]:
    charts = templates().get_template("charts.jinja").module
    sessions = [session(pace) for pace in paces]
    return [str(charts.pace(pace_chart(sessions, plot))).strip() for plot in (WIDE, NARROW)]


def drawn_of_pace(*paces: Pace) -> list[Element]:
    return [read(svg.encode()) for svg in svgs_of_pace(*paces)]


def named(svg: Element, name: str) -> list[Element]:
    return [e for e in svg.all() if e.attributes.get("class") == name]


def test_one_drawing_is_for_wide_pages_and_one_for_narrow_ones() -> None:
    wide, narrow = drawn_of_pace(LONG)
    assert wide.all("svg")[0].attributes["class"] == "chart pace wide"
    assert narrow.all("svg")[0].attributes["class"] == "chart pace narrow"


@pytest.mark.parametrize("place", [0, 1])
def test_lines_are_named_at_their_ends(place: int) -> None:
    svg = drawn_of_pace(LONG)[place]
    [limit], [sent] = named(svg, "name-limit"), named(svg, "name-sent")
    assert limit.text.startswith("limit")
    assert sent.text == "sent"
    # The two lines meet, their names do not.
    assert float(sent.attributes["y"]) - float(limit.attributes["y"]) > 14.9
    [refused] = named(svg, "name-refused")
    assert refused.text == "10 refused (429)"
    assert "10 refused" in svg.all("desc")[0].text


def test_without_refusals_none_are_named() -> None:
    for svg in drawn_of_pace(CALM):
        assert named(svg, "name-refused") == named(svg, "refused") == []


def test_a_last_step_that_was_not_over_does_not_place_the_name() -> None:
    cut = Pace(1.0, [100] * 9 + [1], [0] * 10, [490.0] * 10)
    whole = Pace(1.0, [100] * 10, [0] * 10, [490.0] * 10)
    places = [
        named(drawn_of_pace(pace)[0], "name-sent")[0].attributes["y"] for pace in (cut, whole)
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("sessions", [[], [session(Pace())]])
def test_no_pace_no_drawing(sessions: list[Session]) -> None:
    section = read(page(material(starts=sessions))).by_id("pace")
    assert section.all("svg") == []
    assert "No pace was recorded." in section.text


def test_drawings_are_small_however_long_a_run_was() -> None:
    rough = Pace(1.0, [n * 7919 % 9000 for n in range(1200)], [1] * 1200, [9800.0] * 1200)
    for svg in svgs_of_pace(*[rough] * 30):
        assert len(svg) < 60_000
        ET.fromstring(svg)
