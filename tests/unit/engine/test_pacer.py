from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import START_SHARE, AdaptiveRate, ramp
from batch_screen.engine.pacer import EndpointPacer, Pacer, RatePacer, bucket
from batch_screen.engine.scope import SEVERAL
from batch_screen.engine.tasks import Places, Result, Sent, Task
from batch_screen.model import Allowance, Answer, Endpoint, Lookup, OutcomeKind
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
        self.governor = AdaptiveRate(
            ceiling or (lambda: rate),
            Pacing(ramp_up_seconds=ramp_up),
            clock=loop.time,
            jitter=lambda: jitter,
        )
        self.pacer = RatePacer(self.governor, clock=loop.time)
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
        self.governor.pause(seconds)
        self.closed.append((len(self.starts), self.clock() + seconds))

    def send(self) -> int:
        self.place += 1
        self.governor.sent(self.place)
        return self.place

    def refuse(self, age: float, retry_after: float | None) -> None:
        """Several numbers in a row: everybody waits."""
        sent_at = self.clock() - age
        for _ in range(SEVERAL):
            place = self.send()
            self.governor.refused(place, f"+{place}", sent_at, retry_after)
        if self.governor.is_closed:
            self.closed.append((len(self.starts), self.clock() + (retry_after or 0.0)))

    def let_pass(self, _age: float, _: float | None) -> None:
        self.governor.passed(self.send())

    def slow_down(self, age: float, _: float | None) -> None:
        self.governor.slow_down(self.place, sent_at=self.clock() - age)

    def say(self, remaining: float, reset: float | None) -> None:
        allowance = Allowance(remaining=int(remaining), reset_seconds=reset)
        answer = Answer(kind=OutcomeKind.SUCCESS, allowance=allowance)
        for _ in range(3):
            self.governor.heard(answer, sent_at=self.clock())

    def stand_still(self, seconds: float, _: float | None) -> None:
        """SIGSTOP: time has passed when the loop looks again."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualTimeLoop)
        loop._jumping.now += seconds

    def owe(self, count: float, _: float | None) -> None:
        for _i in range(round(count)):
            self.pacer.owe()


RATES = st.one_of(
    st.floats(0.2, 5),
    st.floats(5, 2000),
    st.sampled_from([0.5, 0.98, 1.0, 9.8, 10.0, 98.0, 100.0, 1000.0, 4900.0]),
)
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), max_size=8)
EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when
        st.sampled_from(["pause", "refuse", "let_pass", "slow_down", "say", "stand_still", "owe"]),
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


@examples(100)
@given(
    steps=st.lists(
        st.tuples(st.floats(0.3, 4), st.sampled_from([0.0, 0.5, 3.0, 20.0, 100.0, 1000.0])),
        min_size=1,
        max_size=8,
    )
)
def test_no_second_holds_more_than_the_timetable_permits(
    steps: list[tuple[float, float]],
) -> None:
    """Within a step it is that step's rate, over a change the higher one of the two."""
    changes, end = [], 0.0
    for seconds, rate in steps:
        changes.append((end, rate))
        end += seconds

    def ceiling_at(now: float) -> float:
        return [rate for began, rate in changes if began <= now][-1]

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        line = Line(0, ceiling=lambda: ceiling_at(loop.time()))
        taking = asyncio.create_task(line.take_until(end))
        await asyncio.wait({taking}, timeout=end)
        taking.cancel()
        return line.starts

    starts = virtual_time.run(main())
    for i, at in enumerate(starts):
        held = i + 1 - bisect_left(starts, at - SECOND)
        highest = max(
            ceiling_at(max(0.0, at - 1)), *(r for b, r in changes if at - 1 <= b <= at), 0
        )
        assert held <= math.ceil(highest)


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


def test_what_is_owed_is_not_started() -> None:
    async def main() -> list[float]:
        line = Line(10)
        await line.take(5)
        line.owe(4, None)
        await line.take(1)
        return line.starts

    starts = virtual_time.run(main())
    assert starts[5] - starts[4] == pytest.approx(5 / 9.95, rel=0.05)


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
            line.governor.pause(3600)
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
        line.governor.pause(30)
        line.governor.pause(5)
        await line.take(1)
        return line.starts[0]

    assert virtual_time.run(main()) == pytest.approx(30)


