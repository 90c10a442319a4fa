from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.sections import Dialect, Guards
from batch_screen.engine.guards import (
    WINDOW_ATTEMPTS,
    Canary,
    EndpointBreaker,
    Outage,
    Reachability,
    Refusals,
)
from batch_screen.engine.scope import SEVERAL
from batch_screen.errors import (
    ApiError,
    AuthenticationError,
    BatchScreenError,
    ConfigurationError,
    Stopped,
)
from batch_screen.model import Answer, Endpoint, OutcomeKind

K = OutcomeKind
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
SUSPECT = [K.NOT_FOUND, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]
PROOF = [K.SUCCESS, K.NOT_APPLICABLE]
FAILURES = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE]
ERRORS = [*FAILURES, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]


def number(i: int) -> str:
    return f"+4477009{i:05d}"


class Server:
    """Time passes by the pauses the breaker asks for; every attempt is another number's."""

    def __init__(self, give_up: float = 60) -> None:
        self.now = 0.0
        self.place = 0
        guards = Guards(unreachable_seconds=give_up)
        self.breaker = Reachability("https://{api}.example", guards, lambda: self.now)

    def sent(self) -> int:
        self.place += 1
        return self.place

    def fail(self, *, age: float = 0.0) -> float:
        place = self.sent()
        pause = self.breaker.failed(place, number(place), sent_at=self.now - age)
        self.now += pause
        return pause

    def answer(self) -> None:
        self.breaker.fine(self.sent())

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


def test_an_answer_to_what_was_sent_before_closes_nothing() -> None:
    server = Server()
    server.answer()
    before = server.sent()
    server.open()
    server.breaker.fine(before)
    assert server.breaker.is_open


def test_attempts_that_fail_together_count_once() -> None:
    server = Server()
    server.answer()
    server.now = 10.0
    pauses = [server.breaker.failed(2 + i, number(i), sent_at=9.0 + i / 100) for i in range(50)]
    assert pauses == [0.0, 0.0, 0.5] + [0.0] * 47
    server.now = 11.0
    assert server.breaker.failed(60, number(60), sent_at=10.6) == 1.0


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
    outage.heard(K.SERVER_ERROR, sent_at=0)  # none of those that count here
    outage.heard(kind, sent_at=0)
    outage.heard(kind, sent_at=0)
    clock.now = 2
    with pytest.raises(error, match=f"the last 3 attempts at {DATE} all failed.*{remedy}"):
        outage.heard(kind, sent_at=1)


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


# --- one endpoint ----------------------------------------------------------------------------


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
        self.breaker = EndpointBreaker(endpoint, guards, lambda: self.now)

    def hear(
        self, *answers: Answer | OutcomeKind, who: str | None = None, is_closed: bool = False
    ) -> None:
        for answer in answers:
            self.place += 1
            self.breaker.heard(
                Answer(kind=answer) if isinstance(answer, OutcomeKind) else answer,
                who or number(self.place),
                self.place,
                sent_at=self.now,
                longest_seconds=900,
                is_closed=is_closed,
            )

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
    with pytest.raises(error, match=f"501 of the last 1,000 attempts at {CHECK}.*{words}") as told:
        asked.hear(kind)
    assert told.value.exit_code == error.default_exit_code


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
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_fine) == (0, False, True)
    asked.hear(kind)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_fine) == (0.5, True, False)
    assert asked.breaker.is_suspected
    asked.hear(K.SUCCESS)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_fine) == (0, False, True)
    asked.hear(*[kind] * 20)
    error = AuthenticationError if kind is K.FORBIDDEN else ApiError
    with pytest.raises(error, match=f"attempts at {CHECK} all failed"):
        asked.hear_for_ever(kind)
    assert 60 <= asked.now <= 80


ABSENT = Answer(kind=K.SERVER_ERROR, http_status=501)
BUSY = Answer(kind=K.SERVER_ERROR, http_status=503, retry_after_seconds=20)


