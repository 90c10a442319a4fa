"""Processes: the workers of one machine, each in a process of its own.

For contracts above what one core can start.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from math import inf
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from batch_screen.cluster.coordinator import Coordinator
from batch_screen.cluster.driver import Workers
from batch_screen.cluster.leases import clock as coordinator_clock
from batch_screen.cluster.messages import Orders, Report
from batch_screen.cluster.worker import LinkCutError, WorkerSpec, run_worker
from batch_screen.engine.engine import Asked, Work
from batch_screen.engine.tasks import utc_now
from batch_screen.runs.events import RunEvents

FEWEST = 2
"""One worker needs no process beside this one."""

_TICK_SECONDS = 0.1
_ADVICE = "look at memory and system log, perhaps ask for fewer --workers"


@contextmanager
def lead(work: Work, shards: list[int], events: RunEvents) -> Iterator[Workers]:
    """Processes that share these shards."""
    coordinator = Coordinator.of(work, shards, events, clock=coordinator_clock)
    processes = _Processes(work, coordinator, len(shards))
    try:
        yield processes
    finally:
        processes.end()


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


class _Processes(Workers):
    """The workers' processes, as many as are of use."""

    def __init__(self, work: Work, coordinator: Coordinator, shards: int) -> None:
        super().__init__(work.settings, shards)
        ahead = work.clock() - utc_now()
        self._spec = WorkerSpec(work.run.folder, self._own, ahead, work.earlier)
        self._key = work.key
        self._coordinator = coordinator
        self._names = count()
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}

    @property
    def error(self) -> BaseException | None:
        return self._coordinator.error

    def asked(self, seconds: float) -> Asked:
        coordinator = self._coordinator
        return Asked(coordinator.attempts, seconds, coordinator.pace(), crew=coordinator.crew)

    def halt(self, error: BaseException, *, within_seconds: float = inf) -> None:
        self._coordinator.halt(error, within_seconds=within_seconds)

    def end(self) -> None:
        """Kills those that still run."""
        for process, pipe in self._running.values():
            process.kill()
            process.join()
            pipe.close()

    def serve(self, *, is_held: bool) -> bool:
        """Answers the reports that come within a moment."""
        coordinator = self._coordinator
        if not is_held:
            coordinator.pause(_TICK_SECONDS)
        self._start_or_kill()
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
        coordinator.tick()
        return bool(self._running)

    def _start_or_kill(self) -> None:
        coordinator = self._coordinator
        if not coordinator.is_halted:
            while coordinator.has_shards and len(self._running) < self._most:
                self._start()
        elif self._is_overdue():
            for process, _ in self._running.values():
                process.kill()

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
        if name not in coordinator.left:
            coordinator.fence(name)
            self._has_died(_how(process.exitcode), coordinator.saved, _ADVICE)


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
