from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.rate_pacer import EndpointPacer, RatePacer, bucket
from batch_screen.engine.recovery import START_SHARE, ramp
from batch_screen.engine.scope import SEVERAL
from batch_screen.model import Allowance
from tests import virtual_time
from tests.thoroughness import examples

SECOND = 1 - 1e-9


def per_second(starts: list[float]) -> int:
    """The most starts in any window of one second."""
    return max((i + 1 - bisect_left(starts, at - SECOND) for i, at in enumerate(starts)), default=0)


class Line:
    """A consumer that starts attempts as fast as the pacer lets it, but for its own delays."""

    def __init__(
        self,
        rate: float,
        *,
        ramp_up: float = 0,
        jitter: float = 0,
        ceiling: Callable[[], float] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.adaptive = AdaptiveRate(
            ceiling or (lambda: rate),
            Pacing(ramp_up_seconds=ramp_up),
            clock=loop.time,
            jitter=lambda: jitter,
        )
        self.pacer = RatePacer(self.adaptive, clock=loop.time)
        self.place = 0
        self.starts: list[float] = []
        self.closed: list[tuple[int, float]] = []

    async def take(self, count: int, gaps: list[float] | None = None) -> None:
        for i in range(count):
            await self.pacer.acquire()
            self.starts.append(self.clock())
            self.send()
            gap = gaps[i % len(gaps)] if gaps else 0.0
            if gap:
                await asyncio.sleep(gap)

    async def take_until(self, end: float) -> None:
        while self.clock() < end:
            await self.take(1)

    def pause(self, seconds: float) -> None:
        self.adaptive.pause(seconds)
        self.closed.append((len(self.starts), self.clock() + seconds))

    def send(self) -> int:
        self.place += 1
        self.adaptive.sent(self.place)
        return self.place

    def refuse(self, age: float, retry_after: float | None) -> None:
        """Several numbers in a row: everybody waits."""
        sent_at = self.clock() - age
        for _ in range(SEVERAL):
            place = self.send()
            self.adaptive.refused(place, f"+{place}", sent_at, retry_after)
        if self.adaptive.is_closed:
            self.closed.append((len(self.starts), self.clock() + (retry_after or 0.0)))

    def let_pass(self, _age: float, _: float | None) -> None:
        self.adaptive.passed(self.send())

    def slow_down(self, age: float, _: float | None) -> None:
        self.adaptive.slow_down(self.place, sent_at=self.clock() - age)

    def say(self, remaining: float, reset: float | None) -> None:
        allowance = Allowance(remaining=int(remaining), reset_seconds=reset)
        for _ in range(3):
            self.adaptive.answered(allowance, sent_at=self.clock())

    def stand_still(self, seconds: float, _: float | None) -> None:
        """SIGSTOP: time has passed when the loop looks again."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualTimeLoop)
        loop._jumping.now += seconds

    def delayed(self, age: float, by: float | None) -> None:
        self.adaptive.delayed(self.clock() - age, min(age, by or 0.0))


RATES = st.one_of(
    st.floats(0.2, 5),
    st.floats(5, 2000),
    st.sampled_from([0.5, 0.98, 1.0, 9.8, 10.0, 98.0, 100.0, 1000.0, 4900.0]),
)
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), max_size=8)
EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when
        st.sampled_from(
            ["pause", "refuse", "let_pass", "slow_down", "say", "stand_still", "delayed"]
        ),
        st.floats(0, 5),  # for so long, of an attempt this old, so many left
        st.one_of(st.none(), st.floats(0, 5)),
    ),
    max_size=8,
)


@examples(300)
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
    events: list[tuple[float, str, float, float | None]],
    jitter: float,
) -> None:
    async def main() -> Line:
        line = Line(rate, ramp_up=ramp_up, jitter=jitter)
        loop = asyncio.get_running_loop()
        for at, what, amount, other in events:
            if what == "pause":
                loop.call_later(at, line.pause, amount)
            else:
                loop.call_later(at, getattr(line, what), amount, other)
        await line.take(300, gaps)
        return line

    line = virtual_time.run(main())
    assert per_second(line.starts) <= math.ceil(rate)
    for index, not_before in line.closed:
        assert all(start >= not_before - 1e-9 for start in line.starts[index : index + 1])


class Timetable:
    """Rates one after the other, each for so many seconds."""

    def __init__(self, steps: list[tuple[float, float]]) -> None:
        self.changes: list[tuple[float, float]] = []
        self.end = 0.0
        for seconds, rate in steps:
            self.changes.append((self.end, rate))
            self.end += seconds

    def rate_at(self, now: float) -> float:
        return [rate for began, rate in self.changes if began <= now][-1]

    def assert_kept(self, starts: list[float]) -> None:
        """Within a step it is that step's rate, over a change the higher one of the two."""
        for i, at in enumerate(starts):
            held = i + 1 - bisect_left(starts, at - SECOND)
            changed = [rate for began, rate in self.changes if at - 1 <= began <= at]
            assert held <= math.ceil(max(self.rate_at(max(0.0, at - 1)), *changed, 0.0))


def timetables(slowest: float) -> st.SearchStrategy[Timetable]:
    rates = st.sampled_from([slowest, 0.5, 3.0, 20.0, 100.0, 1000.0])
    return st.lists(st.tuples(st.floats(0.3, 4), rates), min_size=1, max_size=8).map(Timetable)


@examples(100)
@given(table=timetables(0.0))
def test_no_second_holds_more_than_the_timetable_permits(table: Timetable) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        line = Line(0, ceiling=lambda: table.rate_at(loop.time()))
        taking = asyncio.create_task(line.take_until(table.end))
        await asyncio.wait({taking}, timeout=table.end)
        taking.cancel()
        return line.starts

    table.assert_kept(virtual_time.run(main()))


def test_a_rate_of_nothing_waits_until_there_is_one() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        line = Line(0, ceiling=lambda: 0.0 if loop.time() < 3600 else 10.0)
        await line.take(20)
        return line.starts

    starts = virtual_time.run(main())
    assert 3600 <= starts[0] <= 3602
    assert starts[-1] < 3605


def test_a_slow_pace_hears_of_a_faster_one_in_time() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        line = Line(0, ceiling=lambda: 0.001 if loop.time() < 60 else 10.0)
        await line.take(20)
        return line.starts

    assert virtual_time.run(main())[-1] < 65


def test_what_was_delayed_counts_in_the_second_in_which_it_arrived() -> None:
    async def main() -> tuple[float, list[float]]:
        line = Line(10)
        await line.take(4)
        await asyncio.sleep(3)
        arrived = line.clock()
        for at in line.starts:
            line.adaptive.delayed(at, arrived - at)
        await line.take(12)
        return arrived, line.starts[4:]

    arrived, starts = virtual_time.run(main())
    assert sum(at < arrived + 1 for at in starts) == 10 - 4
    assert per_second(starts) <= 10


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
            line.adaptive.pause(3600)
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
        line.adaptive.pause(30)
        line.adaptive.pause(5)
        await line.take(1)
        return line.starts[0]

    assert virtual_time.run(main()) == pytest.approx(30)


def test_a_pause_that_comes_while_waiting_for_the_bucket_counts() -> None:
    async def main() -> list[float]:
        line = Line(1)
        asyncio.get_running_loop().call_later(0.5, line.adaptive.pause, 10)
        await line.take(2)
        return line.starts

    assert virtual_time.run(main())[1] >= 10.5


@pytest.mark.parametrize("stall", [0.004, 0.012, 0.019])
def test_a_busy_loop_costs_no_attempts_and_makes_no_second_too_full(stall: float) -> None:
    async def main() -> list[float]:
        line = Line(980)
        loop = asyncio.get_running_loop()
        for step in range(200):
            loop.call_at(step / 20, line.stand_still, stall, None)
        await line.take_until(10)
        return line.starts

    starts = virtual_time.run(main())
    assert per_second(starts) <= 980
    assert len(starts) >= 0.99 * 980 * 10


async def at_endpoint(pacer: EndpointPacer) -> float:
    """One attempt at the endpoint as soon as it may; when that was."""
    loop = asyncio.get_running_loop()
    while wait := pacer.wait_seconds():  # noqa: ASYNC110 (time alone opens it)
        await asyncio.sleep(wait)
    pacer.started()
    return loop.time()


@given(
    rate=st.sampled_from([0.5, 3.0, 10.0, 98.0, 1000.0]),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=6),
)
@examples(50)
def test_an_endpoint_never_gets_more_than_its_own_rate(rate: float, gaps: list[float]) -> None:
    async def main() -> list[float]:
        pacer = EndpointPacer(lambda: rate, clock=asyncio.get_running_loop().time)
        starts = []
        for i in range(120):
            starts.append(await at_endpoint(pacer))
            if i % 20 == 0:
                await asyncio.sleep(gaps[i // 20 % len(gaps)])
        return starts

    starts = virtual_time.run(main())
    assert per_second(starts) <= math.ceil(rate)
    assert starts[-1] - starts[0] <= 120 / (0.98 * rate) + 6 * max(gaps)


@examples(100)
@given(table=timetables(0.2))
def test_nor_more_than_the_rate_that_it_has_at_the_moment(table: Timetable) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        pacer = EndpointPacer(lambda: table.rate_at(loop.time()), clock=loop.time)
        starts: list[float] = []
        while loop.time() < table.end:
            starts.append(await at_endpoint(pacer))
        return [start for start in starts if start < table.end]

    table.assert_kept(virtual_time.run(main()))


@pytest.mark.parametrize(("before", "after"), [(100, 10), (10, 100), (0.01, 50), (50, 0.5)])
def test_a_new_rate_of_an_endpoint_is_used_soon(before: float, after: float) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        pacer = EndpointPacer(lambda: before if loop.time() < 5 else after, clock=loop.time)
        starts: list[float] = []
        while loop.time() < 5:
            if pacer.wait_seconds() == 0:
                pacer.started()
                starts.append(loop.time())
            await asyncio.sleep(min(max(pacer.wait_seconds(), 1e-3), 0.1))
        while loop.time() < 25:
            starts.append(await at_endpoint(pacer))
        return starts

    later = [at for at in virtual_time.run(main()) if at >= 5]
    assert 0.9 * after * 20 - 2 <= len(later) <= after * 20 + 2


def test_at_no_rate_it_is_left_alone() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pacer = EndpointPacer(lambda: 10.0 if loop.time() < 5 else 0.0, clock=loop.time)
        await asyncio.sleep(5)
        await at_endpoint(pacer)
        for _ in range(30):
            assert pacer.wait_seconds() == 1, "then it is looked again: a full hour may have come"
            await asyncio.sleep(1)

    virtual_time.run(main())


def test_it_may_be_made_at_no_rate() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pacer = EndpointPacer(lambda: 0.0 if loop.time() < 60 else 10.0, clock=loop.time)
        await asyncio.sleep(60)
        starts = [await at_endpoint(pacer) for _ in range(20)]
        assert starts[-1] < 63

    virtual_time.run(main())


@pytest.mark.parametrize(("rate", "ramp_up"), [(0.5, 60), (1, 30), (0.1, 600), (2, 5)])
def test_a_slow_rate_that_keeps_changing_starts_what_it_permits(
    rate: float, ramp_up: float
) -> None:
    async def main() -> list[float]:
        line = Line(rate, ramp_up=ramp_up)
        taking = asyncio.create_task(line.take_until(ramp_up))
        await asyncio.wait({taking}, timeout=ramp_up)
        taking.cancel()
        return line.starts

    permitted = rate * ramp_up * (START_SHARE + 1) / 2
    assert len(virtual_time.run(main())) >= 0.75 * permitted


def test_nothing_starts_once_an_hour_has_begun_that_permits_nothing() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        line = Line(0, ceiling=lambda: 2.0 if loop.time() < 10.3 else 0.0)
        taking = asyncio.create_task(line.take_until(60))
        await asyncio.wait({taking}, timeout=60)
        taking.cancel()
        return line.starts

    assert virtual_time.run(main())[-1] <= 10.3
