from __future__ import annotations

import asyncio
import math
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_screen.engine.pacing import CUT, START_SHARE, Pacer, bucket, ramp, recovered
from tests import virtual_time

SECOND = 1 - 1e-9


def per_second(starts: list[float]) -> int:
    """The most starts in any window of one second."""
    return max((i + 1 - bisect_left(starts, at - SECOND) for i, at in enumerate(starts)), default=0)


class Line:
    """A consumer that starts attempts as fast as the pacer lets it, but for its own delays."""

    def __init__(self, rate: float, *, ramp_up: float = 0, jitter: float = 0) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.pacer = Pacer(rate, ramp_up_seconds=ramp_up, clock=loop.time, jitter=lambda: jitter)
        self.starts: list[float] = []
        self.closed: list[tuple[int, float]] = []

    async def take(self, count: int, gaps: list[float] | None = None) -> None:
        for i in range(count):
            await self.pacer.acquire()
            self.starts.append(self.clock())
            gap = gaps[i % len(gaps)] if gaps else 0.0
            if gap:
                await asyncio.sleep(gap)

    async def take_until(self, end: float) -> None:
        while self.clock() < end:
            await self.take(1)

    def pause(self, seconds: float) -> None:
        self.pacer.pause(seconds)
        self.closed.append((len(self.starts), self.clock() + seconds))

    def refuse(self, age: float, retry_after: float | None) -> None:
        self.pacer.refused(sent_at=self.clock() - age, retry_after_seconds=retry_after)
        self.closed.append((len(self.starts), self.clock() + (retry_after or 0.0)))


RATES = st.one_of(
    st.floats(0.2, 5),
    st.floats(5, 2000),
    st.sampled_from([0.5, 0.98, 1.0, 9.8, 10.0, 98.0, 100.0, 1000.0, 4900.0]),
)
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), max_size=8)
EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when
        st.one_of(st.none(), st.floats(0, 1)),  # a pause, or a refusal of an attempt this old
        st.one_of(st.none(), st.floats(0, 5)),  # for so long
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(
    rate=RATES,
    ramp_up=st.one_of(st.just(0.0), st.floats(0, 10)),
    gaps=GAPS,
    events=EVENTS,
    jitter=st.floats(0, 1),
)
def test_no_second_holds_more_than_the_rate_and_nobody_starts_too_early(
    rate: float,
    ramp_up: float,
    gaps: list[float],
    events: list[tuple[float, float | None, float | None]],
    jitter: float,
) -> None:
    async def main() -> Line:
        line = Line(rate, ramp_up=ramp_up, jitter=jitter)
        loop = asyncio.get_running_loop()
        for at, age, seconds in events:
            if age is None:
                loop.call_later(at, line.pause, seconds or 0.0)
            else:
                loop.call_later(at, line.refuse, age, seconds)
        await line.take(300, gaps)
        return line

    line = virtual_time.run(main())
    assert per_second(line.starts) <= math.ceil(rate)
    for index, not_before in line.closed:
        assert all(start >= not_before - 1e-9 for start in line.starts[index : index + 1])


@pytest.mark.parametrize("rate", [1, 10, 98, 100, 1000, 4900])
def test_the_budget_is_used(rate: float) -> None:
    async def main() -> list[float]:
        line = Line(rate)
        await line.take_until(5 if rate > 500 else 60)
        return line.starts

    starts = virtual_time.run(main())
    assert len(starts) >= 0.97 * rate * starts[-1]
    assert per_second(starts) <= rate


def test_ramp_up_starts_at_a_fifth_and_ends_at_the_rate() -> None:
    async def main() -> list[float]:
        line = Line(100, ramp_up=5)
        await line.take_until(20)
        return line.starts

    starts = virtual_time.run(main())
    in_first = sum(start < 1 for start in starts)
    in_sixth = sum(6 <= start < 7 for start in starts)
    assert START_SHARE * 100 * 0.9 <= in_first <= 100 * ramp(1, 5)
    assert in_sixth >= 97
    assert sum(starts_at >= 10 for starts_at in starts) >= 0.97 * 100 * 10


