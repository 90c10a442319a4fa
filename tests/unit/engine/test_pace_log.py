from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.pace_log import FIRST_STEP_SECONDS, MOST_STEPS, PaceLog
from batch_screen.model import Pace

BEGAN = 1000.5
Events = list[tuple[float, str, float]]

gaps = st.one_of(st.floats(0, 0.5), st.floats(0, 30), st.floats(0, 1e6))
events = st.lists(
    st.tuples(gaps, st.sampled_from(["started", "refused", "limit"]), st.floats(0.1, 5000)),
    max_size=200,
)


def played(happening: Events, then: float = 0.0) -> tuple[Pace, float]:
    """The record of what happened, each after so many seconds, and how long it took."""
    log, now = PaceLog(BEGAN, 10.0), BEGAN
    for gap, what, rate in happening:
        now += gap
        log.limit(now, rate) if what == "limit" else getattr(log, what)(now)
    return log.snapshot(now + then), now + then - BEGAN


@given(happening=events)
def test_totals_are_kept_whatever_is_merged(happening: Events) -> None:
    pace, _ = played(happening)
    assert sum(pace.attempts) == sum(what == "started" for _, what, _ in happening)
    assert sum(pace.refused) == sum(what == "refused" for _, what, _ in happening)


@given(happening=events, then=gaps)
def test_steps_are_equal_few_and_cover_all_the_time(happening: Events, then: float) -> None:
    pace, seconds = played(happening, then)
    steps = len(pace.attempts)
    assert steps == len(pace.refused) == len(pace.limit_per_second) <= MOST_STEPS
    assert (steps - 1) * pace.step_seconds <= seconds < steps * pace.step_seconds
    is_as_short_as_can_be = seconds >= MOST_STEPS * pace.step_seconds / 2
    assert is_as_short_as_can_be or pace.step_seconds == FIRST_STEP_SECONDS


@given(happening=events)
def test_an_attempt_counts_in_the_step_it_was_started_in(happening: Events) -> None:
    pace, _ = played(happening)
    ends = [BEGAN + step * pace.step_seconds for step in range(1, len(pace.attempts) + 1)]
    instants = accumulate((gap for gap, _, _ in happening), initial=BEGAN)
    expected = [0] * len(ends)
    for now, (_, what, _) in zip(list(instants)[1:], happening, strict=True):
        expected[bisect_right(ends, now)] += what == "started"
    assert pace.attempts == expected


@given(happening=events)
def test_the_limit_lies_between_those_there_were(happening: Events) -> None:
    pace, _ = played(happening)
    there_were = [10.0, *(rate for _, what, rate in happening if what == "limit")]
    assert min(there_were) - 0.01 <= min(pace.limit_per_second)
    assert max(pace.limit_per_second) <= max(there_were) + 0.01


def test_a_steady_pace() -> None:
    pace, _ = played([(0.125, "started", 0.0)] * 40)
    assert pace == Pace(1.0, [7, 8, 8, 8, 8, 1], [0] * 6, [10.0] * 6)


def test_pairs_are_merged_when_all_steps_are_full() -> None:
    log = PaceLog(0.0, 10.0)
    for second in range(MOST_STEPS):
        log.started(second + 0.5)
    assert log.snapshot(MOST_STEPS - 0.25).attempts == [1] * MOST_STEPS
    log.limit(MOST_STEPS - 2.0, 30.0)  # no clock runs back: this is what is known by now
    log.refused(MOST_STEPS + 0.5)
    pace = log.snapshot(MOST_STEPS + 1.5)
    assert pace.step_seconds == 2.0
    assert pace.attempts == [2] * (MOST_STEPS // 2) + [0]
    assert pace.refused == [0] * (MOST_STEPS // 2) + [1]
    assert pace.limit_per_second[-2:] == [pytest.approx(12.5), 30.0]


def test_a_merged_step_never_looks_as_if_it_had_broken_its_limit() -> None:
    log, now = PaceLog(0.0, 8.0), 0.0
    while now < 3 * MOST_STEPS:
        rate = 8.0 if int(now) % 2 else 2.0
        log.limit(now, rate)
        log.started(now)
        now += 1 / rate
    pace = log.snapshot(now)
    rates = list(zip(pace.rates_per_second, pace.limit_per_second, strict=True))
    assert all(rate <= limit + 0.01 for rate, limit in rates[:-1])


def test_a_pause_of_years_is_steps_without_attempts() -> None:
    log = PaceLog(0.0, 10.0)
    log.started(0.5)
    log.started(1e9)
    pace = log.snapshot(1e9)
    assert len(pace.attempts) <= MOST_STEPS
    assert (pace.attempts[0], pace.attempts[-1], sum(pace.attempts)) == (1, 1, 2)


def test_nothing_happened() -> None:
    assert PaceLog(5.0, 10.0).snapshot(5.0) == Pace(1.0, [0], [0], [10.0])


def test_for_how_long_headers_held_it() -> None:
    log = PaceLog(0.0, 10.0)
    log.limit(2.0, 5.0, is_headers=True)
    log.limit(3.0, 4.0, is_headers=True)
    log.limit(5.5, 10.0)
    log.limit(7.0, 5.0, is_headers=True)
    assert log.snapshot(7.0).held_by_headers_seconds == 3.5
    log.limit(2 * MOST_STEPS, 10.0)
    assert log.snapshot(2 * MOST_STEPS).held_by_headers_seconds == 3.5 + 2 * MOST_STEPS - 7
