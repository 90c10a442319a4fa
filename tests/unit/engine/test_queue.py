from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.queue import TaskQueue
from batch_screen.engine.task import Task
from batch_screen.model import Endpoint, Lookup

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
    queue.put_later(late, due=5.0)
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


def test_too_many_that_wait_stop_the_plan_from_being_read() -> None:
    pulled = []

    def plan() -> Iterator[Task]:
        for task in tasks([CHECK] * 1000):
            pulled.append(task)
            yield task

    waits = Waits()
    waits.seconds[CHECK] = 1.0
    queue = TaskQueue(plan(), wait_seconds=waits, most_delayed=3)
    assert queue.next(0.0) is None
    assert len(pulled) <= 64

    delayed = queued(tasks([CHECK] * 10))
    for task in tasks([DATE] * 3):
        delayed.put_later(task, due=9.0)
    assert delayed.next(0.0) is None


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
        queue.put_later(task, due)
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
