from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from batch_screen.config.settings import Pacing
from batch_screen.engine.governor import Governor
from batch_screen.engine.throttle import Throttle
from batch_screen.model import Allowance, Answer, Endpoint, OutcomeKind
from tests import virtual_time

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
OK = Answer(kind=OutcomeKind.SUCCESS, http_status=200)
TIMEOUT = Answer(kind=OutcomeKind.TIMEOUT)


def refused(seconds: float | None = 2) -> Answer:
    return Answer(kind=OutcomeKind.RATE_LIMITED, http_status=429, retry_after_seconds=seconds)


def throttled(
    act: Callable[[Throttle, Callable[[], float]], Awaitable[None]], **pacing: object
) -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        usual = {"rate_per_second": 10, "headroom": 0, "ramp_up_seconds": 0}
        settings = Pacing(**(usual | pacing))
        governor = Governor(
            lambda: settings.rate_per_second, settings, clock=clock, jitter=lambda: 0.0
        )
        await act(Throttle(settings, governor, clock=clock), clock)

    virtual_time.run(main())


def test_a_refusal_pauses_everybody_and_is_seen_in_the_pace() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        await throttle.acquire(CHECK)
        throttle.sent()
        throttle.heard(refused(), sent_at=clock())
        await throttle.acquire(DATE)
        throttle.sent()
        assert clock() >= 2
        pace = throttle.taken()
        assert (sum(pace.attempts), sum(pace.refused)) == (2, 1)

    throttled(act)


def test_an_absurd_retry_after_pauses_no_longer_than_the_cap() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        throttle.heard(refused(1e9), sent_at=clock())
        await throttle.acquire(CHECK)
        assert clock() == pytest.approx(60, abs=0.5)

    throttled(act, max_retry_after_seconds=60)


def test_a_503_that_asks_to_wait_pauses_without_changing_the_level() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        busy = Answer(kind=OutcomeKind.SERVER_ERROR, http_status=503, retry_after_seconds=5)
        throttle.heard(busy, sent_at=clock())
        await throttle.acquire(CHECK)
        assert clock() == pytest.approx(5, abs=0.2)
        began = clock()
        for _ in range(30):
            await throttle.acquire(CHECK)
        assert clock() - began <= 31 / 9.9

    throttled(act)


def test_what_the_headers_say_slows_down() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        said = Allowance(remaining=20, reset_seconds=11)
        throttle.heard(Answer(kind=OutcomeKind.SUCCESS, allowance=said), sent_at=clock())
        for _ in range(5):
            await throttle.acquire(CHECK)
        assert clock() >= 2

    throttled(act)


def test_an_endpoints_own_rate_has_headroom_too() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        assert throttle.wait_seconds(CHECK) == 0
        await throttle.acquire(CHECK)
        assert throttle.wait_seconds(CHECK) == pytest.approx(1.25, rel=0.05)
        assert throttle.wait_seconds(DATE) == 0

    throttled(act, rate_per_second_by_endpoint={CHECK: 1.0}, headroom=0.2)


def test_timeouts_and_slow_answers_change_the_slots() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        before = throttle.slots()
        throttle.heard(TIMEOUT, sent_at=clock())
        assert throttle.slots() < before

    throttled(act, rate_per_second=100)


def test_after_a_server_stood_still_as_much_less_is_started() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        for _ in range(20):
            await throttle.acquire(CHECK)
            throttle.heard(OK, sent_at=clock() - 0.05)
        stood_still = clock()
        await asyncio.sleep(3)
        for _ in range(4):
            throttle.heard(OK, sent_at=stood_still)
        began = clock()
        await throttle.acquire(CHECK)
        assert clock() - began >= 0.3

    throttled(act)


def test_the_pulse_keeps_the_limit_and_hears_of_a_lagging_loop() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        for _ in range(8):
            throttle.pulse(0.0)
            await asyncio.sleep(0.25)
        assert throttle.taken().limit_per_second == [10.0, 10.0, 10.0]
        before = throttle.slots()
        for _ in range(50):
            throttle.heard(OK, sent_at=clock() - 9)
        throttle.pulse(1.0)
        await asyncio.sleep(0.3)
        assert throttle.slots() == before

    throttled(act)


def test_a_slow_answer_among_others_costs_nothing() -> None:
    async def act(throttle: Throttle, clock: Callable[[], float]) -> None:
        for _ in range(40):
            await throttle.acquire(CHECK)
            throttle.heard(OK, sent_at=clock() - 0.05)
            throttle.heard(OK, sent_at=clock() - 2.0)
            throttle.heard(OK, sent_at=clock() - 0.05)
        began = clock()
        await throttle.acquire(CHECK)
        assert clock() - began < 0.2

    throttled(act)
