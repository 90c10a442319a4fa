"""Servers that say more than they were asked, later or earlier, and never stop."""

from __future__ import annotations

import asyncio
import random
import re
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection as AiohttpConnection
from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from batch_screen.api.answers import MAX_BODY_BYTES
from batch_screen.api.client import ANOTHERS, Client
from batch_screen.api.deadline import Deadlines
from batch_screen.api.transport import (
    Connection,
    MalformedError,
    QuietConnector,
    Reply,
    Transport,
    parse_simple_response,
)
from batch_screen.config.sections import Api
from batch_screen.model import Answer, Endpoint, Lookup, OutcomeKind

KEY = "s3cret-api-key"
OK = b"HTTP/1.1 200 OK\r\n"
TRUE, FALSE = b'{"swapped":true}', b'{"swapped":false}'
PEAK_BYTES = 24 * 2**20

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def whole(body: bytes, *headers: bytes, head: bytes = OK) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def lookup(number: int = 0) -> Lookup:
    return Lookup(f"+4930231250{number:02}", Endpoint.SIM_SWAP_CHECK, 2400)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def asked(talk: Talk, ask: Callable[[Client], Awaitable[Any]], **api: Any) -> Any:
    """What asking brings back from a server that talks so on each of its connections."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has hung up
        finally:
            writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            async with Client(Api(base_url=url, **api), KEY, max_connections=8) as client:
                async with asyncio.timeout(30):  # a failure, not a test without end
                    return await ask(client)
        finally:
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for other in others:
                other.cancel()
            await asyncio.wait(others or {asyncio.ensure_future(asyncio.sleep(0))})

    return asyncio.run(run())


def one_by_one(count: int, pause: float = 0.0) -> Callable[[Client], Awaitable[list[Answer]]]:
    async def ask(client: Client) -> list[Answer]:
        answers = []
        for number in range(count):
            answers.append(await client.ask(lookup(number), f"correlator-{number}"))
            await asyncio.sleep(pause)
        return answers

    return ask


# --- Answers that nobody asked for -------------------------------------------------------

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
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(whole(TRUE) + (b"".join(unasked) if pause is None else b""))
            for piece in unasked if pause else ():
                await asyncio.sleep(pause)
                writer.write(piece)
            await writer.drain()

    answers = asked(talk, one_by_one(4, pause=0.05))
    # What comes with the answer itself may make nonsense of it, but never another answer.
    assert {a.swapped for a in answers} <= {True, None}
    if pause:
        assert [a.swapped for a in answers] == [True] * 4


def test_what_comes_while_the_loop_is_busy_is_no_answer_either() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    assert asked(talk, ask) == [True] * 4


def test_an_extra_answer_that_meets_the_next_question_is_known_by_its_correlator() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            correlator = re.search(rb"x-correlator: \S+", request)
            assert correlator
            for body in (TRUE, FALSE):
                writer.write(whole(body, correlator[0]))
                await writer.drain()
                await asyncio.sleep(0.01)

    answers = asked(talk, one_by_one(6))
    kinds = {(a.kind, a.reason, a.swapped) for a in answers}
    assert kinds == {
        (OutcomeKind.SUCCESS, None, True),
        (OutcomeKind.UNREACHABLE, ANOTHERS, None),
    }
    assert answers[0].swapped is True


@pytest.mark.parametrize("seed", range(3))
def test_no_number_gets_anothers_answer(seed: int) -> None:
    chance = random.Random(seed)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    pairs = asked(talk, ask)
    assert [pair for pair in pairs if pair[1] not in (pair[0], None)] == []
    assert sum(said is not None for _, said in pairs) > 30, "something was asked and answered"


def test_a_correlator_of_the_servers_own_is_no_reason_to_doubt() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(whole(TRUE, b"X-Correlator: of-the-gateway"))

    assert [a.swapped for a in asked(talk, one_by_one(3))] == [True] * 3


def test_some_nodes_repeat_ours_and_some_add_their_own(caplog: pytest.LogCaptureFixture) -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            request = await read_request(reader)
            ours = re.search(rb"x-correlator: \S+", request)
            assert ours
            requests += 1
            nodes = [ours[0]], [b"x-correlator: node-%d" % requests], [b"x-correlator: gw", ours[0]]
            writer.write(whole(TRUE, *nodes[requests % 3]))

    answers = asked(talk, one_by_one(60))
    assert {(a.kind, a.swapped) for a in answers} == {(OutcomeKind.SUCCESS, True)}
    assert requests == 60
    (line,) = caplog.messages
    assert "never sent" in line
    assert not re.search(r"node-|gw|correlator-\d", line)


def second_answer(status: int, correlator: bytes) -> Answer:
    """The answer to the second question, ``correlator-1``, which bears that one."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(whole(TRUE, b"x-correlator: correlator-0"))
        await read_request(reader)
        head = b"HTTP/1.1 %d So\r\n" % status
        writer.write(whole(FALSE, b"x-correlator: " + correlator, head=head))

    answers = asked(talk, one_by_one(2))
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

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    first, second = asked(talk, ask, timeout_seconds=0.2)
    assert first.kind is OutcomeKind.TIMEOUT
    assert (second.kind, second.reason) == (OutcomeKind.UNREACHABLE, ANOTHERS)


