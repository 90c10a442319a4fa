from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable

import aiohttp
import pytest

from benchmarks.memory import ENDPOINTS
from benchmarks.pacing.oddities import ECHO, NEVER, REFUSAL, Oddity
from benchmarks.pacing.server import (
    ANSWERED_PATH,
    ARRIVALS_PATH,
    Judge,
    Ledger,
    OddJudge,
    endpoint_of,
)
from benchmarks.pacing.timetable import Timetable
from benchmarks.pacing.windows import Fixed

BASE = "/network-signal/v1"
SIM = "sim-swap/check"
Reply = tuple[int, dict[str, object], dict[str, str]]


def verdicts(limit: str, instants: list[float]) -> list[bool]:
    ledger = Ledger(Timetable.read(limit))
    return [ledger.accepts(1000.0 + instant) for instant in instants]


def test_a_second_accepts_as_many_as_the_limit_and_not_one_more() -> None:
    assert verdicts("2", [0.0, 0.5, 0.9, 0.99]) == [True, True, False, False]


def test_the_second_slides() -> None:
    assert verdicts("2", [0.0, 0.75, 1.0, 1.5, 1.75]) == [True, True, True, False, True]


def test_refused_requests_count_against_nobody() -> None:
    assert verdicts("1", [0.0, 0.25, 0.5, 0.75, 1.0]) == [True, False, False, False, True]


def test_the_limit_follows_its_timetable_from_the_first_request_on() -> None:
    changing = "1,2:3"
    assert verdicts(changing, [0.0, 0.5, 1.5, 2.5, 2.6, 2.7]) == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]
    assert verdicts("2,2:1", [1.5, 1.6, 3.5, 3.6]) == [True, True, True, False]


def test_every_request_is_written_down_in_the_order_of_time() -> None:
    ledger = Ledger(Timetable.read("1"))
    for instant in (5.0, 5.25, 5.125):
        ledger.accepts(instant)
    assert list(ledger.instants) == [5.0, 5.25, 5.25]
    assert list(ledger.verdicts) == [1, 0, 0]


@pytest.mark.parametrize("rate", [1, 7, 100])
def test_whoever_sends_evenly_below_the_limit_is_never_refused(rate: int) -> None:
    assert all(verdicts(str(rate), [turn / (0.99 * rate) for turn in range(20 * rate)]))


def test_the_ledger_counts_as_its_window_does() -> None:
    ledger = Ledger(Timetable.read("1"), Fixed())
    assert [ledger.accepts(at) for at in (10.75, 10.875, 11.0)] == [True, False, True]


def test_who_is_refused_whatever_the_limit_is_written_down_and_counts_against_nobody() -> None:
    ledger = Ledger(Timetable.read("1"))
    assert [ledger.accepts(10.0, is_refused=True), ledger.accepts(10.5)] == [False, True]
    assert list(ledger.verdicts) == [0, 1]


def asked(
    make: Callable[[], Judge], requests: Iterable[tuple[str, str]]
) -> tuple[list[Reply], list[bytes]]:
    """The replies to (endpoint, number) one after the other, and what the judge then says."""

    async def ask() -> tuple[list[Reply], list[bytes]]:
        judge = make()
        origin = f"http://127.0.0.1:{await judge.listen()}"
        replies: list[Reply] = []
        try:
            async with aiohttp.ClientSession(headers={"x-correlator": "mine"}) as session:
                for endpoint, number in requests:
                    url = f"{origin}{BASE}/{endpoint}"
                    async with session.post(url, json={"phoneNumber": number}) as reply:
                        replies.append((reply.status, await reply.json(), dict(reply.headers)))
                said = [await (await session.get(origin + p)).read() for p in PATHS]
        finally:
            await judge._runner.cleanup()
        return replies, said

    return asyncio.run(ask())


PATHS = (ARRIVALS_PATH, ANSWERED_PATH)


def odd_judge(*oddities: Oddity, limit: str = "1000") -> Callable[[], OddJudge]:
    return lambda: OddJudge(Ledger(Timetable.read(limit)), 0.0, oddities)


def test_every_endpoint_is_answered_as_the_api_would() -> None:
    replies, _ = asked(
        lambda: Judge(Ledger(Timetable.read("1000")), 0.0),
        [(endpoint, "+1") for endpoint in ENDPOINTS],
    )
    swap, date = {"swapped": False}, {"latestSimChange": None}
    assert [said for _, said, _ in replies] == [swap, date, swap, date, {"active": False}]
    assert {endpoint_of(f"{BASE}/{endpoint}") for endpoint in ENDPOINTS} == set(ENDPOINTS)


def test_an_odd_number_is_refused_once_and_the_judge_remembers_whom_it_answered() -> None:
    once = REFUSAL._replace(numbers=frozenset({"+1"}), times=1)
    replies, (arrivals, answered) = asked(odd_judge(once), [(SIM, n) for n in ("+1", "+2", "+1")])
    assert [status for status, _, _ in replies] == [429, 200, 200]
    assert replies[0][2]["Retry-After"] == "1"
    assert replies[0][1]["code"] == "TOO_MANY_REQUESTS"
    assert list(arrivals[-3:]) == [0, 1, 1]
    assert list(json.loads(answered)) == [f"{SIM} +2", f"{SIM} +1"]


def test_what_fails_counts_against_the_limit_and_what_is_refused_does_not() -> None:
    oddities = [
        Oddity(503, numbers=frozenset({"+1"}), code="AWAY"),
        Oddity(429, numbers=frozenset({"+2"})),
    ]
    numbers = ("+1", "+2", "+3", "+4")
    replies, (_, answered) = asked(odd_judge(*oddities, limit="2"), [(SIM, n) for n in numbers])
    assert [status for status, _, _ in replies] == [503, 429, 200, 429]
    assert replies[0][1]["code"] == "AWAY"
    assert ["Retry-After" in headers for _, _, headers in replies] == [False, False, False, True]
    assert list(json.loads(answered)) == [f"{SIM} +3"]


def test_a_good_answer_may_have_odd_headers() -> None:
    own = Oddity(headers=(("x-correlator", "its-own"),), numbers=frozenset({"+1"}))
    echo = Oddity(headers=(("x-correlator", ECHO),))
    replies, _ = asked(odd_judge(own, echo), [(SIM, "+1"), (SIM, "+2")])
    assert [headers["x-correlator"] for _, _, headers in replies] == ["its-own", "mine"]
    assert [said for _, said, _ in replies] == [{"swapped": False}] * 2


def test_what_is_never_answered_is_no_answer() -> None:
    async def hang() -> bytes:
        judge = odd_judge(Oddity(wait_seconds=NEVER))()
        url = f"http://127.0.0.1:{await judge.listen()}{BASE}/{SIM}"
        try:
            async with aiohttp.ClientSession() as session:
                with pytest.raises(TimeoutError):
                    await session.post(
                        url, json={"phoneNumber": "+1"}, timeout=aiohttp.ClientTimeout(0.1)
                    )
        finally:
            await judge._listener.shutdown(0.01)  # the handler would never end by itself
            await judge._runner.cleanup()
        return judge.report(ANSWERED_PATH)

    assert asyncio.run(hang()) == b"{}"
