from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

import pytest

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.pacer import Pacer, local_pacer
from batch_screen.engine.scope import SEVERAL
from batch_screen.engine.tasks import Places, Result, Sent, Task
from batch_screen.model import Allowance, Answer, Endpoint, Lookup, OutcomeKind
from tests import virtual_time

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
BOTH = (CHECK, DATE)
OK = Answer(kind=OutcomeKind.SUCCESS, http_status=200)
TIMEOUT = Answer(kind=OutcomeKind.TIMEOUT)


def refused(seconds: float | None = 2) -> Answer:
    return Answer(kind=OutcomeKind.RATE_LIMITED, http_status=429, retry_after_seconds=seconds)


class Asking:
    """A pacer and attempts, each another number's unless it is said whose."""

    def __init__(self, pacer: Pacer, clock: Callable[[], float], adaptive: AdaptiveRate) -> None:
        self.pacer, self.clock, self.adaptive = pacer, clock, adaptive
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
        adaptive = AdaptiveRate(
            lambda: ceiling(clock()) if ceiling else settings.rate_per_second,
            settings,
            clock=clock,
            jitter=lambda: 0.0,
        )
        pacer = local_pacer(settings, adaptive, clock=clock, endpoints=endpoints)
        await act(Asking(pacer, clock, adaptive))

    virtual_time.run(main())


# --- the account ---------------------------------------------------------------------------


def test_one_refusal_pauses_nobody_and_is_seen_in_the_pace() -> None:
    async def act(asking: Asking) -> None:
        await asking.start()
        asking.ask(refused(30))
        assert await asking.start(DATE) < 0.2
        asking.ask(OK, endpoint=DATE)
        pace = asking.pacer.snapshot()
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
        assert asking.adaptive.rate() == 10

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
            if asking.adaptive.rate() < 100:
                break
        assert 50 < asking.adaptive.rate() < 100
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
        assert asking.adaptive.rate() == 10
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
        assert asking.adaptive.rate() == 10

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
        assert asking.adaptive.rate() == 100

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
        assert asking.pacer.snapshot().held_by_headers_seconds == pytest.approx(3, abs=0.01)

    paced(act)


def test_one_answers_headers_do_not() -> None:
    async def act(asking: Asking) -> None:
        said = Allowance(remaining=0, reset_seconds=60)
        asking.ask(OK, Answer(kind=OutcomeKind.SUCCESS, allowance=said), OK, OK)
        assert asking.adaptive.rate() == 10
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
        waits = [await asking.start() for _ in range(7)]
        assert sum(waits[:6]) < 0.95 < sum(waits)

    paced(act)


def test_the_pulse_keeps_the_limit_and_hears_of_a_lagging_loop() -> None:
    async def act(asking: Asking) -> None:
        pacer = asking.pacer
        for _ in range(8):
            pacer.pulse(0.0)
            await asyncio.sleep(0.25)
        assert pacer.snapshot().limit_per_second == [10.0, 10.0, 10.0]
        assert pacer.snapshot().held_by_headers_seconds == 0
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
        assert asking.adaptive.rate() == 10
        asking.pacer.ramp_up()
        assert asking.adaptive.rate() == 2

    paced(act, ramp_up_seconds=5)
