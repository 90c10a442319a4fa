from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.recovery import HOLD_SECONDS, ramp
from batch_screen.engine.scope import SEVERAL
from batch_screen.engine.trials import TRIAL_SHARE
from batch_screen.model import Allowance, Answer, OutcomeKind
from batch_screen.sandbox.window import RateLimit, Window, rate_limit
from tests.thoroughness import in_full


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def number(i: int) -> str:
    return f"+4477{i:08d}"


class Asking:
    """A adaptive, and places for what is sent at its pace."""

    def __init__(
        self, ceiling: float = 100, *, ramp_up: float = 0, headroom: float = 0, longest: float = 900
    ) -> None:
        self.clock = Clock()
        pacing = Pacing(ramp_up_seconds=ramp_up, headroom=headroom, max_retry_after_seconds=longest)
        self.ceiling = ceiling
        self.adaptive = AdaptiveRate(
            lambda: self.ceiling, pacing, clock=self.clock, jitter=lambda: 0.0
        )
        self.place = 0

    def send(self, count: int = 1, rate: float = 100) -> range:
        """So many attempts; their places."""
        first = self.place + 1
        for _ in range(count):
            self.place += 1
            self.adaptive.started()
            self.adaptive.sent(self.place)
            self.clock.now += 1 / rate
        return range(first, self.place + 1)

    def refuse(self, place: int, retry_after: float | None = 1, *, who: int | None = None) -> bool:
        """The attempt is heard of as refused; slows down where that says so."""
        is_too_high = self.adaptive.refused(
            place, number(place if who is None else who), self.clock.now, retry_after
        )
        if is_too_high:
            self.adaptive.slow_down(place, sent_at=self.clock.now)
        return is_too_high

    def close(self, retry_after: float | None = 1) -> int:
        """Refuses one number after the other until everybody waits; how many that took."""
        count = 0
        while not self.adaptive.is_closed:
            self.refuse(self.send()[0], retry_after)
            count += 1
        return count

    def pass_one(self) -> None:
        self.adaptive.passed(self.send()[0])

    def ask(self, count: int, is_refused: Callable[[int], bool], *, rate: float = 100) -> int:
        """So many attempts that are answered one by one; how often the rate was cut."""
        cuts = 0
        for _ in range(count):
            [place] = self.send(rate=rate)
            if is_refused(place):
                cuts += self.refuse(place)
            else:
                self.adaptive.passed(place)
        return cuts


def test_the_ramp() -> None:
    asking = Asking(ramp_up=5)
    rates = []
    for asking.clock.now in (0, 2.5, 5, 60):
        rates.append(asking.adaptive.rate())
    assert rates == pytest.approx([20, 60, 100, 100])
    assert [ramp(t, 5) for t in (0, 5)] == [0.2, 1.0]


def test_after_an_outage_the_ramp_begins_again() -> None:
    asking = Asking(ramp_up=5)
    asking.clock.now = 60
    assert asking.adaptive.rate() == 100
    asking.adaptive.ramp_up()
    assert asking.adaptive.rate() == pytest.approx(20)


def test_a_pause_only_ever_moves_later_and_is_jittered() -> None:
    adaptive = AdaptiveRate(lambda: 1.0, Pacing(), clock=lambda: 0.0, jitter=lambda: 1.0)
    adaptive.pause(100)
    adaptive.pause(5)
    assert adaptive.not_before == pytest.approx(105)


# --- one refusal, and several in a row ------------------------------------------------------


@pytest.mark.parametrize("retry_after", [None, 1, 30, 1e9])
def test_one_refusal_pauses_nobody_and_cuts_nothing(retry_after: float | None) -> None:
    asking = Asking()
    for place in asking.send(200)[::50]:
        assert not asking.refuse(place, retry_after)
        asking.pass_one()
    assert not asking.adaptive.is_closed
    assert asking.adaptive.not_before == 0
    assert asking.adaptive.rate() == 100


