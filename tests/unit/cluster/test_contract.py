"""One contract in many hands: whatever becomes of workers, calls and the coordinator."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from batch_screen.cluster.messages import SILENT_SECONDS
from tests.unit.cluster.contract import World

_SECOND = 1 - 1e-9


def per_second(starts: list[float]) -> int:
    """The most starts in any window of one second."""
    return max(
        (i + 1 - bisect_left(starts, at - _SECOND) for i, at in enumerate(starts)), default=0
    )


def test_four_workers_use_the_rate() -> None:
    world = World(1, rate=200, workers=4, shards=12, lookups=200)
    while not world.is_over and world.now < 1100:
        world.advance(0.5)
    assert world.is_over
    assert per_second(world.starts) <= 200
    quiet = [at for at in world.starts if 1002 <= at < 1010]
    assert len(quiet) / 8 >= 0.97 * 0.98 * 200


@pytest.mark.parametrize("seed", range(3))
def test_a_dead_coordinator_costs_nothing_but_a_moment(seed: int) -> None:
    world = World(seed, rate=100, workers=3, shards=6, lookups=150)
    world.advance(2)
    world.kill_coordinator(0.5)
    while not world.is_over and world.now < 1100:
        world.advance(0.5)
    assert world.is_over
    assert per_second(world.starts) <= 100
    gap = max(later - at for at, later in zip(world.starts, world.starts[1:], strict=False))
    assert gap < 4


class Contract(RuleBasedStateMachine):
    """Hypothesis chooses what happens; the world asserts at each start."""

    @initialize(
        seed=st.integers(0, 1 << 32),
        rate=st.sampled_from([10, 50, 173, 400]),
        workers=st.integers(1, 4),
        budget=st.sampled_from([0, 0, 37, 200]),
    )
    def begin(self, seed: int, rate: float, workers: int, budget: int) -> None:
        self.world = World(
            seed, rate=rate, workers=workers, shards=5, lookups=max(20, int(rate)), budget=budget
        )

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(
        which=st.integers(0, 3),
        what=st.sampled_from(
            ["kill", "freeze", "thaw", "cut", "heal", "double", "double", "lose", "lose"]
        ),
    )
    def happen(self, which: int, what: str) -> None:
        alive = [worker for worker in self.world.workers if worker.is_alive]
        if not alive:
            return
        worker = alive[which % len(alive)]
        match what:
            case "kill":
                self.world.kill(worker)
            case "freeze" | "thaw":
                worker.is_frozen = what == "freeze"
            case "cut" | "heal":
                worker.is_cut = what == "cut"
            case "double":
                worker.is_doubling = True
            case "lose":
                worker.is_losing = True

    @rule(away=st.sampled_from([0.0, 0.1, 1.0]))
    def kill_coordinator(self, away: float) -> None:
        self.world.kill_coordinator(away)

    @rule()
    @precondition(lambda self: self.world.now < 1060)
    def be_silent(self) -> None:
        self.world.advance(SILENT_SECONDS + 1)

    def teardown(self) -> None:
        world = self.world
        until = world.now + 60 + 2 * SILENT_SECONDS
        for worker in world.workers:
            worker.is_frozen = worker.is_cut = worker.is_doubling = worker.is_losing = False
        while not world.is_over and world.now < until:
            if world.coordinator is not None and world.coordinator.is_halted:
                break
            world.advance(0.5)
        assert per_second(world.starts) <= world.rate
        asked = len(world.starts)
        if world.is_over:
            assert asked == 5 * world.lookups
        else:
            assert world.budget
            assert asked <= world.budget


TestContract = Contract.TestCase
TestContract.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
