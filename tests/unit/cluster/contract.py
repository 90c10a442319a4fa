"""A coordinator and its workers in virtual time: clocks apart, calls lost, doubled, late, deaths.

What a worker asks is saved at once, so nothing is ever to be asked twice.
"""

from __future__ import annotations

import heapq
import pickle
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import count

from batch_screen.cluster.coordinator import Coordinator
from batch_screen.cluster.leases import LeasedContract, LeasedSpend
from batch_screen.cluster.messages import (
    HORIZON_SECONDS,
    LATE_SECONDS,
    SETTLE_SECONDS,
    SYNC_SECONDS,
    Orders,
    Report,
)
from batch_screen.config.settings import Budget, Pacing, Prices
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.budget import BudgetGuard
from batch_screen.engine.rate_limits import RateLimits
from batch_screen.engine.tasks import Places
from batch_screen.model import Endpoint, Spent

ENDPOINT = Endpoint.SIM_SWAP_CHECK
FAULTS = (
    "kill",
    "kill the coordinator",
    "give up",
    "freeze",
    "cut",
    *("thaw", "heal", "double", "lose") * 2,
)
_STEP_SECONDS = 0.004
_AGAIN_SECONDS = 0.4
_FEW_SECONDS = 0.05
_RESTART_SECONDS = 0.5


class World:
    """Time, a journal, a coordinator that may be dead, and workers."""

    def __init__(
        self, seed: int, *, rate: float, workers: int, shards: int, lookups: int, budget: int = 0
    ) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.rate, self.lookups, self.budget = rate, lookups, budget
        self.starts: list[float] = []
        self.asked: defaultdict[int, list[int]] = defaultdict(list)
        self.epochs: Counter[int] = Counter()
        self.sealed: set[int] = set()
        self.fenced_at: dict[int, float] = {}
        self.workers: list[SimulatedWorker] = []
        self.coordinator: Coordinator | None = None
        self._shards = range(shards)
        self._most_workers = workers
        self._incarnations = count()
        self._names = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.begin()
        self._look()

    # --- time -----------------------------------------------------------------------------------

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    # --- the process that leads -----------------------------------------------------------------

    def begin(self) -> None:
        """A coordinator, with another machine's clock."""
        ahead = self.random.uniform(-1e6, 1e6)
        number = next(self._incarnations)
        pacing = Pacing(rate_per_second=self.rate, ramp_up_seconds=0)
        spent = sum(map(len, self.asked.values()))

        def clock() -> float:
            return self.now + ahead

        most = self.rate * (1 - pacing.headroom)
        self.fenced_at.clear()  # it knows nothing of them: the epochs of their shards count
        self.coordinator = Coordinator(
            [shard for shard in self._shards if shard not in self.sealed],
            endpoints=[ENDPOINT],
            proved=[ENDPOINT],
            pacing=pacing,
            limits=RateLimits(
                pacing,
                AdaptiveRate(lambda: most, pacing, clock=clock),
                clock=clock,
                endpoints=[ENDPOINT],
            ),
            budget=BudgetGuard(
                Budget(max_requests=self.budget), Prices(), {ENDPOINT: Spent(spent, 0)}
            ),
            clock=clock,
            incarnation=number,
            latest_epoch=self.epochs.__getitem__,
        )

    def kill_coordinator(self, away_seconds: float) -> None:
        if self.coordinator is not None:
            self.coordinator = None
            # Whatever restarts it reads what was spent once all slots are void.
            self.later(SETTLE_SECONDS + away_seconds, self.begin)

    def _look(self) -> None:
        """Keeps workers alive, and gives up those that are silent."""
        self.later(_FEW_SECONDS, self._look)
        if (coordinator := self.coordinator) is None:
            return
        coordinator.tick()
        for name in coordinator.silent():
            self.fence(name)
        alive = [worker for worker in self.workers if worker.is_alive]
        if coordinator.has_shards and len(alive) < self._most_workers:
            self.workers.append(SimulatedWorker(self, next(self._names)))

    def fence(self, name: int) -> None:
        if self.coordinator is not None:
            self.coordinator.fence(name)
            self.fenced_at.setdefault(name, self.now)

    def kill(self, worker: SimulatedWorker) -> None:
        worker.is_alive = False
        self.fence(worker.name)

    # --- what goes wrong ------------------------------------------------------------------------

    def chaos(self, seconds: float, times_a_second: float) -> None:
        """So many things happen, at random, in so many seconds."""
        until = self.now + seconds
        while (wait := self.random.expovariate(times_a_second)) < until - self.now:
            self.advance(wait)
            self.happen(self.random.choice(FAULTS))
        self.advance(until - self.now)

    def happen(self, fault: str) -> None:
        """Something happens to a worker, or to the coordinator."""
        alive = [worker for worker in self.workers if worker.is_alive]
        if fault == "kill the coordinator":
            self.kill_coordinator(self.random.uniform(0, 1))
        elif alive:
            worker = self.random.choice(alive)
            match fault:
                case "kill":
                    self.kill(worker)
                case "give up":  # though it lives
                    self.fence(worker.name)
                case "freeze" | "thaw":
                    worker.is_frozen = fault == "freeze"
                case "cut" | "heal":
                    worker.is_cut = fault == "cut"
                case "double":
                    worker.is_doubling = True
                case "lose":
                    worker.is_losing = True

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        for worker in self.workers:
            worker.is_frozen = worker.is_cut = worker.is_doubling = worker.is_losing = False

    # --- the judge ------------------------------------------------------------------------------

    def on_start(self, worker: SimulatedWorker, shard: int, lookup: int) -> None:
        assert lookup not in self.asked[shard], "asked twice"
        fenced_at = self.fenced_at.get(worker.name, self.now)
        assert self.now - fenced_at <= HORIZON_SECONDS + LATE_SECONDS, "started after its fence"
        self.asked[shard].append(lookup)
        self.starts.append(self.now)
        assert not self.budget or len(self.starts) <= self.budget, "over the budget"
        assert worker.epochs[shard] == self.epochs[shard], "started in another one's shard"

    @property
    def is_over(self) -> bool:
        return len(self.sealed) == len(self._shards)