def test_nor_does_one_number_however_often_it_is_refused() -> None:
    asking = Asking()
    for place in asking.send(100):
        assert not asking.refuse(place, 30, who=1)
    assert not asking.adaptive.is_closed
    assert asking.adaptive.not_before == 0
    assert asking.adaptive.rate() == 100


def test_a_lookup_that_was_refused_before_shows_nothing() -> None:
    asking = Asking()
    for place in asking.send(100):
        asking.adaptive.refused(place, number(place), asking.clock.now, 30, is_first=False)
    assert not asking.adaptive.is_closed


def test_several_numbers_in_a_row_make_everybody_wait_for_what_the_server_asks() -> None:
    asking = Asking()
    asking.ask(200, lambda _: False)
    assert asking.close(retry_after=7) == SEVERAL
    assert asking.adaptive.not_before == pytest.approx(asking.clock.now + 7)
    assert asking.adaptive.rate() == 100, "once is no reason to cut"
    asking.clock.now += 7
    asking.pass_one()
    assert not asking.adaptive.is_closed
    assert asking.adaptive.rate() == 100


def test_what_was_sent_before_and_passes_opens_nothing() -> None:
    asking = Asking()
    before = asking.send(5)
    asking.close()
    for place in before:
        asking.adaptive.passed(place)
    assert asking.adaptive.is_closed


def test_two_in_a_row_are_not_several() -> None:
    asking = Asking()
    for _ in range(20):
        for place in asking.send(2):
            asking.adaptive.refused(place, number(place), asking.clock.now, 30)
        asking.pass_one()
    assert not asking.adaptive.is_closed


def test_where_a_share_is_refused_anyway_it_takes_more_of_them() -> None:
    chance = random.Random(1)
    asking = Asking()
    asking.ask(3000, lambda _: chance.random() < 0.4)
    assert not asking.adaptive.is_closed
    for place in asking.send(8):
        asking.refuse(place)
    assert not asking.adaptive.is_closed
    for place in asking.send(60):
        asking.refuse(place)
    assert asking.adaptive.is_closed


def test_refused_while_closed_everybody_waits_for_the_last_retry_after() -> None:
    asking = Asking()
    asking.close(retry_after=5)
    asking.clock.now = asking.adaptive.not_before
    asking.refuse(asking.send()[0], retry_after=30)
    assert asking.adaptive.not_before == pytest.approx(asking.clock.now + 30)
    assert asking.adaptive.is_closed


def test_without_retry_after_probes_come_ever_more_rarely() -> None:
    asking = Asking()
    asking.close(retry_after=None)
    pauses = []
    for _ in range(9):
        asking.clock.now = asking.adaptive.not_before
        place = asking.send(rate=1e9)[0]
        asking.refuse(place, None)
        pauses.append(asking.adaptive.not_before - asking.clock.now)
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10], rel=0.01)
    asking.clock.now = asking.adaptive.not_before
    asking.pass_one()
    asking.close(retry_after=None)
    assert asking.adaptive.not_before - asking.clock.now == pytest.approx(0.2, abs=0.02)


def test_what_was_under_way_when_it_closed_makes_no_longer_pause() -> None:
    asking = Asking()
    places = asking.send(60, rate=1000)
    for place in places:
        asking.refuse(place, None)
    assert asking.adaptive.not_before - asking.clock.now == pytest.approx(0.2)


def test_who_is_asked_to_wait_for_too_long_is_not_obeyed_before_others_are_tried() -> None:
    asking = Asking(longest=60)
    asking.close(retry_after=3600)
    assert asking.adaptive.not_before == pytest.approx(asking.clock.now + 1)


def test_refused_at_once_after_a_pause_the_level_falls() -> None:
    asking = Asking()
    asking.ask(200, lambda _: False)
    asking.close()
    asking.clock.now += 1
    asking.ask(50, lambda _: False)
    before = asking.adaptive.rate()
    asking.close()
    asking.clock.now += 1
    assert asking.adaptive.rate() < before
    after = asking.adaptive.rate()
    asking.pass_one()
    assert asking.adaptive.rate() == pytest.approx(after, rel=0.01), "and it is held"


