from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.accusations import Accusations
from batch_screen.engine.tasks import Places, Result, Sent, Task
from batch_screen.errors import ApiError, AuthenticationError, QuotaError
from batch_screen.model import Answer, Endpoint, Lookup, OutcomeKind

K = OutcomeKind
CHECK, DATE, DEVICE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE, Endpoint.DEVICE_SWAP_CHECK
DEAD = Answer(kind=K.FORBIDDEN, http_status=401)
EMPTY = Answer(kind=K.REJECTED, http_status=402)
OK = Answer(kind=K.SUCCESS, http_status=200)
INCONCLUSIVE = [K.RATE_LIMITED, K.SERVER_ERROR, K.TIMEOUT, K.UNREACHABLE]


def task(i: int, endpoint: Endpoint = CHECK) -> Task:
    return Task(0, Lookup(f"+4477009{i:05d}", endpoint))


def withheld(i: int, place: int, *, endpoint: Endpoint = CHECK, answer: Answer = DEAD) -> Result:
    sent = Sent(f"{place}", Places(place, place), 0.0, 0.0)
    return Result(task(i, endpoint), answer, sent, datetime(2026, 3, 1, tzinfo=UTC), 0.0)


def accused(*held: Result, endpoints: tuple[Endpoint, ...] = (CHECK,)) -> Accusations:
    accusations = Accusations(endpoints)
    for each in held:
        accusations.accuse(each)
    return accusations


def test_one_answer_stops_nothing() -> None:
    accusations = accused(withheld(1, 5))
    assert accusations.is_open
    assert not accusations.has_passed


@pytest.mark.parametrize(("answer", "error"), [(DEAD, AuthenticationError), (EMPTY, QuotaError)])
def test_another_numbers_answer_bears_it_out(answer: Answer, error: type[ApiError]) -> None:
    with pytest.raises(error, match="start again"):
        accused(withheld(1, 5, answer=answer), withheld(2, 6, answer=answer))


@given(places=st.lists(st.integers(1, 1000), min_size=1, max_size=20, unique=True))
def test_the_same_number_never_bears_itself_out(places: list[int]) -> None:
    held = [withheld(1, p, endpoint=(CHECK, DATE, DEVICE)[p % 3]) for p in places]
    accusations = accused(*held, endpoints=(CHECK, DATE, DEVICE))
    assert accusations.take() == held


def test_of_several_endpoints_one_alone_is_never_enough() -> None:
    """It may not be part of what the account has bought."""
    held = [withheld(i, i) for i in range(1, 30)]
    accusations = accused(*held, endpoints=(CHECK, DATE))
    assert accusations.take() == held


def test_but_where_nothing_else_is_left_to_ask_another_number_is() -> None:
    accusations = accused(withheld(1, 5), endpoints=(CHECK, DATE))
    accusations.no_other_endpoint()
    assert accusations.is_witness(task(2))
    with pytest.raises(AuthenticationError, match=f"at {CHECK} the API refused the key"):
        accusations.accuse(withheld(2, 6))


def test_two_numbers_at_two_endpoints_are() -> None:
    with pytest.raises(AuthenticationError, match=r"^the API refused the key"):
        accused(withheld(1, 5), withheld(2, 6, endpoint=DATE), endpoints=(CHECK, DATE))


def test_one_number_at_two_endpoints_is_one_number() -> None:
    held = withheld(1, 5), withheld(1, 6, endpoint=DATE)
    assert accused(*held, endpoints=(CHECK, DATE)).is_open


@pytest.mark.parametrize("kind", sorted(set(K) - set(INCONCLUSIVE)))
def test_a_later_attempt_that_was_served_clears(kind: OutcomeKind) -> None:
    first = withheld(1, 5)
    accusations = accused(first)
    assert accusations.clear(Answer(kind=kind), 6) == [first]
    assert not accusations.is_open
    assert accusations.has_passed
    accusations.accuse(withheld(2, 7))  # begins anew
    assert accusations.is_open


@pytest.mark.parametrize("kind", INCONCLUSIVE)
def test_inconclusive_answers_decide_nothing(kind: OutcomeKind) -> None:
    accusations = accused(withheld(1, 5))
    assert accusations.clear(Answer(kind=kind), 6) == []
    assert accusations.is_open
    assert not accusations.has_passed
    with pytest.raises(AuthenticationError):
        accusations.accuse(withheld(2, 7))


