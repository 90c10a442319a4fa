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

_MOST_PARKED = 16_384
"""While an endpoint is left alone, so many of its tasks are passed over for those of others."""
_MOST_WAITING = 16_384
"""So many tasks may wait because the server asked them to."""


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
        self._delayed: list[tuple[float, int, bool, Task]] = []
        self._waiting = 0
        self._order = count()
        self._parked: dict[Endpoint, deque[Task]] = defaultdict(deque)

    def put_first(self, task: Task) -> None:
        """The task is to be asked next."""
        self._front.appendleft(task)

    def put_later(self, task: Task, due: float, *, was_refused: bool = False) -> None:
        """The task is to be asked again at this instant: it failed, or was refused."""
        heapq.heappush(self._delayed, (due, next(self._order), was_refused, task))
        self._waiting += was_refused

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here; only known once ``next`` has found nothing."""
        return not (self._front or self._delayed or any(self._parked.values()))

    def next(self, now: float, *, new_first: bool = False) -> Task | None:
        """The next task that may be asked now, if there is one.

        ``new_first``: one that was never asked, if there is one, before those to be asked again.
        """
        for endpoint, parked in self._parked.items():
            if parked and self._wait_seconds(endpoint) <= 0:
                return parked.popleft()
        while self._has_room() and (task := self._pull(now, new_first)) is not None:
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

    def _pull(self, now: float, new_first: bool) -> Task | None:  # noqa: FBT001 (as next)
        if self._front:
            return self._front.popleft()
        if new_first and (task := self._new()) is not None:
            return task
        if self._delayed and self._delayed[0][0] <= now:
            _, _, was_refused, task = heapq.heappop(self._delayed)
            self._waiting -= was_refused
            return task
        return self._new()

    def _new(self) -> Task | None:
        # Those that failed may have been paid for: few are to be half done.
        failed = len(self._delayed) - self._waiting
        if failed >= self._most_delayed or self._waiting >= _MOST_WAITING:
            return None
        return next(self._plan, None)