def test_refused_again_after_a_long_while_it_does_not() -> None:
    asking = Asking()
    asking.close()
    asking.clock.now += 1
    asking.ask(1000, lambda _: False)
    asking.close()
    assert asking.adaptive.rate() == 100


def test_above_a_level_that_was_held_it_falls_at_once() -> None:
    asking = Asking()
    asking.adaptive.hold(50)
    asking.clock.now = HOLD_SECONDS + 2
    asking.ask(700, lambda _: False, rate=60)
    assert asking.adaptive.rate() > 60
    asking.close()
    assert asking.adaptive.rate() == pytest.approx(60, rel=0.05)


def test_forgotten_refusals_raise_no_alarm() -> None:
    asking = Asking()
    for place in asking.send(12)[::4]:
        asking.refuse(place)
        asking.adaptive.passed(place + 1)
    asking.adaptive.forget()
    assert asking.ask(12, lambda place: place % 4 == 0) == 0


# --- part of it is refused ------------------------------------------------------------------


def alarmed(asking: Asking, every: int = 3, most: int = 300) -> int:
    """Every third is refused until the rate is cut; the last place."""
    for _ in range(most):
        place = asking.send()[0]
        if place % every:
            asking.adaptive.passed(place)
        elif asking.refuse(place):
            return place
    raise AssertionError("never cut")


def test_too_many_refusals_cut_the_rate_to_what_was_delivered() -> None:
    asking = Asking()
    asking.ask(300, lambda _: False)
    alarmed(asking)
    assert 60 < asking.adaptive.rate() < 95
    assert asking.adaptive.not_before == 0, "nobody waits"


def test_one_cut_an_epoch() -> None:
    asking = Asking()
    under_way = asking.send(300)
    for place in under_way[:100]:
        if place % 3:
            asking.adaptive.passed(place)
        elif asking.refuse(place):
            break
    cut = asking.adaptive.rate()
    for place in under_way[100:]:  # all sent before the first cut
        if place % 2:
            asking.adaptive.passed(place)
        else:
            assert not asking.refuse(place)
    assert asking.adaptive.rate() == pytest.approx(cut, rel=0.02)


def test_at_a_slow_pace_the_level_is_not_one_seconds_luck() -> None:
    asking = Asking(4)
    last = asking.send(40, rate=4)[-1]
    asking.adaptive.refused(last, number(last), asking.clock.now, 1)
    asking.adaptive.slow_down(last, sent_at=asking.clock.now)
    assert asking.adaptive.rate() == pytest.approx(4, rel=0.15)


def test_a_second_alarm_while_it_is_held_is_tried_and_kept_if_it_helps() -> None:
    asking = Asking()
    asking.ask(300, lambda _: False)
    alarmed(asking)
    held = asking.adaptive.rate()
    alarmed(asking)
    assert asking.adaptive.rate() == pytest.approx(TRIAL_SHARE * held, rel=0.05)
    asking.ask(200, lambda _: False)
    assert TRIAL_SHARE * held <= asking.adaptive.rate() < held
    level = asking.adaptive.rate()
    asking.clock.now += HOLD_SECONDS / 2
    assert asking.adaptive.rate() == pytest.approx(level, rel=0.02), "it is held"


def test_if_it_does_not_help_as_much_is_refused_whatever_the_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking = Asking()
    asking.ask(300, lambda _: False)
    alarmed(asking)
    alarmed(asking)
    asking.ask(200, lambda place: place % 3 == 0)
    assert "whatever the rate; only these wait" in caplog.text
    assert asking.adaptive.rate() == 100
    assert asking.ask(2000, lambda place: place % 3 == 0) == 0, "that is known by now"