def test_a_pause_that_comes_while_waiting_for_the_bucket_counts() -> None:
    async def main() -> list[float]:
        line = Line(1)
        asyncio.get_running_loop().call_later(0.5, line.governor.pause, 10)
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
@given(
    steps=st.lists(
        st.tuples(st.floats(0.3, 4), st.sampled_from([0.2, 0.5, 3.0, 20.0, 100.0, 1000.0])),
        min_size=1,
        max_size=8,
    )
)
def test_nor_more_than_the_rate_that_it_has_at_the_moment(
    steps: list[tuple[float, float]],
) -> None:
    """Over a change it may be the higher one of the two."""
    changes, end = [], 0.0
    for seconds, rate in steps:
        changes.append((end, rate))
        end += seconds

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        pacer = EndpointPacer(
            lambda: [rate for began, rate in changes if began <= loop.time()][-1], clock=loop.time
        )
        starts: list[float] = []
        while loop.time() < end:
            starts.append(await at_endpoint(pacer))
        return [start for start in starts if start < end]

    starts = virtual_time.run(main())
    for i, at in enumerate(starts):
        held = i + 1 - bisect_left(starts, at - SECOND)
        before = [rate for began, rate in changes if began <= max(0.0, at - 1)][-1]
        highest = max(before, *(r for b, r in changes if at - 1 <= b <= at), 0)
        assert held <= math.ceil(highest)


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


CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
BOTH = (CHECK, DATE)
OK = Answer(kind=OutcomeKind.SUCCESS, http_status=200)
TIMEOUT = Answer(kind=OutcomeKind.TIMEOUT)


def refused(seconds: float | None = 2) -> Answer:
    return Answer(kind=OutcomeKind.RATE_LIMITED, http_status=429, retry_after_seconds=seconds)


class Asking:
    """A pacer and attempts, each another number's unless it is said whose."""

    def __init__(self, pacer: Pacer, clock: Callable[[], float], governor: AdaptiveRate) -> None:
        self.pacer, self.clock, self.governor = pacer, clock, governor
        self.numbers = 0
        self.sent_at_endpoint: Counter[Endpoint] = Counter()

    def send(self, endpoint: Endpoint = CHECK, *, age: float = 0.0) -> tuple[Task, Sent]:
        self.numbers += 1
        self.sent_at_endpoint[endpoint] += 1
        sent = Sent("", Places(self.numbers, self.sent_at_endpoint[endpoint]), self.clock(), 0.0)
        self.pacer.on_sent(endpoint, sent)
        task = Task(0, Lookup(f"+4477{self.numbers:08d}", endpoint))
        return task, sent._replace(at=sent.at - age)

    def hear(self, answer: Answer, on: tuple[Task, Sent]) -> None:
        task, sent = on
        self.pacer.ended(sent.places)
        self.pacer.on_result(Result(task, answer, sent, datetime(2026, 3, 1, tzinfo=UTC), 0.0))

    def ask(
        self, *answers: Answer, endpoint: Endpoint = CHECK, age: float = 0.0, refusals: int = 0
    ) -> None:
        """Each is sent and answered before the next one."""
        for answer in answers:
            on = self.send(endpoint, age=age)
            on[0].was_refused = refusals > 0
            self.hear(answer, on)

    async def start(self, endpoint: Endpoint = CHECK) -> float:
        """How long it takes until an attempt may start."""
        began = self.clock()
        while (wait := self.pacer.wait_seconds(endpoint)) > 0:  # noqa: ASYNC110 (time alone opens it)
            await asyncio.sleep(wait)
        await self.pacer.acquire(endpoint)
        return self.clock() - began


def paced(
    act: Callable[[Asking], Awaitable[None]],
    endpoints: Collection[Endpoint] = BOTH,
    ceiling: Callable[[float], float] | None = None,
    **pacing: object,
) -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        usual = {"rate_per_second": 10, "headroom": 0, "ramp_up_seconds": 0}
        settings = Pacing(**(usual | pacing))
        governor = AdaptiveRate(
            lambda: ceiling(clock()) if ceiling else settings.rate_per_second,
            settings,
            clock=clock,
            jitter=lambda: 0.0,
        )
        pacer = Pacer(settings, governor, clock=clock, endpoints=endpoints)
        await act(Asking(pacer, clock, governor))

    virtual_time.run(main())


# --- the account ---------------------------------------------------------------------------


