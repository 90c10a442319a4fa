from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.sections import Dialect
from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import Population, World, field_name, rfc3339, subscriber, truth
from batch_screen.sandbox.contract import NOT_FOUND, PERMISSION_DENIED, Problem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORLD = World(seed=0, now=NOW)
EVERYBODY = World(seed=0, now=NOW, population=Population(not_found_share=0))
CHECK_AND_DATE = [
    (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE),
    (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE),
]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)

numbers = st.integers(1_000_000, 10**15 - 1).map(lambda digits: f"+{digits}")
worlds = st.builds(
    World,
    seed=st.integers(-(2**63), 2**63),
    now=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    population=st.just(Population(swapped_share=0.6, not_found_share=0)),
)


def body(number: str, endpoint: Endpoint, max_age: int | None, world: World) -> dict[str, object]:
    answer = truth(number, endpoint, max_age, world)
    assert not isinstance(answer, Problem)
    return answer


def nanoseconds(date: str) -> int:
    whole, _, fraction = date[:-1].partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize(("check", "date"), CHECK_AND_DATE)
@given(numbers, worlds, st.integers(1, 2400))
def test_a_check_agrees_with_the_date_beside_it(
    check: Endpoint, date: Endpoint, number: str, world: World, max_age: int
) -> None:
    changed = body(number, date, None, world)["latestSimChange"]
    swapped = body(number, check, max_age, world)["swapped"]
    if changed is None:
        assert swapped is False
    else:
        age = int(world.now.timestamp() * 10**6) * 1000 - nanoseconds(str(changed))
        assert age >= 0
        assert swapped is (age <= max_age * 60 * 10**9)


@given(numbers, worlds, st.lists(st.integers(1, 2400), min_size=2, max_size=8))
def test_a_wider_window_never_loses_a_swap(number: str, world: World, ages: list[int]) -> None:
    claims = [body(number, Endpoint.SIM_SWAP_CHECK, age, world)["swapped"] for age in sorted(ages)]
    assert claims == sorted(claims, key=bool)


@given(numbers, worlds)
def test_the_same_question_gets_the_same_answer(number: str, world: World) -> None:
    for endpoint in Endpoint:
        assert truth(number, endpoint, 240, world) == truth(number, endpoint, 240, world)


@given(numbers, worlds)
def test_no_window_means_240_minutes(number: str, world: World) -> None:
    check = Endpoint.SIM_SWAP_CHECK
    assert truth(number, check, None, world) == truth(number, check, 240, world)


def test_the_window_includes_its_edge() -> None:
    edge = World(seed=0, now=NOW)
    lately = "+46701740606"  # 1,000 minutes ago
    assert body(lately, Endpoint.SIM_SWAP_CHECK, 999, edge) == {"swapped": False}
    assert body(lately, Endpoint.SIM_SWAP_CHECK, 1000, edge) == {"swapped": True}


def test_the_population_has_the_shares_it_promises() -> None:
    count = 20_000
    people = [subscriber(f"+4915{i:09d}", WORLD) for i in range(count)]
    now = int(NOW.timestamp()) * 10**9
    ages = [(now - p.sim_changed_ns) / 6e10 for p in people if p.sim_changed_ns is not None]
    recent = [age for age in ages if age <= 2400]
    assert len(recent) / count == pytest.approx(0.03, rel=0.15)
    assert min(recent) < 10
    assert sum(age <= 240 for age in recent) / len(recent) == pytest.approx(0.7, abs=0.1)
    assert 1 - len(ages) / count == pytest.approx(0.15, rel=0.1)
    assert sum(p.forwards_calls for p in people) / count == pytest.approx(0.02, rel=0.2)
    assert sum(p.problem is NOT_FOUND for p in people) / count == pytest.approx(0.02, rel=0.2)
    both = [p for p in people if _is_recent(p.sim_changed_ns) and _is_recent(p.device_changed_ns)]
    assert len(both) / len(recent) > 0.5


def _is_recent(changed_ns: int | None) -> bool:
    return changed_ns is not None and NOW.timestamp() - changed_ns / 1e9 <= 2400 * 60


def test_dates_have_zero_to_nine_fraction_digits_and_often_nine() -> None:
    dates = [
        str(body(f"+4915{i:09d}", Endpoint.SIM_SWAP_DATE, None, EVERYBODY)["latestSimChange"])
        for i in range(500)
    ]
    dates = [date for date in dates if date != "None"]
    assert all(RFC3339.fullmatch(date) for date in dates)
    digits = [len(date.partition(".")[2].rstrip("Z")) for date in dates]
    assert set(digits) == set(range(10))
    assert digits.count(9) > len(digits) / 3


def test_seeds_make_different_people() -> None:
    other = World(seed=1, now=NOW, population=Population(not_found_share=0))
    numbers = [f"+4915{i:09d}" for i in range(50)]
    one = [truth(n, Endpoint.SIM_SWAP_DATE, None, EVERYBODY) for n in numbers]
    assert one != [truth(n, Endpoint.SIM_SWAP_DATE, None, other) for n in numbers]


def test_refused_numbers_are_refused_everywhere() -> None:
    closed = World(seed=0, now=NOW, population=Population(not_found_share=0.5, forbidden_share=0.5))
    verdicts = {
        n: {truth(n, e, None, closed) for e in Endpoint} for n in ("+491511234567", "+491511234568")
    } | {f"+49151{i}": {truth(f"+49151{i}", e, None, closed) for e in Endpoint} for i in range(50)}
    assert all(len(v) == 1 for v in verdicts.values())
    assert {next(iter(v)) for v in verdicts.values()} == {NOT_FOUND, PERMISSION_DENIED}


def test_never_swapped_is_null_and_false() -> None:
    never = "+46701740607"
    assert body(never, Endpoint.SIM_SWAP_DATE, None, WORLD) == {"latestSimChange": None}
    assert body(never, Endpoint.DEVICE_SWAP_CHECK, 2400, WORLD) == {"swapped": False}


def test_only_the_later_dialect_names_the_device_date_after_the_device() -> None:
    later = World(seed=0, now=NOW, dialect=Dialect.LATER)
    date = Endpoint.DEVICE_SWAP_DATE
    assert list(body("+46701740605", date, None, WORLD)) == ["latestSimChange"]
    assert list(body("+46701740605", date, None, later)) == ["latestDeviceChange"]
    assert field_name(Endpoint.SIM_SWAP_DATE, Dialect.LATER) == "latestSimChange"


@given(st.integers(0, 4 * 10**18), st.integers(0, 9))
def test_a_date_is_cut_and_never_rounded_up(instant: int, digits: int) -> None:
    date = rfc3339(instant, digits)
    assert RFC3339.fullmatch(date)
    assert 0 <= instant - nanoseconds(date) < 10 ** (9 - digits)


def test_a_date_before_1970_is_a_date() -> None:
    before = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert rfc3339(before // timedelta(microseconds=1) * 1000, 0) == "1969-12-31T23:59:59Z"
