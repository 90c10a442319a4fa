from __future__ import annotations

import re

import pytest

from batch_screen.config.sections import Guards
from batch_screen.engine.guards import Outage, Reachability, Refusals
from batch_screen.engine.scope import SEVERAL
from batch_screen.errors import ApiError, AuthenticationError, Stopped
from batch_screen.model import CANNOT_CONNECT, Answer, Endpoint, OutcomeKind
from tests.worlds import result

K = OutcomeKind
DATE = Endpoint.SIM_SWAP_DATE
FAILURES = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE]
DOWN = Answer(kind=K.UNREACHABLE, reason=CANNOT_CONNECT)


class Server:
    """Time passes by the pauses the breaker asks for; every attempt is another number's."""

    def __init__(self, give_up: float = 60) -> None:
        self.now = 0.0
        self.place = 0
        guards = Guards(unreachable_seconds=give_up)
        self.returns = 0
        self.breaker = Reachability(
            "https://{api}.example", guards, lambda: self.now, on_return=self.come_back
        )

    def come_back(self) -> None:
        self.returns += 1

    def sent(self) -> int:
        self.place += 1
        return self.place

    def fail(self, *, age: float = 0.0) -> float:
        place = self.sent()
        pause = self.breaker.on_result(result(DOWN, place, at=self.now - age))
        self.now += pause
        return pause

    def answer(self) -> None:
        assert self.breaker.on_result(result(K.SUCCESS, self.sent())) == 0

    def open(self) -> None:
        """As many fail as show that none gets through; the last one asks for the first pause."""
        assert [self.fail() for _ in range(SEVERAL)] == [0.0] * (SEVERAL - 1) + [0.5]

    def fail_for_ever(self, pauses: list[float]) -> None:
        while True:
            pauses.append(self.fail())


def test_pauses_double_up_to_ten_seconds_and_then_it_gives_up() -> None:
    server = Server()
    server.answer()
    server.open()
    pauses: list[float] = []
    with pytest.raises(ApiError, match=r"https://{api}\.example cannot be reached.*resume"):
        server.fail_for_ever(pauses)
    assert pauses[:5] == [1, 2, 4, 8, 10]
    assert 60 <= server.now <= 70


def test_a_server_that_never_answered_is_given_up_sooner_and_doubted_at_once() -> None:
    server = Server()
    pauses: list[float] = []
    with pytest.raises(ApiError):
        server.fail_for_ever(pauses)
    assert pauses[:3] == [0.5, 1, 2]
    assert 5 <= server.now < 10


def test_one_that_answered_an_earlier_start_is_waited_for() -> None:
    server = Server()
    server.breaker.known_good()
    server.open()
    with pytest.raises(ApiError):
        server.fail_for_ever([])
    assert 60 <= server.now <= 70


def test_one_failed_connection_among_good_ones_opens_nothing() -> None:
    server = Server()
    server.answer()
    for _ in range(100):
        assert server.fail() == 0
        assert server.fail() == 0
        assert not server.breaker.is_open
        server.answer()


def test_an_answer_closes_it_and_starts_the_patience_anew() -> None:
    server = Server()
    server.answer()
    for _ in range(20):
        server.open()
        assert server.breaker.is_open
        assert [server.fail() for _ in range(4)] == [1, 2, 4, 8]
        server.answer()
        assert not server.breaker.is_open
    assert server.returns == 20


def test_an_answer_to_what_was_sent_before_closes_nothing() -> None:
    server = Server()
    server.answer()
    before = server.sent()
    server.open()
    server.breaker.on_result(result(K.SUCCESS, before))
    assert server.breaker.is_open


def test_attempts_that_fail_together_count_once() -> None:
    server = Server()
    server.answer()
    server.now = 10.0
    pauses = [server.breaker.on_result(result(DOWN, 2 + i, at=9.0 + i / 100)) for i in range(50)]
    assert pauses == [0.0, 0.0, 0.5] + [0.0] * 47
    server.now = 11.0
    assert server.breaker.on_result(result(DOWN, 60, at=10.6)) == 1.0


class Api:
    """Nothing but failures; time passes by the pauses the guard asks for."""

    def __init__(self, limit: int) -> None:
        self.now = 0.0
        guards = Guards(max_consecutive_failures=limit, unreachable_seconds=60)
        self.outage = Outage("https://api.example", guards, lambda: self.now)

    def hear(self, *kinds: OutcomeKind) -> list[float]:
        pauses = []
        for kind in kinds:
            pauses.append(self.outage.on_result(result(kind, at=self.now)))
            self.now += pauses[-1]
        return pauses