def test_one_refusal_pauses_nobody_and_is_seen_in_the_pace() -> None:
    async def act(asking: Asking) -> None:
        await asking.start()
        asking.ask(refused(30))
        assert await asking.start(DATE) < 0.2
        asking.ask(OK, endpoint=DATE)
        pace = asking.pacer.taken()
        assert (sum(pace.attempts), sum(pace.refused)) == (2, 1)
        assert not asking.pacer.is_open

    paced(act)


@pytest.mark.parametrize("endpoints", [BOTH, (CHECK,)])
def test_several_numbers_in_a_row_make_everybody_wait(endpoints: tuple[Endpoint, ...]) -> None:
    async def act(asking: Asking) -> None:
        for i in range(SEVERAL):
            asking.ask(refused(5), endpoint=endpoints[i % len(endpoints)])
        assert asking.pacer.is_open
        assert await asking.start(endpoints[-1]) == pytest.approx(5, abs=0.1)
        asking.ask(OK)
        assert not asking.pacer.is_open
        assert await asking.start() < 0.2

    paced(act, endpoints)


def test_those_that_were_refused_before_do_not_speak_for_others() -> None:
    async def act(asking: Asking) -> None:
        asking.ask(*[refused()] * 10, refusals=1)
        assert not asking.pacer.is_open
        assert not asking.pacer.refuses(None, 1)

    paced(act)


def test_nobody_waits_for_an_absurd_time_before_others_were_tried() -> None:
    async def act(asking: Asking) -> None:
        asking.ask(*[refused(1e9)] * SEVERAL)
        assert await asking.start() == pytest.approx(1, abs=0.1)

    paced(act, max_retry_after_seconds=60)


@pytest.mark.parametrize(
    "kind", [OutcomeKind.SERVER_ERROR, OutcomeKind.TIMEOUT, OutcomeKind.UNREACHABLE]
)
def test_failures_say_neither_that_it_lets_pass_nor_that_it_refuses(kind: OutcomeKind) -> None:
    async def act(asking: Asking) -> None:
        asking.ask(*[refused()] * SEVERAL)
        asking.ask(Answer(kind=kind))
        assert asking.pacer.is_open
        assert asking.pacer.last_passed(CHECK) == Places(0, 0)

    paced(act)


def test_a_503_that_asks_to_wait_is_no_matter_of_the_pace() -> None:
    async def act(asking: Asking) -> None:
        busy = Answer(kind=OutcomeKind.SERVER_ERROR, http_status=503, retry_after_seconds=5)
        asking.ask(*[busy] * 5)
        assert await asking.start() < 0.2
        assert asking.governor.rate() == 10

    paced(act)


def test_what_a_refusal_says_of_its_lookup() -> None:
    async def act(asking: Asking) -> None:
        pacer = asking.pacer
        places = Places(1, 1)
        assert pacer.refuses_all, "nothing was ever let pass"
        assert pacer.own_refusal(CHECK, places) == 0
        pacer.known_good()
        assert not pacer.refuses_all
        assert pacer.own_refusal(CHECK, places) == 1
        asking.ask(*[refused()] * SEVERAL)
        assert pacer.refuses_all
        assert pacer.own_refusal(CHECK, places) == 0
        asking.ask(OK)
        assert not pacer.refuses_all

    paced(act)


def test_who_was_let_pass_last_in_the_order_of_sending() -> None:
    async def act(asking: Asking) -> None:
        pacer = asking.pacer
        first, second, third = asking.send(), asking.send(DATE), asking.send()
        asking.hear(OK, third)
        asking.hear(OK, first)
        assert pacer.last_passed(CHECK) == Places(3, 2)
        assert pacer.last_passed(DATE) == Places(3, 0)
        asking.hear(OK, second)
        assert pacer.last_passed(DATE) == Places(3, 1)

    paced(act)


@pytest.mark.parametrize("endpoints", [BOTH, (CHECK,)])
def test_so_many_in_a_row_refuse(endpoints: tuple[Endpoint, ...]) -> None:
    async def act(asking: Asking) -> None:
        pacer = asking.pacer
        asking.ask(*[refused()] * 10, endpoint=CHECK)
        assert pacer.refuses(None, 10)
        assert pacer.refuses(CHECK, 10)
        assert not pacer.refuses(CHECK, 11)
        assert not pacer.refuses(DATE, 1) or len(endpoints) == 1
        asking.ask(OK)
        assert not pacer.refuses(None, 1)
        assert not pacer.refuses(CHECK, 1)

    paced(act, endpoints)


