"""The worlds are what their names say."""

from __future__ import annotations

from itertools import groupby

import pytest

from benchmarks.pacing.cases import cases, is_meant
from benchmarks.pacing.oddities import odd_ones
from benchmarks.pacing.worlds import LONG, MANY, SHORT, World, worlds

WORLDS = worlds()


def named(text: str) -> World:
    [world] = [world for world in WORLDS if world.name == text]
    return world


def odd(text: str) -> int:
    world = named(text)
    return len(odd_ones(world.oddities, world.shape.lookups))


def test_every_row_has_a_name_of_its_own() -> None:
    names = [world.name for world in WORLDS] + [case.name for case in cases(120)]
    assert len(set(names)) == len(names)


def test_worlds_of_a_shape_follow_each_other() -> None:
    shapes = [shape for shape, _ in groupby(WORLDS, key=lambda world: world.shape)]
    assert len(set(shapes)) == len(shapes) == 4


def test_lookups_are_numbers_times_endpoints_each_once() -> None:
    assert len(set(MANY.lookups)) == len(MANY.lookups) == 2_500
    assert str(MANY) == "5 × 500 at 100/s"
    assert str(named("0.5 % refused once, true limit half the rate").shape) == (
        "12,000 at 400/s, limit 200/s"
    )


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0.1 % refused once, no Retry-After", 4),
        ("0.3 % refused once, Retry-After 86400", 12),
        ("1 % refused once, Retry-After 1", 40),
        ("3 % refused once, Retry-After in the past", 120),
        ("0.5 % refused once, true limit half the rate", 60),
        ("ten numbers always refused", 10),
        ("503 for 5 s, Retry-After 1", 0),
        ("one endpoint of five always 500", 500),
        ("one endpoint of five limited to 20/s", 500),
        ("one number always 401", 1),
        ("4 % never answered at first", 20),
        ("half echo the correlator, half send their own", 250),
    ],
)
def test_as_many_lookups_are_odd_as_the_name_says(name: str, number: int) -> None:
    assert odd(name) == number


def test_the_one_number_comes_in_the_middle_of_its_list() -> None:
    # Neither among the first answers, which a run may look at together, nor among the last.
    [number] = named("one number always 429").oddities[0].numbers
    [place] = [index for index, lookup in enumerate(SHORT.lookups) if number in lookup]
    assert 50 < place < 450


def test_clean_runs_take_from_ten_seconds_to_a_minute() -> None:
    for shape in {world.shape for world in WORLDS}:
        assert 10 <= len(shape.lookups) / min(shape.rate, shape.limit or shape.rate) <= 60
    assert len(LONG.lookups) / LONG.rate == 10


def test_cases_of_a_window_are_half_as_long_and_otherwise_the_same() -> None:
    first, second, _, *counted = cases(120)
    assert [case.window for case in counted] == ["fixed", "fixed", "bucket", "bucket"]
    for case in counted:
        like = first if case.name.startswith(first.name) else second
        assert (case.rate, case.limit, case.seconds) == (like.rate, like.limit, 60)


def test_rows_are_found_by_a_part_of_their_name() -> None:
    assert [w.name for w in WORLDS if is_meant(w.name, "quota")] == [
        "one number always 429 QUOTA_EXCEEDED"
    ]
    assert all(is_meant(world.name, None) for world in WORLDS)
