from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.concurrency import FEWEST, Concurrency, wanted


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Asking:
    """A concurrency and its clock; each look at the limit is a later one."""

    def __init__(self, rate: float = 100, most: int = 256) -> None:
        self.clock = Clock()
        self.concurrency = Concurrency(most, lambda: rate, clock=self.clock)

    def limit(self) -> int:
        self.clock.now += 0.25
        return self.concurrency.limit()

    def answer(self, seconds: float, count: int = 256) -> int:
        for _ in range(count):
            self.concurrency.answered(seconds)
        return self.limit()

    def time_out(self, count: int, *, sent_at: float | None = None) -> int:
        """So many hang; the limit right after."""
        for _ in range(count):
            self.concurrency.timed_out(sent_at=self.clock.now if sent_at is None else sent_at)
        return self.concurrency.limit()


def test_it_follows_rate_and_latency_within_the_cap() -> None:
    asking = Asking()
    assert asking.answer(0.1) == 15
    assert asking.answer(1.0) == 150
    assert asking.answer(10.0) == 256
    assert asking.answer(0.001) == FEWEST


def test_the_slowest_of_twenty_count_and_one_of_a_hundred_does_not() -> None:
    asking = Asking()
    for i in range(256):
        asking.concurrency.answered(5.0 if i % 100 == 0 else 0.1)
    assert asking.limit() == 15
    for i in range(256):
        asking.concurrency.answered(1.0 if i % 10 == 0 else 0.1)
    assert asking.limit() == 150


def test_before_anything_is_known_half_a_second_is_assumed() -> None:
    assert Asking().limit() == wanted(100, 0.5) == 75


@pytest.mark.parametrize("late", [1, 3, 7])
def test_a_few_that_hang_among_many_that_are_answered_change_nothing(late: int) -> None:
    asking = Asking()
    before = asking.answer(0.4)
    for _ in range(20):
        assert asking.time_out(late) == before
        asking.answer(0.4, 32)


def test_three_that_hang_before_anything_is_answered_change_nothing() -> None:
    asking = Asking()
    before = asking.limit()
    assert asking.time_out(3) == before
    assert asking.time_out(1) < before


def test_many_timeouts_halve_it_once_for_all_that_were_under_way_and_it_comes_back() -> None:
    asking = Asking()
    before = asking.answer(0.4)
    sent_at = asking.clock.now
    asking.clock.now += 15
    cut = asking.time_out(10, sent_at=sent_at)
    assert before // 2 <= cut <= 0.6 * before
    assert asking.time_out(20, sent_at=sent_at) == cut
    later = [asking.limit() for _ in range(60)]
    assert later == sorted(later)
    assert later[-1] == before


def test_it_is_cut_again_where_those_that_were_sent_later_hang_too() -> None:
    asking = Asking()
    before = asking.answer(0.4)
    for _ in range(12):
        asking.time_out(8)
        asking.limit()
    assert asking.limit() < before / 8


def test_it_is_not_raised_while_the_loop_lags() -> None:
    asking = Asking()
    before = asking.answer(0.1)
    asking.concurrency.lagged(0.3)
    assert asking.answer(1.0) == before
    asking.concurrency.lagged(0.01)
    for _ in range(8):
        asking.limit()
    assert asking.limit() == 150


def test_an_answer_is_late_by_what_it_takes_longer_than_the_middle_one() -> None:
    asking = Asking()
    assert asking.concurrency.delay(60) == 0
    asking.answer(0.5)
    assert asking.concurrency.delay(0.75) == 0.25
    assert asking.concurrency.delay(0.4) == 0
    for _ in range(20):
        asking.concurrency.answered(5.5)
    assert asking.concurrency.delay(5.5) == 5


def test_what_is_stuck_holds_slots_of_its_own_while_others_are_answered() -> None:
    asking = Asking()
    asking.answer(0.1)
    for place in range(7):
        asking.concurrency.sent(place, asking.clock.now)
    assert asking.limit() == 15, "not yet three times as long as usual"
    asking.clock.now += 0.1
    assert asking.answer(0.1) == 15 + 7
    for place in range(5):
        asking.concurrency.ended(place)
    assert asking.answer(0.1) == 15 + 2
    asking.concurrency.ended(99)  # nobody knows it


def test_it_takes_them_within_the_cap() -> None:
    asking = Asking(most=18)
    asking.answer(0.1)
    for place in range(7):
        asking.concurrency.sent(place, asking.clock.now)
    asking.clock.now += 1
    assert asking.answer(0.1) == 18


def test_where_nothing_is_answered_all_are_stuck_and_get_no_more() -> None:
    asking = Asking()
    asking.answer(0.1)
    for place in range(15):
        asking.concurrency.sent(place, asking.clock.now)
    asking.clock.now += 2
    assert asking.limit() == 15


@given(
    most=st.integers(1, 500),
    rate=st.floats(0, 5000),
    events=st.lists(
        st.tuples(
            st.sampled_from(["answered", "timed_out", "lagged", "sent", "ended"]),
            st.floats(0, 60),
        ),
        max_size=60,
    ),
)
def test_it_always_lies_between_one_and_the_cap(
    most: int, rate: float, events: list[tuple[str, float]]
) -> None:
    asking = Asking(rate, most)
    for place, (what, value) in enumerate(events):
        if what == "timed_out":
            asking.time_out(1, sent_at=value)
        elif what == "sent":
            asking.concurrency.sent(place, asking.clock.now)
        elif what == "ended":
            asking.concurrency.ended(int(value))
        else:
            getattr(asking.concurrency, what)(value)
        assert 1 <= asking.limit() <= most
