"""The till fails as often as it should and counts what it answers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from benchmarks.pacing.server import STATE_PATH, Ledger
from benchmarks.pacing.timetable import Timetable
from benchmarks.peers.server import BOUGHT_PATH, FAILURES, Till

PATH = "/network-signal/v1/device-swap/check"
BODY = b'{"phoneNumber": "+447700900000", "maxAge": 2400}'


async def asked(failing_share: float, times: int) -> tuple[Till, Counter[int]]:
    till = Till(Ledger(Timetable.read("10")), 0.0, failing_share)
    return till, Counter(till.answer(PATH, BODY).status for _ in range(times))


def test_every_answer_is_counted_for_its_lookup() -> None:
    till, statuses = asyncio.run(asked(0.0, 3))
    assert statuses == {200: 3}
    assert json.loads(till.report(BOUGHT_PATH)) == {"device-swap/check +447700900000": 3}
    assert json.loads(till.report(STATE_PATH))["answered"] == 1


def test_a_failure_buys_nothing() -> None:
    till, statuses = asyncio.run(asked(1.0, 8))
    assert statuses == dict.fromkeys(FAILURES, 2)
    assert not till.bought


def test_the_share_of_failures_is_kept_and_the_same_each_time() -> None:
    _, first = asyncio.run(asked(0.01, 20_000))
    _, second = asyncio.run(asked(0.01, 20_000))
    assert first == second
    assert 150 < 20_000 - first[200] < 250
