from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Pace, Session
from batch_screen.output.pace_chart import pace_svg

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


def paths(svg: ET.Element, **look: str) -> list[str]:
    return [p.attrib["d"] for p in svg.iter(f"{SVG}path") if look.items() <= p.attrib.items()]


RED = {"fill": "#c81e1e"}


def test_a_chart_says_what_it_shows() -> None:
    svg = drawn(start([480] * 90))
    assert svg.find(f"{SVG}title") is not None
    said = words(svg)
    for expected in ("43,200 requests in 1 start", "requests per second", "seconds"):
        assert expected in said
    assert {"0", "100", "500", "2026-11-23", "02:15:00 UTC"} <= set(said)
    assert not [text for text in said if "refused" in text]
    assert paths(svg, **RED) == []


def test_refusals_are_red_and_counted() -> None:
    svg = drawn(start([480] * 50, refused=[0] * 20 + [30, 1] + [0] * 28))
    [legend] = [text for text in words(svg) if "refused" in text]
    assert legend.endswith(": 31")
    marks = paths(svg, **RED)[0]
    assert marks.count("Z") == 2
    assert "v-3.0" in marks, "a single one is high enough to be seen"


def test_the_starts_of_a_run_stand_apart_with_their_dates() -> None:
    svg = drawn(
        start([480] * 90),
        start([300] * 14, later=timedelta(hours=3)),
        start([100] * 600, step_seconds=16.0, later=timedelta(days=1)),
    )
    said = words(svg)
    assert {"05:15:00 UTC", "2026-11-24", "seconds", "hours"} <= set(said)
    areas = paths(svg, opacity="0.35")
    lefts = [float(area[1:].split(" ")[0]) for area in areas]
    rights = [float(area.rsplit("H", 1)[1].split("V")[0]) for area in areas]
    assert len(areas) == 3
    gaps = [right - left for left, right in zip(lefts[1:], rights[:2], strict=True)]
    assert all(gap == pytest.approx(-18, abs=0.2) for gap in gaps)
    assert rights[-1] == pytest.approx(936, abs=0.2)


def test_a_start_of_one_second_and_none_at_all() -> None:
    assert paths(drawn(start([442])), opacity="0.35")
    assert "no pace was recorded" in words(drawn())
    assert "no pace was recorded" in words(drawn(Session(BEGAN, BEGAN)))


def test_too_many_starts_to_show() -> None:
    svg = drawn(*(start([10] * 5, later=timedelta(hours=n)) for n in range(25)))
    assert "1,250 requests in 25 starts, the last 10 shown" in words(svg)
    assert len(paths(svg, opacity="0.35")) == 10


def test_it_needs_nothing_from_elsewhere() -> None:
    text = pace_svg([start([480] * 90, refused=[1] * 90)]).decode()
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<(script|image|use|style|foreignObject)|href|url\(|on\w+=", text)


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
    for area in paths(drawn(*[one] * starts), opacity="0.35"):
        xs = [float(x) for x in re.findall(r"H([\d.]+)", area)]
        ys = [float(y) for y in re.findall(r"V([\d.]+)", area)]
        assert 75.9 <= min(xs) <= max(xs) <= 936.1
        assert 84 <= min(ys) <= max(ys) <= 312
