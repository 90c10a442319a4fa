"""A dispatcher against an API in memory that answers by a script, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from batch_screen.api.answers import TRUNCATED
from batch_screen.config.screening import Screening
from batch_screen.config.sections import Guards
from batch_screen.config.settings import Budget, Pacing, Retry, Settings
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.tasks import Task
from batch_screen.errors import (
    BatchScreenError,
)
from batch_screen.model import (
    CANNOT_CONNECT,
    Answer,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
    WithheldOutcome,
)
from tests import virtual_time
from tests.making import dispatcher_of

K = OutcomeKind
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE

OK = Answer(kind=K.SUCCESS, swapped=False, http_status=200)
NOT_FOUND = Answer(kind=K.NOT_FOUND, http_status=404)
NOT_APPLICABLE = Answer(kind=K.NOT_APPLICABLE, http_status=422)
BAD = Answer(kind=K.BAD_RESPONSE, reason="wrong_type", http_status=200)
ERROR_500 = Answer(kind=K.SERVER_ERROR, http_status=500)
BUSY_503 = Answer(kind=K.SERVER_ERROR, http_status=503, retry_after_seconds=2)
NEVER_501 = Answer(kind=K.SERVER_ERROR, reason="not_implemented", http_status=501)
TIMEOUT = Answer(kind=K.TIMEOUT, reason="no_answer_in_time")
CUT_SHORT = Answer(kind=K.BAD_RESPONSE, reason=TRUNCATED, http_status=200)
REFUSED = Answer(kind=K.RATE_LIMITED, http_status=429)
REFUSED_3 = Answer(kind=K.RATE_LIMITED, http_status=429, retry_after_seconds=3)
DOWN = Answer(kind=K.UNREACHABLE, reason=CANNOT_CONNECT)
LOST = Answer(kind=K.UNREACHABLE, reason="connection_lost")
DEAD_KEY = Answer(kind=K.FORBIDDEN, http_status=401)
NO_BALANCE = Answer(kind=K.FORBIDDEN, http_status=402)
NO_QUOTA = Answer(kind=K.RATE_LIMITED, http_status=429, code="QUOTA_EXCEEDED")

Script = Callable[[Lookup, int], Answer]


def configured(
    *,
    rate: float = 1000,
    concurrency: int = 8,
    canary: int = 0,
    retry: Retry | None = None,
    unreachable: float = 60,
    grace: float = 20,
    outage: int = 0,
    by_endpoint: dict[Endpoint, float] | None = None,
    max_requests: int = 0,
) -> Settings:
    return Settings(
        budget=Budget(max_requests=max_requests),
        pacing=Pacing(
            rate_per_second=rate,
            rate_per_second_by_endpoint=by_endpoint or {},
            headroom=0,
            ramp_up_seconds=0,
            max_concurrency=concurrency,
            max_retry_after_seconds=900,
        ),
        retry=retry or Retry(max_attempts=3, max_refusals=5),
        guards=Guards(
            canary_answers=canary,
            unreachable_seconds=unreachable,
            grace_seconds=grace,
            max_consecutive_failures=outage,
        ),
    )


def numbered(count: int, endpoint: Endpoint = CHECK) -> list[Lookup]:
    window = 2400 if endpoint.takes_max_age else None
    return [Lookup(f"+4477009{i:05d}", endpoint, window) for i in range(count)]


Kept = Intent | Attempt | WithheldOutcome | Outcome


class Memory:
    """A journal that saves at once and never fails."""

    unsaved = 0
    expects_more = False
    is_behind = False

    def __init__(self) -> None:
        self.records: list[tuple[float, int, Kept]] = []

    def note(self, shard: int, intent: Intent) -> None:
        self._keep(shard, intent)

    def save(self, shard: int, record: Attempt | WithheldOutcome | Outcome) -> None:
        self._keep(shard, record)

    def flush(self) -> None:
        pass

    def drop(self, shard: int, lookup: Lookup) -> None:
        pass

    def hurry(self) -> None:
        raise AssertionError("nothing waits")

    def _keep(self, shard: int, record: Kept) -> None:
        self.records.append((asyncio.get_running_loop().time(), shard, record))


@dataclass
class Trial:
    """One run of a dispatcher against an API in memory, in virtual time."""

    settings: Settings
    script: Script
    latency: float = 0.05
    journal: Memory = field(default_factory=lambda: Memory())  # noqa: PLW0108 (made anew for each)
    asked: list[tuple[float, Lookup, str]] = field(default_factory=list)
    most_in_flight: int = 0
    pulled: int = 0
    most_ahead: int = 0
    ended_at: float = 0.0
    error: BatchScreenError | None = None
    dispatcher: Dispatcher = field(init=False)

    def run(
        self,
        lookups: list[Lookup],
        *,
        tasks: Iterator[Task] | None = None,
        meanwhile: Callable[[Trial], None] = lambda _: None,
    ) -> Trial:
        asked = tuple(e for e in Endpoint if any(lookup.endpoint is e for lookup in lookups))
        screening = Screening(endpoints=asked or (CHECK,))
        self.settings = self.settings.model_copy(update={"screening": screening})
        virtual_time.run(self._run(tasks or (Task(0, lookup) for lookup in lookups), meanwhile))
        return self

    async def _run(self, tasks: Iterator[Task], meanwhile: Callable[[Trial], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._in_flight = 0
        self._times: Counter[Lookup] = Counter()
        self.dispatcher = dispatcher_of(self.settings, self.ask, self.journal, jitter=lambda: 0.0)
        meanwhile(self)
        try:
            await self.dispatcher.run(self._counted(tasks))
        except BatchScreenError as error:
            self.error = error
        self.ended_at = self._loop.time()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, "something goes on after run has returned"

    def _counted(self, tasks: Iterator[Task]) -> Iterator[Task]:
        for task in tasks:
            self.pulled += 1
            self.most_ahead = max(self.most_ahead, self.pulled - len(self.outcomes))
            yield task

    async def ask(self, lookup: Lookup, correlator: str) -> Answer:
        self.asked.append((self._loop.time(), lookup, correlator))
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        self._times[lookup] += 1
        answer = self.script(lookup, self._times[lookup])
        try:
            await asyncio.sleep(self.latency)
        finally:
            self._in_flight -= 1
        return answer

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        self._loop.call_later(seconds, call)

    @property
    def records(self) -> list[tuple[float, int, Kept]]:
        return self.journal.records

    @property
    def outcomes(self) -> list[Outcome]:
        return [record for _, _, record in self.records if isinstance(record, Outcome)]

    @property
    def kinds(self) -> Counter[OutcomeKind]:
        return Counter(outcome.kind for outcome in self.outcomes)

    def answered_at(self, lookup: Lookup) -> float:
        return next(
            at for at, _, r in self.records if isinstance(r, Outcome) and r.lookup == lookup
        )

    def of(self, lookup: Lookup) -> list[Kept]:
        records = [r for _, _, r in self.records if not isinstance(r, WithheldOutcome)]
        return [r for r in records if (r.e164, r.endpoint) == (lookup.e164, lookup.endpoint)]


def by_number(scripts: dict[Lookup, list[Answer]]) -> Script:
    """Each lookup's answers one after the other, then success for ever."""

    def script(lookup: Lookup, time: int) -> Answer:
        answers = scripts.get(lookup, [])
        return answers[time - 1] if time <= len(answers) else OK

    return script


def always(answer: Answer) -> Script:
    return lambda _lookup, _time: answer
