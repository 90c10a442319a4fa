"""Engine: asks every open lookup of a plan; wires client, pacer, dispatcher and checkpointer."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import msgspec

from batch_screen.api.client import Client
from batch_screen.config.settings import Settings
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.budget import BudgetGuard, SpendGuard
from batch_screen.engine.checkpoint import Checkpointer
from batch_screen.engine.dependencies import rules_of
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.pacer import Pacer, local_pacer
from batch_screen.engine.resume import SoFar, so_far
from batch_screen.engine.schedule import ClosingTime, Timetable, closing_of
from batch_screen.engine.tasks import Clock, utc_now
from batch_screen.errors import BatchScreenError, ConfigurationError
from batch_screen.journal.writer import StateCopy
from batch_screen.model import Contracts, Pace, Plan, Workers
from batch_screen.planning.shards import Regions
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Run

# Garbage collection at the loop's convenience. By itself Python looks after every 700 new objects,
# and now and then through all that are alive, the tables of the libraries included: a quarter of
# the CPU of asking.

_PULSES_BETWEEN = 4
_PULSES_BETWEEN_FULL = 240
_YOUNG = 1


def collect(pulse: int) -> None:
    """Collects young garbage at every fourth pulse, and all of it once a minute."""
    if pulse % _PULSES_BETWEEN_FULL == 0:
        gc.collect()
    elif pulse % _PULSES_BETWEEN == 0:
        gc.collect(_YOUNG)


@contextmanager
def collecting() -> Iterator[None]:
    """Context in which only the pulse collects garbage; objects alive at its start are frozen."""
    was_enabled = gc.isenabled()
    gc.disable()  # for the whole process, so it is set back at the end
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


# How many requests may be under way at once: what is wished for, as far as open files allow.

_RESERVED = 24  # journal, lists, event loop, and what libraries open late
_PER_REQUEST = 2  # its socket, and the other end of it where the sandbox runs in this process


def affordable(wanted: int) -> int:
    """As many of the wanted concurrent requests as the limit of open files allows, at least one.

    Raises the soft limit as far as the hard one lets it. Raises ``ConfigurationError`` where
    there is not room for one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        is_open = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:  # not even this folder can be opened
        is_open = soft
    kept = is_open + _RESERVED
    needed = kept + wanted * _PER_REQUEST
    if _within(soft, needed):
        return wanted
    limit = needed if _within(hard, needed) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    found = min(wanted, (limit - kept) // _PER_REQUEST)
    if found < 1:
        raise ConfigurationError(
            f"the process may open {limit} files, too few to ask anything; raise the limit "
            f"(ulimit -n) to {needed} for pacing.max_concurrency = {wanted}"
        )
    return found


def _within(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or needed <= limit


_PULSE_SECONDS = 0.25
_LOOK_AGAIN_SECONDS = 30.0


class Asked(msgspec.Struct, frozen=True):
    """The result of one session."""

    attempts: int
    seconds: float
    pace: Pace = Pace()
    contracts: Contracts = msgspec.UNSET
    crew: Workers = msgspec.UNSET


OnEnd = Callable[[Asked], None]


class Work(NamedTuple):
    """A planned run, what it is asked with, and how far earlier sessions have come."""

    run: Run
    plan: Plan
    settings: Settings
    key: str
    clock: Clock
    earlier: SoFar
    copy: StateCopy | None = None


How = Callable[[Work, RunEvents, ClosingTime | None, OnEnd], Asked]
"""Asks the open lookups of a plan, by closing time, and reports what was asked in any case."""
HowInLoop = Callable[[Work, RunEvents, ClosingTime | None, OnEnd], Coroutine[None, None, Asked]]


def in_loop(ask: HowInLoop) -> How:
    """The same in an event loop of its own."""

    def run(work: Work, events: RunEvents, closing: ClosingTime | None, on_end: OnEnd) -> Asked:
        refuse_loop()
        # Before the loop, which opens files itself.
        work = work._replace(settings=affordable_settings(work.settings, events))
        with asyncio.Runner(loop_factory=loop_factory()) as runner, collecting():
            return runner.run(ask(work, events, closing, on_end))

    return run


def run_engine(  # noqa: PLR0913 (the stages' common arguments, its beginning and its end)
    run: Run,
    plan: Plan,
    settings: Settings,
    key: str,
    events: RunEvents,
    *,
    began_at: datetime | None = None,
    on_end: OnEnd = lambda _: None,
    clock: Clock = utc_now,
    copy: StateCopy | None = None,
    how: How | None = None,
) -> Asked:
    """Runs until every lookup of the plan has a saved outcome.

    ``events`` counts outcomes when they are on disk. Raises what stops a run, after
    draining and saving: ``Stopped``, ``ApiError``, ``OutputError``, ``JournalError``.
    ``began_at`` is the instant from which the longest duration counts, ``clock`` the time of the
    API's answers. ``on_end`` gets what was asked in either case, once all of it is saved or
    that has failed. With a ``copy`` of the state in a bucket, what is saved there counts. ``how``
    asks in another way than through one dispatcher.
    """
    closing = closing_of(settings, began_at or _now())
    with collecting():  # a journal is many records
        earlier = so_far(run, plan, settings.endpoints)
    work = Work(run, plan, settings, key, clock, earlier, copy)
    return (how or ask_alone)(work, events, closing, on_end)


async def _ask_alone(
    work: Work, events: RunEvents, closing: ClosingTime | None, on_end: OnEnd
) -> Asked:
    loop = asyncio.get_running_loop()
    settings, closing = work.settings, closing if prepare(work, events) else None
    began = monotonic()
    account = adaptive_rate(settings, loop.time, events)
    pacer = local_pacer(settings.pacing, account, clock=loop.time, endpoints=settings.endpoints)
    budget = BudgetGuard(settings.budget, settings.prices, work.earlier.spent)
    async with asking(work, pacer, budget, on_saved=events.progress.advance) as (
        dispatcher,
        checkpointer,
    ):
        try:
            async with watched(work, events, closing, [dispatcher], [pacer]):
                await run_out(dispatcher, checkpointer)
        finally:  # what was asked counts, also where the last of it could not be saved
            asked = Asked(dispatcher.attempts, monotonic() - began, pacer.snapshot())
            on_end(asked)
    return asked


ask_alone: How = in_loop(_ask_alone)
"""Through one dispatcher."""


@asynccontextmanager
async def watched(
    work: Work,
    events: RunEvents,
    closing: ClosingTime | None,
    dispatchers: Sequence[Dispatcher],
    pacers: Sequence[Pacer],
) -> AsyncIterator[None]:
    """Context in which dispatchers are halted by a stop or at closing time, and pacers pulse."""
    loop = asyncio.get_running_loop()

    def halt(error: BatchScreenError) -> None:
        for dispatcher in dispatchers:
            loop.call_soon_threadsafe(dispatcher.halt, error)

    beside = [asyncio.create_task(pulse(*pacers))]
    if work.copy is not None:
        beside.append(asyncio.create_task(wake(*dispatchers)))
    if closing is not None:
        beside.append(asyncio.create_task(close_at(closing, *dispatchers)))
        await asyncio.sleep(0)  # it may be closing time already
    try:
        with events.stop.listen(halt):
            yield
    finally:
        for task in beside:
            task.cancel()


def prepare(work: Work, events: RunEvents) -> int:
    """Begins the stage of asking; returns how many lookups are left."""
    answered = work.earlier.answered
    total, done = work.plan.unique_numbers * len(answered), sum(answered.values())
    events.progress.stage("asking", total=total, done=done)
    return total - done


@asynccontextmanager
async def asking(  # noqa: PLR0913 (what the coordinator of several workers has in its hands)
    work: Work,
    pacer: Pacer,
    budget: SpendGuard,
    *,
    on_saved: Callable[[int], None],
    shards: Iterable[int | None] | None = None,
    may_seal: Callable[[int], bool] | None = None,
    regions: Regions | None = None,
) -> AsyncIterator[tuple[Dispatcher, Checkpointer]]:
    """A dispatcher that asks the lookups of these shards, or all that are left, and their journal.

    ``run_out`` runs them. ``on_saved`` gets the number of outcomes on disk; ``shards``,
    ``may_seal`` and ``regions`` are the checkpointer's.
    """
    run, plan, settings, earlier = work.run, work.plan, work.settings, work.earlier
    most = settings.pacing.max_concurrency
    async with Client(settings.api, work.key, max_connections=most, clock=work.clock) as client:

        def saved(outcomes: int) -> None:
            dispatcher.wake()
            on_saved(outcomes)

        checkpointer = Checkpointer(
            run,
            plan,
            rules_of(settings),
            on_saved=saved,
            on_failure=lambda error: dispatcher.halt(error),  # noqa: PLW0108 (made below)
            most_unsaved=most,
            clock=work.clock,
            shards=shards,
            may_seal=may_seal,
            copy=work.copy,
            regions=regions,
        )
        dispatcher = Dispatcher(
            settings,
            ask=client.ask,
            journal=checkpointer,
            correlate=run.correlator,
            pacer=pacer,
            budget=budget,
            endpoints=[e for e, done in earlier.answered.items() if done < plan.unique_numbers],
            clock=work.clock,
        )
        for endpoint, answers in earlier.proved.items():
            if answers:
                dispatcher.proved(endpoint, answers)
        yield dispatcher, checkpointer


async def run_out(
    dispatcher: Dispatcher, checkpointer: Checkpointer, beside: Sequence[asyncio.Task[None]] = ()
) -> None:
    """Runs the dispatcher to its end, stops the tasks beside it, and saves the rest."""
    try:
        await dispatcher.run(checkpointer.tasks())
    finally:
        for task in beside:
            task.cancel()
        await checkpointer.close()


def adaptive_rate(
    settings: Settings,
    clock: Callable[[], float],
    events: RunEvents,
    whose: str = "the account",
) -> AdaptiveRate:
    """The account's rate, by settings and timetable."""
    pacing, schedule = settings.pacing, settings.schedule
    timetable = Timetable(schedule, pacing.rate_per_second, headroom=pacing.headroom)
    if timetable.rate(_now()) == 0:
        opens_at = timetable.opens_at(_now())
        events.progress.note(
            f"schedule.rate_per_second_by_hour permits no request at this hour; waiting until "
            f"{opens_at:%H:%M} ({schedule.timezone})"
        )
    always = timetable.rate(_now())  # asked for several times for each attempt
    by_hour = schedule.rate_per_second_by_hour
    ceiling = (lambda: timetable.rate(_now())) if by_hour else (lambda: always)
    return AdaptiveRate(ceiling, pacing, clock=clock, whose=whose)


async def close_at(closing: ClosingTime, *dispatchers: Dispatcher) -> None:
    """Halts the run at its closing time."""
    # The clock on the wall may be set meanwhile, so it is looked at again and again.
    while (left := (closing.last_orders - _now()).total_seconds()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(left, _LOOK_AGAIN_SECONDS))
    left = (closing.by - _now()).total_seconds()
    for dispatcher in dispatchers:
        dispatcher.halt(closing.stopped(), within_seconds=left)


async def wake(*dispatchers: Dispatcher) -> None:
    """Lets dispatchers look again whether their state is held: nothing else would wake them."""
    while True:
        await asyncio.sleep(_PULSE_SECONDS)
        for dispatcher in dispatchers:
            dispatcher.wake()


def _now() -> datetime:
    return datetime.now(UTC)


async def pulse(*pacers: Pacer) -> None:
    """Reports how late the event loop is, and collects garbage."""
    loop = asyncio.get_running_loop()
    for number in count(1):
        due = loop.time() + _PULSE_SECONDS
        await asyncio.sleep(_PULSE_SECONDS)
        lag = loop.time() - due
        for pacer in pacers:
            pacer.pulse(lag)
        collect(number)


def refuse_loop() -> None:
    """Raises ``ConfigurationError`` if an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "run() waits for its own event loop and one is running here; call it in a thread: "
        "await asyncio.to_thread(run, job)"
    )


def affordable_settings(settings: Settings, events: RunEvents) -> Settings:
    """The settings with the concurrency that the limit of open files allows."""
    wanted = settings.pacing.max_concurrency
    found = affordable(wanted)
    if found == wanted:
        return settings
    events.progress.note(
        f"{found} requests may be under way instead of {wanted}: the process may not open more "
        "files; raise the limit with ulimit -n"
    )
    pacing = settings.pacing.model_copy(update={"max_concurrency": found})
    return settings.model_copy(update={"pacing": pacing})


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop, where the extra ``speed`` is installed."""
    try:
        import uvloop  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
