from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.recovery import (
    HOLD_SECONDS,
    HOLD_SHARE,
    LEAST_PER_SECOND,
    REMEMBERED_SECONDS,
    Epoch,
    Refusal,
    Starts,
    next_epoch,
    recovered,
)


def refusal(**known: float | bool) -> Refusal:
    usual: dict[str, float | bool] = {
        "at": 100.0,
        "not_before": 101.0,
        "rate": 100.0,
        "seen": 90.0,
        "average": 50.0,
        "ceiling": 1000.0,
        "best": 0.0,
        "has_instant": True,
        "has_closed": True,
    }
    return Refusal(**(usual | known))


def epoch(**known: float) -> Epoch:
    usual = {"level": 100, "paused_at": 0, "resumes_at": 1, "probes_at": 13, "hold_seconds": 12}
    return Epoch(**(usual | known))


def test_the_first_refusal_shows_what_had_passed() -> None:
    first = next_epoch(None, refusal(seen=90, rate=400))
    assert first.level == pytest.approx(0.985 * 90)
    assert first.resumes_at == 101
    assert first.probes_at == 101 + HOLD_SECONDS


def test_a_first_request_that_is_refused_shows_little() -> None:
    assert next_epoch(None, refusal(seen=0, rate=200)).level == 100


def test_growth_is_flat_below_the_level_and_steep_beyond_it() -> None:
    curve = [recovered(epoch(), now) for now in range(1, 20)]
    assert curve == sorted(curve)
    assert curve[0] == pytest.approx(98.01)
    assert curve[11] == pytest.approx(99)
    assert curve[15] > 1.9 * 99
    assert recovered(epoch(), 0) == curve[0]  # still paused


def test_without_an_instant_the_cut_is_deeper() -> None:
    gentle, deep = (next_epoch(None, refusal(has_instant=has)) for has in (True, False))
    assert recovered(deep, 101) < recovered(gentle, 101) < HOLD_SHARE * 90


def test_a_probe_that_finds_the_limit_where_it_was_makes_the_next_one_rarer() -> None:
    last, holds = next_epoch(None, refusal(seen=100)), []
    for _ in range(4):
        at = last.probes_at + 1.5
        last = next_epoch(last, refusal(at=at, not_before=at + 1, rate=110, seen=100, best=100))
        holds.append(last.hold_seconds)
    assert holds == [48, 120, 120, 120]


def test_where_little_can_be_won_probes_are_rare_from_the_start() -> None:
    assert next_epoch(None, refusal(seen=100, ceiling=107)).hold_seconds > 5 * HOLD_SECONDS


def test_a_limit_that_fell_is_probed_soon() -> None:
    was = epoch(hold_seconds=120, probes_at=500)
    fallen = next_epoch(was, refusal(at=50, not_before=51, rate=99, seen=99, best=250))
    assert fallen.probes_at == 51 + HOLD_SECONDS


def test_a_refusal_while_holding_neither_moves_the_next_probe_nor_the_level_much() -> None:
    held = next_epoch(epoch(), refusal(at=8, not_before=9, rate=99, seen=99, best=100))
    assert held.probes_at == 13
    assert held.level == pytest.approx(98)


def test_unless_far_less_was_let_pass() -> None:
    half, less = (
        next_epoch(epoch(), refusal(at=8, not_before=9, rate=99, seen=seen, best=100))
        for seen in (60, 20)
    )
    assert half.level == pytest.approx(60)
    assert less.level == pytest.approx(50), "but not by more than half at once"


def test_refused_at_once_after_a_pause_what_was_seen_is_the_limit() -> None:
    half = next_epoch(epoch(), refusal(at=1.6, not_before=2.6, rate=99, seen=50, best=100))
    assert (half.level, half.strikes) == (50, 1)
    close = next_epoch(epoch(), refusal(at=1.6, not_before=2.6, rate=99, seen=99, best=100))
    assert close.level == pytest.approx(88), "or a little more than the pause has emptied"


def test_strikes_grow_deeper() -> None:
    last, levels = epoch(), []
    for _ in range(5):
        at = last.resumes_at + 1
        last = next_epoch(last, refusal(at=at, not_before=at + 1, rate=99, seen=99, average=10))
        levels.append(last.level)
    shares = [after / before for before, after in zip([100.0, *levels], levels, strict=False)]
    assert shares == pytest.approx([0.88, 0.9, 0.86, 0.75, 0.75])


@given(
    last=st.one_of(
        st.none(),
        st.builds(
            epoch,
            level=st.floats(LEAST_PER_SECOND, 5000),
            resumes_at=st.floats(0, 100),
            probes_at=st.floats(0, 300),
            hold_seconds=st.floats(1, 120),
            strikes=st.integers(0, 60),
        ),
    ),
    at=st.floats(100, 1000),
    rate=st.floats(0, 5000),
    seen=st.floats(0, 5000),
    average=st.floats(0, 5000),
    best=st.floats(0, 5000),
)
def test_every_refusal_lowers_the_rate_and_plans_a_way_back(
    *, last: Epoch | None, at: float, rate: float, seen: float, average: float, best: float
) -> None:
    known = {"at": at, "not_before": at + 1, "rate": rate, "seen": seen}
    found = next_epoch(last, refusal(**known, average=average, best=best))
    assert found.level >= LEAST_PER_SECOND
    assert found.resumes_at == at + 1 <= found.probes_at <= at + 1 + max(300, found.hold_seconds)
    before = rate if last is None else max(rate, last.level)
    assert found.level <= max(before, LEAST_PER_SECOND)
    assert recovered(found, at + 1) < max(before, LEAST_PER_SECOND)


@given(
    rate=st.floats(0.1, 30),
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0, 2)), max_size=200),
)
def test_who_starts_when_the_window_opens_never_fills_a_second_too_much(
    rate: float, gaps: list[float]
) -> None:
    starts, now, instants = Starts(), 0.0, []
    for gap in gaps:
        now = max(now + gap, starts.window_opens_at(rate))
        starts.add(now)
        instants.append(now)
    for first in instants:
        assert sum(first <= at < first + 1 for at in instants) <= math.ceil(rate)


def test_what_is_old_is_forgotten() -> None:
    starts = Starts()
    for instant in (0.0, 1.0, 2.0 + REMEMBERED_SECONDS):
        starts.add(instant)
    assert starts.count(0) == 1
    assert starts.count(1.0, 2.0) == 0


def test_a_first_level_is_a_guess_until_everything_was_refused() -> None:
    guess, found = (next_epoch(None, refusal(has_closed=closed)) for closed in (False, True))
    assert (guess.hold_seconds, found.hold_seconds) == (HOLD_SECONDS / 4, HOLD_SECONDS)
    assert recovered(guess, guess.probes_at + 1) > 2 * recovered(found, found.probes_at + 1)