@pytest.mark.parametrize("late", [50, 150, 250, 350])
def test_answers_that_come_after_the_timetable_has_closed_do_not_hold_the_rate_at_nothing(
    caplog: pytest.LogCaptureFixture, late: int
) -> None:
    """Alarms, trials and the second look may all fall into the last seconds of an hour."""
    asking = Asking()
    asking.ask(300, lambda _: False)
    alarmed(asking)
    alarmed(asking)
    while "whatever the rate" not in caplog.text:
        asking.ask(1, lambda place: place % 3 == 0)
    asking.ceiling = 0
    asking.ask(late, lambda place: place % 5 > 1)
    assert asking.adaptive.rate() == 0
    asking.ceiling = 100
    asking.clock.now += 3600
    assert asking.adaptive.rate() > 1


def test_where_everything_was_refused_at_the_second_look_some_rate_is_left() -> None:
    asking = Asking()
    asking.adaptive.hold(0)
    assert 0 < asking.adaptive.rate() < 1
    asking.clock.now += HOLD_SECONDS + 60
    assert asking.adaptive.rate() == 100


def test_others_may_hear_of_a_limit_first() -> None:
    asking = Asking()
    asking.adaptive.hold(30)
    assert 28 < asking.adaptive.rate() <= 30
    asking.clock.now = HOLD_SECONDS + 60
    assert asking.adaptive.rate() == 100


# --- against servers with a limit -----------------------------------------------------------

Changes = Callable[[float], int | None]


class Drive:
    """Attempts at a adaptive rate's pace and their answers, as the dispatcher brings them about.

    Who is refused is asked again later; while the adaptive is closed one number that is new is
    under way at a time. ``odd`` numbers are refused the first time, whatever the rate.
    """

    def __init__(
        self,
        limit: RateLimit,
        ceiling: float,
        *,
        ramp_up: float = 5,
        way: float = 0.01,
        odd: float = 0.0,
        change: Changes = lambda _: None,
        phase: float = 0.0,
    ) -> None:
        self.limit, self.way, self.odd = limit, way, odd
        self.change, self.phase = change, phase
        self.clock, self.chance = Clock(), random.Random(1)
        self.adaptive = AdaptiveRate(
            lambda: ceiling,
            Pacing(ramp_up_seconds=ramp_up),
            clock=self.clock,
            jitter=self.chance.random,
        )
        self.sent: list[float] = []
        self.passed: list[float] = []
        self.refused = 0
        self._waiting: list[tuple[float, str]] = []
        self._were_refused: set[str] = set()
        self._under_way: deque[tuple[float, int, str, float, bool]] = deque()
        self._numbers = 0

    def until(self, end: float) -> Drive:
        due, adaptive = 0.0, self.adaptive
        while due < end:
            if adaptive.is_closed and self._under_way:
                due = max(due, self._under_way[0][0])
            while self._under_way and self._under_way[0][0] <= due:
                self._hear(*self._under_way.popleft())
                due = max(due, adaptive.not_before)
            if not (adaptive.is_closed and self._under_way):
                self.clock.now = due
                self._send(due)
                due = max(due + 1 / (0.995 * adaptive.rate()), adaptive.not_before)
        return self

    def passed_share(self, since: float, until: float, limit: float) -> float:
        count = sum(since <= at < until for at in self.passed)
        return count / (until - since) / limit

    @property
    def refused_share(self) -> float:
        return self.refused / len(self.sent)

    def _next(self, now: float) -> str:
        if self._waiting and self._waiting[0][0] <= now and not self.adaptive.is_closed:
            return heapq.heappop(self._waiting)[1]
        self._numbers += 1
        return number(self._numbers)

    def _send(self, now: float) -> None:
        who = self._next(now)
        self.sent.append(now)
        place = len(self.sent)
        self.adaptive.started()
        self.adaptive.sent(place)
        at = now + self.way
        if (per_second := self.change(at)) is not None:
            self.limit.per_second = per_second
        is_odd = who not in self._were_refused and self.chance.random() < self.odd
        is_passed = not is_odd and self.limit.admit(at + self.phase)
        if is_passed:
            self.passed.append(at)
        self.refused += not is_passed
        self._under_way.append((at + self.way, place, who, now, is_passed))

    def _hear(self, now: float, place: int, who: str, sent_at: float, is_passed: bool) -> None:
        self.clock.now = now
        if is_passed:
            self.adaptive.passed(place)
            return
        heapq.heappush(self._waiting, (now + 1 + 0.05 * self.chance.random(), who))
        is_first = who not in self._were_refused
        self._were_refused.add(who)
        if self.adaptive.refused(place, who, sent_at, 1.0, is_first=is_first):
            self.adaptive.slow_down(place, sent_at=sent_at)