class SimulatedWorker:
    """Asks shard after shard, in the slots that it gets."""

    def __init__(self, world: World, name: int) -> None:
        self.world, self.name = world, name
        draw = world.random
        self._ahead, self._fast = draw.uniform(-1e6, 1e6), draw.uniform(-4e-5, 4e-5)
        self.contract = LeasedContract(self.clock)
        self._spend = LeasedSpend()
        self.is_alive, self.is_frozen, self.is_cut = True, False, False
        self.is_doubling = self.is_losing = False
        self.epochs: dict[int, int] = {}
        self._left: dict[int, list[int]] = {}
        self._sealing: set[int] = set()
        self._done: set[int] = set()
        self._calls = 0
        self._open: Report | None = None
        self._attempts = 0
        world.later(draw.uniform(0, 0.2), self._step)
        world.later(draw.uniform(0, 0.2), self._call)

    def clock(self) -> float:
        return self.world.now * (1 + self._fast) + self._ahead

    def _step(self) -> None:
        """Starts what may start now."""
        if not self.is_alive:
            return
        self.world.later(_STEP_SECONDS * self.world.random.uniform(0.3, 2), self._step)
        if self.is_frozen:
            return
        for shard, left in list(self._left.items()):
            while left:
                if self.contract.start(ENDPOINT) > 0:
                    return
                self._attempts += 1
                self._spend.take(ENDPOINT)
                self.world.on_start(self, shard, left.pop())
                self.contract.sent(ENDPOINT, Places(self._attempts, self._attempts))
                self.contract.passed(ENDPOINT, Places(self._attempts, self._attempts), 0.0, None)
            del self._left[shard]
            self._sealing.add(shard)

    def _call(self) -> None:
        if not self.is_alive:
            return
        if self.is_frozen:
            self.world.later(_FEW_SECONDS, self._call)
            return
        self._calls += 1
        report = Report(self._calls)
        self.contract.report(report)
        report.spent, report.attempts = self._spend.spent(), self._attempts
        report.shards = dict(self.epochs)
        report.done, self._done = self._done, set()
        report.sealing = set(self._sealing)
        report.wants_shard = not self._left
        self._open = report
        self._send(report, self.clock())

    def _send(self, report: Report, called_at: float) -> None:
        """Sends until it is answered, as a link does."""
        if not self.is_alive or self._open is not report:
            return
        world, content = self.world, pickle.dumps(report)
        world.later(_AGAIN_SECONDS, lambda: self._send(report, called_at))
        if not self.is_cut:
            world.later(self._delay(), lambda: self._deliver(report, content, called_at))
            if self.is_doubling:
                self.is_doubling = False
                late = world.random.uniform(0, 2)
                world.later(late, lambda: self._deliver(report, content, called_at))

    def _deliver(self, report: Report, content: bytes, called_at: float) -> None:
        if self.world.coordinator is None:
            return
        orders = self.world.coordinator.sync(self.name, pickle.loads(content))
        if self.is_losing:
            self.is_losing = False
        elif not self.is_cut:
            answer: Orders = pickle.loads(pickle.dumps(orders))
            self.world.later(self._delay(), lambda: self._obey(report, answer, called_at))

    def _delay(self) -> float:
        draw = self.world.random
        return draw.uniform(0.0002, 0.003) if draw.random() < 0.9 else draw.uniform(0.003, 0.05)

    def _obey(self, report: Report, orders: Orders, called_at: float) -> None:
        if not self.is_alive or self._open is not report:
            return
        if self.is_frozen:
            self.world.later(_FEW_SECONDS, lambda: self._obey(report, orders, called_at))
            return
        self._open = None
        self.contract.obey(orders, called_at, self.clock())
        if orders.is_fenced or orders.halt is not None:
            self.is_alive = False
            return
        for shard in orders.may_seal & self._sealing:
            assert len(self.world.asked[shard]) == self.world.lookups
            self.world.sealed.add(shard)
            self._sealing.discard(shard)
            del self.epochs[shard]
            self._done.add(shard)
        if (shard := orders.shard) is not None:
            self.world.epochs[shard] += 1
            self.epochs[shard] = self.world.epochs[shard]
            asked = set(self.world.asked[shard])
            self._left[shard] = [i for i in range(self.world.lookups) if i not in asked]
        self.world.later(SYNC_SECONDS, self._call)
