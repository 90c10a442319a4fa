"""Records each attempt's result: the lookup is asked again, finished, or left to another session.

All of it goes to the journal. First answers of an endpoint go through the canary before they count.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec.structs

from batch_screen.config.settings import Settings
from batch_screen.engine.canary import Canary
from batch_screen.engine.endpoints import Endpoints
from batch_screen.engine.retry import ACCOUNT, HELD, wait_seconds
from batch_screen.engine.tasks import Delay, Journal, Result, Task, attempt_of, key_of, outcome_of
from batch_screen.errors import ApiError
from batch_screen.model import CANNOT_CONNECT, Attempt, Outcome, OutcomeKind, WithheldOutcome


class Lookups:
    """Saves each attempt's result; a lookup that is asked again goes to ``put_later``."""

    def __init__(
        self,
        settings: Settings,
        *,
        journal: Journal,
        endpoints: Endpoints,
        put_later: Callable[[Task, float, Delay], None],
    ) -> None:
        """``put_later`` takes the seconds to wait and the reason."""
        self._retry = settings.retry
        self._journal = journal
        self._endpoints = endpoints
        self._put_later = put_later
        self.canary: Canary[tuple[int, Outcome]] = Canary(
            settings.guards.canary_answers, settings.api.dialect
        )

    def need_no_asking(self, task: Task) -> bool:
        """Drops a task with an outcome or an endpoint that was given up; returns whether it did."""
        endpoint = task.lookup.endpoint
        if task.held is not None:
            self.admit(task.shard, task.held)
        elif endpoint in self._endpoints.absent:
            self.skip(task, "not_implemented")
        elif endpoint in self._endpoints.given_up:
            self._journal.drop(task.shard, task.lookup)
        else:
            return False
        return True

    def again(self, result: Result) -> None:
        """Queues the lookup again, after the wait that its answer or number of attempts demands."""
        task, answer = result.task, result.answer
        self._journal.save(task.shard, attempt_of(task, answer))
        is_refused = answer.kind is OutcomeKind.RATE_LIMITED
        tries = task.refusals if is_refused else task.failed_attempts
        jitter = random.random()  # noqa: S311 (spreads load; guards no secret)
        wait = wait_seconds(answer, tries, self._retry, jitter)
        self._put_later(task, wait, Delay.REFUSED if is_refused else Delay.FAILED)

    def call_off(self, task: Task) -> None:
        """Takes back a noted request that was not sent."""
        unsent = Attempt(*key_of(task.lookup), kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT)
        self._journal.save(task.shard, unsent)

    def finish(self, result: Result) -> None:
        """Makes the answer the lookup's outcome."""
        self.admit(result.task.shard, outcome_of(result))

    def skip(self, task: Task, reason: str) -> None:
        """Records that the lookup is skipped."""
        outcome = Outcome(
            *key_of(task.lookup),
            kind=OutcomeKind.SKIPPED,
            reason=reason,
            attempts=task.attempts,
            refusals=task.refusals,
            unanswered=task.unanswered,
            source=None,
            last_observed_at=task.last_observed_at,
        )
        self._journal.save(task.shard, outcome)

    def leave(self, result: Result) -> None:
        """Leaves the lookup to another session: its answer was about the account."""
        attempt = attempt_of(result.task, result.answer)
        self._journal.save(result.task.shard, msgspec.structs.replace(attempt, reason=ACCOUNT))

    def admit(self, shard: int, outcome: Outcome) -> None:
        """Saves the outcome and those that it releases, unless the canary withholds it."""
        try:
            freed = self.canary.admit(outcome.endpoint, outcome.kind, (shard, outcome))
        except ApiError as error:  # a wrong setting concerns the run, a lost endpoint only itself
            self._endpoints.give_up(outcome.endpoint, error)
            return
        for place, free in freed:
            self._journal.save(place, free)

    def release(self, *, is_complete: bool) -> bool:
        """Saves what the canary withholds if the run is done, else leaves it to the resume.

        Where the canary failed, the answers prove nothing: a resume asks again. Returns whether
        anything was withheld.
        """
        released = self.canary.release()
        for shard, held in released:
            if self.canary.has_failed(held.endpoint):
                unproved = Attempt(*key_of(held.lookup), kind=held.kind, reason=HELD)
                self._journal.save(shard, unproved)
            else:
                is_over = is_complete and held.endpoint not in self._endpoints.given_up
                self._journal.save(shard, held if is_over else WithheldOutcome(held))
        return bool(released)
