from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.concurrency import FEWEST, Concurrency, wanted


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25  # every look is a later one
        return self.now


def limited(rate: float, most: int = 256) -> Concurrency:
    return Concurrency(most, lambda: rate, clock=Clock())


def answered(concurrency: Concurrency, seconds: float, count: int = 256) -> int:
    for _ in range(count):
        concurrency.answered(seconds)
    return concurrency.limit()


def test_it_follows_rate_and_latency_within_the_cap() -> None:
    concurrency = limited(100)
    assert answered(concurrency, 0.1) == 15
    assert answered(concurrency, 1.0) == 150
    assert answered(concurrency, 10.0) == 256
    assert answered(concurrency, 0.001) == FEWEST


def test_the_slowest_of_twenty_count_and_one_of_a_hundred_does_not() -> None:
    concurrency = limited(100)
    for i in range(256):
        concurrency.answered(5.0 if i % 100 == 0 else 0.1)
    assert concurrency.limit() == 15
    for i in range(256):
        concurrency.answered(1.0 if i % 10 == 0 else 0.1)
    assert concurrency.limit() == 150


def test_before_anything_is_known_half_a_second_is_assumed() -> None:
    assert limited(100).limit() == wanted(100, 0.5) == 75


def test_timeouts_halve_it_once_for_all_that_were_under_way_and_it_comes_back() -> None:
    concurrency = limited(100)
    before = answered(concurrency, 0.4)
    for _ in range(10):
        concurrency.timed_out(sent_at=0.1)
    cut = concurrency.limit()
    assert before // 2 <= cut <= 0.6 * before
    later = [concurrency.limit() for _ in range(60)]
    assert later == sorted(later)
    assert later[-1] == before


def test_it_is_not_raised_while_the_loop_lags() -> None:
    concurrency = limited(100)
    before = answered(concurrency, 0.1)
    concurrency.lagged(0.3)
    assert answered(concurrency, 1.0) == before
    concurrency.lagged(0.01)
    for _ in range(8):
        concurrency.limit()
    assert concurrency.limit() == 150


def test_slow_is_far_above_the_usual() -> None:
    concurrency = limited(100)
    assert not concurrency.is_slow(60)
    answered(concurrency, 0.5)
    assert concurrency.is_slow(1.6)
    assert not concurrency.is_slow(1.4)


@given(
    most=st.integers(1, 500),
    rate=st.floats(0, 5000),
    events=st.lists(
        st.tuples(st.sampled_from(["answered", "timed_out", "lagged"]), st.floats(0, 60)),
        max_size=60,
    ),
)
def test_it_always_lies_between_one_and_the_cap(
    most: int, rate: float, events: list[tuple[str, float]]
) -> None:
    concurrency = limited(rate, most)
    for what, value in events:
        if what == "timed_out":
            concurrency.timed_out(sent_at=value)
        else:
            getattr(concurrency, what)(value)
        assert 1 <= concurrency.limit() <= most
