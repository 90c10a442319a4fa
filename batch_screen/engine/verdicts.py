"""Verdict on an answer: the retry policy as a table of cases.

| answer | verdict |
|---|---|
| 401 | accuses the account: a dead key, if another number's answer bears it out |
| 402, 429 with QUOTA_EXCEEDED | accuses the account: it is empty, likewise |
| 408, 429 | refused: asked again later, not a failed attempt |
| no connection | unreachable: asked again, as if nothing had been sent |
| 5xx but 501, timeout, lost connection, what was mangled on its way | retry, bounded |
| everything else | final |
"""

from __future__ import annotations

from enum import StrEnum

from batch_screen.config.settings import Retry, Settings
from batch_screen.engine.endpoints import Endpoints
from batch_screen.engine.guards import Guard, Outage
from batch_screen.engine.lookups import Lookups
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.retry import account_error, is_transient
from batch_screen.engine.tasks import Result
from batch_screen.engine.withheld import Withheld
from batch_screen.model import CANNOT_CONNECT, Answer, OutcomeKind


class Verdict(StrEnum):
    """The next step for a lookup after an attempt."""

    FINAL = "final"
    RETRY = "retry"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    ACCUSED = "accused"
    PUT_OFF = "put_off"


def judge(
    answer: Answer,
    *,
    failed_attempts: int,
    own_refusals: float,
    retry: Retry,
    longest_wait_seconds: float,
) -> Verdict:
    """The verdict on an answer after so many failed attempts and refusals, this one included.

    ``own_refusals`` are those that were not the account's: others were let pass meanwhile.
    """
    if account_error(answer) is not None:
        return Verdict.ACCUSED
    if answer.reason == CANNOT_CONNECT:
        return Verdict.UNREACHABLE
    is_refused = answer.kind is OutcomeKind.RATE_LIMITED
    if not is_refused and not is_transient(answer):
        return Verdict.FINAL
    # A lookup never goes out before its own Retry-After.
    if (answer.retry_after_seconds or 0.0) > longest_wait_seconds:
        return Verdict.PUT_OFF
    if is_refused:
        return Verdict.REFUSED if own_refusals < retry.max_refusals else Verdict.FINAL
    return Verdict.RETRY if failed_attempts < retry.max_attempts else Verdict.FINAL


class Verdicts(Guard):
    """Counts each answer against its lookup and applies the verdict of ``judge``."""

    counts_accusations = True

    def __init__(  # noqa: PLR0913 (what it goes by, and what it sets off)
        self,
        settings: Settings,
        *,
        pacer: Pacer,
        outage: Outage,
        endpoints: Endpoints,
        lookups: Lookups,
        withheld: Withheld,
    ) -> None:
        self._pacer = pacer
        self._outage = outage
        self._endpoints = endpoints
        self._lookups = lookups
        self._withheld = withheld
        self._longest_wait_seconds = settings.pacing.max_retry_after_seconds
        self._retry = retry = settings.retry
        # Twice as often where all fail: an outage is no lookup's fault.
        self._patient = retry.model_copy(update={"max_attempts": 2 * retry.max_attempts})

    def on_result(self, result: Result) -> float:
        task, answer, sent, _, _ = result
        endpoint = task.lookup.endpoint
        if answer.kind is OutcomeKind.RATE_LIMITED:
            task.refusals, task.was_refused = task.refusals + 1, True
            task.own_refusals += self._pacer.own_refusal(endpoint, sent.places)
        else:
            task.failed_attempts += 1
        breaker = self._endpoints.breakers[endpoint]
        is_outage = self._outage.is_suspected or breaker.is_suspected
        verdict = judge(
            answer,
            failed_attempts=task.failed_attempts,
            own_refusals=task.own_refusals,
            retry=self._patient if is_outage else self._retry,
            longest_wait_seconds=self._longest_wait_seconds,
        )
        match verdict:
            case Verdict.FINAL:
                self._lookups.finish(result)
            case Verdict.ACCUSED:
                self._withheld.accuse(result)
            case Verdict.PUT_OFF:
                self._withheld.put_off(result)
            case _:
                self._lookups.again(result)
        return 0.0
