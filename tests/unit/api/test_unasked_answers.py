"""Answers that nobody asked for, or that were meant for another request, are no number's answer."""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Any

import aiohttp
import pytest

from batch_screen.api.client import ANOTHERS, Client
from batch_screen.model import Answer, OutcomeKind
from tests.unit.api.servers import (
    FALSE,
    OK,
    TRUE,
    asked,
    lookup,
    one_by_one,
    read_request,
    whole,
)

UNASKED = {
    "another answer": [whole(FALSE)],
    "two of them": [whole(FALSE) + whole(FALSE)],
    "an answer without its body": [OK + b"Content-Length: 17\r\n\r\n"],
    "an answer in two pieces": [whole(FALSE)[:-4], whole(FALSE)[-4:]],
    "an interim answer": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "an upgrade": [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + whole(FALSE)],
    "line ends and an answer": [b"\r\n\r\n" + whole(FALSE)],
    "an error": [whole(b"", head=b"HTTP/1.1 408 Request Timeout\r\n")],
    "noise": [b"\x00\xff\x16\x03"],
    "a body alone": [FALSE],
}


@pytest.mark.parametrize("pause", [None, 0.01], ids=["at once", "later"])
@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
def test_what_is_said_unasked_is_no_answer(unasked: list[bytes], pause: float | None) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(whole(TRUE) + (b"".join(unasked) if pause is None else b""))
            for piece in unasked if pause else ():
                await asyncio.sleep(pause)
                writer.write(piece)
            await writer.drain()

    answers = asked(exchange, one_by_one(4, pause=0.05))
    # What comes with the answer itself may make nonsense of it, but never another answer.
    assert {a.swapped for a in answers} <= {True, None}
    if pause:
        assert [a.swapped for a in answers] == [True] * 4


def test_what_comes_while_the_loop_is_busy_is_no_answer_either() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(whole(TRUE))
            await asyncio.sleep(0.02)
            writer.write(whole(FALSE))
            time.sleep(0.05)  # noqa: ASYNC251 (the loop must not see what was sent)

    async def ask(client: Client) -> list[bool | None]:
        answers = []
        for number in range(4):
            answers.append((await client.ask(lookup(number), "c")).swapped)
            await asyncio.sleep(0.02)
        return answers

    assert asked(exchange, ask) == [True] * 4


def test_an_extra_answer_that_meets_the_next_question_is_known_by_its_correlator() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            correlator = re.search(rb"x-correlator: \S+", request)
            assert correlator
            for body in (TRUE, FALSE):
                writer.write(whole(body, correlator[0]))
                await writer.drain()
                await asyncio.sleep(0.01)

    answers = asked(exchange, one_by_one(6))
    kinds = {(a.kind, a.reason, a.swapped) for a in answers}
    assert kinds == {
        (OutcomeKind.SUCCESS, None, True),
        (OutcomeKind.UNREACHABLE, ANOTHERS, None),
    }
    assert answers[0].swapped is True


@pytest.mark.parametrize("seed", range(3))
def test_no_number_gets_anothers_answer(seed: int) -> None:
    chance = random.Random(seed)

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = b""
        while True:
            request = await read_request(reader)
            correlator = re.search(rb"x-correlator: \S+", request)
            assert correlator
            answer = whole(TRUE if b'0",' in request else FALSE, correlator[0])
            if last and chance.random() < 0.2:
                writer.write(last)  # a proxy's late answer to the question before
                await asyncio.sleep(chance.random() / 200)
            last = answer
            await asyncio.sleep(chance.random() / 500)
            writer.write(answer)
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() / 200)
                writer.write(answer)

    async def ask(client: Client) -> list[tuple[bool, bool | None]]:
        first = await client.ask(lookup(0), "first")  # the server shows that it repeats
        assert first.swapped is True

        async def worker(which: int) -> list[tuple[bool, bool | None]]:
            return [
                (n % 10 == 0, (await client.ask(lookup(n), f"{which}-{n}")).swapped)
                for n in range(60)
            ]

        return [pair for each in await asyncio.gather(*map(worker, range(6))) for pair in each]

    pairs = asked(exchange, ask)
    assert [pair for pair in pairs if pair[1] not in (pair[0], None)] == []
    assert sum(said is not None for _, said in pairs) > 30, "something was asked and answered"


