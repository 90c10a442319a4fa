from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter

from batch_screen.engine.task import Places, Sent, Task, outcome_of
from batch_screen.model import Answer, Endpoint, Lookup, OutcomeKind

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TASK = Task(
    3, Lookup("+447700900001", Endpoint.SIM_SWAP_CHECK, 2400), failed_attempts=2, refusals=1
)


def test_an_outcome_says_when_it_came_and_how_long_it_took() -> None:
    sent = Sent("correlator-1", Places(7, 3), at=5.0, began=perf_counter() - 0.25)
    outcome = outcome_of(TASK, Answer(kind=OutcomeKind.SUCCESS, swapped=False), sent, NOW)
    assert outcome.latency_ms is not None
    assert 250 <= outcome.latency_ms < 5_000
    assert outcome.responded_at == NOW
    assert outcome.correlator == "correlator-1"
    assert (outcome.attempts, outcome.refusals, outcome.swapped) == (3, 1, False)


def test_what_was_not_asked_has_no_times() -> None:
    outcome = outcome_of(
        TASK, Answer(kind=OutcomeKind.SKIPPED, reason="not_implemented"), None, NOW
    )
    assert (outcome.latency_ms, outcome.responded_at, outcome.correlator) == (None, None, None)
