"""Takes lookups from a stream, asks them at the pacer's pace, and hands on what came back.

One coroutine alone starts attempts; the attempts in flight are bounded and so is what waits
for another try, so memory does not grow with the plan. Knows no files: what is about to be
sent and what came back goes to a ``Journal``.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter

import msgspec.structs

from batch_screen.config.settings import Settings
from batch_screen.engine.breakers import ErrorRate, Outage, Refusals, reachability
from batch_screen.engine.budget import Budget
from batch_screen.engine.canary import Canary
from batch_screen.engine.queue import TaskQueue
from batch_screen.engine.retry import (
    ACCOUNT,
    HELD,
    Verdict,
    backoff_seconds,
    judge,
    stop_if_too_long,
)
from batch_screen.engine.seams import Ask, Clock, Correlate, Journal, utc_now
from batch_screen.engine.task import Sent, Task, attempt_of, key_of, outcome_of
from batch_screen.engine.throttle import Throttle
from batch_screen.engine.windows import aimed
from batch_screen.errors import ApiError
from batch_screen.masking import masked_logger
from batch_screen.model import (
    CANNOT_CONNECT,
    Answer,
    Attempt,
    Endpoint,
    Held,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
)

_WAITING_PER_SLOT = 4
_NOT_IMPLEMENTED = 501

_log = masked_logger(__name__)


class Dispatcher:
    """Asks every task of a stream; ``run`` returns when all are done or ``halt`` was called."""

    def __init__(  # noqa: PLR0913 (each is a seam of its own)
        self,
        settings: Settings,
        *,
        ask: Ask,
        journal: Journal,
        correlate: Correlate,
        throttle: Throttle,
        budget: Budget,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._ask = ask
        self._journal = journal
        self._correlate = correlate
        self._throttle = throttle
        self._budget = budget
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._canary: Canary[tuple[int, Outcome]] = Canary(
            settings.guards.canary_answers, settings.api.dialect
        )
        self._base_url = settings.api.base_url
        self._reachability = reachability(self._base_url, settings.guards, self._loop.time)
        self._outage = Outage(self._base_url, settings.guards, self._loop.time)
        retry = settings.retry  # twice as often where all fail: an outage is no lookup's fault
        self._patient = retry.model_copy(update={"max_attempts": 2 * retry.max_attempts})
        self._refusals = Refusals(settings.guards, self._loop.time)
        self._errors = ErrorRate(settings.guards)
        self._queue: TaskQueue
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._number = 0
        self._changed = asyncio.Event()
        self._halted: asyncio.Future[None] = self._loop.create_future()
        self._stopped_endpoints: set[Endpoint] = set()
        self._grace_seconds = settings.guards.grace_seconds
        self.attempts = 0

    def wake(self) -> None:
        """Something was saved: there may be room for another attempt."""
        self._changed.set()

    def trust(self, endpoint: Endpoint) -> None:
        """The endpoint has proved itself: its first answers need no canary."""
        self._canary.trust(endpoint)

    def known_good(self) -> None:
        """An earlier start had answers from this server: patience with it is not cut short."""
        self._reachability.fine()
        self._outage.known_good()

    def halt(self, error: BaseException | None = None, *, within_seconds: float = math.inf) -> None:
        """Starts no more attempts; ``run`` drains and then raises ``error``, if there is one.

        What is under way has ``guards.grace_seconds`` to end, and no more than so many.
        """
        if self._halted.done():
            return
        self._grace_seconds = max(0.0, min(self._grace_seconds, within_seconds))
        if error is None:
            self._halted.set_result(None)
        else:
            self._halted.set_exception(error)
            self._halted.exception()  # it may come after the end, when nobody asks any more

    async def run(self, tasks: Iterator[Task]) -> None:
        """Asks the tasks. In-flight attempts are drained for ``grace_seconds`` at a halt."""
        self._queue = TaskQueue(
            tasks,
            wait_seconds=self._wait_seconds,
            most_delayed=_WAITING_PER_SLOT * self._settings.pacing.max_concurrency,
        )
        issuing = asyncio.create_task(self._issue())
        try:
            await asyncio.wait({issuing, self._halted}, return_when=asyncio.FIRST_COMPLETED)
            if issuing.done() and not issuing.cancelled() and (error := issuing.exception()):
                self.halt(error)
        finally:
            issuing.cancel()
            await self._drain()
            self._release_canary(is_complete=not self._halted.done())
            with suppress(asyncio.CancelledError):
                await asyncio.gather(issuing, return_exceptions=True)
        if self._halted.done():
            self._halted.result()

    async def _issue(self) -> None:
        while not self._halted.done():
            if not self._has_slot():
                await self._wait_for_change()
                continue
            task = self._queue.next(self._loop.time())
            if task is not None:
                await self._start(task)
            elif not self._is_idle():
                await self._wait_for_change()
            elif not self._release_canary(is_complete=True):
                return  # what it held back may be what others have waited for

    def _has_slot(self) -> bool:
        if self._journal.is_behind:
            self._journal.hurry()  # a slow disk slows the asking, or a power cut would cost more
            return False
        is_probing = self._reachability.is_open or self._outage.is_open
        return len(self._in_flight) < (1 if is_probing else self._throttle.slots())

    def _is_idle(self) -> bool:
        # Only asked when the queue has nothing to give. What is not saved yet may lead to more.
        if self._in_flight or not self._queue.is_empty:
            return False
        if self._journal.unsaved:
            self._journal.hurry()
            return False
        return True

    def _wait_seconds(self, endpoint: Endpoint) -> float:
        if endpoint in self._stopped_endpoints:  # it is not asked any more
            return 0.0
        return self._throttle.wait_seconds(endpoint)

    async def _wait_for_change(self) -> None:
        """Until an attempt ends, or a task is due by the passing of time alone."""
        self._changed.clear()
        timeout = self._queue.wait(self._loop.time()) if self._has_slot() else None
        if timeout is None:
            await self._changed.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()

    async def _start(self, task: Task) -> None:
        endpoint = task.lookup.endpoint
        if task.held is not None:
            self._admit(task.shard, task.held)
            return
        if endpoint in self._stopped_endpoints:
            self._finish(task, Answer(kind=OutcomeKind.SKIPPED, reason="not_implemented"), None)
            await asyncio.sleep(0)  # a million of them must not keep everybody else waiting
            return
        if not self._budget.permits(endpoint):
            await self._run_out(task)
            return
        await self._throttle.acquire(endpoint)
        if self._halted.done():  # meanwhile; whoever waits for it has not been woken yet
            return
        self._aim(task)
        self._budget.sent(endpoint)
        # Those that start in the same turn of the loop are noted in one write.
        number = task.attempts + task.unanswered + 1
        self._journal.note(task.shard, Intent(*key_of(task.lookup), attempt=number))
        self._number += 1
        self._in_flight[self._number] = asyncio.create_task(self._run(self._number, task))

    def _aim(self, task: Task) -> None:
        """Chooses the window only now: the task may have waited for hours."""
        if task.last_observed_at is not None:
            margin = self._settings.screening.max_age_margin_minutes
            task.lookup = aimed(task.lookup, task.last_observed_at, self._clock(), margin)

    async def _run_out(self, task: Task) -> None:
        """Ends the run, once nothing under way can give back what it took from the budget."""
        if not self._in_flight:
            self.halt(self._budget.stop())
            return
        self._queue.put_first(task)
        self._changed.clear()
        await self._changed.wait()  # one that is under way will end; what is due would be no change

    async def _run(self, number: int, task: Task) -> None:
        """An attempt from its beginning to its end, in an asyncio task of its own."""
        try:
            await self._attempt(task)
        except Exception as error:  # noqa: BLE001 (whatever it is, it ends the run and not the loop)
            self.halt(error)
        finally:
            del self._in_flight[number]
            self._changed.set()

    async def _attempt(self, task: Task) -> None:
        lookup = task.lookup
        self._journal.flush()
        if self._halted.done():  # since the slot was taken: a dead key is not used again
            self._call_off(task)
            return
        correlator = self._correlate(lookup, task.attempts + task.unanswered + 1)
        self.attempts += 1
        self._throttle.sent()
        sent = Sent(correlator, self._loop.time(), perf_counter())
        try:
            answer = await self._ask(lookup, correlator)
        except ApiError:  # no connection that may be used: nothing was sent
            self._call_off(task)
            raise
        self._settle(task, answer, sent)

    def _call_off(self, task: Task) -> None:
        """The request that was noted was not sent: takes it back."""
        self._budget.not_sent(task.lookup.endpoint)
        self._journal.save(task.shard, _not_sent(task.lookup))

    def _settle(self, task: Task, answer: Answer, sent: Sent) -> None:
        is_refused = answer.kind is OutcomeKind.RATE_LIMITED
        if is_refused:
            self._budget.refused(task.lookup.endpoint)
        task.refusals += is_refused
        task.failed_attempts += not is_refused
        try:
            verdict = judge(
                answer,
                failed_attempts=task.failed_attempts,
                refusals=task.refusals,
                retry=self._patient if self._outage.is_suspected else self._settings.retry,
            )
        except ApiError:  # it was answered, so a resume need not take it for lost
            self._journal.save(
                task.shard, msgspec.structs.replace(attempt_of(task, answer), reason=ACCOUNT)
            )
            raise
        if verdict is Verdict.UNREACHABLE:
            self._put_back(task, answer, sent.at)
            return
        was_away = self._reachability.is_open
        self._reachability.fine()
        if was_away:
            self._throttle.ramp_up()
        self._throttle.heard(answer, sent_at=sent.at)
        if verdict is Verdict.FINAL:
            self._finish(task, answer, sent)
        else:
            self._again(task, answer, verdict)
        self._pause(self._outage.heard(answer.kind, sent_at=sent.at), "nothing but failures")
        self._refusals.heard(answer.kind, sent_at=sent.at)
        self._errors.heard(task.lookup.endpoint, answer.kind)

    def _put_back(self, task: Task, answer: Answer, sent_at: float) -> None:
        """No connection could be made: nothing was sent, so nothing is counted."""
        task.failed_attempts -= 1
        self._budget.not_sent(task.lookup.endpoint)
        self._journal.save(task.shard, attempt_of(task, answer))
        self._queue.put_first(task)
        self._pause(self._reachability.failed(sent_at=sent_at), "no connection")

    def _pause(self, seconds: float, why: str) -> None:
        if seconds:
            _log.warning("%s: %s; next try in %.1f s", self._base_url, why, seconds)
            self._throttle.pause(seconds)

    def _again(self, task: Task, answer: Answer, verdict: Verdict) -> None:
        self._journal.save(task.shard, attempt_of(task, answer))
        if verdict is Verdict.REFUSED:
            self._queue.put_first(task)
        else:
            jitter = random.random()  # noqa: S311 (spreads load; guards no secret)
            delay = backoff_seconds(task.failed_attempts, self._settings.retry, jitter)
            self._queue.put_later(task, self._loop.time() + delay)
        stop_if_too_long(answer, self._settings.pacing.max_retry_after_seconds)

    def _finish(self, task: Task, answer: Answer, sent: Sent | None) -> None:
        endpoint = task.lookup.endpoint
        if answer.http_status == _NOT_IMPLEMENTED:
            self._stopped_endpoints.add(endpoint)
        self._admit(task.shard, outcome_of(task, answer, sent, self._clock()))

    def _admit(self, shard: int, outcome: Outcome) -> None:
        for place, free in self._canary.admit(outcome.endpoint, outcome.kind, (shard, outcome)):
            self._journal.save(place, free)

    def _release_canary(self, *, is_complete: bool) -> bool:
        """What is held back counts if there was no more to ask, else a resume decides.

        Where the canary fell, the answers are worth nothing: a resume asks again. Says whether
        anything was held back.
        """
        released = self._canary.release()
        for shard, held in released:
            if self._canary.has_fallen(held.endpoint):
                self._journal.save(
                    shard, Attempt(*key_of(held.lookup), kind=held.kind, reason=HELD)
                )
            else:
                self._journal.save(shard, held if is_complete else Held(held))
        return bool(released)

    async def _drain(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=self._grace_seconds)
        leftover = list(self._in_flight.values())
        for running in leftover:
            running.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)


def _not_sent(lookup: Lookup) -> Attempt:
    return Attempt(*key_of(lookup), kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT)
