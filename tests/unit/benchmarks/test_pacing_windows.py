from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pacing.windows import WINDOWS


def taken(window: str, limit: int, instants: list[float]) -> list[float]:
    counted = WINDOWS[window]()
    return [instant for instant in instants if counted.takes(instant, limit)]


def evenly(rate: int, seconds: int, begin: float) -> list[float]:
    return [begin + turn / rate for turn in range(rate * seconds)]


@pytest.mark.parametrize(
    ("window", "instants"),
    [
        ("sliding", [10.875, 10.9375, 11.875, 11.9375]),  # a second later, and no sooner
        (
            "fixed",
            [10.875, 10.9375, 11.0, 11.0625, 12.0, 12.0625],
        ),  # at once behind the full second
        ("bucket", [10.875, 10.9375, 11.375, 11.875]),  # half a second for each
    ],
)
def test_two_a_second_of_many(window: str, instants: list[float]) -> None:
    assert taken(window, 2, [10.875 + turn / 16 for turn in range(20)]) == instants


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("rate", [1, 7, 100])
def test_whoever_sends_evenly_at_the_limit_is_taken_always(window: str, rate: int) -> None:
    # A hair slower, because a sum of fractions may come out a little early.
    instants = [1000.3 + turn / (0.999 * rate) for turn in range(10 * rate)]
    assert taken(window, rate, instants) == instants


@pytest.mark.parametrize(("window", "extra"), [("sliding", 0), ("fixed", 10), ("bucket", 10)])
def test_who_sends_too_much_gets_the_limit_and_at_most_a_second_s_worth(
    window: str, extra: int
) -> None:
    assert 100 <= len(taken(window, 10, evenly(70, 10, 1000.5))) <= 100 + extra


@given(
    st.lists(st.floats(0, 5), max_size=60).map(sorted),
    st.integers(1, 5),
    st.sampled_from(sorted(WINDOWS)),
)
def test_no_second_has_more_than_twice_the_limit_and_a_sliding_one_not_more_than_it(
    instants: list[float], limit: int, window: str
) -> None:
    counted = taken(window, limit, instants)
    most = max((sum(0 <= other - each < 1.0 for other in counted) for each in counted), default=0)
    assert most <= (limit if window == "sliding" else 2 * limit)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_limit_that_falls_counts_from_then_on(window: str) -> None:
    counted = WINDOWS[window]()
    assert sum(counted.takes(10 + turn / 100, 20) for turn in range(50)) >= 20
    assert sum(counted.takes(12 + turn / 100, 5) for turn in range(50)) in (5, 7)
