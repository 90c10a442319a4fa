from __future__ import annotations

import pytest

from benchmarks.pacing.contestants import e164s
from benchmarks.pacing.oddities import (
    ECHO,
    REFUSAL,
    Encounter,
    Oddity,
    chosen,
    from_text,
    odd_ones,
    to_text,
)

NUMBERS = e164s(1_000)
SIM, DEVICE = "sim-swap/check", "device-swap/check"
ODD, OTHER = NUMBERS[:2]
SOME = frozenset({ODD})


def met(oddity: Oddity, *requests: tuple[str, float]) -> list[bool]:
    encounter = Encounter(oddity)
    return [encounter.meets(lookup, seconds) for lookup, seconds in requests]


def test_the_chosen_are_as_many_as_wanted_and_the_same_whatever_the_order() -> None:
    assert len(chosen(NUMBERS, 30)) == 30
    assert chosen(NUMBERS, 30) == chosen(reversed(NUMBERS), 30)
    assert chosen(NUMBERS, 10) < chosen(NUMBERS, 30)
    assert chosen(NUMBERS, 0) == frozenset()


def test_the_chosen_lie_anywhere_in_the_list() -> None:
    places = [NUMBERS.index(number) for number in chosen(NUMBERS, 100)]
    assert all(sum(k <= place < k + 250 for place in places) >= 15 for k in (0, 250, 500, 750))


def test_an_oddity_of_a_number_meets_it_at_every_endpoint_and_nobody_else() -> None:
    always = REFUSAL._replace(numbers=SOME)
    requests = ((f"{SIM} {ODD}", 0.0), (f"{DEVICE} {ODD}", 1.0), (f"{SIM} {OTHER}", 2.0))
    assert met(always, *requests) == [True, True, False]


def test_an_oddity_of_an_endpoint_meets_all_its_numbers() -> None:
    away = Oddity(503, endpoint=DEVICE)
    requests = ((f"{DEVICE} {ODD}", 0.0), (f"{DEVICE} {OTHER}", 1.0), (f"{SIM} {ODD}", 2.0))
    assert met(away, *requests) == [True, True, False]


def test_once_is_once_for_each_lookup() -> None:
    once = REFUSAL._replace(numbers=SOME, times=1)
    requests = [(f"{SIM} {ODD}", 0.0), (f"{SIM} {ODD}", 1.0), (f"{DEVICE} {ODD}", 2.0)]
    assert met(once, *requests) == [True, False, True]


def test_a_storm_begins_and_ends() -> None:
    storm = Oddity(503, begin=4, end=9)
    requests = [(f"{SIM} {ODD}", at) for at in (0.0, 3.9, 4.0, 8.9, 9.0)]
    assert met(storm, *requests) == [False, False, True, True, False]


def test_a_limit_of_one_endpoint_meets_what_exceeds_it_there() -> None:
    slow = REFUSAL._replace(endpoint=SIM, beyond=2)
    requests = [(f"{SIM} {ODD}", at) for at in (0.0, 0.25, 0.5, 1.0, 1.125)]
    assert met(slow, (f"{DEVICE} {ODD}", 0.0), *requests) == [
        *(False, False, False, True, False, True),
    ]


def test_odd_are_those_that_are_named_and_nobody_in_a_storm() -> None:
    lookups = [f"{e} {n}" for n in NUMBERS[:3] for e in (SIM, DEVICE)]
    assert odd_ones([Oddity(503, begin=4, end=9)], lookups) == set()
    assert odd_ones([REFUSAL._replace(numbers=SOME)], lookups) == set(lookups[:2])
    assert odd_ones([Oddity(500, endpoint=DEVICE)], lookups) == set(lookups[1::2])
    both = [Oddity(500, endpoint=DEVICE), Oddity(401, numbers=SOME)]
    assert odd_ones(both, lookups) == {*lookups[1::2], lookups[0]}


@pytest.mark.parametrize(
    "oddity",
    [
        Oddity(),
        REFUSAL._replace(numbers=SOME, times=1),
        Oddity(200, (("x-correlator", ECHO),), wait_seconds=14.0),
        Oddity(503, endpoint=DEVICE, begin=4, end=9, beyond=3, code="AWAY"),
    ],
)
def test_text_says_all_of_it(oddity: Oddity) -> None:
    assert from_text(to_text([oddity, REFUSAL])) == (oddity, REFUSAL)


@pytest.mark.parametrize("text", ["", "{", "3", '[{"colour": "red"}]', '[{"status": 200}]'])
def test_what_is_no_oddity_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_text(text)