@pytest.mark.parametrize(
    ("window", "times_too_high", "share"),
    [
        (Window.SLIDING, 5, 0.95),
        (Window.BUCKET, 5, 0.95),
        (Window.SLIDING, 1.1, 0.97),
        (Window.BUCKET, 1.1, 0.95),
    ],
)
def test_a_rate_set_too_high_finds_the_limit(
    window: Window, times_too_high: float, share: float
) -> None:
    drive = Drive(rate_limit(window, 200), 0.98 * 200 * times_too_high).until(120)
    assert drive.passed_share(6, 120, 200) >= share
    assert drive.refused_share <= 0.02


@pytest.mark.parametrize(
    ("times_too_high", "share", "worst"),
    [(5, 0.9, 0.85), pytest.param(1.1, 0.94, 0.93, marks=in_full)],
)
def test_where_a_window_ends_is_a_matter_of_luck(
    times_too_high: float, share: float, worst: float
) -> None:
    """Around its tick a fixed window lets twice as much pass: the limit is felt for."""
    phases = [i / 5 for i in range(5)]
    drives = [
        Drive(rate_limit(Window.FIXED, 200), 0.98 * 200 * times_too_high, phase=phase).until(120)
        for phase in phases
    ]
    shares = [drive.passed_share(6, 120, 200) for drive in drives]
    assert sum(shares) / len(shares) >= share
    assert min(shares) >= worst
    assert max(drive.refused_share for drive in drives) <= 0.02


@pytest.mark.parametrize("window", Window)
def test_a_limit_that_halves_and_doubles_again_is_found_in_20_seconds(window: Window) -> None:
    drive = Drive(
        rate_limit(window, 200), 980, change=lambda now: 100 if 40 <= now < 80 else 200
    ).until(120)
    for changed, limit in ((40, 100), (80, 200)):
        settled = [
            drive.passed_share(at, at + 1, limit) >= 0.95 for at in range(changed, changed + 20)
        ]
        assert any(settled)
    assert drive.refused_share <= 0.02


@pytest.mark.parametrize("window", Window)
def test_the_right_rate_is_never_refused(window: Window) -> None:
    drive = Drive(rate_limit(window, 200), 0.98 * 200).until(60)
    assert drive.refused == 0
    assert drive.passed_share(6, 60, 200) >= 0.97


@pytest.mark.parametrize(
    ("window", "odd"),
    [
        pytest.param(window, odd, marks=() if odd in by_default else in_full)
        for window, by_default in [
            (Window.SLIDING, (0.005, 0.05, 0.5)),
            (Window.BUCKET, (0.02, 0.2)),
        ]
        for odd in (0.005, 0.02, 0.05, 0.2, 0.5)
    ],
)
def test_where_a_share_is_refused_whatever_the_rate_the_rate_is_kept(
    window: Window, odd: float
) -> None:
    drive = Drive(rate_limit(window, 1000), 196, odd=odd).until(120)
    first = 1 / (1 + odd)  # of those sent; the others are asked again
    assert len(drive.passed) >= (0.85 if odd < 0.5 else 0.75) * first * 196 * 118


@pytest.mark.parametrize(("times_too_high", "ramp_up"), [(5, 0), (8, 0), (30, 5)])
def test_a_full_bucket_is_a_limit_all_the_same(times_too_high: float, ramp_up: float) -> None:
    """The burst that it lets pass first is no sign that the rate does not matter."""
    drive = Drive(
        rate_limit(Window.BUCKET, 200), 0.98 * 200 * times_too_high, ramp_up=ramp_up
    ).until(60)
    assert drive.passed_share(6, 60, 200) >= 0.9
    assert drive.refused_share <= 0.05