@pytest.mark.parametrize("kind", ["idle", "paused", "stopped clock"])
def test_there_is_no_catching_up(kind: str) -> None:
    async def main() -> tuple[list[float], float]:
        line = Line(1000)
        await line.take(1000)
        if kind == "paused":
            line.pacer.pause(3600)
        elif kind == "stopped clock":  # SIGSTOP: time has passed when the loop looks again
            loop = asyncio.get_running_loop()
            assert isinstance(loop, virtual_time.VirtualTimeLoop)
            loop._jumping.now += 3600
        else:
            await asyncio.sleep(3600)
        await line.take(1)
        resumed = line.clock()
        await line.take(2000)
        return line.starts, resumed

    starts, resumed = virtual_time.run(main())
    size = bucket(1000)[0]
    assert sum(resumed <= start < resumed + 0.01 for start in starts) <= size + 10
    assert per_second(starts) <= 1000


def test_a_pause_only_ever_moves_later() -> None:
    async def main() -> float:
        line = Line(10)
        line.pacer.pause(30)
        line.pacer.pause(5)
        await line.take(1)
        return line.starts[0]

    assert virtual_time.run(main()) == pytest.approx(30)


def test_a_pause_that_comes_while_waiting_for_the_bucket_counts() -> None:
    async def main() -> list[float]:
        line = Line(1)
        asyncio.get_running_loop().call_later(0.5, line.pacer.pause, 10)
        await line.take(2)
        return line.starts

    assert virtual_time.run(main())[1] >= 10.5


def test_one_cut_an_epoch() -> None:
    async def main() -> list[float]:
        line = Line(100)
        rates = []
        for _ in range(200):
            await line.take(1)
            line.pacer.delivered()
        for age in (0.0, 0.3, 1.0):  # all sent before the first refusal was heard of
            line.pacer.refused(sent_at=line.clock() - age, retry_after_seconds=1)
            rates.append(line.pacer.rate())
        await asyncio.sleep(1.2)
        rates.append(line.pacer.rate())
        await line.take(20)
        line.pacer.refused(sent_at=line.clock(), retry_after_seconds=0)
        rates.append(line.pacer.rate())
        return rates

    first, *same, before, second = virtual_time.run(main())
    assert first == pytest.approx(CUT * 100, rel=0.02)
    assert same == [first, first]
    assert second < before


@pytest.mark.parametrize("delivered_share", [1.0, 0.5, 0.25])
def test_after_a_cut_the_rate_comes_back_to_the_ceiling_and_no_further(
    delivered_share: float,
) -> None:
    async def main() -> tuple[float, list[float], list[float]]:
        line = Line(100)
        for i in range(200):
            await line.take(1)
            if i % round(1 / delivered_share) == 0:
                line.pacer.delivered()
        line.pacer.refused(sent_at=line.clock(), retry_after_seconds=0)
        cut, rates = line.pacer.rate(), []
        for _ in range(60):
            await line.take_until(line.clock() + 1)
            rates.append(line.pacer.rate())
        return cut, rates, line.starts

    cut, rates, starts = virtual_time.run(main())
    assert cut == pytest.approx(CUT * 100 * delivered_share, rel=0.05)
    assert rates == sorted(rates)
    assert rates[-1] == 100
    assert per_second(starts) <= 100
    assert sum(start > starts[-1] - 1 for start in starts) >= 97


def test_growth_after_a_cut_is_flat_around_the_old_rate() -> None:
    curve = [recovered(t, 100) for t in range(30)]
    assert curve == sorted(curve)
    assert curve[0] == 90
    assert curve[10] == 100
    assert curve[11] - curve[9] < curve[1] - curve[0]
    assert recovered(-5, 100) == 90


@pytest.mark.parametrize("rate", [0.1, 0.98, 1, 7.3, 10, 100, 5000, 40_000])
def test_the_bucket_holds_the_claim(rate: float) -> None:
    size, period = bucket(rate)
    assert size >= 1
    assert math.floor(size + size / period) <= math.ceil(rate)
    assert size / period >= 0.99 * rate