def test_the_answer_to_one_that_is_under_way_beside_it_is_anothers() -> None:
    waiting: list[tuple[asyncio.StreamWriter, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = re.search(rb"x-correlator: \S+", await read_request(reader))
        assert found
        waiting.append((writer, found[0]))
        if len(waiting) == 2:  # each gets what is the other's
            for (to, _), (_, correlator) in zip(waiting, reversed(waiting), strict=True):
                to.write(whole(TRUE, correlator))
        await reader.read()

    async def ask(client: Client) -> list[Answer]:
        return await asyncio.gather(*(client.ask(lookup(n), f"c-{n}") for n in range(2)))

    assert {a.reason for a in asked(talk, ask)} == {ANOTHERS}


def test_no_request_is_under_way_when_it_is_over_whatever_came_of_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    assert asked(talk, ask, timeout_seconds=0.3) == {"c-2"}


NAMED = b'{"swapped":false,"phoneNumber":"%b"}'


@pytest.mark.parametrize("tells", ["correlator", "number", "status"])
def test_a_connection_that_is_out_of_step_is_not_used_again(tells: str) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        is_first, behind = connections == 1, b""
        while True:
            request = await read_request(reader)
            correlator = re.search(rb"x-correlator: \S+", request)
            number = re.search(rb"\+\d+", request)
            assert correlator
            assert number
            headers = [correlator[0]] if tells == "correlator" else []
            body = NAMED % number[0] if tells == "number" else FALSE
            answer = whole(body, *headers)
            if tells == "status" and is_first and behind:
                writer.write(whole(b"", head=b"HTTP/1.1 421 Misdirected Request\r\n"))
            else:
                writer.write(behind if is_first and behind else answer)
            behind = answer  # from the second question on, each gets the answer to the one before

    answers = asked(talk, one_by_one(4))
    assert [a.swapped for a in answers] == [False, None, False, False]
    reasons = {"correlator": ANOTHERS, "number": "another_number", "status": "misdirected"}
    assert answers[1].reason == reasons[tells]
    assert connections == 2


def test_a_server_that_speaks_first_has_answered_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = aiohttp.TCPConnector._create_connection  # type: ignore[misc]

    async def slowly(*args: Any) -> Any:
        protocol = await connect(*args)
        await asyncio.sleep(0.02)  # so that what it says has come
        return protocol

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(whole(FALSE))
        await reader.read()

    (answer,) = asked(talk, one_by_one(1))
    assert (answer.kind, answer.reason) == (OutcomeKind.UNREACHABLE, "connection_lost")
    assert connections == 1


def test_an_answer_after_the_timeout_is_nobodys() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        is_late = connections == 1
        while True:
            await read_request(reader)
            await asyncio.sleep(0.3 if is_late else 0)
            writer.write(whole(FALSE if is_late else TRUE))

    answers = asked(talk, one_by_one(4, pause=0.1), timeout_seconds=0.2)
    assert answers[0].kind is OutcomeKind.TIMEOUT
    assert [a.swapped for a in answers] == [None, True, True, True]
    assert connections == 2


def test_a_connection_that_was_closed_meanwhile_costs_no_attempt() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(whole(TRUE))  # and hangs up without having said that it would

    async def ask(client: Client) -> list[Answer]:
        answers = []
        for _ in range(5):
            answers.append(await client.ask(lookup(), "c"))
            time.sleep(0.01)  # noqa: ASYNC251 (the loop must not see the end coming)
        return answers

    assert [a.swapped for a in asked(talk, ask)] == [True] * 5


# --- Answers without end and without measure ---------------------------------------------


def endless(head: bytes, again: bytes, pause: float = 0.0) -> Talk:
    """Says the head, and then the same for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return talk


SPACE = b" " * 65_536
FLOODS = {
    "a body": (OK + b"Content-Length: 1073741824\r\n\r\n", SPACE),
    "a body until the end": (OK + b"\r\n", SPACE),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + SPACE + b"\r\n"),
    "one huge chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n40000000\r\n", SPACE),
    "chunks of a byte": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 4_000),
    "a chunk's extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65_536),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 4_000),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000),
    "hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1_000),
    "headers": (OK, b"X-Header: value\r\n" * 4_000),
    "a header": (OK + b"X: ", b"x" * 65_536),
    "a header's name": (OK, b"X" * 65_536),
    "a reason": (b"HTTP/1.1 200 ", b"OK " * 20_000),
    "a version": (b"HTTP/", b"1" * 65_536),
    "folded lines": (OK + b"X: y\r\n", b" z\r\n" * 10_000),
    "empty lines": (b"", b"\r\n" * 30_000),
    "an error's body": (b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_in_time_and_takes_little_memory(flood: tuple[bytes, bytes]) -> None:
    tracemalloc.start()
    try:
        began = time.monotonic()
        (answer,) = asked(endless(*flood), one_by_one(1), timeout_seconds=0.4)
        assert time.monotonic() - began < 5
        assert tracemalloc.get_traced_memory()[1] < PEAK_BYTES
    finally:
        tracemalloc.stop()
    assert answer.kind is not OutcomeKind.SUCCESS
    assert answer.swapped is None


DRIPS = {
    "a body": (OK + b"Content-Length: 9999\r\n\r\n", b" "),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a header": (OK + b"X: ", b"x"),
    "a status line": (b"HTTP/1.1 2", b"0"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_drip_ends_in_time(drip: tuple[bytes, bytes]) -> None:
    began = time.perf_counter()
    (answer,) = asked(endless(*drip, pause=0.02), one_by_one(1), timeout_seconds=0.3)
    assert time.perf_counter() - began < 2
    assert answer.kind in (OutcomeKind.TIMEOUT, OutcomeKind.BAD_RESPONSE)


def test_an_error_that_drips_gives_its_slot_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_screen.api.transport._ERROR_BODY_SECONDS", 0.1)
    head = b"HTTP/1.1 422 No\r\nContent-Length: 9999\r\n\r\n"
    began = time.perf_counter()
    (answer,) = asked(endless(head, b" ", pause=0.02), one_by_one(1), timeout_seconds=30)
    assert 0.1 <= time.perf_counter() - began < 2
    assert (answer.kind, answer.http_status) == (OutcomeKind.NOT_APPLICABLE, 422)


# --- Every cut and every odd frame -------------------------------------------------------

BODY = b'{"swapped": true, "more": [1, {"x": "}"}]}'
FRAMES = {
    "length": whole(BODY),
    "chunked": OK
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, BODY[:10], len(BODY) - 10, BODY[10:]),
    "until the end": OK + b"Connection: close\r\n\r\n" + BODY,
}


def sayings(texts: Iterable[bytes]) -> Talk:
    """Says one text on each connection and hangs up."""
    left = iter(texts)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(next(left))

    return talk


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_only_the_whole_answer_is_a_success(frame: bytes) -> None:
    cuts = [frame[:length] for length in range(len(frame) + 1)]
    answers = asked(sayings(cuts), one_by_one(len(cuts)))
    successes = [n for n, answer in enumerate(answers) if answer.kind is OutcomeKind.SUCCESS]
    assert successes == [len(frame)]
    assert {a.swapped for a in answers[:-1]} == {None}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (TRUE, "malformed_http"),  # HTTP/0.9
        (b"200 OK\r\nContent-Length: 16\r\n\r\n" + TRUE, "malformed_http"),
        (OK + b"Content-Length: -16\r\n\r\n" + TRUE, "malformed_http"),
        (OK + b"Content-Length: +16\r\n\r\n" + TRUE, "malformed_http"),
        (OK + b"Content-Length: 16, 16\r\n\r\n" + TRUE, "malformed_http"),
        (OK + b"Content-Length: 0x10\r\n\r\n" + TRUE, "malformed_http"),
        (OK + b"Content-Length: 5\r\n\r\n" + TRUE, None),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n10\r\n" + TRUE + b"\r\n", None),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + TRUE, None),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n" + TRUE, None),
        (OK + b"X\0Y: z\r\nContent-Length: 16\r\n\r\n" + TRUE, "malformed_http"),
    ],
)
def test_odd_frames_hold_no_answer(said: bytes, reason: str | None) -> None:
    (answer,) = asked(sayings([said]), one_by_one(1), timeout_seconds=0.5)
    assert answer.kind is not OutcomeKind.SUCCESS
    assert reason is None or answer.reason == reason


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/0.9 200 OK\r\n\r\n" + TRUE,
        b"HTTP/2.0 200 OK\r\n\r\n" + TRUE,
        OK + b"Content-Length : 16\r\n\r\n" + TRUE,
        OK + b"Content-Encoding: gzip\r\nContent-Length: 16\r\n\r\n" + TRUE,
    ],
)
def test_a_whole_answer_in_a_careless_frame_is_read_as_it_stands(said: bytes) -> None:
    (answer,) = asked(sayings([said]), one_by_one(1))
    assert answer.swapped is True


@pytest.mark.parametrize("status", [101, 201, 202, 203, 204, 205, 206, 207, 226, 304])
def test_a_success_of_another_kind_is_none(status: int) -> None:
    (answer,) = asked(sayings([whole(TRUE, head=b"HTTP/1.1 %d Well\r\n" % status)]), one_by_one(1))
    assert answer.kind is OutcomeKind.BAD_RESPONSE
    assert answer.swapped is None


@pytest.mark.parametrize("status", [200, 301, 302, 303, 307, 308, 401, 503])
def test_the_key_goes_to_no_other_origin(status: int) -> None:
    elsewhere = []

    async def run() -> Answer:
        async def caught(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            elsewhere.append(writer)
            writer.close()

        trap = await asyncio.start_server(caught, "127.0.0.1", 0)
        host = b"127.0.0.1:%d" % trap.sockets[0].getsockname()[1]
        said = whole(
            TRUE,
            b"Location: http://%b/x" % host,
            b"Content-Location: http://%b/x" % host,
            b"Refresh: 0; url=http://%b/x" % host,
            b'Alt-Svc: http/1.1="%b"; ma=99, h2="%b"' % (host, host),
            b"Link: <http://%b/x>; rel=preload" % host,
            b"Set-Cookie: a=b; Domain=127.0.0.1",
            b"Strict-Transport-Security: max-age=99",
            b'WWW-Authenticate: Basic realm="http://%b"' % host,
            head=b"HTTP/1.1 %d Go\r\n" % status,
        )

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(3):
                assert b"Cookie" not in await read_request(reader)
                writer.write(said)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(Api(base_url=url), KEY, max_connections=2) as client:
            answers = [await client.ask(lookup(), "c") for _ in range(3)]
            await asyncio.sleep(0.05)
        for each in (server, trap):
            each.close()
        assert len({(a.kind, a.reason) for a in answers}) == 1
        return answers[0]

    answer = asyncio.run(run())
    assert not elsewhere
    assert (answer.swapped is True) == (status == 200)
    assert (answer.reason == "redirect") == (300 < status < 400)


# --- Idle connections -------------------------------------------------------------------


async def keep_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(whole(TRUE))


def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await keep_answering(reader, writer)

    async def ask(client: Client) -> None:
        client._connector._keep_alive_seconds = 0.1
        for pause in (0.0, 0.2, 0.0):
            answer = await client.ask(lookup(), "c")
            assert answer.swapped is True
            await asyncio.sleep(pause)

    asked(talk, ask)
    assert len(connections) == 2


def test_whoever_waits_for_a_connection_gets_the_one_that_becomes_free() -> None:
    async def ask(client: Client) -> list[Answer]:
        client._connector._limit = 1
        return await asyncio.gather(*(client.ask(lookup(n), f"c{n}") for n in range(5)))

    assert [answer.swapped for answer in asked(keep_answering, ask)] == [True] * 5


def reply(*headers: bytes, body: bytes = b"{}", head: bytes = OK) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read_by_aiohttp(data: bytes) -> Reply | None:
    """What aiohttp's own parser makes of it; None if that is not one whole reply."""

    async def read() -> Reply | None:
        loop = asyncio.get_running_loop()
        parser = HttpResponseParser(
            Connection(loop), loop, 2**16, read_until_eof=True, auto_decompress=False
        )
        messages, _, _ = parser.feed_data(data)
        if len(messages) != 1:
            return None
        message, payload = messages[0]
        if not payload.is_eof() or message.should_close:
            return None
        return Reply(message.code, message.headers, payload.read_nowait())

    return asyncio.run(read())


def test_a_whole_reply_is_read() -> None:
    found = parse_simple_response(
        reply(b"X-Said: yes: no", b"empty:", b"Set-Cookie: a", b"Set-Cookie: b")
    )
    assert found is not None
    assert (found.status, found.body) == (200, b"{}")
    assert (found.headers["x-said"], found.headers["Empty"]) == ("yes: no", "")
    assert found == read_by_aiohttp(
        reply(b"X-Said: yes: no", b"empty:", b"Set-Cookie: a", b"Set-Cookie: b")
    )


def test_a_body_may_hold_any_bytes_and_none() -> None:
    for body in (b"", b"\xff\x00\r\n\r\n", "ü".encode()):
        found = parse_simple_response(reply(body=body))
        assert found is not None
        assert found.body == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        reply()[:-1],
        reply() + b" ",
        reply() + reply(),
        OK + b"\r\n{}",
        OK + b"X: y\r\n\r\n{}",
        reply(b"Content-Length: 2"),
        reply(b"Content-Length: 3"),
        reply(b"Transfer-Encoding: chunked"),
        reply(b"transfer-encoding: identity"),
        reply(b"Connection: close"),
        reply(b"Connection: keep-alive, close"),
        reply(b"Connection: keep-alive", b"connection: close"),
        reply(b"Connection: Upgrade", b"Upgrade: x"),
        reply(b"Upgrade: x"),
        reply(head=b"HTTP/1.0 200 OK\r\n"),
        reply(head=b"HTTP/2.0 200 OK\r\n"),
        reply(head=b"HTTP/1.1 200\r\n"),
        reply(head=b"HTTP/1.1 100 Continue\r\n"),
        reply(head=b"HTTP/1.1 101 Switching\r\n"),
        reply(head=b"HTTP/1.1 204 Nothing\r\n"),
        reply(head=b"HTTP/1.1 304 Not Modified\r\n"),
        reply(head=b"HTTP/1.1 2000 OK\r\n"),
        reply(head=b" HTTP/1.1 200 OK\r\n"),
        reply(head=b"\r\nHTTP/1.1 200 OK\r\n"),
        reply(b"X : y"),
        reply(b" folded"),
        reply(b"X: y\r\n folded"),
        reply(b"no colon"),
        reply(b": nameless"),
        reply(b"X: \xfc"),
        reply(b"X: \x00"),
        reply(b"X:\ty"),
        reply(b"X: y "),
        reply().replace(b"\r\n", b"\n"),
        OK + b"Content-Length: +2\r\n\r\n{}",
        OK + b"Content-Length: 2, 2\r\n\r\n{}",
        OK + b"Content-Length: \r\n\r\n",
        OK + b"Content-Length: " + "\u0662".encode("utf-8") + b"\r\n\r\n{}",
        reply(body=b" " * 9000),
    ],
)
def test_anything_else_is_left_to_aiohttp(data: bytes) -> None:
    assert parse_simple_response(data) is None


