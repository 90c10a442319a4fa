"""Worker: a process that pulls shards, asks their lookups in its slots, and seals them.

It runs the dispatcher and the checkpointer of a run in one process, and all that leads them is the
answer to its reports. It reads its own key. Where the process that leads it has ended, it ends too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from batch_screen.cluster.leases import LeasedContract, LeasedSpend, clock
from batch_screen.cluster.messages import SYNC_SECONDS, Orders, Report
from batch_screen.config.key import read_key
from batch_screen.config.settings import Settings
from batch_screen.engine.checkpoint import Checkpointer
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.engine import (
    Work,
    affordable_settings,
    asking,
    collecting,
    loop_factory,
    pulse,
    run_out,
)
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.resume import SoFar
from batch_screen.engine.tasks import utc_now
from batch_screen.errors import SIGNAL_EXIT, BatchScreenError, JournalError, Stopped
from batch_screen.masking import hide, safe_line
from batch_screen.planning.shards import read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import read_run
from batch_screen.storage.lock import shared

_ORPHAN_SECONDS = 2.0
_MOST_CHARACTERS = 4_000


class WorkerSpec(NamedTuple):
    """What a worker is started with: no key, no number, no row."""

    folder: Path
    """The run's, in the state folder."""
    settings: Settings
    clock_ahead: timedelta
    """How far the API's clock is ahead: the sandbox may be in another day."""
    earlier: SoFar


class Superseded(Exception):  # noqa: N818 (nobody's error: the worker was taken for dead)
    """Another worker owns this one's shards now."""


class Worker:
    """One worker and its link to the coordinator."""

    def __init__(self, work: Work, link: Connection) -> None:
        self._work = work
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._contract = LeasedContract(clock)
        self._spend = LeasedSpend()
        self._call = 0
        self._answer: asyncio.Future[Orders] | None = None
        self._orders: Orders | None = None
        self._obeyed = asyncio.Event()
        self._given: list[int] = []
        self._owned: set[int] = set()
        self._done: set[int] = set()
        self._reported_seals = 0
        self._wants_shard = False
        self._sealing: dict[int, asyncio.Future[bool]] = {}
        self._saved = 0
        self._attempts_before = 0
        self._error: BaseException | None = None
        self._is_leaving = False
        self._now: tuple[Dispatcher, Checkpointer] | None = None
        self.log: list[tuple[int, str, str]] = []

    async def run(self) -> None:
        """Works until nothing is left to ask, by anybody, or the coordinator says halt."""
        self._loop.add_reader(self._link.fileno(), self._receive)
        self._loop.add_signal_handler(signal.SIGTERM, self._terminate)
        talking = asyncio.create_task(self._talk())
        try:
            await self._work_on()
        except Exception as error:  # noqa: BLE001 (told to the coordinator, whatever it is)
            self._error = self._error or error
        finally:
            self._is_leaving = True
            self._contract.hungry.set()
            await talking

    async def _work_on(self) -> None:
        while self._error is None:
            await self._heard()
            if self._error is not None or self._orders is None or self._orders.is_over:
                return
            if self._given:
                await self._ask()
            else:
                self._wants_shard = True

    async def _ask(self) -> None:
        """Asks one shard after the other until the queue is empty."""
        contract, settings = self._contract, self._work.settings
        contract.begin()
        pacer = Pacer(settings.pacing, contract, contract, clock=self._loop.time)
        async with asking(
            self._work,
            pacer,
            self._spend,
            on_saved=self._count,
            shards=self._shards(),
            may_seal=self._may_seal,
        ) as (dispatcher, checkpointer):
            self._now, self._reported_seals = (dispatcher, checkpointer), 0
            self._lead(dispatcher)
            try:
                await run_out(dispatcher, checkpointer, [asyncio.create_task(pulse(pacer))])
            except BatchScreenError as error:
                if not error.endpoints:  # else all that could be asked is answered
                    raise
                self._error = error
            finally:
                self._seals()
                self._attempts_before += dispatcher.attempts
                self._now = None
            # What is not sealed lacks what can only be asked in another session.
            self._done |= self._owned
            self._owned.clear()

    def _shards(self) -> Iterator[int | None]:
        while True:
            if self._given:
                self._wants_shard = False
                yield self._given.pop(0)
            elif self._orders is not None and self._orders.is_queue_empty and self._wants_shard:
                return
            else:
                self._wants_shard = True
                yield None

    def _may_seal(self, shard: int) -> bool:
        """For the thread that seals."""
        asked = asyncio.run_coroutine_threadsafe(self._ask_to_seal(shard), self._loop)
        return asked.result()

    async def _ask_to_seal(self, shard: int) -> bool:
        self._sealing[shard] = answer = self._loop.create_future()
        if self._link.closed:
            answer.set_result(False)
        return await answer

    def _count(self, outcomes: int) -> None:
        self._saved += outcomes

    # --- the link -------------------------------------------------------------------------------

    async def _talk(self) -> None:
        """Calls several times a second, and once more when it leaves."""
        try:
            while True:
                report, called_at = self._report(), clock()
                self._answer = self._loop.create_future()
                self._link.send(report)
                orders = await self._answer
                self._obey(report, orders, called_at)
                if report.is_leaving:
                    return
                if orders.is_fenced:
                    self._end(Superseded("another worker owns its shards now"), 0.0)
                if not self._is_leaving:
                    with suppress(TimeoutError):
                        # Only where the coordinator does not know yet: else it deals ahead.
                        is_new = not report.wants
                        async with asyncio.timeout(SYNC_SECONDS):
                            await (self._contract.hungry if is_new else asyncio.Event()).wait()
        except (EOFError, OSError):  # the process that leads has ended: nothing more is started
            self._link.close()
            for answer in self._sealing.values():
                if not answer.done():
                    answer.set_result(False)
            error = Stopped("the process that leads the workers has ended")
            self._end(error, _ORPHAN_SECONDS)

    def _receive(self) -> None:
        answer, self._answer = self._answer, None
        try:
            orders = self._link.recv()
        except (EOFError, OSError) as error:
            self._loop.remove_reader(self._link.fileno())
            if answer is not None and not answer.done():
                answer.set_exception(error)
            return
        if answer is not None and not answer.done():
            answer.set_result(orders)

    def _report(self) -> Report:
        self._call += 1
        report = Report(self._call)
        self._contract.report(report)
        report.spent = self._spend.spent()
        report.attempts = self._attempts_before
        report.wants_shard = self._wants_shard and not self._given
        report.sealing = {shard for shard, answer in self._sealing.items() if not answer.done()}
        report.saved, self._saved = self._saved, 0
        report.log, self.log = self.log, []
        epochs = {}
        report.error = self._error
        if self._now is not None:
            dispatcher, checkpointer = self._now
            self._seals()
            epochs = checkpointer.epochs
            report.attempts += dispatcher.attempts
            report.in_flight = dispatcher.in_flight
            report.is_probing = dispatcher.is_probing
            report.decided = dispatcher.decided
            report.given_up = dict(dispatcher.given_up)
            report.error = report.error or self._own_error(dispatcher)
        report.done, self._done = self._done, set()
        report.shards = {shard: epochs.get(shard, -1) for shard in self._owned}
        report.is_leaving = self._is_leaving
        if report.error is not None:
            report.error = _told(report.error)
        return report

    def _own_error(self, dispatcher: Dispatcher) -> BaseException | None:
        """What has halted the dispatcher, unless that came with the orders."""
        is_told = self._orders is not None and self._orders.halt is not None
        return None if is_told else dispatcher.error

    def _seals(self) -> None:
        """Takes note of the shards that were sealed since the last time."""
        if self._now is not None:
            sealed = self._now[1].sealed[self._reported_seals :]
            self._reported_seals += len(sealed)
            self._done.update(sealed)
            self._owned.difference_update(sealed)

    def _obey(self, report: Report, orders: Orders, called_at: float) -> None:
        self._contract.obey(orders, called_at, clock())
        self._orders = orders
        if orders.shard is not None:
            self._given.append(orders.shard)
            self._owned.add(orders.shard)
        for shard in report.sealing:
            answer = self._sealing.pop(shard)
            if not answer.done():
                answer.set_result(shard in orders.may_seal)
        if self._now is not None:
            self._lead(self._now[0])
        if orders.halt is not None:
            self._end(orders.halt, orders.within_seconds)
        self._obeyed.set()

    def _lead(self, dispatcher: Dispatcher) -> None:
        """What others have found out about endpoints."""
        if self._orders is None:
            return
        most = self._work.settings.guards.canary_answers
        for endpoint in self._orders.proved - dispatcher.decided:
            dispatcher.proved(endpoint, most)
        for endpoint, error in self._orders.given_up.items():
            if endpoint not in dispatcher.given_up and isinstance(error, BatchScreenError):
                dispatcher.give_up(endpoint, error)
        dispatcher.wake()

    def _end(self, error: BaseException, within_seconds: float) -> None:
        self._error = self._error or error
        if self._now is not None:
            self._now[0].halt(error, within_seconds=within_seconds)
        self._obeyed.set()

    def _terminate(self) -> None:
        """SIGTERM to this process alone: it saves, and its shards go to others."""
        number = signal.SIGTERM
        self._end(Stopped("a worker was stopped", exit_code=SIGNAL_EXIT + number), float("inf"))

    async def _heard(self) -> None:
        self._obeyed.clear()
        await self._obeyed.wait()


