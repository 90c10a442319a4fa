"""One contract in many hands: whatever becomes of workers, calls and the coordinator."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from batch_screen.cluster.messages import SILENT_SECONDS
from tests.thoroughness import IS_FULL, examples
from tests.unit.cluster.contract import FAULTS, World

SHARDS = 5
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
            seed,
            rate=rate,
            workers=workers,
            shards=SHARDS,
            lookups=max(20, int(rate)),
            budget=budget,
        )

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(fault=st.sampled_from(FAULTS))
    def happen(self, fault: str) -> None:
        self.world.happen(fault)

    @rule(seconds=st.floats(0.5, 4), times_a_second=st.sampled_from([1, 5, 20]))
    def chaos(self, seconds: float, times_a_second: float) -> None:
        self.world.chaos(seconds, times_a_second)

    @rule()
    @precondition(lambda self: self.world.now < 1060)
    def be_silent(self) -> None:
        self.world.advance(SILENT_SECONDS + 1)

    def teardown(self) -> None:
        end(self.world)


def end(world: World) -> None:
    """Nothing goes wrong any more: the run ends, and nothing was asked twice or beyond a bound."""
    world.calm()
    until = world.now + 60 + 2 * SILENT_SECONDS
    while not world.is_over and world.now < until:
        if world.coordinator is not None and world.coordinator.is_halted:
            break
        world.advance(0.5)
    assert per_second(world.starts) <= world.rate
    if world.is_over:
        assert len(world.starts) == SHARDS * world.lookups
    else:
        assert world.budget > 0
        assert len(world.starts) <= world.budget


@pytest.mark.parametrize("seed", range(400 if IS_FULL else 12))
def test_chaos(seed: int) -> None:
    draw = random.Random(seed)
    rate = draw.choice([20, 60, 173, 400])
    lookups = rate * 3
    world = World(
        seed,
        rate=rate,
        workers=draw.randint(1, 4),
        shards=SHARDS,
        lookups=lookups,
        budget=draw.choice([0, draw.randint(1, SHARDS * lookups)]),
    )
    world.chaos(10, draw.choice([0.5, 2, 8]))
    end(world)


TestContract = Contract.TestCase
TestContract.settings = examples(
    60, stateful_step_count=20, deadline=None, phases=(Phase.explicit, Phase.generate)
)