NAMES = st.sampled_from(["X-Said", "content-type", "Date", "x-correlator", "Connection", "_.~|"])
VALUES = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    st.sampled_from(["keep-alive", "Keep-Alive", "close", "chunked"]),
)


@given(
    st.sampled_from([200, 201, 404, 429, 500, 599]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.binary(max_size=20),
)
def test_what_is_read_is_what_aiohttp_reads(
    status: int, fields: list[tuple[str, str]], body: bytes
) -> None:
    headers = [f"{name}: {value}".encode() for name, value in fields]
    data = reply(*headers, body=body, head=b"HTTP/1.1 %d Well\r\n" % status)
    found = parse_simple_response(data)
    if found is not None:
        assert found == read_by_aiohttp(data)


@given(st.binary(max_size=60), st.integers(0, len(reply(b"X-Said: yes"))))
def test_damage_is_read_as_aiohttp_reads_it_or_not_at_all(noise: bytes, place: int) -> None:
    whole = reply(b"X-Said: yes")
    found = parse_simple_response(whole[:place] + noise + whole[place:])
    if found is not None:
        assert found == read_by_aiohttp(whole[:place] + noise + whole[place:])


REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Said: yes\r\n\r\n{}"


async def read_one_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def asked_once(
    talk: Talk, *, times: int = 1, through_proxy: bool = False, is_closed: bool = False
) -> list[Reply]:
    """The replies of a server, or of a proxy, that talks so on each of its connections.

    ``is_closed``: after each of them, as where it was somebody else's.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run() -> list[Reply]:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        here = URL(f"http://user:pass@127.0.0.1:{server.sockets[0].getsockname()[1]}")
        request = aiohttp.ClientRequest(
            "POST",
            URL("http://api.example/v1/x?y=1") if through_proxy else here.with_user(None) / "v1/x",
            headers={"apiKey": "k"},
            proxy=here if through_proxy else None,
            loop=loop,
        )
        async with server, QuietConnector(keepalive_timeout=15) as connector:
            wire = Transport(connector, Deadlines(), request, connect_timeout_seconds=1)
            limit = loop.time() + 2
            replies = []
            for n in range(times):
                reply, talk = await wire.ask(b'{"n":%d}' % n, f"c-{n}", limit)
                replies.append(reply)
                if is_closed:
                    talk.close()
            return replies

    return asyncio.run(run())


def heard(*, times: int = 1, through_proxy: bool = False) -> list[bytes]:
    """The requests as they arrive."""
    requests = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await read_one_request(reader))
            writer.write(REPLY)

    replies = asked_once(talk, times=times, through_proxy=through_proxy)
    assert [(r.status, r.headers["x-said"], r.body) for r in replies] == [
        (200, "yes", b"{}")
    ] * times
    return requests


def fields(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, body = request.split(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    named = [one.split(": ", 1) for one in lines]
    assert len({name.lower() for name, _ in named}) == len(named)  # none is said twice
    return line, dict(named), body


def test_what_is_sent() -> None:
    line, headers, body = fields(*heard())
    assert line == "POST /v1/x HTTP/1.1"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", headers["Host"])
    assert (headers["apiKey"], headers["x-correlator"]) == ("k", "c-0")
    assert (headers["Content-Length"], body) == ("7", b'{"n":0}')
    assert "Proxy-Authorization" not in headers


def test_a_connection_is_used_again_and_each_request_is_its_own() -> None:
    said = [fields(request) for request in heard(times=5)]
    assert [(h["x-correlator"], b) for _, h, b in said] == [
        (f"c-{n}", b'{"n":%d}' % n) for n in range(5)
    ]


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_connection_that_is_closed_after_its_reply_is_not_used_again(is_closed: bool) -> None:
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await read_one_request(reader)
            writer.write(REPLY)

    assert len(asked_once(talk, times=9, is_closed=is_closed)) == 9
    assert len(connections) == (9 if is_closed else 1)


def test_a_proxy_is_told_the_whole_address_and_its_own_password() -> None:
    line, headers, _ = fields(heard(through_proxy=True)[0])
    assert line == "POST http://api.example/v1/x?y=1 HTTP/1.1"
    assert headers["Host"] == "api.example"
    assert headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"
    assert [fields(r)[0] for r in heard(times=3, through_proxy=True)] == [line] * 3


def test_interim_replies_are_passed_over() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one_request(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + REPLY)

    (reply,) = asked_once(talk)
    assert (reply.status, reply.body) == (200, b"{}")


def test_a_body_is_cut_off_and_its_connection_not_used_again() -> None:
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await read_one_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        while True:
            writer.write(b" " * 10_000)
            await writer.drain()

    for reply in asked_once(talk, times=2):
        assert MAX_BODY_BYTES < len(reply.body) < 2 * MAX_BODY_BYTES
    assert len(connections) == 2


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\r\n\r\n", b"HTTP/1.1 yes\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
def test_what_is_no_http_is_named_so(noise: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one_request(reader)
        writer.write(noise)
        await writer.drain()
        await asyncio.sleep(0.1)

    with pytest.raises(MalformedError):
        asked_once(talk)


# --- Parts of aiohttp that its documentation does not promise ----------------------------


@contextmanager
def rests_on(part: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever a change leads to)
        pytest.fail(
            f"aiohttp {aiohttp.__version__} has changed {part}, which api/transport.py rests on "
            f"({error!r}): adapt it before the bound in pyproject.toml is raised"
        )


async def check_private_parts() -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.TCPConnector() as connector:
        with rests_on("TCPConnector._loop, the running loop"):
            assert connector._loop is loop
        with rests_on("TCPConnector._factory, which makes the protocol of each connection"):
            assert isinstance(connector._factory(), ResponseHandler)
        with rests_on("TCPConnector._waiters, which is empty while nobody waits"):
            assert not connector._waiters
        with rests_on("the signature of TCPConnector.connect"):
            assert [*signature(connector.connect).parameters] == ["req", "traces", "timeout"]
        with rests_on("the signature of TCPConnector.close"):
            assert [*signature(connector.close).parameters] == ["abort_ssl"]
    with rests_on("connector.Connection: its protocol and transport, close and release"):
        assert {"protocol", "transport", "close", "release"} <= {*dir(AiohttpConnection)}
    with rests_on("ClientRequest: its headers, url, proxy and is_ssl"):
        address, proxy = URL("http://host/path?x=1"), URL("http://proxy")
        made = aiohttp.ClientRequest("POST", address, headers={"a": "b"}, proxy=proxy, loop=loop)
        assert (made.headers["a"], made.url, made.proxy) == ("b", address, proxy)
        assert not made.is_ssl()
    talk = ResponseHandler(loop)
    with rests_on("ResponseHandler: no parser and no transport at first"):
        assert (talk._loop, talk._parser, talk.transport) == (loop, None, None)
        assert (talk.is_connected(), talk.should_close) == (False, False)
    with rests_on("ResponseHandler._parser, made by set_response_params, and what read brings"):
        talk.set_response_params(read_until_eof=True, auto_decompress=False)
        assert talk._parser is not None
        talk.data_received(whole(TRUE))
        message, payload = await talk.read()
        assert (message.code, message.headers["content-length"]) == (200, str(len(TRUE)))
        assert (payload.is_eof(), payload.read_nowait()) == (True, TRUE)
    with rests_on("ResponseHandler.should_close, true once bytes came while _parser was None"):
        assert not talk.should_close
        talk._parser = None
        talk.data_received(TRUE)
        assert talk.should_close
    with rests_on("ResponseHandler.read, which raises HttpProcessingError where no HTTP came"):
        talk = ResponseHandler(loop)
        talk.set_response_params(read_until_eof=True, auto_decompress=False)
        talk.data_received(b"220 ready\r\n\r\n")
        with pytest.raises(HttpProcessingError):
            await talk.read()


def test_the_private_parts_of_aiohttp_are_as_they_were() -> None:
    asyncio.run(check_private_parts())
