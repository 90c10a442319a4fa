"""Coordinator: one contract for several workers. Who may start an attempt when, and who owns what.

A pure class: it knows the time only from its clock and makes no calls. Workers pull: each brings a
report several times a second and takes orders away. Its rules:

- Slots lie on one line, at the permitted rate, and each belongs to one worker. They are dealt a
  fifth of a second ahead and void soon after their instant, so no second holds more than the rate,
  whatever becomes of workers, calls, or the coordinator itself.
- A slot is booked in the budget, at the highest price, until its worker says what it was used for.
- A worker that is gone is fenced first; its shard goes to another one after its slots are void.
- A new coordinator is silent until the slots of the last one are void.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Self

import msgspec

from batch_screen.cluster.messages import (
    HORIZON_SECONDS,
    RETURN_SECONDS,
    SETTLE_SECONDS,
    SILENT_SECONDS,
    UNCLAIMED,
    Orders,
    Passed,
    Refused,
    Report,
    Slot,
    Standing,
)
from batch_screen.config.settings import Pacing
from batch_screen.engine.budget import BudgetGuard
from batch_screen.engine.engine import Work, adaptive_rate
from batch_screen.engine.pace_log import PaceLog
from batch_screen.engine.pacer import endpoint_pacers
from batch_screen.engine.rate_limits import RateLimits
from batch_screen.engine.tasks import Places
from batch_screen.engine.withheld import ALL_NUMBERS
from batch_screen.errors import BatchScreenError
from batch_screen.journal.segments import next_number
from batch_screen.masking import masked_logger
from batch_screen.model import Crew, Endpoint, Pace, Spent
from batch_screen.runs.events import RunEvents

_USED_SHARE = 0.998
_LEAD_SECONDS = 0.004
_ASLEEP_SECONDS = 2.0
_REMEMBERED_SENDS = 100_000


class SendOrder:
    """The places of attempts in the order of sending, by their slots' numbers."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._dropped = 0

    def add(self, number: int) -> int:
        """Adds an attempt and returns its place. Workers report theirs in turn."""
        insort(self._numbers, number)
        if len(self._numbers) > 2 * _REMEMBERED_SENDS:
            del self._numbers[:_REMEMBERED_SENDS]
            self._dropped += _REMEMBERED_SENDS
        return self.place(number)

    def place(self, number: int) -> int:
        return self._dropped + bisect_right(self._numbers, number)


class Timeline:
    """The contract's slots, one after the other."""

    def __init__(self, pacing: Pacing, limits: RateLimits, opens_at: float) -> None:
        self._limits = limits
        self._next = self._at = opens_at
        self._number = 0
        self._pacers = endpoint_pacers(pacing, limits, lambda: self._at)

    @property
    def limited(self) -> set[Endpoint]:
        """The endpoints with a lower rate of their own."""
        return set(self._pacers)

    def slots(self, now: float) -> Iterator[Slot]:
        """The next slots up to the horizon. Those that nobody takes are there another time."""
        account = self._limits.account
        if (rate := account.rate()) <= 0:
            return
        spacing = 1 / (_USED_SHARE * rate)
        at = max(self._next, account.not_before, now + _LEAD_SECONDS)
        while at <= now + HORIZON_SECONDS:
            self._at, self._next = at, at + spacing
            self._number += 1
            yield Slot(self._number, at, tuple(e for e in self._pacers if self._permits(e)))
            at += spacing

    def owe(self, attempts: float) -> None:
        """Leaves so many slots out, at most a second's."""
        rate = _USED_SHARE * self._limits.account.rate()
        if rate > 0:
            self._next += min(1.0, attempts / rate)

    def _permits(self, endpoint: Endpoint) -> bool:
        own, pacer = self._limits.own.get(endpoint), self._pacers[endpoint]
        if pacer.wait_seconds() > 0 or (own is not None and own.not_before > self._at):
            return False
        pacer.started()
        return True


class _Worker(msgspec.Struct):
    """A worker as the coordinator knows it."""

    heard_at: float
    granted: int
    settled: int
    spent: dict[Endpoint, Spent]
    call: int = -1
    wants: int = 0
    attempts: int = 0
    lost: int = 0
    is_probing: bool = False
    in_flight: int = 0
    shards: dict[int, int] = {}
    mailbox: deque[Slot] = msgspec.field(default_factory=deque)
    orders: Orders | None = None