def test_a_correlator_of_the_servers_own_is_no_reason_to_doubt() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(whole(TRUE, b"X-Correlator: of-the-gateway"))

    assert [a.swapped for a in asked(exchange, one_by_one(3))] == [True] * 3


def test_some_nodes_repeat_ours_and_some_add_their_own(caplog: pytest.LogCaptureFixture) -> None:
    requests = 0

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            request = await read_request(reader)
            ours = re.search(rb"x-correlator: \S+", request)
            assert ours
            requests += 1
            nodes = [ours[0]], [b"x-correlator: node-%d" % requests], [b"x-correlator: gw", ours[0]]
            writer.write(whole(TRUE, *nodes[requests % 3]))

    answers = asked(exchange, one_by_one(60))
    assert {(a.kind, a.swapped) for a in answers} == {(OutcomeKind.SUCCESS, True)}
    assert requests == 60
    (line,) = caplog.messages
    assert "never sent" in line
    assert not re.search(r"node-|gw|correlator-\d", line)


def second_answer(status: int, correlator: bytes) -> Answer:
    """The answer to the second question, ``correlator-1``, which bears that one."""

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(whole(TRUE, b"x-correlator: correlator-0"))
        await read_request(reader)
        head = b"HTTP/1.1 %d So\r\n" % status
        writer.write(whole(FALSE, b"x-correlator: " + correlator, head=head))

    answers = asked(exchange, one_by_one(2))
    assert answers[0].swapped is True
    return answers[1]


EVERY_STATUS = (200, 202, 302, 400, 401, 402, 403, 404, 408, 418, 422, 429, 500, 501, 503, 599)


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_an_answer_with_a_correlator_that_was_never_sent_is_read_as_any(status: int) -> None:
    answer = second_answer(status, b"other")
    assert answer == second_answer(status, b"correlator-1")
    assert answer.http_status == status


@pytest.mark.parametrize("status", [401, 402, 408, 429, 500, 503, 599])
def test_a_dead_key_and_an_outage_concern_everybody(status: int) -> None:
    assert second_answer(status, b"correlator-0").http_status == status


@pytest.mark.parametrize("status", [200, 202, 302, 400, 403, 404, 418, 422, 501])
def test_what_concerns_a_lookup_concerns_no_other(status: int) -> None:
    assert second_answer(status, b"correlator-0") == Answer(
        kind=OutcomeKind.UNREACHABLE, reason=ANOTHERS
    )


def test_a_late_answer_to_an_earlier_attempt_for_the_same_number_is_anothers() -> None:
    late = b""

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal late
        request = await read_request(reader)
        found = re.search(rb"x-correlator: \S+", request)
        assert found
        if not late:  # a gateway that gives the answer to whoever asks next
            late = found[0]
            await reader.read()
        writer.write(whole(FALSE, late))
        late = found[0]

    async def ask(client: Client) -> list[Answer]:
        return [await client.ask(lookup(), f"attempt-{n}") for n in range(2)]

    first, second = asked(exchange, ask, timeout_seconds=0.2)
    assert first.kind is OutcomeKind.TIMEOUT
    assert (second.kind, second.reason) == (OutcomeKind.UNREACHABLE, ANOTHERS)


def test_the_answer_to_one_that_is_under_way_beside_it_is_anothers() -> None:
    waiting: list[tuple[asyncio.StreamWriter, bytes]] = []

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = re.search(rb"x-correlator: \S+", await read_request(reader))
        assert found
        waiting.append((writer, found[0]))
        if len(waiting) == 2:  # each gets what is the other's
            for (to, _), (_, correlator) in zip(waiting, reversed(waiting), strict=True):
                to.write(whole(TRUE, correlator))
        await reader.read()

    async def ask(client: Client) -> list[Answer]:
        return await asyncio.gather(*(client.ask(lookup(n), f"c-{n}") for n in range(2)))

    assert {a.reason for a in asked(exchange, ask)} == {ANOTHERS}


