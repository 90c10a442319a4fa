from __future__ import annotations

import inspect
from datetime import UTC, datetime

import msgspec
import pytest

from batch_screen import model
from batch_screen.model import Endpoint, LatestChange, Lookup, Outcome, OutcomeKind, Plan, ShardPlan

RECORDS = [
    record
    for _, record in inspect.getmembers(model, inspect.isclass)
    if issubclass(record, msgspec.Struct) and record is not msgspec.Struct
]


@pytest.mark.parametrize(
    ("endpoint", "takes_max_age", "answers_date", "column"),
    [
        (Endpoint.SIM_SWAP_CHECK, True, False, "sim_swap_check"),
        (Endpoint.SIM_SWAP_DATE, False, True, "sim_swap_date"),
        (Endpoint.DEVICE_SWAP_CHECK, True, False, "device_swap_check"),
        (Endpoint.DEVICE_SWAP_DATE, False, True, "device_swap_date"),
        (Endpoint.CALL_FORWARDING_CHECK, False, False, "call_forwarding_check"),
    ],
)
def test_endpoints(
    endpoint: Endpoint, takes_max_age: bool, answers_date: bool, column: str
) -> None:
    assert endpoint.takes_max_age is takes_max_age
    assert endpoint.answers_date is answers_date
    assert endpoint.column == column


def test_there_are_five_endpoints_and_eleven_outcomes() -> None:
    assert [e.value for e in Endpoint] == [
        "sim-swap/check",
        "sim-swap/retrieve-date",
        "device-swap/check",
        "device-swap/retrieve-date",
        "call-forwarding/check",
    ]
    assert {kind.value for kind in OutcomeKind} == {
        *("success", "not_found", "forbidden", "rejected", "not_applicable", "bad_response"),
        *("rate_limited", "timeout", "unreachable", "server_error", "skipped"),
    }


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_frozen(record: type[msgspec.Struct]) -> None:
    assert record.__struct_config__.frozen


def test_a_lookup_is_a_key() -> None:
    one = Lookup("+491713920012", Endpoint.SIM_SWAP_CHECK, 2400)
    assert one == Lookup("+491713920012", Endpoint.SIM_SWAP_CHECK, 2400)
    assert len({one, one, Lookup(one.e164, one.endpoint, 240), Lookup(one.e164, one.endpoint)}) == 3


def test_an_outcome_belongs_to_its_lookup() -> None:
    outcome = Outcome("+491713920012", Endpoint.SIM_SWAP_CHECK, 240, kind=OutcomeKind.TIMEOUT)
    assert outcome.lookup == Lookup("+491713920012", Endpoint.SIM_SWAP_CHECK, 240)


def test_an_outcome_says_that_it_is_unknown_unless_told() -> None:
    outcome = Outcome("+491713920012", Endpoint.SIM_SWAP_CHECK)
    assert outcome.kind is OutcomeKind.SKIPPED
    assert (outcome.swapped, outcome.active, outcome.latest_change) == (None, None, None)


@pytest.mark.parametrize("kind", OutcomeKind)
@pytest.mark.parametrize("swapped", [True, False, None])
def test_what_is_left_out_of_the_journal_comes_back(
    kind: OutcomeKind, swapped: bool | None
) -> None:
    outcome = Outcome(
        "+491713920012",
        Endpoint.SIM_SWAP_DATE,
        kind=kind,
        swapped=swapped,
        latest_change=LatestChange.NONE_REPORTED,
        latest_change_raw="",
        responded_at=datetime(2026, 11, 23, 4, 5, 6, 789, UTC),
    )
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


def test_plan_counts() -> None:
    plan = Plan(10, 8, {"empty": 2}, "ef", [ShardPlan(5, 4, "ab"), ShardPlan(3, 1, "cd")], [], {})
    assert plan.unique_numbers == 5
    assert plan.duplicates == 3
