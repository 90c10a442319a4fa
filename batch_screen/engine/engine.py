"""Engine: asks every open lookup of a plan; wires client, pacer, dispatcher and checkpointer."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic

import msgspec

from batch_screen.api.client import Client
from batch_screen.config.settings import Settings
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.budget import BudgetGuard
from batch_screen.engine.checkpoint import Checkpointer
from batch_screen.engine.dependencies import rules_of
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.resume import so_far
from batch_screen.engine.schedule import ClosingTime, Timetable, closing_time
from batch_screen.engine.tasks import Clock, utc_now
from batch_screen.errors import ConfigurationError, Stopped
from batch_screen.model import Pace, Plan
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


OnEnd = Callable[[Asked], None]


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
) -> Asked:
    """Runs until every lookup of the plan has a saved outcome.

    ``events`` counts outcomes when they are on disk. Raises what stops a run, after
    draining and saving: ``Stopped``, ``ApiError``, ``OutputError``, ``JournalError``.
    ``began_at`` is the instant from which the longest duration counts, ``clock`` the time of the
    API's answers. ``on_end`` gets what was asked in either case, once all of it is saved or
    that has failed.
    """
    _refuse_loop()
    settings = _affordable(settings, events)  # before the loop, which opens files itself
    closing = closing_time(
        began_at or _now(), settings.schedule, settings.budget, settings.api.timeout_seconds
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner, collecting():
        return runner.run(_run_engine(run, plan, settings, key, events, closing, on_end, clock))


async def _run_engine(  # noqa: PLR0913, PLR0917 (as run_engine)
    run: Run,
    plan: Plan,
    settings: Settings,
    key: str,
    events: RunEvents,
    closing: ClosingTime | None,
    on_end: OnEnd,
    clock: Clock,
) -> Asked:
    loop = asyncio.get_running_loop()
    earlier = so_far(run, plan, settings.endpoints)
    total = plan.unique_numbers * len(earlier.answered)
    events.progress.stage("asking", total=total, done=sum(earlier.answered.values()))
    began = monotonic()
    pacer = _pacer(settings, loop.time, events)
    limit = settings.pacing.max_concurrency
    async with Client(settings.api, key, max_connections=limit, clock=clock) as client:

        def saved(outcomes: int) -> None:
            dispatcher.wake()
            events.progress.advance(outcomes)

        checkpointer = Checkpointer(
            run,
            plan,
            rules_of(settings),
            on_saved=saved,
            on_failure=lambda error: dispatcher.halt(error),  # noqa: PLW0108 (made below)
            most_unsaved=settings.pacing.max_concurrency,
            clock=clock,
        )
        dispatcher = Dispatcher(
            settings,
            ask=client.ask,
            journal=checkpointer,
            correlate=run.correlator,
            pacer=pacer,
            budget=BudgetGuard(settings.budget, settings.prices, earlier.spent),
            endpoints=[e for e, done in earlier.answered.items() if done < plan.unique_numbers],
            clock=clock,
        )
        for endpoint, answers in earlier.proved.items():
            if answers:
                dispatcher.proved(endpoint, answers)

        def halt(error: Stopped) -> None:
            loop.call_soon_threadsafe(dispatcher.halt, error)

        beside = [asyncio.create_task(_pulse(pacer))]
        if closing is not None and sum(earlier.answered.values()) < total:
            beside.append(asyncio.create_task(_close(closing, dispatcher)))
            await asyncio.sleep(0)  # it may be closing time already
        try:
            with events.stop.listen(halt):
                await _run_out(dispatcher, checkpointer, beside)
        finally:  # what was asked counts, also where the last of it could not be saved
            asked = Asked(dispatcher.attempts, monotonic() - began, pacer.snapshot())
            on_end(asked)
    return asked


async def _run_out(
    dispatcher: Dispatcher, checkpointer: Checkpointer, beside: Sequence[asyncio.Task[None]]
) -> None:
    """Runs the dispatcher to its end, stops the tasks beside it, and saves the rest."""
    try:
        await dispatcher.run(checkpointer.tasks())
    finally:
        for task in beside:
            task.cancel()
        await checkpointer.close()


def _pacer(settings: Settings, clock: Callable[[], float], events: RunEvents) -> Pacer:
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
    adaptive = AdaptiveRate(
        (lambda: timetable.rate(_now())) if by_hour else (lambda: always), pacing, clock=clock
    )
    return Pacer(pacing, adaptive, clock=clock, endpoints=settings.endpoints)


async def _close(closing: ClosingTime, dispatcher: Dispatcher) -> None:
    """Halts the run at its closing time."""
    # The clock on the wall may be set meanwhile, so it is looked at again and again.
    while (left := (closing.last_orders - _now()).total_seconds()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(left, _LOOK_AGAIN_SECONDS))
    left = (closing.by - _now()).total_seconds()
    dispatcher.halt(closing.stopped(), within_seconds=left)


def _now() -> datetime:
    return datetime.now(UTC)


async def _pulse(pacer: Pacer) -> None:
    """Reports how late the event loop is, and collects garbage."""
    loop = asyncio.get_running_loop()
    for pulse in count(1):
        due = loop.time() + _PULSE_SECONDS
        await asyncio.sleep(_PULSE_SECONDS)
        pacer.pulse(loop.time() - due)
        collect(pulse)


def _refuse_loop() -> None:
    """Raises ``ConfigurationError`` if an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "run() waits for its own event loop and one is running here; call it in a thread: "
        "await asyncio.to_thread(run, job)"
    )


def _affordable(settings: Settings, events: RunEvents) -> Settings:
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