@pytest.mark.parametrize("endpoints", [BOTH, (CHECK,)])
def test_refusals_of_all_endpoints_cut_the_rate_of_all(endpoints: tuple[Endpoint, ...]) -> None:
    async def act(asking: Asking) -> None:
        for i in range(400):
            await asking.start(endpoints[i % len(endpoints)])
            is_refused = i >= 200 and i % 5 < 2
            asking.ask(refused() if is_refused else OK, endpoint=endpoints[i % len(endpoints)])
            if asking.governor.rate() < 100:
                break
        assert 50 < asking.governor.rate() < 100
        assert not any(asking.pacer.is_probing(endpoint) for endpoint in endpoints)

    paced(act, endpoints, rate_per_second=100)


# --- an endpoint of its own ------------------------------------------------------------------


def test_an_endpoint_that_alone_refuses_everything_is_probed_and_the_others_asked() -> None:
    async def act(asking: Asking) -> None:
        for _ in range(10):
            asking.ask(OK, endpoint=DATE)
            asking.ask(refused(30))
        pacer = asking.pacer
        assert pacer.is_probing(CHECK)
        assert not pacer.is_open
        assert not pacer.is_probing(DATE)
        assert pacer.wait_seconds(CHECK) == pytest.approx(30, rel=0.06)
        assert pacer.wait_seconds(DATE) == 0
        assert pacer.own_refusal(CHECK, Places(20, 10)) == 0
        assert asking.governor.rate() == 10
        assert await asking.start(DATE) < 0.2
        assert await asking.start(CHECK) >= 29
        asking.ask(OK)
        assert not pacer.is_probing(CHECK)

    paced(act)


def test_what_it_refuses_from_then_on_is_no_matter_of_the_account() -> None:
    async def act(asking: Asking) -> None:
        for _ in range(10):
            asking.ask(OK, endpoint=DATE)
            asking.ask(refused(1))
        for _ in range(50):
            asking.ask(*[refused(1)] * 3)
            asking.ask(OK, endpoint=DATE)
        assert not asking.pacer.is_open
        assert asking.governor.rate() == 10

    paced(act)


def test_an_endpoint_of_which_a_part_is_refused_gets_a_lower_rate() -> None:
    async def act(asking: Asking) -> None:
        at = {CHECK: 0, DATE: 0}
        first = None
        for i in range(3000):
            endpoint = BOTH[i % 2]
            if asking.pacer.wait_seconds(endpoint) > 0:
                endpoint = DATE
            await asking.start(endpoint)
            at[endpoint] += 1
            # 30 a second is what this endpoint takes, of the 50 that it would get
            is_refused = endpoint is CHECK and at[CHECK] % 5 < 2 and first is None
            asking.ask(refused() if is_refused else OK, endpoint=endpoint)
            if first is None and asking.pacer.wait_seconds(CHECK) > 0:
                first, at = asking.clock(), {CHECK: 0, DATE: 0}
            if first is not None and asking.clock() - first >= 8:
                break
        assert first is not None, "it got a rate of its own"
        assert 15 <= at[CHECK] / 8 < 50
        assert sum(at.values()) / 8 == pytest.approx(100, rel=0.05)
        assert asking.governor.rate() == 100

    paced(act, rate_per_second=100)


def test_an_endpoints_own_rate_has_headroom_too() -> None:
    async def act(asking: Asking) -> None:
        assert asking.pacer.wait_seconds(CHECK) == 0
        await asking.pacer.acquire(CHECK)
        assert asking.pacer.wait_seconds(CHECK) == pytest.approx(0.625, rel=0.05)
        assert asking.pacer.wait_seconds(DATE) == 0

    paced(act, rate_per_second_by_endpoint={CHECK: 2.0}, headroom=0.2)


def test_that_rate_is_never_exceeded_whatever_was_found() -> None:
    async def act(asking: Asking) -> None:
        for _ in range(10):
            asking.ask(OK, endpoint=DATE)
            asking.ask(refused(1))
        await asyncio.sleep(2)
        asking.ask(OK)
        await asyncio.sleep(600)
        starts = []
        for _ in range(20):
            await asking.start()
            starts.append(asking.clock())
        assert starts[-1] - starts[0] >= 19 / 2 * 0.9

    paced(act, rate_per_second_by_endpoint={CHECK: 2.0}, rate_per_second=100)