def test_one_number_that_is_told_that_there_is_no_such_endpoint_stops_nothing() -> None:
    asked = Asked()
    for _ in range(10):
        asked.hear(ABSENT, ABSENT)
        assert not asked.breaker.is_absent
        asked.hear(K.SUCCESS)
    asked.hear(*[ABSENT] * 10, who=number(1))
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
        assert asked.breaker.is_fine
        asked.hear(K.NOT_FOUND)


def test_several_in_a_row_that_are_asked_to_come_later_make_all_wait() -> None:
    asked = Asked()
    asked.hear(K.SUCCESS, *[BUSY] * SEVERAL)
    assert asked.breaker.is_open
    assert not asked.breaker.is_fine
    assert asked.breaker.asks_to_wait(SEVERAL)
    assert asked.wait() == 20
    asked.hear(K.SUCCESS)
    assert (asked.wait(), asked.breaker.is_open, asked.breaker.is_fine) == (0, False, True)
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
    asked.breaker.heard(
        Answer(kind=K.SUCCESS), number(2), 2, sent_at=0, longest_seconds=900, is_closed=False
    )
    assert asked.breaker.is_open


def test_refusals_count_only_where_all_are_refused() -> None:
    asked = Asked()
    for _ in range(200):
        asked.hear(K.RATE_LIMITED)
        asked.now += 1
    stopped: BatchScreenError | None = None
    for second in range(100):
        try:
            asked.hear(K.RATE_LIMITED, is_closed=True)
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


# --- nothing but refusals ----------------------------------------------------------------------


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


def test_it_says_whose_refusals_they_are() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=1), clock, DATE)
    for clock.now in range(10):
        refusals.heard(K.RATE_LIMITED, sent_at=clock.now)
    clock.now = 10
    with pytest.raises(Stopped, match=f"for 10 s {DATE} has refused every request"):
        refusals.heard(K.RATE_LIMITED, sent_at=10)


def test_what_was_under_way_together_is_one_try() -> None:
    clock = Clock()
    refusals = Refusals(Guards(unreachable_seconds=60), clock)
    for clock.now in range(1, 1000):
        refusals.heard(K.RATE_LIMITED, sent_at=0.5)


def test_an_hour_in_which_nothing_was_asked_is_no_hour_of_trying() -> None:
    clock = Clock()
    breaker = Reachability("https://api.example", Guards(unreachable_seconds=60), clock)
    breaker.known_good()
    for place in (1, 2, 3):
        breaker.failed(place, number(place), sent_at=0)
    clock.now = 7200
    assert breaker.failed(4, number(4), sent_at=7199) > 0
    clock.now = 7300
    with pytest.raises(ApiError, match="tried for 60 s"):
        breaker.failed(5, number(5), sent_at=7299)


CHECK_OF_CANARY, DATE_OF_CANARY = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NEUTRAL = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE, K.RATE_LIMITED, K.SKIPPED]


def test_every_kind_is_judged() -> None:
    assert sorted([*SUSPECT, *PROOF, *NEUTRAL]) == sorted(K)


def admit_all(
    canary: Canary[int], kinds: list[OutcomeKind], endpoint: Endpoint = CHECK_OF_CANARY
) -> list:
    return [canary.admit(endpoint, kind, i) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (K.NOT_FOUND, ConfigurationError, "path may have moved; try api.dialect = '2026-04'"),
        (K.FORBIDDEN, AuthenticationError, "ask the vendor to enable"),
        (K.REJECTED, ConfigurationError, "max_age_minutes"),
        (K.BAD_RESPONSE, ApiError, "contract"),
    ],
)
def test_nothing_but_the_same_bad_answer_stops_and_names_the_cause(
    kind: OutcomeKind, error: type[Exception], words: str
) -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    assert admit_all(canary, [kind] * 2) == [[], []]
    with pytest.raises(
        error, match=f"first 3 answers of {CHECK_OF_CANARY}.*{words}.*canary_answers = 0"
    ):
        canary.admit(CHECK_OF_CANARY, kind, 2)
    assert canary.admit(CHECK_OF_CANARY, kind, 3) == []
    assert canary.release() == [0, 1, 2, 3]  # for the run to disbelieve


