from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.tasks import Delay, Places, Result, Sent, Task, TaskQueue, outcome_of
from batch_screen.model import Answer, Endpoint, Lookup, OutcomeKind

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE


def tasks(endpoints: list[Endpoint]) -> list[Task]:
    return [Task(0, Lookup(f"+4477009{i:05d}", e)) for i, e in enumerate(endpoints)]


class Waits:
    """Which endpoints must be left alone, and for how long."""

    def __init__(self) -> None:
        self.seconds: dict[Endpoint, float] = {}

    def __call__(self, endpoint: Endpoint) -> float:
        return self.seconds.get(endpoint, 0.0)


def queued(plan: list[Task], waits: Waits | None = None, most_delayed: int = 3) -> TaskQueue:
    return TaskQueue(iter(plan), wait_seconds=waits or Waits(), most_delayed=most_delayed)


def drained(queue: TaskQueue, now: float = 0.0) -> list[Task]:
    found = []
    while task := queue.next(now):
        found.append(task)
    return found


def test_refused_first_then_due_then_the_plan() -> None:
    first, late, *plan = tasks([CHECK] * 5)
    queue = queued(plan)
    queue.put_later(late, due=5.0, reason=Delay.FAILED)
    queue.put_first(first)
    assert drained(queue, 4.9) == [first, *plan]
    assert not queue.is_empty
    assert queue.wait(4.0) == 1.0
    assert drained(queue, 5.0) == [late]
    assert queue.is_empty
    assert queue.wait(6.0) is None


def test_a_parked_endpoint_lets_the_others_pass_and_comes_first_when_it_may() -> None:
    plan = tasks([CHECK, DATE, CHECK, DATE])
    waits = Waits()
    waits.seconds[CHECK] = 0.7
    queue = queued(plan, waits)
    assert drained(queue) == [plan[1], plan[3]]
    assert queue.wait(0.0) == 0.7
    assert not queue.is_empty
    waits.seconds[CHECK] = 0.0
    assert drained(queue) == [plan[0], plan[2]]


def test_too_many_that_are_passed_over_stop_the_plan_from_being_read() -> None:
    pulled = 0

    def plan() -> Iterator[Task]:
        nonlocal pulled
        for i in range(100_000):
            pulled += 1
            yield Task(0, Lookup(f"+4477{i:08d}", CHECK))

    waits = Waits()
    waits.seconds[CHECK] = 1.0
    queue = TaskQueue(plan(), wait_seconds=waits, most_delayed=3)
    assert queue.next(0.0) is None
    assert 1000 < pulled <= 20_000
    before = pulled
    assert queue.next(0.5) is None
    assert pulled == before


def test_too_many_that_failed_stop_the_plan_from_being_read() -> None:
    queue = queued(tasks([CHECK] * 10))
    for task in tasks([DATE] * 3):
        queue.put_later(task, due=9.0, reason=Delay.FAILED)
    assert queue.next(0.0) is None
    assert queue.wait(0.0) == 9.0
    assert queue.next(9.0) is not None


def test_many_that_were_refused_do_not_for_nothing_was_paid_for_them() -> None:
    plan = tasks([CHECK] * 10)
    queue = queued(plan)
    for task in tasks([DATE] * 1000):
        queue.put_later(task, due=9.0, reason=Delay.REFUSED)
    assert drained(queue) == plan
    assert len(drained(queue, 9.0)) == 1000


def test_but_they_do_where_there_are_very_many() -> None:
    queue = queued(tasks([CHECK] * 10))
    for task in tasks([DATE] * 17_000):
        queue.put_later(task, due=9.0, reason=Delay.REFUSED)
    assert queue.next(0.0) is None
    assert drained(queue, 9.0)[-1].lookup.endpoint is CHECK


def test_refused_and_failed_ones_are_counted_apart_and_as_they_come_back() -> None:
    plan = tasks([CHECK] * 6)
    queue = queued(plan, most_delayed=1)
    failed, refused, other = tasks([DATE] * 3)
    queue.put_later(failed, due=2.0, reason=Delay.FAILED)
    queue.put_later(refused, due=1.0, reason=Delay.REFUSED)
    queue.put_later(other, due=3.0, reason=Delay.REFUSED)
    assert queue.next(0.0) is None
    assert queue.next(1.0) is refused
    assert queue.next(1.0) is None, "the one that failed still waits"
    assert queue.next(2.0) is failed
    assert drained(queue, 2.0) == plan
    assert drained(queue, 3.0) == [other]


def test_new_ones_first_while_that_is_asked_for() -> None:
    late, *plan = tasks([CHECK] * 4)
    queue = queued(plan)
    queue.put_later(late, due=1.0, reason=Delay.REFUSED)
    assert queue.next(2.0, new_first=True) is plan[0]
    assert queue.next(2.0) is late
    queue.put_later(late, due=1.0, reason=Delay.REFUSED)
    assert [queue.next(2.0, new_first=True) for _ in range(4)] == [*plan[1:], late, None]


@given(
    endpoints=st.lists(st.sampled_from([CHECK, DATE]), max_size=200),
    closed=st.lists(st.sets(st.sampled_from([CHECK, DATE])), max_size=40),
    delayed=st.lists(st.floats(0, 30), max_size=3),
)
def test_every_task_comes_once(
    endpoints: list[Endpoint], closed: list[set[Endpoint]], delayed: list[float]
) -> None:
    all_tasks = tasks(endpoints + [CHECK] * len(delayed))
    waits = Waits()
    queue = queued(all_tasks[: len(endpoints)], waits, most_delayed=10)
    for task, due in zip(all_tasks[len(endpoints) :], delayed, strict=True):
        queue.put_later(task, due, Delay.FAILED)
    found = []
    for now, shut in enumerate(closed):
        waits.seconds = dict.fromkeys(shut, 1.0)
        if task := queue.next(now):
            assert task.lookup.endpoint not in shut
            found.append(task)
    waits.seconds = {}
    found += drained(queue, 100.0)
    assert queue.is_empty
    assert sorted(t.lookup.e164 for t in found) == [t.lookup.e164 for t in all_tasks]


NOW = datetime(2026, 3, 2, tzinfo=UTC)
TASK = Task(
    3, Lookup("+447700900001", Endpoint.SIM_SWAP_CHECK, 2400), failed_attempts=2, refusals=1
)


def test_an_outcome_says_when_it_came_and_how_long_it_took() -> None:
    sent = Sent("correlator-1", Places(7, 3), at=5.0, began=100.0)
    answer = Answer(kind=OutcomeKind.SUCCESS, swapped=False)
    outcome = outcome_of(Result(TASK, answer, sent, NOW, ended=100.25))
    assert outcome.latency_ms == 250
    assert outcome.responded_at == NOW
    assert outcome.correlator == "correlator-1"
    assert (outcome.attempts, outcome.refusals, outcome.swapped) == (3, 1, False)
