"""A dispatcher against a server in memory, in virtual time: worlds in which some answers are odd.

A world decides about each attempt when it arrives, half of the latency after it was sent. The
figures of a run stand beside those of the same run without oddities.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from batch_screen.config.sections import Guards
from batch_screen.config.settings import Pacing, Retry, Settings
from batch_screen.engine.tasks import Places, Result, Sent, Task
from batch_screen.errors import BatchScreenError
from batch_screen.model import (
    Answer,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
    WithheldOutcome,
)
from batch_screen.sandbox.window import RateLimit
from tests import virtual_time
from tests.making import dispatcher_of

OK = Answer(kind=OutcomeKind.SUCCESS, swapped=False, http_status=200)


def refused(retry_after: float | None = 1.0, *, status: int = 429) -> Answer:
    return Answer(
        kind=OutcomeKind.RATE_LIMITED, http_status=status, retry_after_seconds=retry_after
    )


def result(
    answer: Answer | OutcomeKind, place: int = 1, *, at: float = 0.0, lookup: Lookup | None = None
) -> Result:
    """What the attempt of that place, sent at that instant, brought back; another number's each."""
    if isinstance(answer, OutcomeKind):
        answer = Answer(kind=answer)
    lookup = lookup or Lookup(f"+4477009{place:05d}", Endpoint.SIM_SWAP_CHECK)
    sent = Sent("", Places(place, place), at, 0.0)
    return Result(Task(0, lookup), answer, sent, datetime(2026, 3, 1, tzinfo=UTC), 0.0)


Odd = Callable[[Lookup, int, float], Answer | None]
"""From the lookup, how often it was asked (this time included) and the instant to an answer."""

Delay = Callable[[Lookup, int, float], float | None]
"""As ``Odd``, to the seconds that the answer takes; None: the usual."""


def share_of(lookups: Sequence[Lookup], share: float, seed: int = 0) -> frozenset[Lookup]:
    """So many of them at random, the same ones each time."""
    chosen = random.Random(seed).sample(list(lookups), round(share * len(lookups)))
    return frozenset(chosen)


def once(odd: frozenset[Lookup], answer: Answer) -> Odd:
    """These lookups meet the answer the first time they are asked."""
    return lambda lookup, time, _: answer if time == 1 and lookup in odd else None


def always(odd: frozenset[Lookup], answer: Answer) -> Odd:
    """These lookups meet the answer whenever they are asked."""
    return lambda lookup, _time, _now: answer if lookup in odd else None


def at_endpoint(endpoint: Endpoint, answer: Answer) -> Odd:
    """This endpoint answers nothing else."""
    return lambda lookup, _time, _now: answer if lookup.endpoint is endpoint else None


def numbered(count: int, *endpoints: Endpoint) -> list[Lookup]:
    """So many numbers at each endpoint, number by number as a plan has them."""
    return [
        Lookup(f"+4477009{i:05d}", endpoint, 2400 if endpoint.takes_max_age else None)
        for i in range(count)
        for endpoint in endpoints or (Endpoint.SIM_SWAP_CHECK,)
    ]


class Memory:
    """A journal that saves at once and never fails."""

    unsaved = 0
    expects_more = False
    is_behind = False

    def __init__(self) -> None:
        self.outcomes: dict[Lookup, Outcome] = {}
        self.answered_at: dict[Lookup, float] = {}
        self.dropped: list[Lookup] = []

    def note(self, shard: int, intent: Intent) -> None:
        pass

    def flush(self) -> None:
        pass

    def save(self, shard: int, record: Attempt | WithheldOutcome | Outcome) -> None:
        if isinstance(record, Outcome):
            assert record.lookup not in self.outcomes, "a lookup has two outcomes"
            self.outcomes[record.lookup] = record
            self.answered_at[record.lookup] = asyncio.get_running_loop().time()

    def drop(self, shard: int, lookup: Lookup) -> None:
        self.dropped.append(lookup)

    def hurry(self) -> None:
        raise AssertionError("nothing waits")


@dataclass
class World:
    """What a run meets. ``limit`` and ``endpoint_limits`` are true ones.

    ``away``: for how long from an instant on the server reads no request.
    """

    rate: float = 400.0
    latency: float = 0.05
    lookups: list[Lookup] = field(default_factory=lambda: numbered(4000))
    odd: Odd = lambda _lookup, _time, _now: None
    delay: Delay = lambda _lookup, _time, _now: None
    away: Callable[[float], float] = lambda _now: 0.0
    limit: RateLimit | None = None
    endpoint_limits: dict[Endpoint, RateLimit] = field(default_factory=dict)
    timeout: float = 15.0
    retry: Retry = field(default_factory=Retry)
    guards: Guards = field(default_factory=Guards)
    max_retry_after: float = 900.0
    refusal: Answer = field(default_factory=refused)
    refusals_are_quick: bool = True
    most_seconds: float = 2000.0

    def run(self) -> WorldRun:
        random.seed(0)  # waits are jittered: a world is the same each time
        return virtual_time.run(_Run(self).main())

    def clean(self) -> WorldRun:
        """The same run without anything odd."""
        nothing = World()
        return replace(
            self, odd=nothing.odd, delay=nothing.delay, limit=None, endpoint_limits={}
        ).run()