@pytest.mark.parametrize("second", [*PROOF, *SUSPECT[1:]])
def test_one_that_differs_sets_all_free_in_their_order(second: OutcomeKind) -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    assert admit_all(canary, [K.NOT_FOUND, K.NOT_FOUND, second]) == [[], [], [0, 1, 2]]
    assert admit_all(canary, [K.NOT_FOUND] * 5) == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("kind", sorted(set(K) - set(SUSPECT)))
def test_what_is_no_sign_of_a_wrong_address_is_never_held(kind: OutcomeKind) -> None:
    assert admit_all(Canary(2, Dialect.PAGE), [kind] * 3) == [[0], [1], [2]]


@pytest.mark.parametrize("kind", NEUTRAL)
def test_a_failure_on_the_way_neither_frees_nor_counts(kind: OutcomeKind) -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    kinds = [kind, K.NOT_FOUND, kind, K.NOT_FOUND, kind]
    assert admit_all(canary, kinds) == [[0], [], [2], [], [4]]
    with pytest.raises(ConfigurationError, match=f"first 3 answers of {CHECK_OF_CANARY}"):
        canary.admit(CHECK_OF_CANARY, K.NOT_FOUND, 5)
    assert canary.admit(CHECK_OF_CANARY, kind, 6) == [6]


@pytest.mark.parametrize("kind", PROOF)
def test_a_value_after_the_fall_is_kept_and_frees_nothing(kind: OutcomeKind) -> None:
    canary: Canary[int] = Canary(1, Dialect.PAGE)
    with pytest.raises(ConfigurationError):
        canary.admit(CHECK_OF_CANARY, K.NOT_FOUND, 0)
    assert admit_all(canary, [kind, K.NOT_FOUND, kind]) == [[0], [], [2]]
    assert canary.release() == [0, 1]


def test_endpoints_are_judged_apart() -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    admit_all(canary, [K.SUCCESS])
    assert admit_all(canary, [K.NOT_FOUND] * 2, DATE_OF_CANARY) == [[], []]
    with pytest.raises(ConfigurationError, match=DATE_OF_CANARY):
        canary.admit(DATE_OF_CANARY, K.NOT_FOUND, 2)


def test_what_is_held_at_the_end_is_released_once() -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    admit_all(canary, [K.NOT_FOUND] * 2)
    assert canary.release() == [0, 1]
    assert canary.release() == []


def test_a_trusted_endpoint_and_size_zero_hold_nothing() -> None:
    trusting: Canary[int] = Canary(2, Dialect.PAGE)
    trusting.trust(CHECK_OF_CANARY)
    for canary in (trusting, Canary[int](0, Dialect.PAGE)):
        assert admit_all(canary, [K.NOT_FOUND] * 4) == [[0], [1], [2], [3]]


@given(size=st.integers(0, 6), kinds=st.lists(st.sampled_from(list(K)), max_size=12))
def test_nothing_is_lost_or_doubled_unless_it_falls(size: int, kinds: list[OutcomeKind]) -> None:
    canary: Canary[int] = Canary(size, Dialect.PAGE)
    free: list[int] = []
    for i, kind in enumerate(kinds):
        try:
            free += canary.admit(CHECK_OF_CANARY, kind, i)
        except (ApiError, ConfigurationError):
            heard = [k for k in kinds[: i + 1] if k not in NEUTRAL]
            assert len(heard) == size
            assert len(set(heard)) == 1
            assert free == [n for n in range(i) if kinds[n] in NEUTRAL]
            assert len(canary.release()) == size  # which the run is not to believe
            return
    assert sorted(free + canary.release()) == list(range(len(kinds)))


def test_the_other_dialect_is_named_from_either_side() -> None:
    canary: Canary[int] = Canary(1, Dialect.LATER)
    with pytest.raises(ConfigurationError, match=r"api.dialect = 'v1\.0\.0'"):
        canary.admit(CHECK_OF_CANARY, K.NOT_FOUND, 0)
