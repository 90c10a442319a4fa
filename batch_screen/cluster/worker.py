"""Worker: pulls shards, asks their lookups in its slots, and seals them.

It runs the dispatcher and the checkpointer of a run, and all that leads them is the answer to its
reports. Whatever starts workers gives each a link to the coordinator and keeps it alive; a worker
whose link is cut for good ends by itself.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from batch_screen.cluster.leases import LeasedContract, LeasedSpend, clock
from batch_screen.cluster.messages import SYNC_SECONDS, UNCLAIMED, Orders, Report
from batch_screen.cluster.store import shared_place
from batch_screen.config.sections import Engine
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
from batch_screen.errors import BatchScreenError, JournalError, Stopped
from batch_screen.masking import hide, records_sent, safe_line
from batch_screen.planning.shards import read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import read_run
from batch_screen.storage.lock import shared

_ORPHAN_SECONDS = 2.0
_MOST_CHARACTERS = 4_000


class LinkCutError(Exception):
    """Nobody leads this worker any more."""


class Link(Protocol):
    """A worker's way to the coordinator."""

    async def call(self, report: Report) -> Orders:
        """Delivers the report, again and again if need be, and returns the orders.

        Raises ``LinkCutError`` once nobody will ever answer.
        """


class WorkerSpec(NamedTuple):
    """What a worker is started with: no key, no number, no row."""

    folder: Path
    """The run's, in the state folder."""
    settings: Settings
    """With a worker's share of ``pacing.max_concurrency``."""
    clock_ahead: timedelta
    """How far the API's clock is ahead: the sandbox may be in another day."""
    earlier: SoFar


def run_worker(spec: WorkerSpec, key: str, link: Link) -> None:
    """The whole life of a worker, in a process of its own."""
    hide(key)
    # While a worker lives, no other start of the run begins to ask.
    with shared(spec.folder / "run.json", "the run"):
        run = read_run(spec.folder)
        plan = read_plan(run.plan) if run else None
        if run is None or plan is None:
            raise JournalError(f"{spec.folder} has no plan; start the same command again")
        settings, ahead = affordable_settings(spec.settings, RunEvents()), spec.clock_ahead
        address = settings.output.state_bucket
        is_far = settings.cluster.engine is Engine.RAY
        copy = shared_place(address, spec.folder, is_far=is_far) if address else None
        work = Work(run, plan, settings, key, lambda: utc_now() + ahead, spec.earlier, copy)

        async def main() -> None:
            worker = Worker(work, link)
            with records_sent(worker.log.append):
                await worker.run()

        with asyncio.Runner(loop_factory=loop_factory()) as runner, collecting():
            runner.run(main())


class Superseded(Exception):  # noqa: N818 (nobody's error: the worker was taken for dead)
    """Another worker owns this one's shards now."""


