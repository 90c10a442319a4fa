"""Takes lookups from a stream, asks them at the pacer's pace, and hands on what came back.

One coroutine alone starts attempts; the attempts in flight are bounded and so is what waits
for another try, so memory does not grow with the plan. Knows no files: what is about to be
sent and what came back goes to a ``Journal``.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import perf_counter

import msgspec.structs

from batch_screen.config.settings import Settings
from batch_screen.engine.accusations import Accusations, Withheld
from batch_screen.engine.budget import Budget
from batch_screen.engine.dependencies import aimed
from batch_screen.engine.guards import Canary, EndpointBreaker, Outage, Reachability, Refusals
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.retry import ACCOUNT, HELD, Verdict, account_error, judge, wait_seconds
from batch_screen.engine.schedule import spelled
from batch_screen.engine.tasks import (
    Ask,
    Clock,
    Correlate,
    Journal,
    Sent,
    Task,
    TaskQueue,
    attempt_of,
    key_of,
    outcome_of,
    utc_now,
)
from batch_screen.errors import ApiError, BatchScreenError, Stopped
from batch_screen.masking import masked_logger
from batch_screen.model import (
    CANNOT_CONNECT,
    TOO_LONG,
    Answer,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
    WithheldOutcome,
)

_WAITING_PER_SLOT = 4
_ALL_NUMBERS = 10
"""So many numbers in a row that are asked to wait for too long: it is the account that must."""
_PASSED_OVER_SECONDS = 0.02
_MOST_PASSED_OVER = 32
_MOST_PUT_OFF = 16_384
_RECONNECT_SECONDS = 0.2
_LEFT_ALONE_SECONDS = 1.0

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
        throttle: Pacer,
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
        self._reachability = Reachability(self._base_url, settings.guards, self._loop.time)
        self._outage = Outage(self._base_url, settings.guards, self._loop.time)
        retry = settings.retry  # twice as often where all fail: an outage is no lookup's fault
        self._patient = retry.model_copy(update={"max_attempts": 2 * retry.max_attempts})
        self._refusals = Refusals(settings.guards, self._loop.time)
        self._accusations = Accusations(settings.endpoints)
        self._put_off: list[Withheld] = []
        self._passed_over = 0
        self._breakers = {
            e: EndpointBreaker(e, settings.guards, self._loop.time) for e in settings.endpoints
        }
        self._given_up: dict[Endpoint, BatchScreenError] = {}
        self._queue: TaskQueue
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._at_endpoint: Counter[Endpoint] = Counter()
        # One endpoint that hangs must not hold every slot.
        most = settings.pacing.max_concurrency
        self._most_at_endpoint = most if len(self._breakers) == 1 else max(1, most // 2)
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

    def known_good(self, endpoint: Endpoint) -> None:
        """An earlier start had answers from this endpoint: patience with it is not cut short."""
        self._reachability.known_good()
        self._outage.known_good()
        self._throttle.known_good()
        self._accusations.known_good()
        if (breaker := self._breakers.get(endpoint)) is not None:
            breaker.known_good()

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
            self._leave_withheld()
            self._release_canary(is_complete=not self._halted.done())
            self._tell_given_up()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(issuing, return_exceptions=True)
        if self._halted.done():
            self._halted.result()

    async def _issue(self) -> None:
        while not self._halted.done():
            if not self._has_slot():
                await self._wait_for_change()
                continue
            # Who was refused says little about whether others still are.
            task = self._queue.next(self._loop.time(), new_first=self._throttle.is_closed)
            if task is not None:
                await self._start(task)
            elif not self._is_idle():
                await self._wait_for_change()
            elif not self._decide_withheld() and (
                self._halted.done() or not self._release_canary(is_complete=True)
            ):
                return  # what was held back may be what others have waited for

    def _has_slot(self) -> bool:
        if self._journal.is_behind:
            self._journal.hurry()  # a slow disk slows the asking, or a power cut would cost more
            return False
        return len(self._in_flight) < (1 if self._is_probing else self._throttle.slots())

    @property
    def _is_probing(self) -> bool:
        """Whether one attempt at a time is enough to see whether the server is there for us."""
        return (
            self._accusations.is_open
            or self._throttle.is_closed
            or self._reachability.is_open
            or self._outage.is_open
        )

    def _is_idle(self) -> bool:
        # Only asked when the queue has nothing to give. What is not saved yet may lead to more.
        if self._in_flight or not self._queue.is_empty:
            return False
        if self._journal.unsaved:
            self._journal.hurry()
            return False
        return True

    def _wait_seconds(self, endpoint: Endpoint) -> float:
        if endpoint in self._stopped_endpoints or endpoint in self._given_up:
            return 0.0  # it is not asked any more
        breaker, under_way = self._breakers[endpoint], self._at_endpoint[endpoint]
        if under_way >= self._most_at_endpoint:
            return _LEFT_ALONE_SECONDS  # or until one of them ends
        if not breaker.is_fine or self._throttle.is_probing(endpoint):
            is_probing = breaker.is_open or self._throttle.is_probing(endpoint)
            if is_probing and under_way:
                return _LEFT_ALONE_SECONDS
            return max(breaker.wait_seconds(), self._throttle.wait_seconds(endpoint))
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
        if self._needs_no_asking(task):
            await asyncio.sleep(0)  # a million of them must not keep everybody else waiting
            return
        if self._accusations.is_open and not self._may_decide(task):
            return
        if not self._budget.permits(endpoint):
            await self._run_out(task)
            return
        was_accused = self._accusations.is_open
        await self._throttle.acquire(endpoint)
        if self._halted.done():  # meanwhile; whoever waits for it has not been woken yet
            return
        if endpoint in self._given_up or (self._accusations.is_open and not was_accused):
            self._queue.put_first(task)  # what was heard meanwhile decides anew
            return
        self._aim(task)
        self._budget.sent(endpoint)
        # Those that start in the same turn of the loop are noted in one write.
        number = task.attempts + task.unanswered + 1
        self._journal.note(task.shard, Intent(*key_of(task.lookup), attempt=number))
        self._number += 1
        self._at_endpoint[endpoint] += 1
        self._in_flight[self._number] = asyncio.create_task(self._run(self._number, task))

    def _needs_no_asking(self, task: Task) -> bool:
        """Whether there is an answer already, or its endpoint is not asked any more; sees to it."""
        endpoint = task.lookup.endpoint
        if task.held is not None:
            self._admit(task.shard, task.held)
        elif endpoint in self._stopped_endpoints:
            self._finish(task, Answer(kind=OutcomeKind.SKIPPED, reason="not_implemented"), None)
        elif endpoint in self._given_up:
            self._journal.drop(task.shard, task.lookup)
        else:
            return False
        return True

    def _may_decide(self, task: Task) -> bool:
        """Whether the task's answer would decide about an accusation; else it comes later."""
        if self._passed_over >= _MOST_PASSED_OVER:
            self._accusations.no_other_endpoint()
        if self._accusations.is_witness(task) or self._passed_over >= 2 * _MOST_PASSED_OVER:
            self._passed_over = 0
            return True
        self._passed_over += 1
        self._queue.put_later(task, self._loop.time() + _PASSED_OVER_SECONDS, was_refused=True)
        return False

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
            self._at_endpoint[task.lookup.endpoint] -= 1
            self._changed.set()

    async def _attempt(self, task: Task) -> None:
        lookup = task.lookup
        self._journal.flush()
        if self._halted.done():  # since the slot was taken: a dead key is not used again
            self._call_off(task)
            return
        correlator = self._correlate(lookup, task.attempts + task.unanswered + 1)
        self.attempts += 1
        places = self._throttle.sent(lookup.endpoint)
        sent = Sent(correlator, places, self._loop.time(), perf_counter())
        try:
            answer = await self._ask(lookup, correlator)
        except ApiError:  # no connection that may be used: nothing was sent
            self._call_off(task)
            raise
        finally:
            self._throttle.ended(places)
        self._settle(task, answer, sent)

    def _call_off(self, task: Task) -> None:
        """The request that was noted was not sent: takes it back."""
        self._budget.not_sent(task.lookup.endpoint)
        self._journal.save(task.shard, _not_sent(task.lookup))

    def _settle(self, task: Task, answer: Answer, sent: Sent) -> None:
        """What becomes of the task, and what the answer says of others."""
        endpoint = task.lookup.endpoint
        if answer.reason == CANNOT_CONNECT:
            self._put_back(task, answer, sent)
            return
        was_away = self._reachability.is_open
        self._reachability.fine(sent.places.of_all)
        if was_away and not self._reachability.is_open:
            self._throttle.ramp_up()
        is_accusation = account_error(answer) is not None
        is_refused = answer.kind is OutcomeKind.RATE_LIMITED
        if not is_accusation:
            self._throttle.heard(answer, task, sent)
        if is_refused:
            self._budget.refused(endpoint)
            task.refusals, task.was_refused = task.refusals + 1, True
            task.own_refusals += self._throttle.own_refusal(endpoint, sent.places)
        else:
            task.failed_attempts += 1
        self._carry_out(task, answer, sent)
        if not is_accusation:
            self._learn(answer, task, sent)

    def _carry_out(self, task: Task, answer: Answer, sent: Sent) -> None:
        settings = self._settings
        is_outage = self._outage.is_suspected or self._breakers[task.lookup.endpoint].is_suspected
        verdict = judge(
            answer,
            failed_attempts=task.failed_attempts,
            own_refusals=task.own_refusals,
            retry=self._patient if is_outage else settings.retry,
            longest_wait_seconds=settings.pacing.max_retry_after_seconds,
        )
        match verdict:
            case Verdict.ACCUSED | Verdict.PUT_OFF if task.lookup.endpoint in self._given_up:
                self._save_accused(self._withheld(task, answer, sent))
            case Verdict.FINAL:
                self._finish(task, answer, sent)
            case Verdict.ACCUSED:
                task.accusations += 1
                held = self._withheld(task, answer, sent)
                if not self._accusations.accuse(held):
                    self._clear(held)
            case Verdict.PUT_OFF:
                self._put_off.append(self._withheld(task, answer, sent))
                self._stop_if_put_off(task.lookup.endpoint, answer)
            case _:
                self._again(task, answer)

    def _learn(self, answer: Answer, task: Task, sent: Sent) -> None:
        """What an answer says of the account, the server and its endpoint."""
        endpoint, e164 = task.lookup.endpoint, task.lookup.e164
        if cleared := self._accusations.heard(answer, sent.places.of_all):
            self._passed_over = 0
            self._each(cleared, self._clear)
        if self._put_off:
            self._decide_put_off()
        self._pause(self._outage.heard(answer.kind, sent_at=sent.at), "nothing but failures")
        if self._throttle.refuses_all or answer.kind is not OutcomeKind.RATE_LIMITED:
            self._refusals.heard(answer.kind, sent_at=sent.at)
        try:
            self._breakers[endpoint].heard(
                answer,
                e164,
                sent.places.at_endpoint,
                sent_at=sent.at,
                longest_seconds=self._settings.pacing.max_retry_after_seconds,
                is_closed=self._throttle.is_probing(endpoint),
            )
            if self._breakers[endpoint].is_absent:
                self._stopped_endpoints.add(endpoint)
        except (ApiError, Stopped) as error:
            self._give_up(endpoint, error)

    def _put_back(self, task: Task, answer: Answer, sent: Sent) -> None:
        """No connection could be made: nothing was sent, so nothing is counted."""
        self._budget.not_sent(task.lookup.endpoint)
        self._journal.save(task.shard, attempt_of(task, answer))
        due = self._loop.time() + _RECONNECT_SECONDS
        self._queue.put_later(task, due, was_refused=True)
        place, e164 = sent.places.of_all, task.lookup.e164
        pause = self._reachability.failed(place, e164, sent_at=sent.at)
        self._pause(pause, "no connection")

    def _pause(self, seconds: float, why: str) -> None:
        if seconds:
            _log.warning("%s: %s; next try in %.1f s", self._base_url, why, seconds)
            self._throttle.pause(seconds)

    def _again(self, task: Task, answer: Answer) -> None:
        self._journal.save(task.shard, attempt_of(task, answer))
        is_refused = answer.kind is OutcomeKind.RATE_LIMITED
        tries = task.refusals if is_refused else task.failed_attempts
        jitter = random.random()  # noqa: S311 (spreads load; guards no secret)
        wait = wait_seconds(answer, tries, self._settings.retry, jitter)
        self._queue.put_later(task, self._loop.time() + wait, was_refused=is_refused)

    # --- answers that wait until it is known whom they are about ------------------------------

    def _withheld(self, task: Task, answer: Answer, sent: Sent) -> Withheld:
        return Withheld(task, answer, sent, self._clock(), perf_counter())

    def _each(self, withheld: list[Withheld], decide: Callable[[Withheld], None]) -> None:
        """Decides about each; what an error leaves undecided is kept as it was."""
        while withheld:
            held = withheld.pop(0)
            try:
                decide(held)
            except BaseException:
                self._put_off += withheld
                raise

    def _clear(self, held: Withheld) -> None:
        """The account is served, so one of its nodes may have erred, or it is about the number."""
        task, answer = held.task, held.answer
        endpoint = task.lookup.endpoint
        place = held.sent.places.at_endpoint
        if self._breakers[endpoint].accused(task.lookup.e164, place) and len(self._breakers) > 1:
            self._save_accused(held)
            self._give_up(endpoint, self._accused_alone(endpoint, answer))
        elif (answer.retry_after_seconds or 0.0) > self._settings.pacing.max_retry_after_seconds:
            self._finish_put_off(held)
        elif task.accusations < self._settings.retry.max_attempts:
            self._again(task, answer)
        else:
            self._finish_held(held)

    def _accused_alone(self, endpoint: Endpoint, answer: Answer) -> ApiError:
        error = account_error(answer)
        family = type(error) if error is not None else ApiError
        return family(
            f"{endpoint} alone answers {answer.http_status} for several numbers in a row: the "
            "account seems to lack this endpoint; ask the vendor, then start again to resume"
        )

    def _finish_held(self, held: Withheld) -> None:
        task, answer, sent, at, ended = held
        self._admit(task.shard, outcome_of(task, answer, sent, at, ended=ended))

    def _finish_put_off(self, held: Withheld) -> None:
        self._finish_held(held._replace(answer=_put_off(held.answer)))

    def _stop_if_put_off(self, endpoint: Endpoint, answer: Answer) -> None:
        """Stops the run, or gives up the endpoint, if all are asked to wait for too long."""
        if answer.kind is OutcomeKind.RATE_LIMITED:
            if self._throttle.refuses(None, _ALL_NUMBERS):
                raise self._too_long(answer)
            if self._throttle.refuses(endpoint, _ALL_NUMBERS):
                self._give_up(endpoint, self._too_long(answer, endpoint))
        elif self._breakers[endpoint].asks_to_wait(_ALL_NUMBERS):
            self._give_up(endpoint, self._too_long(answer, endpoint))

    def _too_long(self, answer: Answer, endpoint: Endpoint | None = None) -> Stopped:
        wait = spelled(round(answer.retry_after_seconds or 0))
        longest = self._settings.pacing.max_retry_after_seconds
        return Stopped(
            f"{endpoint or 'the API'} asks to wait {wait}, more than "
            f"pacing.max_retry_after_seconds ({longest:.0f}); start again later to resume"
        )

    def _decide_put_off(self) -> None:
        """Those put off while others are let pass have failed: it is they who are to wait."""
        waiting, self._put_off = self._put_off, []
        passed: list[Withheld] = []
        for held in waiting:
            (passed if self._passes(held) else self._put_off).append(held)
        if len(self._put_off) > _MOST_PUT_OFF:
            passed.append(self._put_off.pop(0))
        self._each(passed, self._finish_put_off)

    def _passes(self, held: Withheld) -> bool:
        """Whether something sent later to its endpoint was let pass."""
        last = self._throttle.last_passed(held.task.lookup.endpoint)
        return last.at_endpoint > held.sent.places.at_endpoint

    def _decide_withheld(self) -> bool:
        """At the end, with nobody left to ask: says whether that led to more."""
        if self._accusations.is_open:
            accused = self._accusations.take()
            if not self._accusations.has_passed:
                error = account_error(accused[0].answer)
                self._each(accused, self._save_accused)
                self.halt(error)
                return False
            self._each(accused, self._clear)  # nobody bears them out
            return True
        put_off, self._put_off = self._put_off, []
        if put_off and self._throttle.refuses_all:
            self._put_off = put_off
            self.halt(self._too_long(put_off[0].answer))
            return False
        had_some = bool(put_off)
        self._each(put_off, self._finish_put_off)
        return had_some

    def _leave_withheld(self) -> None:
        """What is still withheld when the run is stopped was answered, and says no more."""
        for held in (*self._accusations.take(), *self._put_off):
            self._save_accused(held)
        self._put_off.clear()

    def _save_accused(self, held: Withheld) -> None:
        attempt = attempt_of(held.task, held.answer)
        self._journal.save(held.task.shard, msgspec.structs.replace(attempt, reason=ACCOUNT))

    # --- endpoints that fail alone ------------------------------------------------------------

    def _give_up(self, endpoint: Endpoint, error: BatchScreenError) -> None:
        """The endpoint is not asked any more in this start; the others are. Raises if none is."""
        if endpoint in self._given_up:
            return
        self._given_up[endpoint] = error
        lost = [held for held in self._put_off if held.task.lookup.endpoint is endpoint]
        self._put_off = [held for held in self._put_off if held not in lost]
        self._each(lost, self._save_accused)  # another start asks them
        if len(self._given_up) == len(self._breakers):
            raise self._failed_alone()
        _log.warning("%s is given up, the others are asked: %s", endpoint, error)

    def _tell_given_up(self) -> None:
        """Ends a run that has asked all it could with the reason why the rest was not."""
        if not self._given_up or len(self._breakers) == 1:
            return  # of one alone its own error says enough
        if not self._halted.done():
            self.halt(self._failed_alone())
        elif isinstance(error := self._halted.exception(), BatchScreenError):
            error.endpoints = tuple(endpoint.value for endpoint in self._given_up)

    def _failed_alone(self) -> BatchScreenError:
        """Why endpoints were given up; of several reasons the gravest gives the exit code."""
        errors = list(self._given_up.values())
        gravest = max(errors, key=lambda error: error.exit_code)
        if len(errors) == 1 == len(self._breakers):
            return errors[0]
        names = ", ".join(self._given_up)
        reasons = "; ".join(dict.fromkeys(map(str, errors)))
        rest = "; what else could be asked is answered and saved"
        return type(gravest)(
            f"{reasons}{'' if len(errors) == len(self._breakers) else rest} (given up: {names})",
            exit_code=gravest.exit_code,
            endpoints=tuple(endpoint.value for endpoint in self._given_up),
        )

    def _finish(self, task: Task, answer: Answer, sent: Sent | None) -> None:
        self._admit(task.shard, outcome_of(task, answer, sent, self._clock()))

    def _admit(self, shard: int, outcome: Outcome) -> None:
        try:
            freed = self._canary.admit(outcome.endpoint, outcome.kind, (shard, outcome))
        except ApiError as error:  # a wrong setting concerns the run, a lost endpoint only itself
            self._give_up(outcome.endpoint, error)
            return
        for place, free in freed:
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
                is_over = is_complete and held.endpoint not in self._given_up
                self._journal.save(shard, held if is_over else WithheldOutcome(held))
        return bool(released)

    async def _drain(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=self._grace_seconds)
        leftover = list(self._in_flight.values())
        for running in leftover:
            running.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)


def _put_off(answer: Answer) -> Answer:
    """The answer as the failed lookup's: how long it was to wait stands in its message."""
    wait = f"the API asks to wait {spelled(round(answer.retry_after_seconds or 0))}"
    return msgspec.structs.replace(answer, reason=TOO_LONG, message=wait)


def _not_sent(lookup: Lookup) -> Attempt:
    return Attempt(*key_of(lookup), kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT)
