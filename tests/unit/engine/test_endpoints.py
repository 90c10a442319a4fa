from __future__ import annotations

import re

import pytest

from batch_screen.config.sections import Guards
from batch_screen.config.settings import Settings
from batch_screen.engine.endpoints import WINDOW_ATTEMPTS, EndpointBreaker
from batch_screen.engine.scope import SEVERAL
from batch_screen.errors import ApiError, AuthenticationError, BatchScreenError, Stopped
from batch_screen.model import Answer, Endpoint, Lookup, OutcomeKind
from tests.worlds import result

K = OutcomeKind
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
FAILURES = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE]
ERRORS = [*FAILURES, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]


class Asked:
    """An endpoint and what it answers; every attempt is another number's."""

    def __init__(
        self, *, share: float = 0.5, failures: int = 0, endpoint: Endpoint = CHECK
    ) -> None:
        self.now = 0.0
        self.place = 0
        guards = Guards(
            max_error_share=share, max_consecutive_failures=failures, unreachable_seconds=60
        )
        self.refuses_all = False
        self.breaker = EndpointBreaker(
            endpoint, Settings(guards=guards), lambda: self.now, lambda: self.refuses_all
        )

    def hear(self, *answers: Answer | OutcomeKind, who: Lookup | None = None) -> None:
        for answer in answers:
            self.place += 1
            self.breaker.on_result(result(answer, self.place, at=self.now, lookup=who))

    def wait(self) -> float:
        """Time passes until it may be asked; how much that is."""
        waits = self.breaker.wait_seconds()
        self.now += waits
        return waits

    def hear_for_ever(self, answer: Answer | OutcomeKind) -> None:
        """Hears it after every pause that it asks for."""
        while self.wait():
            self.hear(answer)


def fed(kinds: list[OutcomeKind], *, share: float = 0.5) -> Asked:
    asked = Asked(share=share)
    asked.hear(*kinds)
    return asked


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
def test_more_errors_than_the_share_of_the_last_thousand_give_the_endpoint_up(
    kind: OutcomeKind, error: type[ApiError], words: str
) -> None:
    asked = fed([K.SUCCESS, kind] * (WINDOW_ATTEMPTS // 2))
    with pytest.raises(
        error, match=f"501 of the last 1,000 attempts at {CHECK}.*{words}"
    ) as raised:
        asked.hear(kind)
    assert raised.value.exit_code == error.default_exit_code


def test_one_good_answer_in_150_does_not_keep_it_going() -> None:
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
    fed([K.SUCCESS] * 5 * WINDOW_ATTEMPTS)
    asked = Asked(endpoint=DATE)
    asked.hear(*[K.SERVER_ERROR] * (WINDOW_ATTEMPTS - 1))
    with pytest.raises(ApiError, match=DATE):
        asked.hear(K.SERVER_ERROR)


def test_a_share_of_one_never_gives_it_up() -> None:
    fed([K.SERVER_ERROR] * 3 * WINDOW_ATTEMPTS, share=1)


@pytest.mark.parametrize("kind", [*FAILURES, K.FORBIDDEN])
def test_nothing_but_failures_of_one_endpoint_probe_it_and_give_it_up(kind: OutcomeKind) -> None:
    asked = Asked(failures=20)
    asked.hear(K.SUCCESS, *[kind] * 19)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_healthy) == (0, False, True)
    asked.hear(kind)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_healthy) == (0.5, True, False)
    assert asked.breaker.is_suspected
    asked.hear(K.SUCCESS)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_healthy) == (0, False, True)
    asked.hear(*[kind] * 20)
    error = AuthenticationError if kind is K.FORBIDDEN else ApiError
    with pytest.raises(error, match=f"attempts at {CHECK} all failed"):
        asked.hear_for_ever(kind)
    assert 60 <= asked.now <= 80


ABSENT = Answer(kind=K.SERVER_ERROR, http_status=501)
BUSY = Answer(kind=K.SERVER_ERROR, http_status=503, retry_after_seconds=20)


def test_one_number_that_is_answered_that_there_is_no_such_endpoint_stops_nothing() -> None:
    asked = Asked()
    for _ in range(10):
        asked.hear(ABSENT, ABSENT)
        assert not asked.breaker.is_absent
        asked.hear(K.SUCCESS)
    asked.hear(*[ABSENT] * 10, who=Lookup("+447700900001", CHECK))
    assert not asked.breaker.is_absent


def test_several_in_a_row_do() -> None:
    asked = Asked()
    asked.hear(K.SUCCESS, *[ABSENT] * SEVERAL)
    assert asked.breaker.is_absent


def test_who_is_asked_to_come_later_does_not_speak_for_others() -> None:
    asked = Asked()
    for _ in range(10):
        asked.hear(BUSY, BUSY)
        assert asked.breaker.wait_seconds() == 0
        assert asked.breaker.is_healthy
        asked.hear(K.NOT_FOUND)


def test_several_in_a_row_that_are_asked_to_come_later_make_all_wait() -> None:
    asked = Asked()
    asked.hear(K.SUCCESS, *[BUSY] * SEVERAL)
    assert asked.breaker.is_open
    assert not asked.breaker.is_healthy
    assert asked.breaker.asks_to_wait(SEVERAL)
    assert asked.wait() == 20
    asked.hear(K.SUCCESS)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_healthy) == (0, False, True)
    assert not asked.breaker.asks_to_wait(1)


def test_that_is_given_up_after_a_while_of_trying() -> None:
    asked = Asked()
    asked.hear(K.SUCCESS, *[BUSY] * SEVERAL)
    with pytest.raises(ApiError, match=f"{CHECK} has asked everybody to come later"):
        asked.hear_for_ever(BUSY)
    assert (asked.place, asked.now) == (7, 60), "after every pause one is tried"


def test_nobody_waits_for_an_absurd_time_before_others_were_tried() -> None:
    asked = Asked()
    absurd = Answer(kind=K.SERVER_ERROR, http_status=503, retry_after_seconds=1e6)
    asked.hear(K.SUCCESS, *[absurd] * SEVERAL)
    assert 0 < asked.wait() <= 900


def test_what_was_sent_before_and_answered_does_not_end_the_wait() -> None:
    asked = Asked()
    asked.hear(K.SUCCESS)
    asked.place += 1
    asked.hear(*[BUSY] * SEVERAL)
    asked.breaker.on_result(result(K.SUCCESS, 2))
    assert asked.breaker.is_open


def test_refusals_count_only_where_all_are_refused() -> None:
    asked = Asked()
    for _ in range(200):
        asked.hear(K.RATE_LIMITED)
        asked.now += 1
    asked.refuses_all = True
    stopped: BatchScreenError | None = None
    for second in range(100):
        try:
            asked.hear(K.RATE_LIMITED)
        except Stopped as error:
            stopped = error
            assert second == 60
            break
        asked.now += 1
    assert re.match(f"for 60 s {CHECK} has refused every request", str(stopped))


def test_an_endpoint_that_names_a_time_is_waited_for_from_the_first_answer_on() -> None:
    asked = Asked()
    asked.hear(*[BUSY] * SEVERAL)
    asked.wait()
    asked.hear(BUSY)
