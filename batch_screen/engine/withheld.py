"""Withheld answers: kept back until others show whether they concern the account.

There are two kinds: those that accuse the account (see ``accusations``), and those put off because
they ask to wait for longer than a run does, which is the account's, the endpoint's or the lookup's
affair. Each ends as the lookup's outcome, is asked again, or is left to another session.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec.structs

from batch_screen.config.settings import Settings
from batch_screen.engine.accusations import Accusations
from batch_screen.engine.endpoints import Endpoints
from batch_screen.engine.guards import Guard
from batch_screen.engine.lookups import Lookups
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.retry import account_error
from batch_screen.engine.schedule import spelled
from batch_screen.engine.tasks import Result, Task
from batch_screen.errors import ApiError, Stopped
from batch_screen.model import TOO_LONG, Endpoint, OutcomeKind

ALL_NUMBERS = 10
"""So many numbers in a row with a too long Retry-After concern the whole account."""
_MOST_PASSED_OVER = 32
_MOST_PUT_OFF = 16_384


class Withheld(Guard):
    """Keeps withheld answers, and decides about them after each result and at the end."""

    def __init__(
        self, settings: Settings, *, pacer: Pacer, endpoints: Endpoints, lookups: Lookups
    ) -> None:
        self._pacer = pacer
        self._endpoints = endpoints
        self._lookups = lookups
        self._longest_seconds = settings.pacing.max_retry_after_seconds
        self._max_attempts = settings.retry.max_attempts
        self._accusations = Accusations(settings.endpoints)
        self._put_off: list[Result] = []
        self._passed_over = 0

    @property
    def is_open(self) -> bool:
        return self._accusations.is_open

    def known_good(self) -> None:
        self._accusations.known_good()

    def may_ask(self, task: Task) -> bool:
        """Whether the task may be asked now: of an open accusation, only a witness."""
        if not self._accusations.is_open:
            return True
        # A plan may hold nothing else for a long while: better a weaker witness than a standstill.
        if self._passed_over >= _MOST_PASSED_OVER:
            self._accusations.no_other_endpoint()
        if self._accusations.is_witness(task) or self._passed_over >= 2 * _MOST_PASSED_OVER:
            self._passed_over = 0
            return True
        self._passed_over += 1
        return False

    def accuse(self, result: Result) -> None:
        """Withholds an account-level error. Raises it if others confirm it."""
        if result.task.lookup.endpoint in self._endpoints.given_up:
            self._lookups.leave(result)
            return
        result.task.accusations += 1
        if not self._accusations.accuse(result):
            self._clear(result)

    def put_off(self, result: Result) -> None:
        """Withholds an answer whose Retry-After is too long.

        Raises ``Stopped``, or gives up the endpoint, if all are asked to.
        """
        endpoint = result.task.lookup.endpoint
        if endpoint in self._endpoints.given_up:
            self._lookups.leave(result)
            return
        self._put_off.append(result)
        if result.answer.kind is OutcomeKind.RATE_LIMITED:
            if self._pacer.refuses(None, ALL_NUMBERS):
                raise self._too_long(result)
            is_endpoints = self._pacer.refuses(endpoint, ALL_NUMBERS)
        else:
            is_endpoints = self._endpoints.breakers[endpoint].asks_to_wait(ALL_NUMBERS)
        if is_endpoints:
            self._endpoints.give_up(endpoint, self._too_long(result, endpoint))

    def on_result(self, result: Result) -> float:
        if cleared := self._accusations.clear(result.answer, result.sent.places.of_all):
            self._passed_over = 0
            self._each(cleared, self._clear)
        if self._put_off:
            waiting, self._put_off = self._put_off, []
            passed: list[Result] = []
            for each in waiting:
                # Put off while others are let pass, it has failed: it is this one that is to wait.
                last = self._pacer.last_passed(each.task.lookup.endpoint)
                is_passed = last.at_endpoint > each.sent.places.at_endpoint
                (passed if is_passed else self._put_off).append(each)
            if len(self._put_off) > _MOST_PUT_OFF:  # memory must not grow with the plan
                passed.append(self._put_off.pop(0))
            self._each(passed, self._finish_put_off)
        return 0.0

    def conclude(self) -> bool:
        """Decides once nothing is left to ask; returns whether there is more to do. May raise."""
        if self._accusations.is_open:
            accused = self._accusations.take()
            error = account_error(accused[0].answer)
            # Never served, and nobody left to ask: the key is as good as dead.
            if error is not None and not self._accusations.has_passed:
                self._each(accused, self._lookups.leave)
                raise error
            self._each(accused, self._clear)  # nobody bears them out
            return True
        if self._put_off and self._pacer.refuses_all:
            raise self._too_long(self._put_off[0])
        put_off, self._put_off = self._put_off, []
        had_some = bool(put_off)
        self._each(put_off, self._finish_put_off)
        return had_some

    def leave(self, endpoint: Endpoint | None = None) -> None:
        """Leaves what is withheld, all or of one endpoint, to another session."""
        if endpoint is None:
            lost, self._put_off = [*self._accusations.take(), *self._put_off], []
        else:
            lost = [e for e in self._put_off if e.task.lookup.endpoint is endpoint]
            self._put_off = [e for e in self._put_off if e.task.lookup.endpoint is not endpoint]
        self._each(lost, self._lookups.leave)

    def _each(self, results: list[Result], decide: Callable[[Result], None]) -> None:
        """Decides about each; if one raises, the rest stays withheld."""
        while results:
            result = results.pop(0)
            try:
                decide(result)
            except BaseException:
                self._put_off += results
                raise

    def _clear(self, result: Result) -> None:
        """The account is served: the answer was about one of its nodes, or about the number."""
        task, answer = result.task, result.answer
        endpoint, breakers = task.lookup.endpoint, self._endpoints.breakers
        if breakers[endpoint].is_accused(result) and len(breakers) > 1:
            self._lookups.leave(result)
            error = account_error(answer)
            family = type(error) if error is not None else ApiError
            alone = (
                f"{endpoint} alone answers {answer.http_status} for several numbers in a row: the "
                "account seems to lack this endpoint; ask the vendor, then start again to resume"
            )
            self._endpoints.give_up(endpoint, family(alone))
        elif (answer.retry_after_seconds or 0.0) > self._longest_seconds:
            self._finish_put_off(result)
        elif task.accusations < self._max_attempts:
            self._lookups.again(result)
        else:
            self._lookups.finish(result)

    def _finish_put_off(self, result: Result) -> None:
        """Fails the lookup; its message says how long it was to wait."""
        wait = f"the API asks to wait {spelled(round(result.answer.retry_after_seconds or 0))}"
        answer = msgspec.structs.replace(result.answer, reason=TOO_LONG, message=wait)
        self._lookups.finish(result._replace(answer=answer))

    def _too_long(self, result: Result, endpoint: Endpoint | None = None) -> Stopped:
        wait = spelled(round(result.answer.retry_after_seconds or 0))
        return Stopped(
            f"{endpoint or 'the API'} asks to wait {wait}, more than "
            f"pacing.max_retry_after_seconds ({self._longest_seconds:.0f}); start again later to "
            "resume"
        )
