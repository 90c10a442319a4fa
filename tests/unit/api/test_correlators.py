from __future__ import annotations

import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batch_screen.api import correlators
from batch_screen.api.correlators import Correlators


def bearing(*values: str) -> CIMultiDict[str]:
    return CIMultiDict([("X-Correlator", value) for value in values])


class Connection:
    echoes = 0


@pytest.fixture
def known() -> Correlators:
    """One that is under way, ``ours``, one beside it, and one that is over."""
    known = Correlators()
    for each in ("ours", "beside", "over"):
        known.sent(each)
    known.ended("over")
    return known


@pytest.mark.parametrize("others", [["beside"], ["over"], ["gw-7", "over"], ["gw-7, beside"]])
def test_an_answer_to_another_of_ours_is_anothers(known: Correlators, others: list[str]) -> None:
    assert known.answers_another(bearing(*others), "ours", Connection())


@pytest.mark.parametrize(
    "said",
    [[], ["ours"], ["gw-7"], [""], ["gw-7", "gw-8"], ["gw-7", "ours"], ["gw-7,ours"], ["over-7"]],
)
def test_whatever_else_stands_there_proves_nothing(known: Correlators, said: list[str]) -> None:
    assert not known.answers_another(bearing(*said), "ours", Connection())


def test_the_one_that_was_asked_with_is_ours_also_when_it_is_over(known: Correlators) -> None:
    known.ended("ours")
    assert not known.answers_another(bearing("ours"), "ours", Connection())
    assert known.answers_another(bearing("ours"), "beside", Connection())


def test_that_others_are_ignored_is_said_once_and_without_them(
    known: Correlators, caplog: pytest.LogCaptureFixture
) -> None:
    known.answers_another(bearing("over"), "ours", Connection())
    assert not caplog.records  # that one is not ignored
    for said in ("gw-7", "gw-8"):
        known.answers_another(bearing(said), "ours", Connection())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "x-correlator that was never sent" in record.getMessage()
    assert not any(each in record.getMessage() for each in ("gw-7", "gw-8", "beside"))


def test_those_under_way_are_never_forgotten_and_few_of_the_others_are_kept() -> None:
    known = Correlators()
    known.sent("slow")
    for number in range(5 * correlators._REMEMBERED):
        known.sent(str(number))
        known.ended(str(number))
    assert known.answers_another(bearing("slow"), "mine", Connection())
    assert known.answers_another(bearing(str(number)), "mine", Connection())
    assert not known.answers_another(bearing("0"), "mine", Connection())
    assert len(known._ended) + len(known._ended_before) <= 2 * correlators._REMEMBERED
    assert len(known._under_way) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=80), st.integers(1, 5))
def test_the_last_ones_are_known_and_one_never_sent_is_not(
    steps: list[tuple[bool, int]], remembered: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlators, "_REMEMBERED", remembered)
        known, under_way, ended = Correlators(), set(), list[int]()
        for is_sent, number in steps:
            if is_sent:
                known.sent(str(number))
                under_way.add(number)
            elif number in under_way:
                known.ended(str(number))
                under_way.discard(number)
                ended.append(number)
        must = under_way | set(ended[-remembered:])
        may = must | set(ended[-2 * remembered :]) if len(set(ended)) == len(ended) else {*ended}
        found = {
            n for n in range(31) if known.answers_another(bearing(str(n)), "mine", Connection())
        }
    assert must <= found <= may | under_way


def test_a_connection_that_always_repeated_ours_and_then_does_not_brings_anothers(
    known: Correlators,
) -> None:
    connection = Connection()
    for _ in range(correlators._SURE_ECHOES - 1):
        assert not known.answers_another(bearing("ours"), "ours", connection)
    assert not known.answers_another(bearing("gw-7"), "ours", connection)
    assert not known.answers_another(bearing("gw-8"), "ours", connection)
    for _ in range(correlators._SURE_ECHOES):
        assert not known.answers_another(bearing("gw-7", "ours"), "ours", connection)
    assert not known.answers_another(bearing(), "ours", connection)
    assert known.answers_another(bearing("gw-9"), "ours", connection)
    assert not known.answers_another(bearing("gw-9"), "ours", connection)


@pytest.mark.parametrize("own_share", [0.01, 0.06, 0.3, 0.5, 0.9])
def test_nodes_of_two_minds_behind_one_connection_cost_few_requests(own_share: float) -> None:
    rng, known, connection = random.Random(7), Correlators(), Connection()
    known.sent("ours")
    strange = 0
    for _ in range(20_000):
        said = "gw" if rng.random() < own_share else "ours"
        if known.answers_another(bearing(said), "ours", connection):
            strange, connection = strange + 1, Connection()
    assert strange <= 20_000 / 40
