from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Pacing
from batch_screen.engine.headers import Headers, said_rate
from batch_screen.model import Allowance
from tests.thoroughness import in_full

USED_UP = Allowance(remaining=0, reset_seconds=30)
ALLOWANCES = st.builds(
    Allowance,
    limit_per_second=st.one_of(st.none(), st.floats(0, 1e6)),
    remaining=st.one_of(st.none(), st.integers(0, 10**6)),
    reset_seconds=st.one_of(st.none(), st.floats(0, 1e6)),
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Headers, and what answers say one after the other."""

    def __init__(self, *, rate: float = 100, headroom: float = 0, longest: float = 900) -> None:
        self.clock, self.full = Clock(), rate
        pacing = Pacing(rate_per_second=rate, headroom=headroom, max_retry_after_seconds=longest)
        self.headers = Headers(pacing, clock=self.clock)

    def receive(self, *answers: Allowance | None, age: float = 0.0) -> None:
        for allowance in answers:
            self.headers.answered(allowance, sent_at=self.clock.now - age)

    @property
    def rate(self) -> float:
        return min(self.full, self.headers.rate(self.clock.now, self.full))


# --- one answer ----------------------------------------------------------------------------


@given(allowance=ALLOWANCES, most=st.floats(1, 1e4))
def test_what_is_said_is_a_rate_for_a_while(allowance: Allowance, most: float) -> None:
    found = said_rate(allowance, most)
    if found is not None:
        rate, seconds = found
        assert rate > 0
        assert 0 < seconds <= most


@pytest.mark.parametrize(
    ("allowance", "found"),
    [
        (Allowance(), None),
        (Allowance(limit_per_second=0), None),
        (Allowance(limit_per_second=5), (5, 1)),
        (Allowance(limit_per_second=5, reset_seconds=0.2), (5, 1)),
        (Allowance(limit_per_second=5, reset_seconds=60), (5, 60)),
        (Allowance(limit_per_second=5, reset_seconds=1e6), (5, 900)),
        (Allowance(limit_per_second=5, remaining=100, reset_seconds=11), (5, 11)),
        (Allowance(limit_per_second=50, remaining=100, reset_seconds=11), (10, 11)),
        (Allowance(remaining=100), None),
        (Allowance(remaining=100, reset_seconds=1), None),  # of a second nobody knows the rest
        (Allowance(remaining=0, reset_seconds=0), None),
        (Allowance(remaining=0, reset_seconds=0.5), (2, 0.5)),
        (Allowance(remaining=0, reset_seconds=900), (1 / 900, 900)),
        (Allowance(remaining=0, reset_seconds=901), None),  # a quota, and no pace
    ],
)
def test_rates_that_headers_say(allowance: Allowance, found: tuple[float, float] | None) -> None:
    assert said_rate(allowance, 900) == (found and pytest.approx(found))


# --- the last answers ----------------------------------------------------------------------


def test_the_middle_one_of_the_last_five_counts() -> None:
    client = Client()
    slow, fast = (Allowance(remaining=remaining, reset_seconds=11) for remaining in (200, 600))
    client.receive(fast, fast, fast)
    assert client.rate == pytest.approx(60)
    client.receive(slow, slow)
    assert client.rate == pytest.approx(60)
    client.receive(slow)
    assert client.rate == pytest.approx(20)


@given(
    usual=st.integers(100, 1000),
    odd=st.lists(ALLOWANCES, max_size=2),
    order=st.permutations(range(5)),
)
def test_two_odd_ones_of_five_change_nothing(
    usual: int, odd: list[Allowance], order: list[int]
) -> None:
    client = Client(rate=1000)
    answers = [*odd, *[Allowance(remaining=usual, reset_seconds=2)] * 5][:5]
    client.receive(*(answers[i] for i in order))
    assert client.rate == usual


def test_nothing_is_known_before_three_answers_agree() -> None:
    client = Client()
    assert client.headers.is_silent
    client.receive(USED_UP, USED_UP)
    assert not client.headers.is_silent
    assert client.rate == 100
    client.receive(USED_UP)
    assert client.rate == 10


def test_answers_without_headers_count_too() -> None:
    client = Client()
    client.receive(*[USED_UP, None] * 20)
    client.receive(None)
    assert client.headers.rate(client.clock.now + 31, 100) == 100
    silent = Client()
    silent.receive(None, None, None, USED_UP, USED_UP)
    assert silent.rate == 100


def test_headroom_is_taken_off() -> None:
    client = Client(headroom=0.02)
    client.receive(*[Allowance(remaining=300, reset_seconds=11)] * 3)
    assert client.rate == pytest.approx(29.4)


def test_it_holds_for_as_long_as_was_said() -> None:
    client = Client()
    client.receive(*[Allowance(remaining=300, reset_seconds=11)] * 3)
    client.clock.now = 10.9
    assert client.rate == 30
    client.clock.now = 11
    assert client.rate == 100


@given(
    answers=st.lists(st.one_of(st.none(), ALLOWANCES), max_size=20),
    longest=st.floats(1, 5000),
    full=st.floats(0.01, 5000),
)
def test_never_a_standstill_and_never_longer_than_the_longest_wait(
    answers: list[Allowance | None], longest: float, full: float
) -> None:
    client = Client(rate=full, longest=longest)
    client.receive(*answers)
    assert client.rate >= 0.1 * full
    client.clock.now = longest
    assert client.rate == full


def test_it_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    for client.clock.now in range(119):
        client.receive(USED_UP, age=1.0)
    assert caplog.text.count("headers permit") == 2
    quiet = Client()
    quiet.receive(*[Allowance(limit_per_second=99)] * 9)
    assert caplog.text.count("headers permit") == 2, "that is hardly slower"


# --- promises ------------------------------------------------------------------------------


def broken(client: Client, passes: int, *, seconds: float = 10, since: float = 0.0) -> None:
    """Thrice it is said that nothing is left; then so many are let pass all the same."""
    client.receive(*[Allowance(remaining=0, reset_seconds=30)] * 3)
    began = client.clock.now
    for i in range(passes):
        client.clock.now = began + seconds * (i + 1) / passes
        client.receive(Allowance(remaining=0, reset_seconds=30), age=since)


def test_a_promise_that_is_broken_by_what_passes_is_not_believed_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client()
    broken(client, 5)
    assert client.rate == 10
    broken(client, 1)
    assert client.rate == 100
    assert "they are ignored from now on" in caplog.text
    client.clock.now += 1000
    client.receive(*[USED_UP] * 10)
    assert client.rate == 100


def test_what_was_sent_before_it_was_made_breaks_no_promise() -> None:
    client = Client()
    broken(client, 200, seconds=2, since=2)
    assert client.rate == 10


def test_twice_as_many_as_were_left_and_a_few_more_may_pass() -> None:
    """Some are under way when an answer leaves, and not every server counts all of them."""
    client = Client()
    left = Allowance(remaining=50, reset_seconds=30)
    client.receive(left, left, left)
    for i in range(1, 107):
        client.clock.now = i / 10
        client.receive(left)
        assert (client.rate < 100) == (i <= 105)


def test_a_short_window_is_no_promise_for_it_may_have_begun_anew() -> None:
    client = Client()
    short = Allowance(remaining=0, reset_seconds=1)
    for i in range(1000):
        client.clock.now = i / 100
        client.receive(short, age=0.01)
    assert client.rate == 10


# --- servers that mean it ------------------------------------------------------------------


class Server:
    """So many in each window of some seconds; says what is left of it, rounded as it likes."""

    def __init__(self, limit: int, seconds: float, rounded: Callable[[float], float]) -> None:
        self.limit, self.seconds, self.rounded = limit, seconds, rounded
        self.used: dict[int, int] = {}
        self.refused = 0

    def ask(self, now: float) -> Allowance | None:
        window = math.floor(now / self.seconds)
        used = self.used.get(window, 0)
        if used >= self.limit:
            self.refused += 1
            return None
        self.used[window] = used + 1
        left = self.rounded((window + 1) * self.seconds - now)
        return Allowance(remaining=self.limit - used - 1, reset_seconds=left)


def asked(server: Server, client: Client, until: float, way: float = 0.05) -> Client:
    """Asks at the rate that headers permit; what is refused is only counted."""
    under_way: deque[tuple[float, float, Allowance]] = deque()
    due = 0.0
    while due < until:
        while under_way and under_way[0][0] <= due:
            client.clock.now, sent_at, allowance = under_way.popleft()
            client.headers.answered(allowance, sent_at=sent_at)
        client.clock.now = due
        if (allowance := server.ask(due + way)) is not None:
            under_way.append((due + 2 * way, due, allowance))
        due += 1 / client.rate
    return client


@pytest.mark.parametrize("rounded", [math.ceil, pytest.param(float, marks=in_full)])
@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (100, 10),
        (3000, 60),
        pytest.param(600, 60, marks=in_full),
        pytest.param(3000, 300, marks=in_full),
    ],
)
@pytest.mark.parametrize("times_too_high", [1.2, 3, 8])
def test_a_server_that_counts_down_is_obeyed(
    limit: int,
    seconds: float,
    rounded: Callable[[float], float],
    times_too_high: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, windows = Server(limit, seconds, rounded), 6
    asked(server, Client(rate=times_too_high * limit / seconds), windows * seconds)
    passed = sum(server.used.values())
    assert passed >= 0.9 * windows * limit
    assert server.refused <= windows * max(12, 0.06 * limit)
    assert "ignored" not in caplog.text, "windows that begin anew break no promise"


def test_a_server_that_lies_costs_little_time() -> None:
    """It says that nothing is left and lets everything pass."""
    client, passed = Client(), 0
    while client.clock.now < 60:
        client.receive(USED_UP, age=1e-3)
        passed += 1
        client.clock.now += 1 / client.rate
    assert passed >= 0.97 * 100 * 60
