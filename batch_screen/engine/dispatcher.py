"""Dispatcher: takes lookups from a stream, asks them at the pacer's rate, passes the answers on.

One coroutine alone starts attempts; the attempts in flight are bounded and so is what waits
for another try, so memory does not grow with the plan. Knows no files: what is about to be
sent and what came back goes to a ``Journal``.

Whether an attempt may start is asked in ``_issue`` and ``_start``; what its result sets off stands
in ``guard_chain``.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from time import perf_counter

from batch_screen.config.settings import Settings
from batch_screen.engine.budget import SpendGuard
from batch_screen.engine.dependencies import aimed
from batch_screen.engine.guard_chain import GuardChain
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.tasks import (
    Ask,
    Clock,
    Correlate,
    Delay,
    Journal,
    Places,
    Result,
    Sent,
    Task,
    TaskQueue,
    key_of,
    utc_now,
)
from batch_screen.errors import ApiError, BatchScreenError
from batch_screen.model import Endpoint, Intent

_WAITING_PER_SLOT = 4  # half-done lookups may have been paid for: few of them
_PASSED_OVER_SECONDS = 0.02
_LEFT_ALONE_SECONDS = 1.0


class Dispatcher:
    """Asks every task of a stream; ``run`` returns when all are done or after ``halt``."""

    def __init__(  # noqa: PLR0913 (each is a seam of its own)
        self,
        settings: Settings,
        *,
        ask: Ask,
        journal: Journal,
        correlate: Correlate,
        pacer: Pacer,
        budget: SpendGuard,
        endpoints: Collection[Endpoint] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """``endpoints``: those with lookups left; by default all of the settings."""
        self._settings = settings
        self._ask = ask
        self._journal = journal
        self._correlate = correlate
        self._pacer = pacer
        self._budget = budget
        self._clock = clock
        self._loop = asyncio.get_running_loop()  # its clock is aiolimiter's: tests own both
        self._guards = GuardChain(
            settings,
            pacer=pacer,
            budget=budget,
            journal=journal,
            put_later=self._put_later,
            clock=self._loop.time,
        )
        self._endpoints = self._guards.endpoints
        self._lookups = self._guards.lookups
        self._withheld = self._guards.withheld
        self._queue: TaskQueue
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._at_endpoint: Counter[Endpoint] = Counter()
        self._sent_at_endpoint: Counter[Endpoint] = Counter()
        # One endpoint that hangs must not hold every slot that another could use.
        most = settings.pacing.max_concurrency
        is_alone = len(settings.endpoints if endpoints is None else endpoints) == 1
        self._most_at_endpoint = most if is_alone else max(1, most // 2)
        self._number = 0
        self._changed = asyncio.Event()
        self._halted: asyncio.Future[None] = self._loop.create_future()
        self._grace_seconds = settings.guards.grace_seconds
        self.attempts = 0

    def wake(self) -> None:
        """Something was saved, so there may be room for another attempt."""
        self._changed.set()

    # The coordinator of several workers collects these from each, and sends the others' back.

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return len(self._in_flight)

    @property
    def is_probing(self) -> bool:
        """Whether the server is in doubt, so that one attempt at a time is made."""
        return self._guards.is_open

    @property
    def decided(self) -> set[Endpoint]:
        """The endpoints whose first answers have shown whether they are worth asking."""
        return self._lookups.canary.proved | self._endpoints.absent

    @property
    def given_up(self) -> dict[Endpoint, BatchScreenError]:
        """The endpoints that are not asked any more, and why."""
        return self._endpoints.given_up

    @property
    def error(self) -> BaseException | None:
        """What has halted it."""
        return self._halted.exception() if self._halted.done() else None

    def give_up(self, endpoint: Endpoint, error: BatchScreenError) -> None:
        """Asks the endpoint no more; ``run`` ends where none is left."""
        try:
            self._endpoints.give_up(endpoint, error)
        except BatchScreenError as every:
            self.halt(every)
        self.wake()

    def proved(self, endpoint: Endpoint, answers: int) -> None:
        """Earlier sessions had so many answers: no canary, and guards wait their full time."""
        self._guards.known_good(endpoint)
        if answers >= self._settings.guards.canary_answers:
            self._lookups.canary.trust(endpoint)

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
        """Asks the tasks. After ``halt``, attempts in flight get ``grace_seconds`` to finish."""
        self._queue = TaskQueue(
            tasks,
            wait_seconds=self._wait_seconds,
            most_delayed=_WAITING_PER_SLOT * self._settings.pacing.max_concurrency,
        )
        # A task of its own, so that a halt ends it wherever it waits.
        issuing = asyncio.create_task(self._issue())
        try:
            await asyncio.wait({issuing, self._halted}, return_when=asyncio.FIRST_COMPLETED)
            if issuing.done() and not issuing.cancelled() and (error := issuing.exception()):
                self.halt(error)
        finally:
            issuing.cancel()
            # First what is under way: its answers may decide about what is withheld, and prove an
            # endpoint whose first answers the canary holds back.
            await self._drain()
            self._withheld.leave()
            self._lookups.release(is_complete=not self._halted.done())
            if self._endpoints.given_up and len(self._endpoints.breakers) > 1:
                # A run that has asked all it could ends with the reason why the rest was not.
                self.halt(self._endpoints.error())
                if isinstance(error := self._halted.exception(), BatchScreenError):
                    error.endpoints = tuple(each.value for each in self._endpoints.given_up)
            with suppress(asyncio.CancelledError):
                await asyncio.gather(issuing, return_exceptions=True)
        if self._halted.done():
            self._halted.result()

    # --- which attempt starts next, and when ----------------------------------------------------

    async def _issue(self) -> None:
        while not self._halted.done():
            if not self._has_slot():
                await self._wait_for_change()
                continue
            # Who was refused says little about whether others still are.
            task = self._queue.next(self._loop.time(), new_first=self._pacer.is_open)
            if task is not None:
                await self._start(task)
            elif not self._is_idle():
                await self._wait_for_change()
            # Other lookups may have waited for an outcome that was withheld or held back.
            elif not self._withheld.conclude() and (
                self._halted.done() or not self._lookups.release(is_complete=True)
            ):
                return

    def _has_slot(self) -> bool:
        if self._journal.is_behind:
            self._journal.hurry()  # a slow disk slows the asking, or a power cut would cost more
            return False
        if self._guards.is_open:  # one at a time shows whether the server is there for us
            return not self._in_flight
        return len(self._in_flight) < self._pacer.slots()

    def _is_idle(self) -> bool:
        # Only asked when the queue has nothing to give. What is not saved yet may lead to more.
        if self._in_flight or not self._queue.is_empty or self._journal.expects_more:
            return False
        if self._journal.unsaved:
            self._journal.hurry()
            return False
        return True

    def _wait_seconds(self, endpoint: Endpoint) -> float:
        if endpoint in self._endpoints.absent or endpoint in self._endpoints.given_up:
            return 0.0  # it is not asked any more
        breaker, under_way = self._endpoints.breakers[endpoint], self._at_endpoint[endpoint]
        if under_way >= self._most_at_endpoint:
            return _LEFT_ALONE_SECONDS  # or until one of them ends
        if not breaker.is_healthy or self._pacer.is_probing(endpoint):
            is_probing = breaker.is_open or self._pacer.is_probing(endpoint)
            if is_probing and under_way:
                return _LEFT_ALONE_SECONDS
            return max(breaker.wait_seconds(), self._pacer.wait_seconds(endpoint))
        return self._pacer.wait_seconds(endpoint)

    async def _wait_for_change(self) -> None:
        """Waits until an attempt ends or a task is due."""
        self._changed.clear()
        timeout = self._queue.wait(self._loop.time()) if self._has_slot() else None
        if timeout is None:
            await self._changed.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()

    def _put_later(self, task: Task, seconds: float, reason: Delay) -> None:
        self._queue.put_later(task, self._loop.time() + seconds, reason)

    async def _start(self, task: Task) -> None:
        endpoint = task.lookup.endpoint
        # Nothing here is undone by ``put_first`` or ``_put_later``: all that costs comes after it.
        if self._lookups.need_no_asking(task):
            await asyncio.sleep(0)  # a million of them must not keep everybody else waiting
            return
        was_accused = self._withheld.is_open
        if not self._withheld.may_ask(task):
            self._put_later(task, _PASSED_OVER_SECONDS, Delay.PASSED_OVER)
            return
        if not self._budget.permits(endpoint):
            await self._run_out(task)
            return
        await self._pacer.acquire(endpoint)
        # A slot, a permission and a start lie an await apart: each may have been overtaken.
        if self._halted.done():  # meanwhile; what waits for it has not been woken yet
            return
        is_newly_accused = self._withheld.is_open and not was_accused
        # Of several contracts another one may have spent what was left of the budget.
        is_spent = not self._budget.permits(endpoint)
        if endpoint in self._endpoints.given_up or is_newly_accused or is_spent:
            self._queue.put_first(task)  # what has come back meanwhile decides anew
            return
        if task.last_observed_at is not None:  # the window only now: it may have waited for hours
            margin = self._settings.screening.max_age_margin_minutes
            task.lookup = aimed(task.lookup, task.last_observed_at, self._clock(), margin)
        # Paid and noted before it is sent: after a crash both may count too much, never too little.
        self._budget.take(endpoint)
        # Those that start in the same turn of the loop are noted in one write.
        number = task.attempts + task.unanswered + 1
        self._journal.note(task.shard, Intent(*key_of(task.lookup), attempt=number))
        self._number += 1
        self._at_endpoint[endpoint] += 1
        self._in_flight[self._number] = asyncio.create_task(self._run(self._number, task))

    async def _run_out(self, task: Task) -> None:
        """Ends the run for its budget, once no attempt in flight can return what it booked."""
        if not self._in_flight:
            self.halt(self._budget.stop())
            return
        self._queue.put_first(task)
        self._changed.clear()
        await self._changed.wait()  # one that is under way will end; what is due would be no change

    # --- an attempt, and what its result sets off -----------------------------------------------

    async def _run(self, number: int, task: Task) -> None:
        """Runs one attempt in its own asyncio task."""
        try:
            await self._attempt(task)
        except Exception as error:  # noqa: BLE001 (whatever it is, it ends the run and not the loop)
            self.halt(error)
        finally:
            del self._in_flight[number]
            self._at_endpoint[task.lookup.endpoint] -= 1
            self._changed.set()

    async def _attempt(self, task: Task) -> None:
        lookup = task.lookup
        self._journal.flush()
        if self._halted.done():  # since the slot was taken: a dead key is not used again
            self._guards.call_off(task)
            return
        correlator = self._correlate(lookup, task.attempts + task.unanswered + 1)
        self.attempts += 1
        self._sent_at_endpoint[lookup.endpoint] += 1
        places = Places(self.attempts, self._sent_at_endpoint[lookup.endpoint])
        sent = Sent(correlator, places, self._loop.time(), perf_counter())
        self._guards.on_sent(lookup.endpoint, sent)
        try:
            answer = await self._ask(lookup, correlator)
        except ApiError:  # no connection that may be used: nothing was sent
            self._guards.call_off(task)
            raise
        finally:
            self._pacer.ended(places)
        self._guards.on_result(Result(task, answer, sent, self._clock(), perf_counter()))

    # --- the end --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=self._grace_seconds)
        # Their requests are noted: a resume counts them as unanswered, which may have been billed.
        leftover = list(self._in_flight.values())
        for running in leftover:
            running.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)
