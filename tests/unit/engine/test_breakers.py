from __future__ import annotations

import re

import pytest

from batch_screen.config.guards import Guards
from batch_screen.engine.breakers import (
    WINDOW_ATTEMPTS,
    Breaker,
    ErrorRate,
    Outage,
    Refusals,
    reachability,
)
from batch_screen.errors import ApiError, AuthenticationError, Stopped
from batch_screen.model import Endpoint, OutcomeKind

K = OutcomeKind
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
SUSPECT = [K.NOT_FOUND, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]
PROOF = [K.SUCCESS, K.NOT_APPLICABLE]
FAILURES = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE]
ERRORS = [*FAILURES, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]


class Server:
    """Time passes by the pauses the breaker asks for."""

    def __init__(self, give_up: float) -> None:
        self.now = 0.0
        guards = Guards(unreachable_seconds=give_up)
        self.breaker: Breaker = reachability("https://{api}.example", guards, lambda: self.now)

    def fail(self, *, age: float = 0.0) -> float:
        pause = self.breaker.failed(sent_at=self.now - age)
        self.now += pause
        return pause

    def fail_for_ever(self, pauses: list[float]) -> None:
        while True:
            pauses.append(self.fail())


def test_pauses_double_up_to_ten_seconds_and_then_it_gives_up() -> None:
    server = Server(60)
    server.breaker.fine()
    pauses: list[float] = []
    with pytest.raises(ApiError, match=r"https://{api}\.example cannot be reached.*resume"):
        server.fail_for_ever(pauses)
    assert pauses[:6] == [0.5, 1, 2, 4, 8, 10]
    assert 60 <= server.now <= 70


def test_a_server_that_never_answered_is_given_up_sooner() -> None:
    server = Server(60)
    with pytest.raises(ApiError):
        server.fail_for_ever([])
    assert 5 <= server.now < 10


def test_an_answer_closes_it_and_starts_the_patience_anew() -> None:
    server = Server(60)
    for _ in range(20):
        server.breaker.fine()
        assert not server.breaker.is_open
        assert [server.fail() for _ in range(5)] == [0.5, 1, 2, 4, 8]
        assert server.breaker.is_open


def test_attempts_that_fail_together_count_once() -> None:
    server = Server(60)
    server.now = 10.0
    assert [server.breaker.failed(sent_at=9.0 + i / 100) for i in range(50)] == [0.5] + [0.0] * 49
    server.now = 11.0
    assert server.breaker.failed(sent_at=10.6) == 1.0


class Api:
    """Nothing but failures; time passes by the pauses the guard asks for."""

    def __init__(self, limit: int) -> None:
        self.now = 0.0
        guards = Guards(max_consecutive_failures=limit, unreachable_seconds=60)
        self.outage = Outage("https://api.example", guards, lambda: self.now)

    def hear(self, *kinds: OutcomeKind) -> list[float]:
        pauses = []
        for kind in kinds:
            pauses.append(self.outage.heard(kind, sent_at=self.now))
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
        "start again later to resume",
        str(error.value),
    )
    assert error.value.exit_code == 69


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


def fed(kinds: list[OutcomeKind], *, share: float = 0.5, endpoint: Endpoint = CHECK) -> ErrorRate:
    rate = ErrorRate(Guards(max_error_share=share))
    for kind in kinds:
        rate.heard(endpoint, kind)
    return rate


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (K.SERVER_ERROR, ApiError, "start again later"),
        (K.TIMEOUT, ApiError, "timeout_seconds"),
        (K.UNREACHABLE, ApiError, "network"),
        (K.BAD_RESPONSE, ApiError, "contract"),
        (K.FORBIDDEN, AuthenticationError, "ask the vendor"),
        (K.REJECTED, ApiError, "max_age_minutes"),
    ],
)
def test_more_errors_than_the_share_of_the_last_thousand_end_the_run(
    kind: OutcomeKind, error: type[ApiError], words: str
) -> None:
    rate = fed([K.SUCCESS, kind] * (WINDOW_ATTEMPTS // 2))
    with pytest.raises(error, match=f"501 of the last 1,000 attempts at {CHECK}.*{words}") as told:
        rate.heard(CHECK, kind)
    assert told.value.exit_code == error.default_exit_code


def test_one_good_answer_in_150_does_not_keep_a_run_going() -> None:
    with pytest.raises(ApiError):
        fed(([K.SERVER_ERROR] * 149 + [K.SUCCESS]) * 7)


def test_fewer_than_a_thousand_attempts_are_not_judged() -> None:
    fed([K.TIMEOUT] * (WINDOW_ATTEMPTS - 1))


@pytest.mark.parametrize("kind", sorted(set(K) - set(ERRORS)))
def test_what_the_api_does_not_know_and_refusals_are_no_errors(kind: OutcomeKind) -> None:
    fed([kind] * 3 * WINDOW_ATTEMPTS)


def test_what_is_long_ago_does_not_count() -> None:
    fed(([K.SERVER_ERROR] * 500 + [K.SUCCESS] * 500) * 5)


def test_endpoints_are_counted_apart() -> None:
    rate = fed([K.SUCCESS] * 5 * WINDOW_ATTEMPTS, endpoint=DATE)
    for _ in range(WINDOW_ATTEMPTS - 1):
        rate.heard(CHECK, K.SERVER_ERROR)
    with pytest.raises(ApiError, match=CHECK):
        rate.heard(CHECK, K.SERVER_ERROR)


def test_a_share_of_one_never_ends_a_run() -> None:
    fed([K.SERVER_ERROR] * 3 * WINDOW_ATTEMPTS, share=1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_but_refusals_for_a_minute_end_the_run_to_be_resumed() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock)
    for clock.now in range(60):
        refusals.heard(K.RATE_LIMITED, sent_at=clock.now)
    clock.now = 60
    with pytest.raises(Stopped, match=r"for 60 s .* refused every request .* resume") as told:
        refusals.heard(K.RATE_LIMITED, sent_at=60)
    assert told.value.exit_code == 4


def test_few_tries_in_a_long_time_do_not_and_one_answer_ends_the_count() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock)
    for step in range(200):
        refusals.heard(K.SUCCESS if step % 10 == 9 else K.RATE_LIMITED, sent_at=clock.now)
        clock.now += 300


def test_what_was_under_way_together_is_one_try() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock)
    for clock.now in range(1, 1000):
        refusals.heard(K.RATE_LIMITED, sent_at=0.5)


def test_an_hour_in_which_nothing_was_asked_is_no_hour_of_trying() -> None:
    clock = Clock()
    breaker = reachability("https://api.example", Guards(unreachable_seconds=60), clock)
    breaker.fine()
    breaker.failed(sent_at=0)
    clock.now = 7200
    assert breaker.failed(sent_at=7199) > 0
    clock.now = 7300
    with pytest.raises(ApiError, match="tried for 60 s"):
        breaker.failed(sent_at=7299)