def test_no_request_is_under_way_when_it_is_over_whatever_came_of_it() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            number = re.search(rb"\+\d+(\d)\"", request)
            assert number
            if number[1] == b"1":
                return  # hangs up
            if number[1] != b"2":  # which gets no answer in time
                writer.write(b"noise\r\n\r\n" if number[1] == b"3" else whole(TRUE))

    async def ask(client: Client) -> set[str]:
        asking = [asyncio.ensure_future(client.ask(lookup(n), f"c-{n}")) for n in range(5)]
        await asyncio.sleep(0.05)
        under_way = set(client._correlators._under_way)
        given_up = asyncio.ensure_future(client.ask(lookup(2), "given-up"))
        await asyncio.sleep(0.05)
        given_up.cancel()
        await asyncio.gather(*asking, given_up, return_exceptions=True)
        assert not client._correlators._under_way
        return under_way

    assert asked(exchange, ask, timeout_seconds=0.3) == {"c-2"}


NAMED = b'{"swapped":false,"phoneNumber":"%b"}'


@pytest.mark.parametrize("shows", ["correlator", "number", "status"])
def test_a_connection_that_is_out_of_step_is_not_used_again(shows: str) -> None:
    connections = 0

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        is_first, behind = connections == 1, b""
        while True:
            request = await read_request(reader)
            correlator = re.search(rb"x-correlator: \S+", request)
            number = re.search(rb"\+\d+", request)
            assert correlator
            assert number
            headers = [correlator[0]] if shows == "correlator" else []
            body = NAMED % number[0] if shows == "number" else FALSE
            answer = whole(body, *headers)
            if shows == "status" and is_first and behind:
                writer.write(whole(b"", head=b"HTTP/1.1 421 Misdirected Request\r\n"))
            else:
                writer.write(behind if is_first and behind else answer)
            behind = answer  # from the second question on, each gets the answer to the one before

    answers = asked(exchange, one_by_one(4))
    assert [a.swapped for a in answers] == [False, None, False, False]
    reasons = {"correlator": ANOTHERS, "number": "another_number", "status": "misdirected"}
    assert answers[1].reason == reasons[shows]
    assert connections == 2


def test_a_server_that_speaks_first_has_answered_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = aiohttp.TCPConnector._create_connection  # type: ignore[misc]

    async def slowly(*args: Any) -> Any:
        protocol = await connect(*args)
        await asyncio.sleep(0.02)  # so that what it says has come
        return protocol

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
    connections = 0

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(whole(FALSE))
        await reader.read()

    (answer,) = asked(exchange, one_by_one(1))
    assert (answer.kind, answer.reason) == (OutcomeKind.UNREACHABLE, "connection_lost")
    assert connections == 1


def test_an_answer_after_the_timeout_is_nobodys() -> None:
    connections = 0

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        is_late = connections == 1
        while True:
            await read_request(reader)
            await asyncio.sleep(0.3 if is_late else 0)
            writer.write(whole(FALSE if is_late else TRUE))

    answers = asked(exchange, one_by_one(4, pause=0.1), timeout_seconds=0.2)
    assert answers[0].kind is OutcomeKind.TIMEOUT
    assert [a.swapped for a in answers] == [None, True, True, True]
    assert connections == 2


def test_a_connection_that_was_closed_meanwhile_costs_no_attempt() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(whole(TRUE))  # and hangs up without having said that it would

    async def ask(client: Client) -> list[Answer]:
        answers = []
        for _ in range(5):
            answers.append(await client.ask(lookup(), "c"))
            time.sleep(0.01)  # noqa: ASYNC251 (the loop must not see the end coming)
        return answers

    assert [a.swapped for a in asked(exchange, ask)] == [True] * 5
