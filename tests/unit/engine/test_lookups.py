from __future__ import annotations

import random

import pytest

from batch_screen.config.sections import Guards
from batch_screen.config.settings import Settings
from batch_screen.engine.endpoints import Endpoints
from batch_screen.engine.lookups import Lookups
from batch_screen.engine.retry import ACCOUNT
from batch_screen.engine.tasks import Delay, Task
from batch_screen.model import (
    CANNOT_CONNECT,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
    WithheldOutcome,
)
from tests.worlds import refused, result

K = OutcomeKind
CHECK = Endpoint.SIM_SWAP_CHECK
LOOKUP = Lookup("+447700900001", CHECK, 2400)


class Kept:
    """The journal's records and what is asked later."""

    unsaved = 0
    expects_more = False
    is_behind = False

    def __init__(self, canary: int = 0) -> None:
        settings = Settings(
            screening={"endpoints": (CHECK, Endpoint.SIM_SWAP_DATE)},  # type: ignore[arg-type]
            guards=Guards(canary_answers=canary),
        )
        self.records: list[tuple[int, Attempt | WithheldOutcome | Outcome]] = []
        self.later: list[tuple[Task, float, Delay]] = []
        self.endpoints = Endpoints(
            settings, lambda: 0.0, refuses_all=lambda _: False, on_given_up=lambda _: None
        )
        self.lookups = Lookups(
            settings,
            journal=self,
            endpoints=self.endpoints,
            put_later=lambda *later: self.later.append(later),
        )

    def save(self, shard: int, record: Attempt | WithheldOutcome | Outcome) -> None:
        self.records.append((shard, record))

    # Lookups only save; the other calls of a journal are the dispatcher's.
    def note(self, shard: int, intent: Intent) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def drop(self, shard: int, lookup: Lookup) -> None:
        raise NotImplementedError

    def hurry(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "reason"), [(refused(3.0), Delay.REFUSED), (K.TIMEOUT, Delay.FAILED)]
)
def test_what_is_asked_again_is_saved_first_and_says_why(answer: object, reason: Delay) -> None:
    random.seed(0)
    kept, came = Kept(), result(answer, lookup=LOOKUP)  # type: ignore[arg-type]
    kept.lookups.again(came)
    [(task, seconds, why)], [(_, record)] = kept.later, kept.records
    assert (task, why) == (came.task, reason)
    assert seconds >= (came.answer.retry_after_seconds or 0)
    assert isinstance(record, Attempt)
    assert record.kind is came.answer.kind


def test_what_was_not_asked_has_no_times() -> None:
    kept = Kept()
    kept.lookups.skip(Task(3, LOOKUP, failed_attempts=2, refusals=1), "not_implemented")
    [(shard, outcome)] = kept.records
    assert isinstance(outcome, Outcome)
    assert (shard, outcome.kind, outcome.reason) == (3, K.SKIPPED, "not_implemented")
    assert (outcome.latency_ms, outcome.responded_at, outcome.correlator) == (None, None, None)
    assert (outcome.attempts, outcome.refusals, outcome.source) == (3, 1, None)


def test_attempts_that_say_nothing_of_their_lookup_are_marked() -> None:
    kept = Kept()
    kept.lookups.call_off(Task(0, LOOKUP))
    kept.lookups.leave(result(K.FORBIDDEN, lookup=LOOKUP))
    assert [record.reason for _, record in kept.records if isinstance(record, Attempt)] == [
        CANNOT_CONNECT,
        ACCOUNT,
    ]


@pytest.mark.parametrize("is_complete", [True, False])
def test_what_the_canary_holds_counts_only_if_there_was_no_more_to_ask(is_complete: bool) -> None:
    kept = Kept(canary=3)
    kept.lookups.finish(result(K.NOT_FOUND, lookup=LOOKUP))
    assert not kept.records
    assert kept.lookups.release(is_complete=is_complete)
    [(_, record)] = kept.records
    assert isinstance(record, Outcome if is_complete else WithheldOutcome)
    assert not kept.lookups.release(is_complete=is_complete)


def test_an_endpoint_without_a_good_first_answer_is_given_up_where_others_are_asked() -> None:
    kept = Kept(canary=2)
    for place in (1, 2):
        kept.lookups.finish(result(K.FORBIDDEN, place))
    assert list(kept.endpoints.given_up) == [CHECK]
    assert not kept.records