class Coordinator:
    """Leads the workers of one run."""

    def __init__(  # noqa: PLR0913 (what one contract is about)
        self,
        shards: Iterable[int],
        *,
        endpoints: Collection[Endpoint],
        proved: Collection[Endpoint],
        pacing: Pacing,
        limits: RateLimits,
        budget: BudgetGuard,
        clock: Callable[[], float],
        incarnation: int = 0,
        latest_epoch: Callable[[int], int] = lambda _: -1,
        on_saved: Callable[[int], None] = lambda _: None,
        on_log: Callable[[int, str, str], None] = lambda *_: None,
    ) -> None:
        """``proved``: endpoints that need no canary; ``latest_epoch`` is that of a shard's claims.

        ``incarnation`` is 0 where it is the first. A later one takes the place of one that died:
        its shards may be owned, and its budget must have been read once all slots were void.
        """
        self._clock = clock
        self._incarnation = incarnation
        self._endpoints = frozenset(endpoints)
        self._limits = limits
        self._budget = budget
        self._latest_epoch = latest_epoch
        self._on_saved = on_saved
        self._on_log = on_log
        now = clock()
        # Those who own shards come back first, and who was given up meanwhile is turned away.
        opens_at = now + RETURN_SECONDS if incarnation else now
        self._timeline = Timeline(pacing, limits, opens_at)
        self._log = PaceLog(now, limits.account.rate())
        self._looked_at = now
        self._queue = deque((shard, opens_at) for shard in shards)
        self._workers: dict[int, _Worker] = {}
        self._fenced: set[int] = set()
        self.left: set[int] = set()
        """The workers that have ended by themselves, with everything saved."""
        self._turns: deque[int] = deque()
        self._written_off = 0
        self._sent = SendOrder()
        self._sent_at = {endpoint: SendOrder() for endpoint in Endpoint}
        self._decided = set(proved)
        self._given_up: dict[Endpoint, BaseException] = {}
        self._deadline = math.inf
        self.error: BaseException | None = None
        """What has halted the workers, or is the reason why something was left out."""
        self.is_halted = False
        self.attempts = self.saved = 0
        self._most_workers = self._slots_lost = self._takeovers = 0

    @classmethod
    def of(
        cls,
        work: Work,
        shards: Iterable[int],
        events: RunEvents,
        *,
        clock: Callable[[], float],
        incarnation: int = 0,
    ) -> Self:
        """The coordinator of a planned run's shards that are left, or one that takes its place."""
        settings, earlier = work.settings, work.earlier
        account = adaptive_rate(settings, clock, events)
        pacing, most = settings.pacing, settings.guards.canary_answers
        return cls(
            shards,
            endpoints=[
                e for e, done in earlier.answered.items() if done < work.plan.unique_numbers
            ],
            proved=[e for e, answers in earlier.proved.items() if answers >= most],
            pacing=pacing,
            limits=RateLimits(pacing, account, clock=clock, endpoints=settings.endpoints),
            budget=BudgetGuard(settings.budget, settings.prices, earlier.spent),
            clock=clock,
            incarnation=incarnation,
            latest_epoch=lambda shard: next_number(work.run.journal, shard) - 1,
            on_saved=events.progress.advance,
            on_log=lambda level, name, text: masked_logger(name).log(level, text),
        )

    @property
    def has_shards(self) -> bool:
        """Whether shards wait for a worker."""
        return bool(self._queue)

    @property
    def is_over(self) -> bool:
        """Whether no shard is left, in the queue or with a worker."""
        return not self._queue and not any(w.shards for w in self._workers.values())

    @property
    def members(self) -> list[int]:
        """The workers that have called and are not gone."""
        return list(self._workers)

    def halt(self, error: BaseException, *, within_seconds: float = math.inf) -> None:
        """Nothing more is started; what is under way has so many seconds at most."""
        if not self.is_halted:
            self.is_halted, self.error = True, error
            self._deadline = self._clock() + within_seconds
            for worker in self._workers.values():
                self._take_back(worker)

    def pause(self, seconds: float) -> None:
        """Deals no slot for so long."""
        self._limits.account.pause(seconds)

    def silent(self) -> list[int]:
        """The workers that have not called for so long that they are to be given up."""
        now = self._clock()
        if (gap := now - self._looked_at) > _ASLEEP_SECONDS:  # nobody could call, or was heard
            for worker in self._workers.values():
                worker.heard_at += gap
        self._looked_at, since = now, now - SILENT_SECONDS
        return [name for name, worker in self._workers.items() if worker.heard_at < since]

    def fence(self, name: int) -> None:
        """The worker is gone: it gets nothing more, and its shards go to others in a moment."""
        self._fenced.add(name)
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        self._turns.remove(name)
        self._take_back(worker)
        self._written_off += worker.granted - worker.settled
        self._takeovers += bool(worker.shards)
        self._requeue(worker.shards)

    def sync(self, name: int, report: Report) -> Orders:
        """Takes a worker's report and returns its orders; the same ones if the call comes again."""
        now = self._clock()
        worker = self._workers.get(name)
        if worker is None:
            if name in self._fenced:
                return Orders(self._incarnation, now, is_fenced=True)
            worker = self._adopt(name, report, now)
        elif report.call <= worker.call:
            return worker.orders or Orders(self._incarnation, now)
        worker.heard_at, worker.call = now, report.call
        self._learn(worker, report)
        if name in self._fenced or report.is_leaving:
            if name in self._workers:
                self._leave(name, worker)
            return Orders(self._incarnation, now, is_fenced=True)
        worker.orders = self._orders(name, worker, report, now)
        return worker.orders

    def tick(self) -> None:
        """Called several times a second: records the limit for the log."""
        account = self._limits.account
        self._log.limit(self._clock(), account.rate(), is_headers=account.is_held_by_headers)

    def pace(self) -> Pace:
        """The pace so far, of all workers."""
        return self._log.snapshot(self._clock())

    @property
    def crew(self) -> Crew:
        """The workers so far, at most at a time."""
        return Crew(self._most_workers, self._takeovers, self._slots_lost)

    # --- what a report says ---------------------------------------------------------------------

    def _adopt(self, name: int, report: Report, now: float) -> _Worker:
        """A worker calls for the first time: a new one, or one that a dead coordinator knew."""
        worker = self._workers[name] = _Worker(
            heard_at=now,
            granted=0,  # what another one granted is void
            settled=0,
            spent=dict(report.spent),  # and was counted in the budget
        )
        self._turns.append(name)
        self._most_workers = max(self._most_workers, len(self._workers))
        for shard, epoch in report.shards.items():
            owners = [(n, w) for n, w in self._workers.items() if shard in w.shards]
            is_later = any(w.shards[shard] >= epoch for _, w in owners)
            if is_later or epoch < self._latest_epoch(shard):
                self.fence(name)
                return worker
            for other, _ in owners:
                self.fence(other)
            self._queue = deque(each for each in self._queue if each[0] != shard)
            worker.shards[shard] = epoch
        return worker

    def _learn(self, worker: _Worker, report: Report) -> None:  # noqa: C901 (a report's parts)
        limits = self._limits
        if report.incarnation == self._incarnation:  # slots of another one have other numbers
            worker.settled = report.settled
            for started in report.started:
                self._started(*started)
            for result in report.results:
                self._judge(result)
        self.attempts += report.attempts - worker.attempts
        self._slots_lost += report.lost - worker.lost
        worker.attempts, worker.lost = report.attempts, report.lost
        worker.wants, worker.in_flight = report.wants, report.in_flight
        worker.is_probing = report.is_probing
        for endpoint, spent in report.spent.items():
            before = worker.spent.get(endpoint, Spent())
            self._budget.add(
                endpoint, spent.requests - before.requests, spent.refusals - before.refusals
            )
        worker.spent = dict(report.spent)
        if report.pause_seconds:
            limits.account.pause(report.pause_seconds)
        if report.ramps_up:
            limits.account.ramp_up()
        if report.owed:
            self._timeline.owe(report.owed)
        self._decided |= report.decided
        for endpoint, error in report.given_up.items():
            self._given_up.setdefault(endpoint, error)
        worker.shards |= {s: e for s, e in report.shards.items() if s in worker.shards}
        for shard in report.done:
            worker.shards.pop(shard, None)
        if report.saved:
            self.saved += report.saved
            self._on_saved(report.saved)
        for entry in report.log:
            self._on_log(*entry)
        if report.error is not None:
            self._fail(report.error)

    def _started(self, number: int, at: float, endpoint: Endpoint) -> None:
        limits = self._limits
        limits.sent(endpoint, Places(self._sent.add(number), self._sent_at[endpoint].add(number)))
        limits.account.started(at)
        if (own := limits.own.get(endpoint)) is not None:
            own.started(at)
        self._log.started_before(at)

    def _judge(self, result: Passed | Refused) -> None:
        if isinstance(result, Passed):
            number, at, endpoint, allowance = result
            self._limits.passed(endpoint, self._places(number, endpoint), at, allowance)
            return
        number, at, endpoint, who, wait, is_first = result
        self._log.refused(self._clock())
        places = self._places(number, endpoint)
        self._limits.refused(endpoint, places, who, at, wait, is_first=is_first)

    def _places(self, number: int, endpoint: Endpoint) -> Places:
        return Places(self._sent.place(number), self._sent_at[endpoint].place(number))

    def _fail(self, error: BaseException) -> None:
        is_partial = (
            isinstance(error, BatchScreenError)
            and error.endpoints
            and self._given_up.keys() < self._endpoints
        )
        if not is_partial:
            self.halt(error)
        elif self.error is None:  # an endpoint is given up: all that remains is asked first
            self.error = error

    def _leave(self, name: int, worker: _Worker) -> None:
        """The worker has ended by itself, with everything saved."""
        del self._workers[name]
        self._fenced.add(name)
        self.left.add(name)
        self._turns.remove(name)
        self._take_back(worker)
        self._requeue(worker.shards)

    def _requeue(self, shards: Iterable[int]) -> None:
        ready_at = self._clock() + SETTLE_SECONDS
        self._queue.extendleft((shard, ready_at) for shard in shards)

    def _take_back(self, worker: _Worker) -> None:
        """Slots that were dealt and not handed over."""
        worker.granted -= len(worker.mailbox)
        worker.mailbox.clear()

    # --- what its orders are --------------------------------------------------------------------

    def _orders(self, name: int, worker: _Worker, report: Report, now: float) -> Orders:
        if not self.is_halted:
            self._deal(now)
        slots = [slot for slot in worker.mailbox if slot.at >= now]
        worker.granted -= len(worker.mailbox) - len(slots)
        worker.mailbox.clear()
        undecided = set(self._endpoints) - self._decided - self._given_up.keys()
        is_scout = name == min((n for n, w in self._workers.items() if w.shards), default=name)
        return Orders(
            self._incarnation,
            now,
            slots,
            self._standing(),
            limited=self._timeline.limited,
            proved=self._decided - self._given_up.keys(),
            left_alone=set() if is_scout else undecided,
            given_up=dict(self._given_up),
            shard=self._assign(worker, now) if report.wants_shard else None,
            is_queue_empty=not self._queue,
            is_over=self.is_over,
            may_seal=report.sealing & worker.shards.keys(),
            halt=self.error if self.is_halted else None,
            within_seconds=max(0.0, self._deadline - now),
        )

    def _assign(self, worker: _Worker, now: float) -> int | None:
        if self.is_halted or not self._queue or self._queue[0][1] > now:
            return None
        shard, _ = self._queue.popleft()
        worker.shards[shard] = UNCLAIMED  # its epoch comes with a later report
        return shard

    def _deal(self, now: float) -> None:
        """Deals slots up to the horizon, in turn, to those who want some."""
        wanting = {name: w for name, w in self._workers.items() if w.wants > 0}
        if not wanting:
            return
        # One at a time shows whether the server is there for us.
        if probing := [name for name, worker in wanting.items() if worker.is_probing]:
            wanting = {probing[0]: wanting[probing[0]]}
            wanting[probing[0]].wants = 1
        booked = self._written_off + sum(w.granted - w.settled for w in self._workers.values())
        room = self._budget.room(booked)
        if room < 1:
            self._run_out()
            return
        for slot in self._timeline.slots(now):
            while self._turns[0] not in wanting:
                self._turns.rotate(-1)
            worker = wanting[self._turns[0]]
            worker.mailbox.append(slot)
            worker.granted += 1
            worker.wants -= 1
            room -= 1
            if not worker.wants:
                del wanting[self._turns[0]]
            self._turns.rotate(-1)
            if not wanting or room < 1:
                return

    def _run_out(self) -> None:
        """Ends the run for its budget, once nothing is out that could return what it booked."""
        if not any(w.granted > w.settled or w.in_flight for w in self._workers.values()):
            self.halt(self._budget.stop())

    def _standing(self) -> Standing:
        limits, account = self._limits, self._limits.account
        last = self._places(1 << 62, Endpoint.SIM_SWAP_CHECK).of_all
        busy = sum(bool(w.shards) for w in self._workers.values())
        return Standing(
            rate=account.rate() / max(1, busy),
            is_closed=account.is_closed,
            has_passed=account.has_passed,
            probing={e for e in self._endpoints if limits.is_probing(e)},
            weights={
                e: limits.own_refusal(e, Places(last, self._sent_at[e].place(1 << 62)))
                for e in self._endpoints
            },
            refusing={e for e in (None, *self._endpoints) if limits.refuses(e, ALL_NUMBERS)},
        )