@pytest.mark.parametrize(
    ("limit", "times_too_high", "ramp_up"), [(50, 12, 5), (50, 20, 0), (200, 12, 5)]
)
def test_a_bucket_far_away_is_a_limit_all_the_same(
    limit: int, times_too_high: float, ramp_up: float
) -> None:
    drive = Drive(
        rate_limit(Window.BUCKET, limit), 0.98 * limit * times_too_high, ramp_up=ramp_up, way=0.3
    ).until(60)
    assert drive.refused_share <= 0.5


@pytest.mark.parametrize(
    ("times_too_high", "limit"),
    [
        (1.02, 1000),
        (1.2, 400),
        *(pytest.param(*each, marks=in_full) for each in [(1.02, 400), (1.2, 1000)]),
        *(pytest.param(1.05, limit, marks=in_full) for limit in (400, 1000)),
    ],
)
def test_a_fast_rate_that_is_a_little_too_high_does_not_pause_for_ever(
    limit: int, times_too_high: float
) -> None:
    drive = Drive(rate_limit(Window.FIXED, limit), times_too_high * limit, way=0.05).until(60)
    assert drive.passed_share(6, 60, limit) >= 0.85


# --- what headers say -----------------------------------------------------------------------


def told(asking: Asking, allowance: Allowance, times: int = 3) -> AdaptiveRate:
    for _ in range(times):
        answer = Answer(kind=OutcomeKind.SUCCESS, allowance=allowance)
        asking.adaptive.answered(answer.allowance, sent_at=asking.clock.now)
    return asking.adaptive


@given(
    ceiling=st.floats(0.1, 5000),
    limit=st.one_of(st.none(), st.floats(0.001, 1e6)),
    remaining=st.one_of(st.none(), st.integers(0, 10**6)),
    reset=st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_headers_only_ever_lower_the_rate_and_never_to_a_standstill(
    ceiling: float, limit: float | None, remaining: int | None, reset: float | None
) -> None:
    asking = Asking(ceiling)
    adaptive = told(
        asking, Allowance(limit_per_second=limit, remaining=remaining, reset_seconds=reset)
    )
    assert 0.1 * ceiling <= adaptive.rate() <= ceiling
    assert adaptive.is_held_by_headers == (adaptive.rate() < ceiling)
    assert adaptive.not_before == 0
    asking.clock.now = 901  # longer than that nobody waits
    assert adaptive.rate() == ceiling
    assert not adaptive.is_held_by_headers


def test_one_answers_headers_slow_nobody_down() -> None:
    asking = Asking()
    assert told(asking, Allowance(remaining=0, reset_seconds=30), times=2).rate() == 100
    assert told(asking, Allowance(remaining=0, reset_seconds=30), times=1).rate() == 10


def test_a_window_that_is_used_up_is_no_standstill() -> None:
    asking = Asking()
    assert told(asking, Allowance(remaining=0, reset_seconds=30)).rate() == 10
    asking.clock.now = 30
    assert asking.adaptive.rate() == 100


def test_a_used_up_quota_is_no_pause() -> None:
    asking = Asking()
    assert told(asking, Allowance(remaining=0, reset_seconds=86_400)).rate() == 100
    assert told(asking, Allowance(remaining=50, reset_seconds=86_400)).rate() == 100


def test_what_is_left_is_spread_over_the_window_with_headroom() -> None:
    adaptive = told(Asking(headroom=0.02), Allowance(remaining=300, reset_seconds=11))
    assert adaptive.rate() == pytest.approx(29.4)


def test_headers_do_not_speed_up_what_is_held_for_another_reason() -> None:
    asking = Asking()
    asking.adaptive.hold(5)
    assert told(asking, Allowance(limit_per_second=50)).rate() <= 5
    assert not asking.adaptive.is_held_by_headers


def test_where_nothing_may_be_asked_headers_do_not_count() -> None:
    asking = Asking(0.0)
    assert told(asking, Allowance(limit_per_second=50)).rate() == 0
    assert not asking.adaptive.is_held_by_headers
