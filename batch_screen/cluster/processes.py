"""Processes: leads the workers of one machine, each in a process of its own.

For contracts above what one core can start. The driver keeps the processes alive and answers their
reports; it asks nothing itself.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Self

from batch_screen.cluster.coordinator import Coordinator
from batch_screen.cluster.leases import clock as coordinator_clock
from batch_screen.cluster.messages import Orders, Report
from batch_screen.cluster.worker import LinkCutError, WorkerSpec, run_worker
from batch_screen.config.settings import Settings
from batch_screen.engine.checkpoint import unsealed
from batch_screen.engine.engine import Asked, OnEnd, Work, prepare, run_engine
from batch_screen.engine.resume import so_far
from batch_screen.engine.schedule import closing_of
from batch_screen.engine.tasks import Clock, utc_now
from batch_screen.errors import BatchScreenError, ExitCode, Stopped
from batch_screen.journal.writer import StateCopy
from batch_screen.masking import masked_logger
from batch_screen.model import Plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Run

_TICK_SECONDS = 0.1
_MORE_THAN_GRACE_SECONDS = 10.0
_DEATHS_IN_A_ROW = 4

_log = masked_logger(__name__)


def run_workers(  # noqa: PLR0913 (as run_engine)
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
) -> Asked:
    """Does what ``run_engine`` does, with ``cluster.workers`` processes.

    No more than there are shards left: each is asked by one worker.
    """
    shards = list(unsealed(run, plan))
    workers = min(settings.cluster.workers, len(shards))
    if workers <= 1:
        return run_engine(
            run,
            plan,
            settings,
            key,
            events,
            began_at=began_at,
            on_end=on_end,
            clock=clock,
            copy=copy,
        )
    work = Work(run, plan, settings, key, clock, so_far(run, plan, settings.endpoints), copy)
    prepare(work, events)
    closing = closing_of(settings, began_at or datetime.now(UTC))
    coordinator = Coordinator.of(work, shards, events, clock=coordinator_clock)
    began = monotonic()
    stops: list[BatchScreenError] = []  # a signal's handler may come in the middle of anything
    try:
        with events.stop.listen(stops.append), _Processes(work, coordinator, workers) as processes:
            while processes.serve():
                coordinator.tick()
                if copy is not None and not copy.is_held:
                    coordinator.pause(_TICK_SECONDS)
                if stops:
                    coordinator.halt(stops[0])
                if closing is not None and (now := datetime.now(UTC)) >= closing.last_orders:
                    left = (closing.by - now).total_seconds()
                    coordinator.halt(closing.stopped(), within_seconds=left)
    finally:
        seconds, pace = monotonic() - began, coordinator.pace()
        asked = Asked(coordinator.attempts, seconds, pace, crew=coordinator.crew)
        on_end(asked)
    if coordinator.error is not None:
        raise coordinator.error
    return asked


class PipeLink:
    """A worker's end of a pipe to the process that leads it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def call(self, report: Report) -> Orders:
        loop, answered = asyncio.get_running_loop(), asyncio.Event()
        try:
            self._pipe.send(report)
            loop.add_reader(self._pipe.fileno(), answered.set)
            try:
                await answered.wait()
            finally:
                loop.remove_reader(self._pipe.fileno())
                # uvloop makes it non-blocking, and a message may be longer than the pipe is wide.
                os.set_blocking(self._pipe.fileno(), True)
            orders: Orders = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise LinkCutError from error
        return orders


def _run_process(spec: WorkerSpec, pipe: Connection) -> None:
    """What a worker's process runs. The key comes by the pipe, which nobody else can read."""
    with suppress(EOFError, OSError):
        run_worker(spec, pipe.recv(), PipeLink(pipe))


class _Processes:
    """The workers' processes, as many as are of use."""

    def __init__(self, work: Work, coordinator: Coordinator, most: int) -> None:
        pacing = work.settings.pacing
        share = -(-pacing.max_concurrency // most)
        settings = work.settings.model_copy(
            update={"pacing": pacing.model_copy(update={"max_concurrency": share})}
        )
        ahead = work.clock() - utc_now()
        self._spec = WorkerSpec(work.run.folder, settings, ahead, work.earlier)
        self._key = work.key
        self._coordinator = coordinator
        self._most = most
        self._names = count()
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._deaths = self._saved_before = 0
        self._halted_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self._running.values():
            process.kill()
            process.join()
            pipe.close()

    def serve(self) -> bool:
        """Answers the reports that come within a moment; returns whether any process is left."""
        coordinator = self._coordinator
        self._replace()
        by_pipe = {pipe: name for name, (_, pipe) in self._running.items()}
        by_sentinel = {process.sentinel: n for n, (process, _) in self._running.items()}
        ready = wait([*by_pipe, *by_sentinel], _TICK_SECONDS)
        for each in ready:
            if isinstance(each, Connection):
                self._answer(by_pipe[each], each)
        for each in ready:
            if isinstance(each, int):
                self._bury(by_sentinel[each])
        for name in coordinator.silent():
            self._running[name][0].kill()
        return bool(self._running)

    def _replace(self) -> None:
        coordinator = self._coordinator
        if coordinator.is_halted:
            self._hurry()
        else:
            while coordinator.has_shards and len(self._running) < self._most:
                self._start()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        with theirs, _signals_blocked():
            process = self._context.Process(
                target=_run_process, args=(self._spec, theirs), daemon=True
            )
            process.start()
        with suppress(OSError):  # it has ended already
            ours.send(self._key)
        self._running[next(self._names)] = process, ours

    def _answer(self, name: int, pipe: Connection) -> None:
        with suppress(EOFError, OSError):  # its end will be seen
            pipe.send(self._coordinator.sync(name, pipe.recv()))

    def _bury(self, name: int) -> None:
        process, pipe = self._running.pop(name)
        with suppress(EOFError, OSError):
            while pipe.poll():
                self._coordinator.sync(name, pipe.recv())
        pipe.close()
        process.join()
        coordinator = self._coordinator
        if name in coordinator.left:
            return
        coordinator.fence(name)
        self._deaths = 1 if coordinator.saved > self._saved_before else self._deaths + 1
        self._saved_before = coordinator.saved
        _log.warning("a worker has ended (%s); another one takes over", _how(process.exitcode))
        if self._deaths >= _DEATHS_IN_A_ROW:
            coordinator.halt(
                Stopped(
                    f"{self._deaths} workers in a row have ended before they saved anything, the "
                    f"last one by {_how(process.exitcode)}: look at memory and system log, then "
                    "start the same command again, perhaps with fewer --workers, to resume",
                    exit_code=ExitCode.SYSTEM,
                )
            )

    def _hurry(self) -> None:
        """Kills those that do not end in time."""
        self._halted_at = self._halted_at or monotonic()
        grace = self._spec.settings.guards.grace_seconds + _MORE_THAN_GRACE_SECONDS
        if monotonic() - self._halted_at > grace:
            for process, _ in self._running.values():
                process.kill()


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A terminal's signals go to all its processes; a worker is led by the driver alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