class Worker:
    """One worker and its link to the coordinator."""

    def __init__(self, work: Work, link: Link) -> None:
        self._work = work
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._contract = LeasedContract(clock)
        self._spend = LeasedSpend()
        self._call = 0
        self._orders: Orders | None = None
        self._obeyed = asyncio.Event()
        self._given: list[int] = []
        self._owned: set[int] = set()
        self._done: set[int] = set()
        self._reported_seals = 0
        self._wants_shard = True
        self._sealing: dict[int, asyncio.Future[bool]] = {}
        self._saved = 0
        self._attempts_before = 0
        self._end: BaseException | None = None
        """Why nothing more is started here."""
        self._fault: BaseException | None = None
        """What the coordinator is to know of: the end that began here."""
        self._is_leaving = self._is_cut_off = False
        self._now: tuple[Dispatcher, Checkpointer] | None = None
        self.log: list[tuple[int, str, str]] = []

    async def run(self) -> None:
        """Works until nothing is left to ask, by anybody, or the coordinator says halt."""
        with suppress(RuntimeError, ValueError):  # not in the main thread
            self._loop.add_signal_handler(signal.SIGTERM, self._terminate)
        talking = asyncio.create_task(self._talk())
        try:
            while self._end is None and not (self._orders and self._orders.is_over):
                if self._given:
                    await self._ask()
                else:
                    self._obeyed.clear()
                    await self._obeyed.wait()
        except Exception as error:  # noqa: BLE001 (whatever it is, the coordinator is to know)
            if error is not self._end:
                self._fault = error
        finally:
            self._is_leaving = True
            self._contract.hungry.set()
            await talking

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
                if not error.endpoints or error is self._end:
                    raise
                self._end = self._fault = error  # all that could be asked is answered
            finally:
                self._note_seals()
                self._attempts_before += dispatcher.attempts
                self._now = None
            # What is not sealed lacks what can only be asked in another session. A shard that was
            # given after the last one was taken is yet to be asked: its owner had died meanwhile.
            asked = self._owned.difference(self._given)
            self._done |= asked
            self._owned -= asked

    def _shards(self) -> Iterator[int | None]:
        while True:
            if self._given:
                yield self._given.pop(0)
            elif self._wants_shard and self._orders is not None and self._orders.is_queue_empty:
                return
            else:
                self._wants_shard = True
                yield None

    def _may_seal(self, shard: int) -> bool:
        """For the thread that seals."""
        asked = asyncio.run_coroutine_threadsafe(self._ask_to_seal(shard), self._loop)
        return asked.result()

    async def _ask_to_seal(self, shard: int) -> bool:
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._sealing[shard] = answer
        if self._is_cut_off:
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
                orders = await self._link.call(report)
                self._obey(report, orders, called_at)
                if report.is_leaving:
                    return
                if orders.is_fenced:
                    self._stop(Superseded("another worker owns its shards now"), 0.0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(SYNC_SECONDS):
                        await self._contract.hungry.wait()
        except Exception as error:
            self._is_cut_off = True
            for answer in self._sealing.values():
                if not answer.done():
                    answer.set_result(False)
            self._stop(error, _ORPHAN_SECONDS)
            if not isinstance(error, LinkCutError):
                raise

    def _report(self) -> Report:
        self._call += 1
        report = Report(self._call)
        self._contract.report(report)
        report.spent = self._spend.spent()
        report.attempts = self._attempts_before
        report.wants_shard = self._wants_shard and not self._given and self._end is None
        report.sealing = {shard for shard, answer in self._sealing.items() if not answer.done()}
        report.saved, self._saved = self._saved, 0
        report.log = self.log[:]
        self.log.clear()
        epochs = {}
        if self._now is not None:
            dispatcher, checkpointer = self._now
            self._note_seals()
            epochs = checkpointer.epochs
            report.attempts += dispatcher.attempts
            report.in_flight = dispatcher.in_flight
            report.is_probing = dispatcher.is_probing
            report.decided = dispatcher.decided
            report.given_up = dict(dispatcher.given_up)
            error = dispatcher.error
            if self._end is None and error is not None and not getattr(error, "endpoints", ()):
                self._end = self._fault = error  # the others are to stop at once
        report.done, self._done = self._done, set()
        report.shards = {shard: epochs.get(shard, UNCLAIMED) for shard in self._owned}
        report.is_leaving = self._is_leaving
        report.error = self._fault and _shown(self._fault)
        return report

    def _note_seals(self) -> None:
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
            self._wants_shard = False
        for shard in report.sealing:
            answer = self._sealing.pop(shard)
            if not answer.done():
                answer.set_result(shard in orders.may_seal)
        if self._now is not None:
            self._lead(self._now[0])
        if orders.halt is not None:
            self._stop(orders.halt, orders.within_seconds)
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

    def _stop(self, error: BaseException, within_seconds: float) -> None:
        """Starts nothing more; what is under way is waited for and saved."""
        if self._end is None:
            self._end = error
        if self._now is not None:
            self._now[0].halt(error, within_seconds=within_seconds)
        self._obeyed.set()

    def _terminate(self) -> None:
        """SIGTERM to this process alone: it saves, and its shards go to others."""
        self._stop(
            Stopped("this worker was stopped; start the same command again to go on"), float("inf")
        )


def _shown(error: BaseException) -> BaseException:
    """The error as it leaves the process: a foreign one may hold what nobody else is to see."""
    if isinstance(error, BatchScreenError):
        return error
    return RuntimeError(safe_line(f"{type(error).__name__}: {error}", _MOST_CHARACTERS))