def test_it_may_refuse_alone_when_an_hour_has_begun_that_permits_nothing() -> None:
    async def act(asking: Asking) -> None:
        under_way = [asking.send(endpoint) for _ in range(10) for endpoint in BOTH]
        await asyncio.sleep(5)
        for i, on in enumerate(under_way):
            asking.hear(refused(1) if i % 2 == 0 else OK, on)
        assert asking.pacer.is_probing(CHECK)

    paced(act, ceiling=lambda now: 10 if now < 3 else 0)


# --- headers -------------------------------------------------------------------------------


def test_what_the_headers_say_slows_down() -> None:
    async def act(asking: Asking) -> None:
        said = Allowance(remaining=20, reset_seconds=11)
        asking.ask(*[Answer(kind=OutcomeKind.SUCCESS, allowance=said)] * 3)
        for _ in range(5):
            await asking.start()
        assert asking.clock() >= 2
        asking.pacer.pulse(0.0)
        await asyncio.sleep(3)
        asking.pacer.pulse(0.0)
        assert asking.pacer.taken().held_by_headers_seconds == pytest.approx(3, abs=0.01)

    paced(act)


def test_one_answers_headers_do_not() -> None:
    async def act(asking: Asking) -> None:
        said = Allowance(remaining=0, reset_seconds=60)
        asking.ask(OK, Answer(kind=OutcomeKind.SUCCESS, allowance=said), OK, OK)
        assert asking.governor.rate() == 10
        assert await asking.start() < 0.2

    paced(act)


# --- concurrency, a server that stands still, the pace -----------------------------------------


def test_many_timeouts_change_the_slots_and_one_does_not() -> None:
    async def act(asking: Asking) -> None:
        before = asking.pacer.slots()
        asking.ask(*[OK] * 20, TIMEOUT, age=0.05)
        assert asking.pacer.slots() == before
        asking.ask(*[TIMEOUT] * 20)
        assert asking.pacer.slots() < before

    paced(act, rate_per_second=100)


def test_what_is_stuck_holds_slots_of_its_own_until_it_ends() -> None:
    async def act(asking: Asking) -> None:
        asking.ask(*[OK] * 50, age=0.1)
        await asyncio.sleep(0.3)
        usual = asking.pacer.slots()
        stuck = [asking.send() for _ in range(6)]
        await asyncio.sleep(1)
        asking.ask(OK, age=0.1)
        assert asking.pacer.slots() == usual + 6
        for on in stuck:
            asking.pacer.ended(on[1].places)
        await asyncio.sleep(0.3)
        asking.ask(OK, age=0.1)
        assert asking.pacer.slots() == usual

    paced(act, rate_per_second=100)


def test_after_a_server_stood_still_as_much_less_is_started() -> None:
    async def act(asking: Asking) -> None:
        for _ in range(20):
            await asking.start()
            asking.ask(OK, age=0.05)
        under_way = [asking.send() for _ in range(4)]
        await asyncio.sleep(3)
        for on in under_way:
            asking.hear(OK, on)
        assert await asking.start() >= 0.3

    paced(act)


def test_the_pulse_keeps_the_limit_and_hears_of_a_lagging_loop() -> None:
    async def act(asking: Asking) -> None:
        pacer = asking.pacer
        for _ in range(8):
            pacer.pulse(0.0)
            await asyncio.sleep(0.25)
        assert pacer.taken().limit_per_second == [10.0, 10.0, 10.0]
        assert pacer.taken().held_by_headers_seconds == 0
        before = pacer.slots()
        asking.ask(*[OK] * 50, age=9)
        pacer.pulse(1.0)
        await asyncio.sleep(0.3)
        assert pacer.slots() == before

    paced(act)


def test_a_slow_answer_among_others_costs_nothing() -> None:
    async def act(asking: Asking) -> None:
        for _ in range(40):
            await asking.start()
            for age in (0.05, 2.0, 0.05):
                asking.ask(OK, age=age)
        assert await asking.start() < 0.2

    paced(act)


def test_a_pause_and_a_new_ramp_concern_everybody() -> None:
    async def act(asking: Asking) -> None:
        asking.pacer.pause(5)
        assert await asking.start(DATE) == pytest.approx(5)
        assert asking.governor.rate() == 10
        asking.pacer.ramp_up()
        assert asking.governor.rate() == 2

    paced(act, ramp_up_seconds=5)
