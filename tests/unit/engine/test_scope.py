from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.scope import (
    SEVERAL,
    Blame,
    Lately,
    Recent,
    ShareTest,
    Streak,
    enough_in_a_row,
)
from tests.thoroughness import IS_FULL, in_full

SEEDS = range(60 if IS_FULL else 20)


def number(i: int) -> str:
    return f"+4477009{i:05d}"


# --- in a row ------------------------------------------------------------------------------


@given(share=st.floats(0, 0.75))
def test_so_many_in_a_row_are_no_chance(share: float) -> None:
    enough = enough_in_a_row(share)
    assert enough >= SEVERAL
    assert max(share, 0.01) ** enough <= 1.000001e-6


@given(shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_the_more_are_refused_anyway_the_more_in_a_row_it_takes(
    shares: tuple[float, float],
) -> None:
    less, more = sorted(shares)
    assert enough_in_a_row(less) <= enough_in_a_row(more) <= 50


def streak(places: Iterable[int]) -> Streak:
    """Other numbers at these places were refused."""
    found = Streak()
    for place in places:
        found.refused(place, number(place), sent_at=place / 10)
    return found


@given(places=st.permutations(list(range(7, 27))), meanwhile=st.integers(-5, 7))
def test_a_streak_may_be_heard_of_in_any_order(places: list[int], meanwhile: int) -> None:
    found = streak(places)
    assert not found.passed(meanwhile), "it was sent before"
    assert found.count == 20
    assert found.holds(20)
    assert not found.holds(21)


def test_it_began_when_the_first_one_heard_of_was_sent() -> None:
    assert streak([8, 9]).since == 0.8


@given(places=st.sets(st.integers(1, 50), min_size=1, max_size=20), later=st.integers(1, 100))
def test_what_was_sent_after_its_first_and_passed_ends_it(places: set[int], later: int) -> None:
    found = streak(places)
    first = min(places)
    assert found.passed(first + later)
    assert not found.holds(1)
    assert found.count == 0
    assert not found.passed(first + later + 1), "there is none to end"


def test_a_new_one_may_begin() -> None:
    found = streak(range(5))
    found.passed(9)
    for place in (20, 21, 22):
        found.refused(place, number(place), sent_at=7.0)
    assert found.holds(SEVERAL)
    assert (found.count, found.since) == (3, 7.0)


def test_a_number_that_is_refused_again_counts_once() -> None:
    found = Streak()
    for place in range(100):
        found.refused(place, number(place % 2))
    assert found.holds(2)
    assert not found.holds(SEVERAL)


@given(skipped=st.integers(0, 50))
def test_what_is_not_known_to_be_refused_counts_as_passed(skipped: int) -> None:
    """So it holds only if nine tenths of what was sent meanwhile are heard of as refused."""
    found = streak([*range(1, 10), 10 + skipped])
    assert found.holds(SEVERAL) == (0.9 * (10 + skipped) <= 10)


def test_memory_is_bounded_and_the_count_goes_on() -> None:
    found = streak(range(2000))
    assert found.count == 2000
    assert found.holds(512)
    assert not found.holds(513)


# --- CUSUM ---------------------------------------------------------------------------------


def refused_at(share: float, sends: int, seed: int) -> list[int]:
    """The places refused, each by chance."""
    chance = random.Random(seed)
    return [place for place in range(1, sends + 1) if chance.random() < share]


def alarms(places: Sequence[int], *, tolerated: float = 0.0) -> list[int]:
    """The places at which an alarm came; after each it begins anew."""
    test, found = ShareTest(), []
    test.tolerate(tolerated)
    for place in places:
        if test.refused(place):
            found.append(place)
            test.restart(place)
    return found


@pytest.mark.parametrize(("share", "rarer_than"), [(0.01, 50_000), (0.02, 25_000), (0.03, 10_000)])
def test_what_is_refused_by_chance_seldom_raises_an_alarm(share: float, rarer_than: int) -> None:
    sends = 400_000 if IS_FULL else 100_000
    assert len(alarms(refused_at(share, sends, seed=1))) <= sends / rarer_than


@pytest.mark.parametrize(
    ("share", "half_within", "all_within"),
    [(0.07, 1500, 10_000), (0.2, 60, 400), (0.5, 16, 80), (1.0, 4, 4)],
)
def test_a_share_that_is_too_high_is_found_soon(
    share: float, half_within: int, all_within: int
) -> None:
    found = sorted(alarms(refused_at(share, all_within, seed))[0] for seed in SEEDS)
    assert found[len(found) // 2] <= half_within


@pytest.mark.parametrize(("share", "within"), [(0.2, 600), (0.5, 150)])
def test_it_is_found_though_answers_overtake_each_other(share: float, within: int) -> None:
    for seed in SEEDS:
        chance = random.Random(seed)
        places = refused_at(share, within, seed)
        places.sort(key=lambda place: place + chance.uniform(0, 20))
        assert alarms(places)


def test_overtaking_alone_raises_none() -> None:
    chance = random.Random(6)
    places = refused_at(0.02, 100_000, seed=6)
    places.sort(key=lambda place: place + chance.uniform(0, 20))
    assert len(alarms(places)) <= 2


@given(passed=st.integers(0, 10_000), first=st.integers(1, 10**6), count=st.integers(1, 3))
def test_a_few_after_however_much_has_passed_are_none_too_many(
    passed: int, first: int, count: int
) -> None:
    test = ShareTest()
    test.restart(first)
    assert not any(test.refused(first + passed + i) for i in range(1, count + 1))
    assert test.refusals == count
    assert test.share(first + passed + count) == count / (passed + count)


@given(places=st.lists(st.integers(1, 500), unique=True, max_size=60), until=st.integers(0, 500))
def test_what_was_sent_before_it_began_says_nothing(places: list[int], until: int) -> None:
    fresh, begun = ShareTest(), ShareTest()
    begun.refused(1)
    for test in (fresh, begun):
        test.restart(until)
    later = [place for place in places if place > until]
    alarms = [begun.refused(place) for place in places]
    assert [is_alarm for place, is_alarm in zip(places, alarms, strict=True) if place > until] == [
        fresh.refused(place) for place in later
    ]
    assert begun.refusals == len(later)
    assert begun.sends(500) == 500 - until


@pytest.mark.parametrize(
    ("tolerated", "raised", "within"), [(0.05, 0.4, 200), (0.1, 0.5, 150), (0.3, 0.95, 60)]
)
def test_only_more_than_what_is_tolerated_raises_an_alarm(
    tolerated: float, raised: float, within: int
) -> None:
    sends = 20_000
    usual = alarms(refused_at(tolerated, sends, seed=2), tolerated=tolerated)
    assert len(usual) <= 2
    assert len(alarms(refused_at(tolerated, sends, seed=2))) > max(3, 10 * len(usual))
    for seed in SEEDS:
        assert alarms(refused_at(raised, within, seed), tolerated=tolerated)


# --- of late -------------------------------------------------------------------------------


@given(
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_the_share_of_late_is_one(shares: list[float], seed: int) -> None:
    chance, lately, place = random.Random(seed), Lately(), 0
    for share in shares:
        for _ in range(500):
            place += 1
            if chance.random() < share:
                lately.refused(place)
            assert 0 <= lately.share(place) <= 1.01


@pytest.mark.parametrize(("before", "now"), [(0.9, 0.05), (0.02, 0.6), (0.0, 1.0)])
def test_what_is_long_ago_counts_ever_less(before: float, now: float) -> None:
    lately = Lately()
    for place in refused_at(before, 10_000, seed=3):
        lately.refused(place)
    for place in refused_at(now, 3000, seed=4):
        lately.refused(10_000 + place)
    assert lately.share(13_000) == pytest.approx(now, abs=0.1)


# --- who was refused of late ---------------------------------------------------------------


def test_who_is_refused_again_is_not_new() -> None:
    recent = Recent()
    assert recent.is_new(number(1))
    assert not recent.is_new(number(1))
    recent.clear()
    assert recent.is_new(number(1))


def test_only_the_last_ones_are_remembered() -> None:
    recent = Recent()
    assert all(recent.is_new(number(i)) for i in range(1000))
    assert not recent.is_new(number(999))
    assert recent.is_new(number(0))


# --- whose it is ---------------------------------------------------------------------------


def blamed(
    sends: Sequence[int], refused: Sequence[float], seed: int, attempts: int = 1500
) -> tuple[str, int] | None:
    """Whom it blames first and after how many refusals; by parts: weight, share refused."""
    chance, blame, refusals = random.Random(seed), Blame(), 0
    parts = list(range(len(sends)))
    for part in chance.choices(parts, sends, k=attempts):
        blame.sent(str(part))
        if chance.random() < refused[part]:
            blame.refused(str(part))
            refusals += 1
            if (found := blame.of_one()) is not None:
                return found, refusals
    return None


@pytest.mark.parametrize(
    ("sends", "share"),
    [
        pytest.param(sends, share, marks=() if share == by_default else in_full)
        for sends, by_default in [((1, 1), 0.9), ((1, 1, 1), 0.02), ((1, 2, 1, 2, 1), 0.2)]
        for share in (0.02, 0.2, 0.9)
    ],
)
def test_of_parts_that_are_refused_alike_none_is_blamed(
    sends: tuple[int, ...], share: float
) -> None:
    """But by chance, of which each look at the counts is another."""
    runs = 400 if IS_FULL else 150
    wrong = sum(blamed(sends, [share] * len(sends), seed) is not None for seed in range(runs))
    assert wrong <= 0.04 * runs


def test_a_part_that_sends_nearly_everything_is_not_blamed_for_nearly_all_refusals() -> None:
    runs = 150
    wrong = sum(blamed((9, 1), (0.2, 0.2), seed) is not None for seed in range(runs))
    assert wrong <= 0.04 * runs


@pytest.mark.parametrize(
    ("sends", "culprit", "within"),
    [((1, 1), 0, 40), ((1, 1, 1, 1, 1), 3, 50), ((1, 9), 0, 40), ((3, 1), 0, 160)],
)
@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_the_one_that_is_refused_alone_is_found_soon(
    sends: tuple[int, ...], culprit: int, within: int, share: float
) -> None:
    refused = [share if part == culprit else 0.0 for part in range(len(sends))]
    for seed in SEEDS:
        found = blamed(sends, refused, seed, attempts=30_000)
        assert found is not None
        part, refusals = found
        assert part == str(culprit)
        assert refusals <= within


@given(
    happening=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=700),
    cleared=st.booleans(),
)
def test_blame_is_not_spread_and_one_part_s_at_once(
    happening: list[tuple[str, bool]], cleared: bool
) -> None:
    blame = Blame()
    for part, is_refused in happening:
        blame.sent(part)
        if is_refused:
            blame.refused(part)
        assert not (blame.is_spread() and blame.of_one())
        assert 0 <= blame.delivered(part) <= 1
    if cleared:
        blame.clear()
        assert blame.of_one() is None
        assert not blame.is_spread()
        assert blame.delivered("a") == 0


def test_a_part_that_alone_sends_is_compared_with_nobody() -> None:
    blame = Blame()
    for _ in range(100):
        blame.sent("a")
        blame.refused("a")
    assert blame.of_one() is None
    assert blame.is_spread(), "it is all there is"


def test_what_a_part_delivers_is_its_share_of_all_but_what_was_refused() -> None:
    blame = Blame()
    for i in range(200):
        blame.sent("ab"[i % 2])
        if i % 4 == 0:
            blame.refused("a")
    assert blame.delivered("a") == pytest.approx(0.25)
    assert blame.delivered("b") == pytest.approx(0.5)
    assert blame.delivered("c") == 0
