"""Which task comes next: refused ones, those whose delay is over, then the plan's.

A task whose endpoint must still be left alone is parked, so that the others need not wait for
it. All of it is bounded: where too much waits, nothing more is taken from the plan.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from itertools import count

from batch_screen.engine.task import Task
from batch_screen.model import Endpoint

_MOST_PARKED = 64


class TaskQueue:
    """Tasks in the order in which they are to be asked.

    ``wait_seconds`` says how long an endpoint must be left alone, ``most_delayed`` how many
    tasks may wait for another try.
    """

    def __init__(
        self,
        plan: Iterator[Task],
        *,
        wait_seconds: Callable[[Endpoint], float],
        most_delayed: int,
    ) -> None:
        self._plan = plan
        self._wait_seconds = wait_seconds
        self._most_delayed = most_delayed
        self._front: deque[Task] = deque()
        self._delayed: list[tuple[float, int, Task]] = []
        self._order = count()
        self._parked: dict[Endpoint, deque[Task]] = defaultdict(deque)

    def put_first(self, task: Task) -> None:
        """The task is to be asked next."""
        self._front.appendleft(task)

    def put_later(self, task: Task, due: float) -> None:
        """The task is to be asked again at this instant."""
        heapq.heappush(self._delayed, (due, next(self._order), task))

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here; only known once ``next`` has found nothing."""
        return not (self._front or self._delayed or any(self._parked.values()))

    def next(self, now: float) -> Task | None:
        """The next task that may be asked now, if there is one."""
        for endpoint, parked in self._parked.items():
            if parked and self._wait_seconds(endpoint) <= 0:
                return parked.popleft()
        while self._has_room() and (task := self._pull(now)) is not None:
            endpoint = task.lookup.endpoint
            if task.held is not None or self._wait_seconds(endpoint) <= 0:
                return task
            self._parked[endpoint].append(task)
        return None

    def wait(self, now: float) -> float | None:
        """Seconds until ``next`` may find something by the passing of time alone."""
        waits = [self._wait_seconds(endpoint) for endpoint, tasks in self._parked.items() if tasks]
        if self._delayed and self._has_room():
            waits.append(max(0.0, self._delayed[0][0] - now))
        return min(waits, default=None)

    def _has_room(self) -> bool:
        return all(len(tasks) < _MOST_PARKED for tasks in self._parked.values())

    def _pull(self, now: float) -> Task | None:
        if self._front:
            return self._front.popleft()
        if self._delayed and self._delayed[0][0] <= now:
            return heapq.heappop(self._delayed)[2]
        if len(self._delayed) >= self._most_delayed:
            return None
        return next(self._plan, None)
