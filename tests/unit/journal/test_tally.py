from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.journal.lines import FORMAT, VERSION, Header, Record
from batch_screen.journal.tally import Tally
from batch_screen.model import (
    CANNOT_CONNECT,
    Attempt,
    Endpoint,
    Held,
    Intent,
    Outcome,
    OutcomeKind,
    Spent,
)

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NUMBER = "+447700900001"

# What becomes of a request → the records it leaves, and what it has spent.
ENDS: dict[str, tuple[list[Record], Spent]] = {
    "answered": ([Outcome(NUMBER, CHECK, kind=OutcomeKind.SUCCESS, refusals=7)], Spent(1)),
    "failed": ([Attempt(NUMBER, CHECK, kind=OutcomeKind.TIMEOUT)], Spent(1)),
    "refused": ([Attempt(NUMBER, CHECK, kind=OutcomeKind.RATE_LIMITED)], Spent(1, 1)),
    "refused for good": ([Outcome(NUMBER, CHECK, kind=OutcomeKind.RATE_LIMITED)], Spent(1, 1)),
    "never sent": (
        [Attempt(NUMBER, CHECK, kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT)],
        Spent(),
    ),
    "connection lost": (
        [Attempt(NUMBER, CHECK, kind=OutcomeKind.UNREACHABLE, reason="connection_lost")],
        Spent(1),
    ),
    "about the account": (
        [Attempt(NUMBER, CHECK, kind=OutcomeKind.FORBIDDEN, reason="account")],
        Spent(1),
    ),
    "out of quota": (
        [Attempt(NUMBER, CHECK, kind=OutcomeKind.RATE_LIMITED, reason="account")],
        Spent(1, 1),
    ),
    "held back": ([Held(Outcome(NUMBER, CHECK, kind=OutcomeKind.NOT_FOUND))], Spent(1)),
    "held back and believed": (
        [
            Held(Outcome(NUMBER, CHECK, kind=OutcomeKind.NOT_FOUND)),
            Outcome(NUMBER, CHECK, kind=OutcomeKind.NOT_FOUND),
        ],
        Spent(1),
    ),
    "held back and forgotten": (
        [Attempt(NUMBER, CHECK, kind=OutcomeKind.NOT_FOUND, reason="held_back")],
        Spent(1),
    ),
    "no answer before a crash": ([], Spent(1)),
}


def counted(*records: Record) -> dict[Endpoint, Spent]:
    tally = Tally()
    for record in records:
        tally.count(record)
    return tally.spent()


@pytest.mark.parametrize("end", ENDS)
def test_what_becomes_of_a_request(end: str) -> None:
    records, spent = ENDS[end]
    assert counted(Intent(NUMBER, CHECK), *records) == {CHECK: spent}


def test_what_was_not_asked_costs_nothing() -> None:
    header = Header(FORMAT, VERSION, "20261123-c0ffee0000", 0)
    skipped = Outcome(NUMBER, DATE, kind=OutcomeKind.SKIPPED, reason="not_implemented")
    assert counted(header, skipped) == {}


@given(st.lists(st.sampled_from(sorted(ENDS))), st.randoms(), st.integers(0, 100))
def test_any_order_and_any_cut_into_parts(ends: list[str], chance: random.Random, cut: int) -> None:
    records = [r for end in ends for r in (Intent(NUMBER, CHECK), *ENDS[end][0])]
    chance.shuffle(records)
    expected = Spent(
        sum(ENDS[end][1].requests for end in ends), sum(ENDS[end][1].refusals for end in ends)
    )
    whole = Tally()
    for part in (records[:cut], records[cut:]):
        whole.add(counted(*part))
    assert whole.spent() == counted(*records)
    assert whole.spent().get(CHECK, Spent()) == expected
