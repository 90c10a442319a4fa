from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.sections import Dialect
from batch_screen.engine.canary import Canary
from batch_screen.errors import ApiError, AuthenticationError, ConfigurationError
from batch_screen.model import Endpoint, OutcomeKind

K = OutcomeKind
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
SUSPECT = [K.NOT_FOUND, K.FORBIDDEN, K.REJECTED, K.BAD_RESPONSE]
PROOF = [K.SUCCESS, K.NOT_APPLICABLE]
NEUTRAL = [K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE, K.RATE_LIMITED, K.SKIPPED]


def test_every_kind_is_judged() -> None:
    assert sorted([*SUSPECT, *PROOF, *NEUTRAL]) == sorted(K)


def admit_all(canary: Canary[int], kinds: list[OutcomeKind], endpoint: Endpoint = CHECK) -> list:
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
    with pytest.raises(error, match=f"first 3 answers of {CHECK}.*{words}.*canary_answers = 0"):
        canary.admit(CHECK, kind, 2)
    assert canary.admit(CHECK, kind, 3) == []
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
    with pytest.raises(ConfigurationError, match=f"first 3 answers of {CHECK}"):
        canary.admit(CHECK, K.NOT_FOUND, 5)
    assert canary.admit(CHECK, kind, 6) == [6]


@pytest.mark.parametrize("kind", PROOF)
def test_a_value_after_the_fall_is_kept_and_frees_nothing(kind: OutcomeKind) -> None:
    canary: Canary[int] = Canary(1, Dialect.PAGE)
    with pytest.raises(ConfigurationError):
        canary.admit(CHECK, K.NOT_FOUND, 0)
    assert admit_all(canary, [kind, K.NOT_FOUND, kind]) == [[0], [], [2]]
    assert canary.release() == [0, 1]


def test_endpoints_are_judged_apart() -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    admit_all(canary, [K.SUCCESS])
    assert admit_all(canary, [K.NOT_FOUND] * 2, DATE) == [[], []]
    with pytest.raises(ConfigurationError, match=DATE):
        canary.admit(DATE, K.NOT_FOUND, 2)


def test_what_is_held_at_the_end_is_released_once() -> None:
    canary: Canary[int] = Canary(3, Dialect.PAGE)
    admit_all(canary, [K.NOT_FOUND] * 2)
    assert canary.release() == [0, 1]
    assert canary.release() == []


def test_a_trusted_endpoint_and_size_zero_hold_nothing() -> None:
    trusting: Canary[int] = Canary(2, Dialect.PAGE)
    trusting.trust(CHECK)
    for canary in (trusting, Canary[int](0, Dialect.PAGE)):
        assert admit_all(canary, [K.NOT_FOUND] * 4) == [[0], [1], [2], [3]]


@given(size=st.integers(0, 6), kinds=st.lists(st.sampled_from(list(K)), max_size=12))
def test_nothing_is_lost_or_doubled_unless_it_falls(size: int, kinds: list[OutcomeKind]) -> None:
    canary: Canary[int] = Canary(size, Dialect.PAGE)
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


def test_the_other_dialect_is_named_from_either_side() -> None:
    canary: Canary[int] = Canary(1, Dialect.LATER)
    with pytest.raises(ConfigurationError, match=r"api.dialect = 'v1\.0\.0'"):
        canary.admit(CHECK, K.NOT_FOUND, 0)
