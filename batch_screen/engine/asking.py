"""Asks everything a plan still lacks: client, pacer, dispatcher and shard line put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import msgspec

from batch_screen.api.client import Client
from batch_screen.config.settings import Settings
from batch_screen.engine.budget import Budget
from batch_screen.engine.connections import affordable
from batch_screen.engine.dispatch import Dispatcher
from batch_screen.engine.governor import Governor
from batch_screen.engine.shards import ShardLine, answered_lookups
from batch_screen.engine.throttle import Throttle
from batch_screen.errors import ConfigurationError, Stopped
from batch_screen.model import Pace, Plan
from batch_screen.runs import Run
from batch_screen.watch import Watch


_PULSE_SECONDS = 0.25


class Asked(msgspec.Struct, frozen=True):
    """What one start of a run has asked."""

    attempts: int
    seconds: float
    pace: Pace = Pace()


OnEnd = Callable[[Asked], None]


def ask_all(  # noqa: PLR0913, PLR0917 (the stages' common arguments, and one to tell its end)
    run: Run,
    plan: Plan,
    settings: Settings,
    key: str,
    watch: Watch,
    on_end: OnEnd = lambda _: None,
) -> Asked:
    """Returns when every lookup of the plan has a saved outcome.

    The watcher hears of outcomes when they are on disk. Raises what stops a run, after
    draining and saving: ``Stopped``, ``ApiError``, ``OutputError``, ``JournalError``.
    ``on_end`` is told what was asked in either case, once all of it is saved.
    """
    _refuse_loop()
    settings = _affordable(settings, watch)  # before the loop, which opens files itself
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_ask_all(run, plan, settings, key, watch, on_end))


async def _ask_all(  # noqa: PLR0913, PLR0917 (as ask_all)
    run: Run, plan: Plan, settings: Settings, key: str, watch: Watch, on_end: OnEnd
) -> Asked:
    loop = asyncio.get_running_loop()
    pacing = settings.pacing
    answered = answered_lookups(run, plan, settings.screening.endpoints)
    total = plan.unique_numbers * len(answered)
    watch.progress.stage("asking", total=total, done=sum(answered.values()))
    ceiling = pacing.rate_per_second * (1 - pacing.headroom)
    governor = Governor(lambda: ceiling, pacing, clock=loop.time)
    throttle = Throttle(pacing, governor, clock=loop.time)
    began = monotonic()
    async with Client(settings.api, key, max_connections=pacing.max_concurrency) as client:

        def saved(count: int) -> None:
            dispatcher.wake()
            watch.progress.advance(count)

        line = ShardLine(
            run,
            plan,
            settings.screening,
            on_saved=saved,
            on_failure=lambda error: dispatcher.halt(error),  # noqa: PLW0108 (made below)
        )
        dispatcher = Dispatcher(
            settings,
            ask=client.ask,
            journal=line,
            correlate=run.correlator,
            throttle=throttle,
            budget=Budget(settings.budget, settings.prices, {}),
        )
        if any(answered.values()):
            dispatcher.known_good()
        for endpoint, count in answered.items():
            if count >= settings.guards.canary_answers:  # an earlier start saw it answer well
                dispatcher.trust(endpoint)

        def halt(error: Stopped) -> None:
            loop.call_soon_threadsafe(dispatcher.halt, error)

        pulse = asyncio.create_task(_pulse(throttle))
        with watch.stop.listen(halt):
            try:
                await dispatcher.run(line.tasks())
            finally:
                pulse.cancel()
                await line.close()
                asked = Asked(attempts=dispatcher.attempts, seconds=monotonic() - began)
                on_end(asked)
    return asked


async def _pulse(throttle: Throttle) -> None:
    """Tells how late the event loop is: nobody else knows when it was to be somewhere."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _PULSE_SECONDS
        await asyncio.sleep(_PULSE_SECONDS)
        throttle.pulse(loop.time() - due)


def _refuse_loop() -> None:
    """Raises ``ConfigurationError`` where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "screen() waits for its own event loop and one is running here; call it in a thread: "
        "await asyncio.to_thread(screen, job)"
    )


def _affordable(settings: Settings, watch: Watch) -> Settings:
    """The settings with as many requests under way as the process may open files for."""
    wanted = settings.pacing.max_concurrency
    found = affordable(wanted)
    if found == wanted:
        return settings
    watch.progress.note(
        f"{found} requests may be under way instead of {wanted}: the process may not open more "
        "files; raise the limit with ulimit -n"
    )
    pacing = settings.pacing.model_copy(update={"max_concurrency": found})
    return settings.model_copy(update={"pacing": pacing})


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where the extra ``speed`` is installed."""
    try:
        import uvloop  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