def test_what_was_sent_before_clears_nothing() -> None:
    accusations = accused(withheld(1, 5))
    assert accusations.clear(OK, 4) == []
    assert accusations.is_open
    assert accusations.has_passed, "the account was served, if not since"


@given(
    accusing=st.sets(st.integers(1, 100), max_size=15),
    served=st.lists(st.integers(1, 100), max_size=15),
)
def test_only_those_sent_before_are_cleared(accusing: set[int], served: list[int]) -> None:
    accusations = accused(*(withheld(1, place) for place in sorted(accusing)))
    still, cleared = set(accusing), set[int]()
    for place in served:
        found = {held.sent.places.of_all for held in accusations.clear(OK, place)}
        assert found == {other for other in still if other < place}
        cleared |= found
        still -= found
        assert accusations.is_open == bool(still)
    assert {held.sent.places.of_all for held in accusations.take()} == still
    assert cleared | still == accusing
    assert accusations.has_passed == bool(served)


@given(
    happening=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from([CHECK, DATE]), st.booleans()), max_size=60
    ),
    several=st.booleans(),
)
def test_between_two_that_are_served_several_numbers_stop_the_run(
    happening: list[tuple[int, Endpoint, bool]], several: bool
) -> None:
    """Answers are heard in the order of sending, True for one that is served."""
    endpoints = (CHECK, DATE) if several else (CHECK,)
    accusations = Accusations(endpoints)
    since: list[tuple[int, Endpoint]] = []
    for place, (i, any_endpoint, is_served) in enumerate(happening, 1):
        endpoint = any_endpoint if several else CHECK
        if is_served:
            assert len(accusations.clear(OK, place)) == len(since)
            since = []
            continue
        since.append((i, endpoint))
        numbers, named = {number for number, _ in since}, {where for _, where in since}
        enough = 3 if accusations.has_passed else 2
        if len(numbers) >= enough and (len(named) > 1 or not several):
            with pytest.raises(AuthenticationError):
                accusations.accuse(withheld(i, place, endpoint=endpoint))
            return
        accusations.accuse(withheld(i, place, endpoint=endpoint))


def test_a_witness_is_another_number() -> None:
    accusations = accused(withheld(1, 5))
    assert not accusations.is_witness(task(1))
    assert accusations.is_witness(task(2))


def test_of_several_endpoints_a_witness_is_asked_at_another() -> None:
    accusations = accused(withheld(1, 5), endpoints=(CHECK, DATE))
    assert not accusations.is_witness(task(1, DATE))
    assert not accusations.is_witness(task(2, CHECK))
    assert accusations.is_witness(task(2, DATE))
    accusations.accuse(withheld(1, 6, endpoint=DATE))
    assert accusations.is_witness(task(2, CHECK)), "both were accused by now"
    assert accusations.is_witness(task(2, DATE))


@given(
    held=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([CHECK, DATE])), min_size=1),
    candidate=st.tuples(st.integers(0, 5), st.sampled_from([CHECK, DATE])),
    is_served=st.booleans(),
)
def test_a_witness_decides_either_way(
    held: list[tuple[int, Endpoint]], candidate: tuple[int, Endpoint], is_served: bool
) -> None:
    accusations = Accusations((CHECK, DATE))
    for place, (i, endpoint) in enumerate(held):
        try:
            accusations.accuse(withheld(i, place, endpoint=endpoint))
        except AuthenticationError:
            return
    if not accusations.is_witness(task(*candidate)):
        return
    if is_served:
        accusations.clear(OK, len(held))
        assert not accusations.is_open
        return
    with pytest.raises(AuthenticationError):
        accusations.accuse(withheld(candidate[0], len(held), endpoint=candidate[1]))


def test_taken_are_those_still_open_and_once() -> None:
    held = [withheld(1, place) for place in (5, 7, 9)]
    accusations = accused(*held)
    accusations.clear(OK, 8)
    assert accusations.take() == held[2:]
    assert accusations.take() == []
    assert not accusations.is_open


def test_those_that_are_heard_late_are_cleared_by_what_was_served_meanwhile() -> None:
    accusations = Accusations((CHECK,))
    for place in range(10, 60):
        accusations.clear(OK, place)
    for place in (5, 6):
        assert not accusations.accuse(withheld(place, place))
        assert not accusations.is_open
    assert accusations.accuse(withheld(60, 60))
    assert accusations.is_open
