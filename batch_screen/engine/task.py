"""A lookup on its way, and the journal records that its attempts become."""

from __future__ import annotations

from datetime import datetime
from time import perf_counter
from typing import NamedTuple

import msgspec

from batch_screen.model import Answer, Attempt, Endpoint, Lookup, Outcome, Source


class Task(msgspec.Struct):
    """A lookup on its way: which shard it belongs to and what it has been through.

    ``own_refusals`` are those in this start that say something of the lookup: others were let pass.
    ``was_refused``: in this start, ever; ``accusations`` are answers in it against the account.
    ``unanswered`` requests of earlier starts may have been billed; ``held`` is an answer to it
    that an earlier start's canary still held back. Where a window reaches back to an earlier
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
    """Where an attempt stands in the order of sending: among all, and at its endpoint."""

    of_all: int
    at_endpoint: int


class Sent(NamedTuple):
    """A request on its way: its correlator, its place in the order of sending, when it left."""

    correlator: str
    places: Places
    at: float
    """Of the event loop's clock, which may be as coarse as its timers."""
    began: float
    """Of ``perf_counter``."""


def key_of(lookup: Lookup) -> tuple[str, Endpoint, int | None]:
    return lookup.e164, lookup.endpoint, lookup.max_age_minutes


def attempt_of(task: Task, answer: Answer) -> Attempt:
    return Attempt(
        *key_of(task.lookup),
        kind=answer.kind,
        reason=answer.reason,
        http_status=answer.http_status,
    )


def outcome_of(
    task: Task, answer: Answer, sent: Sent | None, now: datetime, *, ended: float | None = None
) -> Outcome:
    """The lookup's outcome, the answer having come ``now``; None sent: nothing was asked.

    ``ended`` is when it came, of ``perf_counter``; None: now.
    """
    ended = perf_counter() if ended is None else ended
    latency_ms = None if sent is None else round(1000 * (ended - sent.began), 3)
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
        latency_ms=latency_ms,
        responded_at=None if sent is None else now,
        correlator=None if sent is None else sent.correlator,
        source=None if sent is None else Source.ASKED,
        last_observed_at=task.last_observed_at,
    )
