from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Pacing
from batch_screen.engine.governor import Governor, ramp, said_rate
from batch_screen.model import Allowance


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def governed(
    clock: Clock, ceiling: float = 100, *, ramp_up: float = 0, headroom: float = 0
) -> Governor:
    pacing = Pacing(ramp_up_seconds=ramp_up, headroom=headroom, max_retry_after_seconds=900)
    return Governor(lambda: ceiling, pacing, clock=clock, jitter=lambda: 0.0)


def start(governor: Governor, clock: Clock, count: int, rate: float) -> None:
    for _ in range(count):
        governor.started()
        clock.now += 1 / rate


def test_the_ramp() -> None:
    clock = Clock()
    governor = governed(clock, ramp_up=5)
    rates = []
    for clock.now in (0, 2.5, 5, 60):
        rates.append(governor.rate())
    assert rates == pytest.approx([20, 60, 100, 100])
    assert [ramp(t, 5) for t in (0, 5)] == [0.2, 1.0]


def test_after_an_outage_the_ramp_begins_again() -> None:
    clock = Clock()
    governor = governed(clock, ramp_up=5)
    clock.now = 60
    assert governor.rate() == 100
    governor.ramp_up()
    assert governor.rate() == pytest.approx(20)


def test_one_cut_an_epoch() -> None:
    clock = Clock()
    governor = governed(clock)
    start(governor, clock, 200, 100)
    rates = []
    for age in (0.0, 0.3, 1.0):  # all sent before the first refusal was heard of
        governor.refused(sent_at=clock() - age, retry_after_seconds=1)
        rates.append(governor.rate())
    assert rates == [rates[0]] * 3
    assert 90 < rates[0] < 100


def test_a_later_refusal_of_the_same_epoch_moves_the_instant() -> None:
    clock = Clock()
    governor = governed(clock)
    start(governor, clock, 200, 100)
    governor.refused(sent_at=clock(), retry_after_seconds=1)
    first = governor.not_before
    clock.now += 0.1
    governor.refused(sent_at=clock() - 0.2, retry_after_seconds=30)
    assert (first, governor.not_before) == (pytest.approx(3), pytest.approx(32.1))
    clock.now = 33
    assert governor.rate() < 100  # and recovery counts from there


def test_a_pause_only_ever_moves_later_and_is_jittered() -> None:
    governor = Governor(lambda: 1.0, Pacing(), clock=lambda: 0.0, jitter=lambda: 1.0)
    governor.pause(100)
    governor.pause(5)
    assert governor.not_before == pytest.approx(105)


def test_at_a_slow_pace_the_level_is_not_one_seconds_luck() -> None:
    clock = Clock()
    governor = governed(clock, 4)
    start(governor, clock, 40, 4)
    governor.refused(sent_at=clock(), retry_after_seconds=1)
    assert governor.rate() == pytest.approx(4, rel=0.15)


# --- against servers with a limit ---------------------------------------------------------


class Server:
    """Takes so many in any window of a second; refuses with Retry-After: 1."""

    def __init__(self, limit: Callable[[float], float]) -> None:
        self.limit = limit
        self.accepted: deque[float] = deque()
        self.passed: list[float] = []
        self.refusals = 0

    def takes(self, now: float) -> bool:
        while self.accepted and now - self.accepted[0] >= 1:
            self.accepted.popleft()
        if len(self.accepted) >= self.limit(now):
            self.refusals += 1
            return False
        self.accepted.append(now)
        self.passed.append(now)
        return True


def drive(server: Server, ceiling: float, until: float, way: float = 0.01) -> int:
    """Attempts at the governor's pace; an answer is heard of two ways later."""
    clock = Clock()
    governor = governed(clock, ceiling, ramp_up=5)
    heard: deque[tuple[float, float, bool]] = deque()
    attempts, due = 0, 0.0
    while due < until:
        while heard and heard[0][0] <= due:
            clock.now, sent_at, is_taken = heard.popleft()
            if not is_taken:
                governor.refused(sent_at=sent_at, retry_after_seconds=1)
                due = max(due, governor.not_before)
        clock.now = due
        governor.started()
        attempts += 1
        heard.append((due + 2 * way, due, server.takes(due + way)))
        due += 1 / (0.995 * governor.rate())
        due = max(due, governor.not_before)
    return attempts


@pytest.mark.parametrize(("times_too_high", "share"), [(5, 0.95), (1.1, 0.97)])
def test_a_rate_set_too_high_finds_the_limit(times_too_high: float, share: float) -> None:
    server = Server(lambda _: 200)
    attempts = drive(server, 0.98 * 200 * times_too_high, 120)
    assert len([at for at in server.passed if at >= 6]) >= share * 200 * 114
    assert server.refusals <= 0.02 * attempts


def test_a_limit_that_halves_and_doubles_again_is_found_in_20_seconds() -> None:
    server = Server(lambda now: 100 if 40 <= now < 80 else 200)
    drive(server, 980, 120)
    for changed, limit in ((40, 100), (80, 200)):
        settled = [
            sum(at <= one < at + 1 for one in server.passed) >= 0.95 * limit
            for at in range(changed, changed + 20)
        ]
        assert any(settled)


def test_the_right_rate_is_never_refused() -> None:
    server = Server(lambda _: 200)
    drive(server, 0.98 * 200, 60)
    assert server.refusals == 0
    assert len([at for at in server.passed if at >= 6]) >= 0.97 * 200 * 54


# --- what headers say -----------------------------------------------------------------------


@given(
    ceiling=st.floats(0.1, 5000),
    limit=st.one_of(st.none(), st.floats(0.001, 1e6)),
    remaining=st.one_of(st.none(), st.integers(0, 10**6)),
    reset=st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_headers_only_ever_lower_the_rate(
    ceiling: float, limit: float | None, remaining: int | None, reset: float | None
) -> None:
    clock = Clock()
    governor = governed(clock, ceiling)
    governor.said(Allowance(limit_per_second=limit, remaining=remaining, reset_seconds=reset))
    assert 0 < governor.rate() <= ceiling
    assert governor.not_before <= 900
    clock.now = 2e6
    assert governor.rate() == ceiling


def test_a_window_that_is_used_up_is_waited_for() -> None:
    governor = governed(Clock())
    governor.said(Allowance(remaining=0, reset_seconds=30))
    assert governor.not_before == 30


def test_a_used_up_quota_is_no_pause() -> None:
    governor = governed(Clock())
    governor.said(Allowance(remaining=0, reset_seconds=86_400))
    assert governor.not_before == 0
    governor.said(Allowance(remaining=50, reset_seconds=86_400))
    assert governor.rate() == 100


def test_what_is_left_is_spread_over_the_window_with_headroom() -> None:
    governor = governed(Clock(), headroom=0.02)
    governor.said(Allowance(remaining=100, reset_seconds=11))
    assert governor.rate() == pytest.approx(9.8)
    assert said_rate(Allowance(limit_per_second=5, remaining=100, reset_seconds=11), 900) == (5, 11)