@dataclass
class WorldRun:
    """What became of a run."""

    ended_at: float
    asked: list[tuple[float, Lookup]]
    passed: list[float]
    refused: list[float]
    too_early: int
    outcomes: dict[Lookup, Outcome]
    answered_at: dict[Lookup, float]
    error: BatchScreenError | None

    @property
    def refusals(self) -> int:
        return len(self.refused)

    @property
    def requests(self) -> int:
        return len(self.asked)

    @property
    def kinds(self) -> Counter[OutcomeKind]:
        return Counter(outcome.kind for outcome in self.outcomes.values())

    def others_done(self, odd: frozenset[Lookup] = frozenset()) -> float:
        """When the last lookup that is not odd itself was answered."""
        return max((at for lookup, at in self.answered_at.items() if lookup not in odd), default=0)

    def worst_second(self) -> int:
        starts = [at for at, _ in self.asked]
        first = most = 0
        for last, at in enumerate(starts):
            while at - starts[first] >= 1 - 1e-9:
                first += 1
            most = max(most, last - first + 1)
        return most


class _Run:
    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[tuple[float, Lookup]] = []
        self.passed: list[float] = []
        self.refused: list[float] = []
        self.not_before: dict[Lookup, float] = {}
        self.too_early = 0
        self.times: Counter[Lookup] = Counter()
        self.journal = Memory()

    async def main(self) -> WorldRun:
        world, loop = self.world, asyncio.get_running_loop()
        endpoints = tuple(e for e in Endpoint if any(n.endpoint is e for n in world.lookups))
        settings = Settings(
            screening={"endpoints": endpoints},  # type: ignore[arg-type]
            pacing=Pacing(
                rate_per_second=world.rate, max_retry_after_seconds=world.max_retry_after
            ),
            retry=world.retry,
            guards=world.guards,
        )
        jitter = random.Random(1).random
        dispatcher = dispatcher_of(settings, self.ask, self.journal, jitter=jitter)
        loop.call_later(world.most_seconds, dispatcher.halt, BatchScreenError("never ends"))
        error = None
        try:
            await dispatcher.run(self.tasks())
        except BatchScreenError as found:
            error = found
        return WorldRun(
            loop.time(),
            self.asked,
            self.passed,
            self.refused,
            self.too_early,
            self.journal.outcomes,
            self.journal.answered_at,
            error,
        )

    def tasks(self) -> Iterator[Task]:
        return (Task(0, lookup) for lookup in self.world.lookups)

    async def ask(self, lookup: Lookup, _correlator: str) -> Answer:
        world, loop = self.world, asyncio.get_running_loop()
        self.asked.append((loop.time(), lookup))
        self.times[lookup] += 1
        self.too_early += loop.time() < self.not_before.get(lookup, 0.0)
        time = self.times[lookup]
        await asyncio.sleep(world.latency / 10)
        await asyncio.sleep(world.away(loop.time()))
        answer = self.decide(lookup, time, loop.time())
        seconds = world.delay(lookup, time, loop.time())
        if answer.kind is OutcomeKind.RATE_LIMITED and world.refusals_are_quick:
            seconds = 0.001
        wait = 0.9 * world.latency if seconds is None else seconds
        if wait >= world.timeout:
            await asyncio.sleep(world.timeout)
            return Answer(kind=OutcomeKind.TIMEOUT, reason="no_answer_in_time")
        await asyncio.sleep(wait)
        if answer.kind is not OutcomeKind.SUCCESS:
            self.not_before[lookup] = loop.time() + (answer.retry_after_seconds or 0.0)
        return answer

    def decide(self, lookup: Lookup, time: int, now: float) -> Answer:
        world = self.world
        odd = world.odd(lookup, time, now)
        if odd is not None and odd.kind is OutcomeKind.RATE_LIMITED:
            self.refused.append(now)
            return odd
        limits = [world.limit, world.endpoint_limits.get(lookup.endpoint)]
        if any(limit is not None and not limit.has_room(now) for limit in limits):
            self.refused.append(now)
            return world.refusal
        for limit in limits:
            if limit is not None:
                limit.take(now)
        self.passed.append(now)
        return OK if odd is None else odd
