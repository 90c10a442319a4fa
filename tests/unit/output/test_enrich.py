from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.output.enrich import enrich
from batch_screen.schema import RISK, dtypes, results

from .frames import outcome, outcomes_of, rows_of

RUN = "20261123-c0ffee0000"
AT = datetime(2026, 11, 23, 1, 2, 3, 4, tzinfo=UTC)
ENDPOINTS = st.lists(st.sampled_from(Endpoint), unique=True)


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.integers(0, 20), max_size=40), endpoints=ENDPOINTS)
def test_rows_and_their_order_are_kept(numbers: list[int], endpoints: list[Endpoint]) -> None:
    rows = rows_of(numbers, id=pl.Series(range(len(numbers)), dtype=pl.Int64))
    outcomes = outcomes_of(
        outcome(i, e, attempts=i, swapped=i % 2 == 0 if e.takes_max_age else None)
        for e in endpoints
        for i in sorted(set(numbers), reverse=True)
    )
    enriched = enrich(rows, outcomes, RUN)
    assert enriched.select(rows.columns).equals(rows)
    assert enriched.schema == dtypes(results({"in_id": pl.Int64()}))
    for e in Endpoint:
        column = enriched[f"{e.column}_outcome"]
        assert column.null_count() == (0 if e in endpoints else enriched.height)
        if e in endpoints and e.takes_max_age:
            assert enriched[f"{e.column}_swapped"].to_list() == [i % 2 == 0 for i in numbers]


@pytest.mark.parametrize("asked", [(), tuple(Endpoint), (Endpoint.CALL_FORWARDING_CHECK,)])
def test_columns_are_fixed_whatever_was_asked(asked: tuple[Endpoint, ...]) -> None:
    enriched = enrich(rows_of([1]), outcomes_of(outcome(1, e) for e in asked), RUN)
    assert enriched.columns == [column.name for column in results({})]
    assert enriched["run_id"].to_list() == [RUN]


def test_every_value_of_an_endpoint_arrives_in_its_group() -> None:
    date, forwarding = Endpoint.SIM_SWAP_DATE, Endpoint.CALL_FORWARDING_CHECK
    outcomes = outcomes_of(
        [
            outcome(
                1, date, latest_change="reported", latest_change_at=AT, responded_at=AT, attempts=9
            ),
            outcome(1, forwarding, active=True, responded_at=AT),
            outcome(1, Endpoint.DEVICE_SWAP_CHECK, swapped=False, responded_at=AT),
        ]
    )
    [row] = enrich(rows_of([1]), outcomes, RUN).rows(named=True)
    assert {k: v for k, v in row.items() if k.startswith("sim_swap_date")} == {
        "sim_swap_date_outcome": "success",
        "sim_swap_date_latest_change": "reported",
        "sim_swap_date_latest_change_at": AT,
        "sim_swap_date_responded_at": AT,
        "sim_swap_date_source": "asked",
    }
    assert row["call_forwarding_check_active"] is True
    assert row["device_swap_check_swapped"] is False
    assert row["device_swap_check_max_age_minutes"] == 2400
    assert row["device_swap_check_window_start"] == AT - timedelta(minutes=2400)
    assert row["device_swap_check_window_end"] == AT
    assert row["device_swap_check_gap_minutes"] is None
    assert row["sim_swap_check_window_end"] is None


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS])
def test_a_failure_is_unknown_and_never_false(kind: OutcomeKind) -> None:
    outcomes = outcomes_of(outcome(1, e, outcome=kind.value) for e in Endpoint)
    [row] = enrich(rows_of([1]), outcomes, RUN).rows(named=True)
    for endpoint in Endpoint:
        assert row[f"{endpoint.column}_outcome"] == kind.value
    values = [v for k, v in row.items() if k.endswith(("_swapped", "_active", "_latest_change"))]
    assert values == [None] * 6  # risk_forwarding_active is one of them
    assert {row[c.name] for c in RISK if not c.required} == {None}


def test_kept_columns_come_first_with_their_types_and_may_be_called_anything() -> None:
    rows = rows_of(
        [1, 2],
        e164=pl.Series(["a", None]),
        amount=pl.Series([1.5, 2.5]),
        outcome=pl.Series([True, False]),
    )
    enriched = enrich(rows, outcomes_of([]), RUN)
    assert enriched.columns[:3] == ["in_e164", "in_amount", "in_outcome"]
    assert enriched.dtypes[:3] == [pl.String, pl.Float64, pl.Boolean]
    assert enriched["in_e164"].to_list() == ["a", None]


def test_no_rows_give_no_rows_with_all_columns() -> None:
    enriched = enrich(rows_of([]), outcomes_of([]), RUN)
    assert enriched.height == 0
    assert enriched.schema == dtypes(results({}))