def _told(error: BaseException) -> BaseException:
    """The error as it is told: a foreign one may hold what no other process is to see."""
    if isinstance(error, BatchScreenError | Superseded):
        return error
    return RuntimeError(safe_line(f"{type(error).__name__}: {error}", _MOST_CHARACTERS))


class _LogOfWorker(logging.Handler):
    """Keeps masked log records for the next report."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        text = safe_line(record.getMessage(), _MOST_CHARACTERS)
        self._worker.log.append((record.levelno, record.name, text))


def work(spec: WorkerSpec, link: Connection) -> None:
    """The whole life of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to all; the driver tells us
    with suppress(BrokenPipeError, ConnectionResetError, EOFError):
        # While a worker of a run lives, no other start of the run begins to ask.
        with shared(spec.folder / "run.json", "the run"):
            _work(spec, link)


def _work(spec: WorkerSpec, link: Connection) -> None:
    key = link.recv()
    if key is None:
        key = read_key(spec.settings.api.key_file, os.environ).get_secret_value()
    hide(key)
    run = read_run(spec.folder)
    plan = run and read_plan(run.plan)
    if run is None or plan is None:
        raise JournalError(f"{spec.folder} has no plan; start the same command again")
    settings = affordable_settings(spec.settings, RunEvents())
    ahead = spec.clock_ahead
    work = Work(run, plan, settings, key, lambda: utc_now() + ahead, spec.earlier)

    async def main() -> None:
        worker = Worker(work, link)
        handler = _LogOfWorker(worker)
        logger = logging.getLogger("batch_screen")
        logger.addHandler(handler)
        logger.propagate = False
        await worker.run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner, collecting():
        runner.run(main())
