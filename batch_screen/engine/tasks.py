"""Tasks: lookups in progress, their queue, and the dispatcher's interfaces to its neighbours."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from itertools import count
from typing import NamedTuple, Protocol

import msgspec

from batch_screen.model import (
    Answer,
    AnswerSource,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    WithheldOutcome,
)

# A lookup on its way, and the journal records that its attempts become.


class Task(msgspec.Struct):
    """A lookup in progress: its shard, and its attempts so far.

    ``own_refusals`` are those in this session that say something of it: others were let pass.
    ``was_refused``: in this session, ever; ``accusations`` are answers in it against the account.
    ``unanswered`` requests of earlier sessions may have been billed; ``held`` is an answer to it
    that an earlier session's canary still held back. Where a window reaches back to an earlier
    run, ``last_observed_at`` is until when that had observed the number.
    """

    shard: int
    lookup: Lookup
    failed_attempts: int = 0
    refusals: int = 0
    own_refusals: float = 0.0
    was_refused: bool = False
    accusations: int = 0
    unanswered: int = 0
    held: Outcome | None = None
    last_observed_at: datetime | None = None

    @property
    def attempts(self) -> int:
        return self.failed_attempts + self.refusals


class Places(NamedTuple):
    """An attempt's sequence number: overall, and at its endpoint."""

    of_all: int
    at_endpoint: int


class Sent(NamedTuple):
    """A request in flight: its correlator, its sequence numbers, when it was sent."""

    correlator: str
    places: Places
    at: float
    """When it was sent, by the event loop's clock, which may be as coarse as its timers."""
    began: float
    """Of ``perf_counter``."""


class Result(NamedTuple):
    """An attempt's answer, and when it came."""

    task: Task
    answer: Answer
    sent: Sent
    at: datetime
    """By the API's clock."""
    ended: float
    """Of ``perf_counter``."""


def key_of(lookup: Lookup) -> tuple[str, Endpoint, int | None]:
    return lookup.e164, lookup.endpoint, lookup.max_age_minutes


def attempt_of(task: Task, answer: Answer) -> Attempt:
    return Attempt(
        *key_of(task.lookup), kind=answer.kind, reason=answer.reason, http_status=answer.http_status
    )


def outcome_of(result: Result) -> Outcome:
    """The lookup's outcome if this result is its last."""
    task, answer, sent, at, ended = result
    return Outcome(
        *key_of(task.lookup),
        kind=answer.kind,
        reason=answer.reason,
        swapped=answer.swapped,
        active=answer.active,
        latest_change=answer.latest_change,
        latest_change_at=answer.latest_change_at,
        latest_change_raw=answer.latest_change_raw,
        http_status=answer.http_status,
        code=answer.code,
        message=answer.message,
        attempts=task.attempts,
        refusals=task.refusals,
        unanswered=task.unanswered,
        latency_ms=round(1000 * (ended - sent.began), 3),
        responded_at=at,
        correlator=sent.correlator,
        source=AnswerSource.ASKED,
        last_observed_at=task.last_observed_at,
    )


class Delay(Enum):
    """Why a task is put off. Failed attempts may have been billed, the others were not."""

    FAILED = 1
    REFUSED = 2
    NO_CONNECTION = 3
    PASSED_OVER = 4


# Which task comes next: those put first, those whose delay is over, then the plan's.
#
# A task whose endpoint must still be left alone is parked, so that the others need not wait for
# it. All of it is bounded: where too much waits, nothing more is taken from the plan.

_MOST_PARKED = 16_384
"""While an endpoint pauses, so many of its tasks are passed over for those of others."""
_MOST_WAITING = 16_384
"""So many unfailed tasks may wait, most of them for a Retry-After."""


class TaskQueue:
    """Queue of tasks in the order in which they are to be asked.

    ``wait_seconds`` says how long an endpoint must be left alone, ``most_delayed`` how many
    tasks may wait for another try.
    """

    def __init__(
        self, plan: Iterator[Task], *, wait_seconds: Callable[[Endpoint], float], most_delayed: int
    ) -> None:
        self._plan = plan
        self._wait_seconds = wait_seconds
        self._most_delayed = most_delayed
        self._front: deque[Task] = deque()
        self._delayed: list[tuple[float, int, Delay, Task]] = []
        self._waiting = 0
        self._order = count()
        self._parked: dict[Endpoint, deque[Task]] = defaultdict(deque)

    def put_first(self, task: Task) -> None:
        """Puts the task at the front."""
        self._front.appendleft(task)

    def put_later(self, task: Task, due: float, reason: Delay) -> None:
        """Puts the task off until this instant."""
        heapq.heappush(self._delayed, (due, next(self._order), reason, task))
        self._waiting += reason is not Delay.FAILED

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued; known only after ``next`` returned nothing."""
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
        """Seconds until a task is due by time alone."""
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
            _, _, reason, task = heapq.heappop(self._delayed)
            self._waiting -= reason is not Delay.FAILED
            return task
        return self._new()

    def _new(self) -> Task | None:
        # Those that failed may have been paid for: few are to be half done.
        failed = len(self._delayed) - self._waiting
        if failed >= self._most_delayed or self._waiting >= _MOST_WAITING:
            return None
        return next(self._plan, None)


# What the dispatcher needs of others and knows nothing else of: a client, a journal, names.

Ask = Callable[[Lookup, str], Awaitable[Answer]]
"""One attempt for a lookup, under the name given with it."""

Correlate = Callable[[Lookup, int], str]
"""The name of a lookup's attempt, by its number."""


Clock = Callable[[], datetime]
"""The API's current time in UTC: the sandbox may be in another day."""


def utc_now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class Journal(Protocol):
    """Where requests and answers are journalled."""

    @property
    def unsaved(self) -> int:
        """Unsaved outcomes: what a power cut would lose beside requests in flight."""

    @property
    def expects_more(self) -> bool:
        """Whether shards may come of which nothing is known yet."""

    @property
    def is_behind(self) -> bool:
        """Whether so many outcomes are unsaved that no more may be asked for."""

    def note(self, shard: int, intent: Intent) -> None:
        """Notes that a request is about to be sent, after ``flush``."""

    def flush(self) -> None:
        """Makes all notes survive this process; if this raises, nothing is sent."""

    def save(self, shard: int, record: Attempt | WithheldOutcome | Outcome) -> None:
        """Queues the record; the implementation decides when it counts as saved."""

    def drop(self, shard: int, lookup: Lookup) -> None:
        """The lookup is not asked in this session and has no outcome."""

    def hurry(self) -> None:
        """Writes queued records at once."""