@pytest.mark.parametrize("last", FAILURES)
def test_nothing_but_failures_is_probed_with_pauses(last: OutcomeKind) -> None:
    api = Api(4)
    api.hear(K.SUCCESS)
    assert api.hear(*FAILURES) == [0, 0, 0]
    assert not api.outage.is_open
    assert api.hear(last, last, last) == [0.5, 1, 2]
    assert api.outage.is_open
    assert api.hear(K.SUCCESS) == [0]
    assert not api.outage.is_open
    assert api.hear(*FAILURES, last) == [0, 0, 0, 0.5], "all is forgiven"


def test_failures_that_last_are_given_up() -> None:
    api = Api(4)
    api.hear(K.SUCCESS)
    with pytest.raises(ApiError) as error:
        api.hear(*[K.TIMEOUT] * 100)
    assert 60 <= api.now <= 70
    assert re.match(
        r"the last 14 attempts at https://api\.example all failed, for 6\d s one by one; .*"
        "the API is too slow: start again later, .* to resume",
        str(error.value),
    )
    assert error.value.exit_code == 69


@pytest.mark.parametrize(
    ("kind", "error", "remedy"),
    [(K.FORBIDDEN, AuthenticationError, "ask the vendor"), (K.TIMEOUT, ApiError, "too slow")],
)
def test_it_says_whose_failures_they_are_and_what_to_do(
    kind: OutcomeKind, error: type[ApiError], remedy: str
) -> None:
    clock = Clock()
    guards = Guards(max_consecutive_failures=2, unreachable_seconds=1)
    outage = Outage(DATE, guards, clock, frozenset({kind}))
    outage.on_result(result(K.SERVER_ERROR))  # none of those that count here
    outage.on_result(result(kind))
    outage.on_result(result(kind))
    clock.now = 2
    with pytest.raises(error, match=f"the last 3 attempts at {DATE} all failed.*{remedy}"):
        outage.on_result(result(kind, at=1))


def test_an_api_that_never_answered_is_given_up_sooner() -> None:
    api = Api(4)
    with pytest.raises(ApiError):
        api.hear(*[K.SERVER_ERROR] * 100)
    assert 5 <= api.now < 10


@pytest.mark.parametrize("other", [k for k in K if k not in FAILURES])
def test_any_other_answer_starts_the_count_anew(other: OutcomeKind) -> None:
    assert set(Api(4).hear(*[*FAILURES, other] * 5)) == {0.0}


def test_a_limit_of_zero_never_stops() -> None:
    assert set(Api(0).hear(*FAILURES * 200)) == {0.0}


# --- nothing but refusals ----------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_but_refusals_for_a_minute_end_the_run_to_be_resumed() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock, lambda: True)
    for clock.now in range(60):
        refusals.on_result(result(K.RATE_LIMITED, at=clock.now))
    clock.now = 60
    with pytest.raises(Stopped, match=r"for 60 s .* refused every request .* resume") as told:
        refusals.on_result(result(K.RATE_LIMITED, at=60))
    assert told.value.exit_code == 4


def test_few_tries_in_a_long_time_do_not_and_one_answer_ends_the_count() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock, lambda: True)
    for step in range(200):
        kind = K.SUCCESS if step % 10 == 9 else K.RATE_LIMITED
        refusals.on_result(result(kind, at=clock.now))
        clock.now += 300


def test_it_says_whose_refusals_they_are() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=1), clock, lambda: True, DATE)
    for clock.now in range(10):
        refusals.on_result(result(K.RATE_LIMITED, at=clock.now))
    clock.now = 10
    with pytest.raises(Stopped, match=f"for 10 s {DATE} has refused every request"):
        refusals.on_result(result(K.RATE_LIMITED, at=10))


def test_what_was_under_way_together_is_one_try() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock, lambda: True)
    for clock.now in range(1, 1000):
        refusals.on_result(result(K.RATE_LIMITED, at=0.5))


def test_an_hour_in_which_nothing_was_asked_is_no_hour_of_trying() -> None:
    clock = Clock()
    breaker = Reachability(
        "https://api.example", Guards(unreachable_seconds=60), clock, on_return=lambda: None
    )
    breaker.known_good()
    for place in (1, 2, 3):
        breaker.on_result(result(DOWN, place))
    clock.now = 7200
    assert breaker.on_result(result(DOWN, 4, at=7199)) > 0
    clock.now = 7300
    with pytest.raises(ApiError, match="tried for 60 s"):
        breaker.on_result(result(DOWN, 5, at=7299))
