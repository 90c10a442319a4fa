from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batch_screen.config.settings import Prices
from batch_screen.model import Endpoint
from batch_screen.tables.counts import count_lookups, count_saved
from batch_screen.tables.coverage import Coverage, Saved, count_contradictions, count_coverage

from .frames import outcome, outcomes_of

SIM, SIM_DATE, DEVICE = (
    Endpoint.SIM_SWAP_CHECK,
    Endpoint.SIM_SWAP_DATE,
    Endpoint.DEVICE_SWAP_CHECK,
)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
SPARED = {"outcome": "skipped", "source": None, "attempts": 0}
AT = {"responded_at": NOW, "swapped": False}
ONE = outcomes_of(
    [
        outcome(1, SIM, last_observed_at=NOW - timedelta(days=1), **AT),
        outcome(2, SIM, last_observed_at=NOW - timedelta(days=3), **AT),
        outcome(3, SIM, **AT),
        outcome(4, SIM, outcome="timeout"),
        *(outcome(i, DEVICE, reason="sim_unchanged", **SPARED) for i in (1, 2, 3)),
        outcome(4, DEVICE, last_observed_at=NOW, **AT),
        *(outcome(i, SIM_DATE, reason="not_needed", **SPARED) for i in (1, 2, 3)),
        outcome(4, SIM_DATE, attempts=3, refusals=1, latest_change="none_reported"),
    ]
)
TWO = outcomes_of(
    [
        outcome(5, SIM, last_observed_at=NOW - timedelta(days=9), source="derived", **AT)
        | {"attempts": 0},
        outcome(5, DEVICE, source="reused", **AT) | {"attempts": 0},
        outcome(5, SIM_DATE, latest_change="reported"),
    ]
)
TABLES = [ONE.lazy(), TWO.lazy()]


def test_coverage_is_counted_over_tables() -> None:
    assert count_coverage(TABLES) == {
        "sim-swap/check": Coverage(5, 1, 2, 1, 1, 0, 9 * 1440 - 2400),
        "device-swap/check": Coverage(5, 1, 0, 1, 0, 3, 0),
    }
    for found in count_coverage(TABLES).values():
        parts = (found.without_gap, found.with_gap, found.first, found.unobserved, found.unchanged)
        assert sum(parts) == found.numbers
    assert count_coverage([]) == {}


def test_contradictions_are_counted_over_tables() -> None:
    change = {"latest_change": "reported", "latest_change_at": NOW - timedelta(hours=1)}
    both = [outcome(1, SIM, **AT), outcome(1, SIM_DATE, responded_at=NOW, **change)]
    assert count_contradictions([outcomes_of(both).lazy(), *TABLES]) == {SIM.value: 1}
    assert count_contradictions(TABLES) == {}


def test_what_was_saved_is_counted_over_tables() -> None:
    prices = Prices(per_request={SIM: 0.1, DEVICE: 0.01})
    counted = count_lookups(TABLES, prices)
    assert count_saved(counted, [SIM, DEVICE], prices) == Saved(
        requests=5, derived=1, reused=1, unchanged=3, cost=0.14, dates_asked=3
    )
    assert [counted[e.value].spared for e in (SIM, DEVICE, SIM_DATE)] == [0, 3, 3]
    nothing = count_saved(count_lookups([], prices), [SIM], prices)
    assert nothing == Saved()
