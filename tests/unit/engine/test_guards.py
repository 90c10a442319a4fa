from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Guards
from batch_screen.engine.guards import Breaker, Canary, Outage, reachability
from batch_screen.errors import ApiError, AuthenticationError, ConfigurationError
from batch_screen.model import Endpoint, OutcomeKind

K = OutcomeKind
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
SUSPECT = [K.NOT_FOUND, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]
PROOF = [K.SUCCESS, K.NOT_APPLICABLE]
NEUTRAL = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE, K.RATE_LIMITED, K.SKIPPED]
FAILURES = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE]


def test_every_kind_is_judged() -> None:
    assert sorted([*SUSPECT, *PROOF, *NEUTRAL]) == sorted(K)


def admit_all(canary: Canary[int], kinds: list[OutcomeKind], endpoint: Endpoint = CHECK) -> list:
    return [canary.admit(endpoint, kind, i) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (K.NOT_FOUND, ConfigurationError, "path may have moved"),
        (K.FORBIDDEN, AuthenticationError, "ask the vendor to enable"),
        (K.REJECTED, ConfigurationError, "max_age_minutes"),
        (K.BAD_RESPONSE, ApiError, "contract"),
    ],
)
def test_nothing_but_the_same_bad_answer_stops_and_names_the_cause(
    kind: OutcomeKind, error: type[Exception], words: str
) -> None:
    canary: Canary[int] = Canary(3)
    assert admit_all(canary, [kind] * 2) == [[], []]
    with pytest.raises(error, match=f"first 3 answers of {CHECK}.*{words}.*canary_answers = 0"):
        canary.admit(CHECK, kind, 2)
    assert canary.admit(CHECK, kind, 3) == []
    assert canary.release() == [0, 1, 2, 3]  # for the run to disbelieve


@pytest.mark.parametrize("second", [*PROOF, *SUSPECT[1:]])
def test_one_that_differs_sets_all_free_in_their_order(second: OutcomeKind) -> None:
    canary: Canary[int] = Canary(3)
    assert admit_all(canary, [K.NOT_FOUND, K.NOT_FOUND, second]) == [[], [], [0, 1, 2]]
    assert admit_all(canary, [K.NOT_FOUND] * 5) == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("kind", sorted(set(K) - set(SUSPECT)))
def test_what_is_no_sign_of_a_wrong_address_is_never_held(kind: OutcomeKind) -> None:
    assert admit_all(Canary(2), [kind] * 3) == [[0], [1], [2]]


@pytest.mark.parametrize("kind", NEUTRAL)
def test_a_failure_on_the_way_neither_frees_nor_counts(kind: OutcomeKind) -> None:
    canary: Canary[int] = Canary(3)
    kinds = [kind, K.NOT_FOUND, kind, K.NOT_FOUND, kind]
    assert admit_all(canary, kinds) == [[0], [], [2], [], [4]]
    with pytest.raises(ConfigurationError, match=f"first 3 answers of {CHECK}"):
        canary.admit(CHECK, K.NOT_FOUND, 5)
    assert canary.admit(CHECK, kind, 6) == [6]


@pytest.mark.parametrize("kind", PROOF)
def test_a_value_after_the_fall_is_kept_and_frees_nothing(kind: OutcomeKind) -> None:
    canary: Canary[int] = Canary(1)
    with pytest.raises(ConfigurationError):
        canary.admit(CHECK, K.NOT_FOUND, 0)
    assert admit_all(canary, [kind, K.NOT_FOUND, kind]) == [[0], [], [2]]
    assert canary.release() == [0, 1]


def test_endpoints_are_judged_apart() -> None:
    canary: Canary[int] = Canary(3)
    admit_all(canary, [K.SUCCESS])
    assert admit_all(canary, [K.NOT_FOUND] * 2, DATE) == [[], []]
    with pytest.raises(ConfigurationError, match=DATE):
        canary.admit(DATE, K.NOT_FOUND, 2)


def test_what_is_held_at_the_end_is_released_once() -> None:
    canary: Canary[int] = Canary(3)
    admit_all(canary, [K.NOT_FOUND] * 2)
    assert canary.release() == [0, 1]
    assert canary.release() == []


def test_a_trusted_endpoint_and_size_zero_hold_nothing() -> None:
    trusting: Canary[int] = Canary(2)
    trusting.trust(CHECK)
    for canary in (trusting, Canary[int](0)):
        assert admit_all(canary, [K.NOT_FOUND] * 4) == [[0], [1], [2], [3]]


@given(size=st.integers(0, 6), kinds=st.lists(st.sampled_from(list(K)), max_size=12))
def test_nothing_is_lost_or_doubled_unless_it_falls(size: int, kinds: list[OutcomeKind]) -> None:
    canary: Canary[int] = Canary(size)
    free: list[int] = []
    for i, kind in enumerate(kinds):
        try:
            free += canary.admit(CHECK, kind, i)
        except (ApiError, ConfigurationError):
            heard = [k for k in kinds[: i + 1] if k not in NEUTRAL]
            assert len(heard) == size
            assert len(set(heard)) == 1
            assert free == [n for n in range(i) if kinds[n] in NEUTRAL]
            assert len(canary.release()) == size  # which the run is not to believe
            return
    assert sorted(free + canary.release()) == list(range(len(kinds)))


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
