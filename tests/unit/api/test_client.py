from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import traceback
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import client_exceptions, web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from batch_screen import __version__
from batch_screen.api.answers import MALFORMED_HTTP, MAX_BODY_BYTES, TRUNCATED, WORTH_ANOTHER_TRY
from batch_screen.api.client import PATHS, Client, body, url
from batch_screen.api.transport import MalformedError, Transport
from batch_screen.config.sections import Api, Dialect
from batch_screen.errors import ApiError, ConfigurationError
from batch_screen.model import CANNOT_CONNECT, Answer, Endpoint, Lookup, OutcomeKind
from tests.thoroughness import examples

KEY = "s3cret-api-key"
NUMBER = "+491713920012"
CHECK = Lookup(NUMBER, Endpoint.SIM_SWAP_CHECK, 2400)
SUCCESS = b'{"swapped": true}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Exchange = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def ask(api: Api, *, times: int = 1, at_once: int = 1, limit: int = 4) -> list[Answer]:
    async with Client(api, KEY, max_connections=limit) as client:
        answers = []
        for _ in range(times):
            batch = (client.ask(CHECK, f"correlator-{n}") for n in range(at_once))
            answers += await asyncio.gather(*batch)
    return answers


async def ask_at(server: TestServer, **kwargs: Any) -> Answer:
    (answer,) = await ask(Api(base_url=str(server.make_url("")), **kwargs))
    return answer


async def serve(handler: Handler, **kwargs: Any) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server(**kwargs)
    return server


def asked(handler: Handler, **kwargs: Any) -> Answer:
    """The answer to one attempt at a real server with this handler."""

    async def exchange() -> Answer:
        server = await serve(handler)
        try:
            return await ask_at(server, **kwargs)
        finally:
            await server.close()

    return asyncio.run(exchange())


def asked_raw(
    exchange: Exchange | bytes, *, times: int = 1, scheme: str = "http", **api: Any
) -> Answer:
    """The last answer to attempts at a server that talks bytes; bytes: say so and hang up."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(exchange, bytes)
        await read_request(reader)
        writer.write(exchange)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await (say if isinstance(exchange, bytes) else exchange)(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run() -> Answer:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            url = f"{scheme}://127.0.0.1:{port}"
            return (await ask(Api(base_url=url, **api), times=times))[-1]
        finally:
            server.close()
            await server.wait_closed()

    return asyncio.run(run())


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def short(answer: Answer) -> tuple[OutcomeKind, str | None, int | None]:
    assert KEY not in repr(answer)
    return answer.kind, answer.reason, answer.http_status


async def success(request: web.Request) -> web.Response:
    return web.Response(body=SUCCESS)


# --- What is sent ------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", Endpoint)
def test_a_request(endpoint: Endpoint) -> None:
    seen: list[tuple[web.Request, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request, await request.read()))
        return web.Response(status=404)

    async def run() -> Answer:
        server = await serve(handler)
        api = Api(base_url=f"{server.make_url('')}/base/")
        window = 240 if endpoint.takes_max_age else None
        async with Client(api, KEY, max_connections=1) as client:
            answer = await client.ask(Lookup(NUMBER, endpoint, window), "correlator-7")
        await server.close()
        return answer

    assert asyncio.run(run()).kind is OutcomeKind.NOT_FOUND
    ((request, body),) = seen
    assert request.method == "POST"
    assert request.raw_path == f"/base/{endpoint.value}"
    window = {"maxAge": 240} if endpoint.takes_max_age else {}
    assert json.loads(body) == {"phoneNumber": NUMBER, **window}
    headers = dict(request.headers)
    assert headers.pop("Host").startswith("127.0.0.1:")
    assert headers == {
        "apiKey": KEY,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"batch-screen/{__version__}",
        "x-correlator": "correlator-7",
        "Content-Length": str(len(body)),
    }


def test_cookies_are_not_kept() -> None:
    cookies = []

    async def handler(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        response = web.Response(body=SUCCESS)
        response.set_cookie("session", "1")
        return response

    async def run() -> None:
        server = await serve(handler)
        await ask(Api(base_url=str(server.make_url("")).replace("127.0.0.1", "localhost")), times=2)
        await server.close()

    asyncio.run(run())
    assert cookies == [None, None]


def test_connections_are_few_and_kept() -> None:
    peers, current, most = set(), 0, 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal current, most
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        current += 1
        most = max(most, current)
        await asyncio.sleep(0.005)
        current -= 1
        return web.Response(body=SUCCESS)

    async def run() -> list[Answer]:
        server = await serve(handler)
        answers = await ask(Api(base_url=str(server.make_url(""))), times=2, at_once=6, limit=3)
        await server.close()
        return answers

    assert {a.swapped for a in asyncio.run(run())} == {True}
    assert most == len(peers) == 3


def test_nothing_is_sent_twice_by_itself() -> None:
    requests = []

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK + b"Content-Length: 17\r\n\r\n" + SUCCESS)
        requests.append(await read_request(reader))  # and hangs up without an answer

    answer = asked_raw(exchange, times=2)
    assert short(answer) == (OutcomeKind.UNREACHABLE, "connection_lost", None)
    assert len(requests) == 2


# --- What comes back ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("leaves", [True, False])
def test_redirects_are_not_followed(status: int, leaves: bool) -> None:
    elsewhere, here = [], []

    async def other(request: web.Request) -> web.Response:
        elsewhere.append(request.headers.get("apiKey"))
        return web.Response(body=SUCCESS)

    async def run() -> Answer:
        second = await serve(other)

        async def handler(request: web.Request) -> web.Response:
            here.append(request.path)
            target = str(second.make_url("/x")) if leaves else "/x"
            return web.Response(status=status, headers={"Location": target})

        first = await serve(handler)
        answer = await ask_at(first)
        await first.close()
        await second.close()
        return answer

    assert short(asyncio.run(run())) == (OutcomeKind.BAD_RESPONSE, "redirect", status)
    assert here == ["/sim-swap/check"]
    assert not elsewhere


def test_an_endless_body_is_cut_off() -> None:
    sent = 0

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(OK + b"Content-Length: 999999999999\r\n\r\n")
        while True:
            writer.write(b" " * 65_536)
            await writer.drain()
            sent += 65_536

    assert short(asked_raw(exchange)) == (OutcomeKind.BAD_RESPONSE, "too_large", 200)
    assert sent < 64 * MAX_BODY_BYTES  # what fits into the buffers on the way


def test_a_large_body_is_not_read() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=SUCCESS.ljust(MAX_BODY_BYTES + 1))

    assert short(asked(handler)) == (OutcomeKind.BAD_RESPONSE, "too_large", 200)


ERRORS = [
    (400, OutcomeKind.REJECTED),
    (401, OutcomeKind.FORBIDDEN),
    (404, OutcomeKind.NOT_FOUND),
    (429, OutcomeKind.RATE_LIMITED),
    (503, OutcomeKind.SERVER_ERROR),
]


def error_head(status: int, framing: bytes = b"Content-Length: 70000") -> bytes:
    return b"HTTP/1.1 %d Error\r\nRetry-After: 7\r\n%s\r\n\r\n" % (status, framing)


def told_by_status(answer: Answer, status: int, kind: OutcomeKind) -> bool:
    return short(answer) == (kind, None, status) and answer.retry_after_seconds == 7.0


@pytest.mark.parametrize(("status", "kind"), ERRORS)
def test_an_error_with_a_large_body_is_told_by_its_status(status: int, kind: OutcomeKind) -> None:
    answer = asked_raw(error_head(status) + b"<html>".ljust(70_000))
    assert told_by_status(answer, status, kind)


@pytest.mark.parametrize(("status", "kind"), ERRORS)
@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 70000", b""),
        (b"Content-Length: 70000", b'{"code": "SLO'),
        (b"Transfer-Encoding: chunked", b"11\r\n" + SUCCESS + b"\r\n"),
    ],
)
def test_an_error_cut_short_is_told_by_its_status(
    status: int, kind: OutcomeKind, pause: float, framing: bytes, body: bytes
) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(error_head(status, framing))
        await asyncio.sleep(pause)
        writer.write(body)
        await asyncio.sleep(pause)

    assert told_by_status(asked_raw(exchange), status, kind)


@pytest.mark.parametrize("status", [200, 429])
def test_chunks_that_turn_into_nonsense(status: int) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(error_head(status, b"Transfer-Encoding: chunked"))
        await asyncio.sleep(0.02)
        writer.write(b"zz\r\n")
        await asyncio.sleep(0.02)

    answer = asked_raw(exchange, timeout_seconds=0.3)
    if status == 200:  # aiohttp goes on waiting where it could know better
        assert short(answer) in [LATE, CUT]
    else:
        assert told_by_status(answer, status, OutcomeKind.RATE_LIMITED)


@pytest.mark.parametrize(("status", "kind"), ERRORS)
def test_an_error_that_drips_is_told_by_its_status(status: int, kind: OutcomeKind) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(error_head(status) + b'{"code": "SLOW"}')
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    began = perf_counter()
    answer = asked_raw(exchange, timeout_seconds=0.3)
    assert perf_counter() - began < 5
    assert told_by_status(answer, status, kind)
    assert answer.code == "SLOW"  # what could be had


def test_an_error_reset_on_its_way_is_told_by_its_status() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(error_head(429))
        await writer.drain()
        await asyncio.sleep(0.02)
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert told_by_status(asked_raw(exchange), 429, OutcomeKind.RATE_LIMITED)


@pytest.mark.parametrize("said", [b"<html>".ljust(70_000), b"<html>"], ids=["large", "drips"])
def test_a_connection_whose_answer_was_not_read_whole_is_not_used_again(said: bytes) -> None:
    connections = 0

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(error_head(503, b"Content-Length: 9000000") + said)
        await writer.drain()
        await reader.read()  # until the client hangs up

    assert told_by_status(
        asked_raw(exchange, times=2, timeout_seconds=0.3), 503, OutcomeKind.SERVER_ERROR
    )
    assert connections == 2


def test_the_largest_body_is_read() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=SUCCESS.ljust(MAX_BODY_BYTES))

    assert asked(handler).swapped is True


BOMB = gzip.compress(SUCCESS + b" " * 32 * 2**20)


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [("gzip", "too_large"), ("deflate", "too_large"), ("br", "unknown_encoding")],
)
def test_a_bomb_is_not_unpacked(encoding: str, reason: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert len(BOMB) < MAX_BODY_BYTES
        return web.Response(body=BOMB, headers={"Content-Encoding": encoding})

    tracemalloc.start()
    try:
        assert short(asked(handler)) == (OutcomeKind.BAD_RESPONSE, reason, 200)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def framed(content: bytes, how: str, head: bytes = OK) -> bytes:
    """An answer of the plain kind, and two that are left to aiohttp's parser."""
    if how == "plain":
        return head + b"Content-Length: %d\r\n\r\n" % len(content) + content
    if how == "chunked":
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    return head + b"\r\n" + content


frames = pytest.mark.parametrize("how", ["plain", "chunked", "until the end"])


@frames
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"deflate", raw_deflate)],
)
def test_what_a_gateway_compresses_is_read(
    how: str, encoding: bytes, pack: Callable[[bytes], bytes]
) -> None:
    head = OK + b"Content-Encoding: %b\r\n" % encoding
    assert asked_raw(framed(pack(SUCCESS), how, head)).swapped is True
    cut = asked_raw(framed(pack(SUCCESS)[:-3], how, head))
    assert short(cut) == (OutcomeKind.BAD_RESPONSE, TRUNCATED, 200)


@frames
def test_an_error_that_a_gateway_compresses_is_read(how: str) -> None:
    head = b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Encoding: gzip\r\n"
    answer = asked_raw(framed(gzip.compress(b'{"code": "SLOW"}'), how, head))
    assert told_by_status(answer, 429, OutcomeKind.RATE_LIMITED)
    assert answer.code == "SLOW"
    bomb = asked_raw(framed(BOMB, how, head), timeout_seconds=2)
    assert told_by_status(bomb, 429, OutcomeKind.RATE_LIMITED)


def test_nothing_is_unpacked_where_no_header_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_screen.api.answers.unpacked", None)
    assert asked_raw(framed(SUCCESS, "plain")).swapped is True
    assert asked_raw(framed(gzip.compress(SUCCESS), "plain")).reason == "not_json"


def test_a_date_to_come_is_measured_by_the_clock_that_was_passed_in() -> None:
    when = datetime(2031, 5, 1, tzinfo=UTC)
    body = b'{"latestSimChange": "2031-05-01T00:04:00Z"}'

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(framed(body, "plain"))

    async def run() -> list[Answer]:
        server = await asyncio.start_server(exchange, "127.0.0.1", 0)
        api = Api(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        lookup = Lookup(NUMBER, Endpoint.SIM_SWAP_DATE)
        answers = []
        for clock in ({}, {"clock": lambda: when}, {"clock": lambda: when - timedelta(hours=1)}):
            async with Client(api, KEY, max_connections=1, **clock) as client:
                answers.append(await client.ask(lookup, "c"))
        server.close()
        return answers

    here, there, before = asyncio.run(run())
    assert there.latest_change_at == when + timedelta(minutes=4)
    for answer in (here, before):
        assert short(answer) == (OutcomeKind.BAD_RESPONSE, "future_date", 200)
        assert (answer.latest_change, answer.latest_change_raw) == (None, None)


def test_headers_reach_the_answer() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"RETRY-AFTER": "7"}, body=b'{"code": "SLOW"}')

    answer = asked(handler)
    assert short(answer) == (OutcomeKind.RATE_LIMITED, None, 429)
    assert (answer.retry_after_seconds, answer.code) == (7.0, "SLOW")


@pytest.mark.parametrize(
    ("said", "kind", "reason", "status"),
    [
        (b"", OutcomeKind.UNREACHABLE, "connection_lost", None),
        (b"HTTP/1.1 200", OutcomeKind.UNREACHABLE, "connection_lost", None),
        (OK, OutcomeKind.UNREACHABLE, "connection_lost", None),
        (OK + b"Content-Length: 17\r\n\r\n", OutcomeKind.BAD_RESPONSE, TRUNCATED, None),
        (OK + b"Content-Length: 17\r\n\r\n{}", OutcomeKind.BAD_RESPONSE, TRUNCATED, None),
        (OK + b"Content-Length: 18\r\n\r\n" + SUCCESS, OutcomeKind.BAD_RESPONSE, TRUNCATED, None),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n11\r\n" + SUCCESS + b"\r\n",
            OutcomeKind.BAD_RESPONSE,
            TRUNCATED,
            None,
        ),
        (OK + b'\r\n{"swapped"', OutcomeKind.BAD_RESPONSE, TRUNCATED, 200),
        (OK + b"Content-Length: 0\r\n\r\n", OutcomeKind.BAD_RESPONSE, "empty", 200),
        (OK + b"\r\n", OutcomeKind.BAD_RESPONSE, TRUNCATED, 200),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 17\r\n\r\n" + SUCCESS,
            OutcomeKind.SUCCESS,
            None,
            200,
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            OutcomeKind.BAD_RESPONSE,
            "unexpected_status",
            101,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", OutcomeKind.BAD_RESPONSE, "unexpected_status", 204),
    ],
)
def test_answers_cut_short(said: bytes, kind: OutcomeKind, reason: str | None, status: int) -> None:
    assert short(asked_raw(said)) == (kind, reason, status)


@pytest.mark.parametrize(
    "said",
    [
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        OK + b"Content-Length: many\r\n\r\n" + SUCCESS,
        OK + b"Content-Length: 17\r\nContent-Length: 18\r\n\r\n" + SUCCESS,
        OK + b"Content-Length: 17\r\nTransfer-Encoding: chunked\r\n\r\n" + SUCCESS,
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"X: " + b"x" * 20_000 + b"\r\n\r\n" + SUCCESS,
        OK + b"No colon here\r\n\r\n" + SUCCESS,
    ],
)
def test_malformed_http_is_no_invalid_number(said: bytes) -> None:
    # aiohttp reports it as if the server had answered 400.
    assert short(asked_raw(said)) == (OutcomeKind.BAD_RESPONSE, MALFORMED_HTTP, None)


@pytest.mark.parametrize(
    "said",
    [
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"x" + OK + b"Content-Length: 17\r\n\r\n" + SUCCESS,  # a byte too many before the head
        OK[1:] + b"Content-Length: 17\r\n\r\n" + SUCCESS,  # one too few
        SUCCESS + OK + b"Content-Length: 17\r\n\r\n" + SUCCESS,  # the end of another answer
        OK + b"Content-Length: 18\r\n\r\n" + SUCCESS,  # shorter than its length says
        OK + b"Content-Length: 16\r\n\r\n" + SUCCESS,  # longer
        OK + b"Content-Length: 17\r\nContent-Length: 18\r\n\r\n" + SUCCESS,
        OK + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + SUCCESS + b"\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n11\r\n" + SUCCESS + b"\r\n",
    ],
)
def test_what_was_mangled_on_its_way_is_worth_another_try(said: bytes) -> None:
    answer = asked_raw(said, timeout_seconds=0.5)
    assert answer.kind is OutcomeKind.BAD_RESPONSE
    assert answer.reason in WORTH_ANOTHER_TRY


pieces = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 500 \r\n",
        b"Content-Length: 17\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"11\r\n",
        b"0\r\n\r\n",
        SUCCESS,
    ]
)


@examples(40)
@given(st.lists(pieces | st.binary(max_size=8), max_size=8).map(b"".join))
def test_any_bytes_are_an_answer_and_never_a_wrong_value(said: bytes) -> None:
    answer = asked_raw(said, timeout_seconds=0.5)
    assert answer.kind is OutcomeKind.SUCCESS or answer.swapped is None
    assert answer.swapped in (True, None)  # the only value any piece holds
    assert answer.swapped is None or SUCCESS in said


# --- Timeouts, connections and certificates ----------------------------------------------


def test_no_answer_in_time() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        raise AssertionError

    began = perf_counter()
    answer = asked(handler, timeout_seconds=0.1)
    assert 0.09 < perf_counter() - began < 4
    assert short(answer) == (OutcomeKind.TIMEOUT, "no_answer_in_time", None)


def test_a_drip_does_not_hold_a_connection_for_ever() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    answer = asked_raw(exchange, timeout_seconds=0.15)
    assert short(answer) == (OutcomeKind.TIMEOUT, "no_answer_in_time", None)


def test_a_reset_connection() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert short(asked_raw(exchange)) == (OutcomeKind.UNREACHABLE, "connection_lost", None)


def test_a_refused_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (answer,) = asyncio.run(ask(Api(base_url=url)))
    assert short(answer) == (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)


def test_a_connection_that_is_never_made() -> None:
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for queued in (one, two):
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())
        api = Api(
            base_url=f"http://127.0.0.1:{full.getsockname()[1]}",
            connect_timeout_seconds=0.1,
            timeout_seconds=10,
        )
        began = perf_counter()
        (answer,) = asyncio.run(ask(api))
    assert perf_counter() - began < 5
    assert short(answer) == (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (answer,) = asyncio.run(ask(Api(base_url="https://api.example")))
    assert short(answer) == (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)


def test_only_the_named_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    through = []

    async def proxied(request: web.Request) -> web.Response:
        through.append(request.raw_path)
        return web.Response(body=SUCCESS)

    async def run() -> list[OutcomeKind]:
        proxy = await serve(proxied)
        url = str(proxy.make_url("")).rstrip("/")
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        server = await serve(success)
        kinds = []
        for kwargs in ({}, {"trust_environment_proxies": True}, {"proxy": url}):
            kinds.append((await ask_at(server, **kwargs)).kind)
            kinds.append(len(through))
        await server.close()
        await proxy.close()
        return kinds

    ok = OutcomeKind.SUCCESS
    assert asyncio.run(run()) == [ok, 0, ok, 1, ok, 2]
    assert all(re.fullmatch(r"http://127.0.0.1:\d+/sim-swap/check", path) for path in through)


def test_a_proxy_that_refuses() -> None:
    (answer,) = asyncio.run(ask(Api(proxy="http://127.0.0.1:1")))
    assert short(answer) == (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)

    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

    async def run() -> Answer:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(refusal)
            writer.close()

        proxy = await asyncio.start_server(connected, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        (answer,) = await ask(Api(base_url="https://api.example", proxy=url))
        proxy.close()
        await proxy.wait_closed()
        return answer

    assert short(asyncio.run(run())) == (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("making a certificate needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-subj", "/CN=sandbox", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(paths[0]), "-keyout", str(paths[1])),
        ],
        check=True,
        capture_output=True,
    )
    return paths


def asked_tls(certificate: tuple[Path, Path], host: str = "127.0.0.1", **api: Any) -> Answer:
    async def run() -> Answer:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        app = web.Application()
        app.router.add_post("/sim-swap/check", success)
        server = TestServer(app, scheme="https")
        await server.start_server(ssl=context)
        try:
            (answer,) = await ask(Api(base_url=f"https://{host}:{server.port}", **api))
            return answer
        finally:
            await server.close()

    return asyncio.run(run())


def test_a_certificate_that_is_trusted(certificate: tuple[Path, Path]) -> None:
    assert asked_tls(certificate, ca_file=str(certificate[0])).swapped is True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_that_does_not_verify_stops(
    certificate: tuple[Path, Path], host: str
) -> None:
    trust = {"ca_file": str(certificate[0])} if host == "localhost" else {}  # then: wrong name
    with pytest.raises(ApiError, match=r"certificate of https://.* does not verify") as error:
        asked_tls(certificate, host, **trust)
    assert error.value.exit_code == 69
    assert "api.ca_file" in str(error.value)
    assert KEY not in "".join(traceback.format_exception(error.value))


def test_a_server_that_speaks_no_tls_is_unreachable() -> None:
    # Its certificate is not the matter, and a balancer that restarts looks the same.
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    for exchange in (plain, hang_up):
        answer = asked_raw(exchange, scheme="https")
        assert short(answer) == (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_holds_no_certificate(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"api\.ca_file: cannot read .*; name a PEM file"):
        asyncio.run(ask(Api(ca_file=str(path))))


def test_it_is_used_in_its_context() -> None:
    client = Client(Api(), KEY, max_connections=1)
    with pytest.raises(RuntimeError, match="outside its context"):
        asyncio.run(client.ask(CHECK, "x"))


# --- The translation is complete ---------------------------------------------------------

LOST = (OutcomeKind.UNREACHABLE, "connection_lost", None)
NO_CONNECTION = (OutcomeKind.UNREACHABLE, CANNOT_CONNECT, None)
LATE = (OutcomeKind.TIMEOUT, "no_answer_in_time", None)
MALFORMED = (OutcomeKind.BAD_RESPONSE, "malformed_http", None)
CUT = (OutcomeKind.BAD_RESPONSE, TRUNCATED, None)
TRANSLATED = {
    "ClientError": LOST,
    "ClientConnectionError": LOST,
    "ClientConnectionResetError": LOST,
    "ClientOSError": LOST,
    "ClientConnectorError": NO_CONNECTION,
    "ClientProxyConnectionError": NO_CONNECTION,
    "ClientSSLError": NO_CONNECTION,
    "ClientConnectorDNSError": NO_CONNECTION,
    "ClientConnectorSSLError": NO_CONNECTION,
    "ClientConnectorCertificateError": ApiError,
    "ConnectionTimeoutError": NO_CONNECTION,
    "SocketTimeoutError": LATE,
    "ServerConnectionError": LOST,
    "ServerTimeoutError": LATE,
    "ServerDisconnectedError": LOST,
    "ClientResponseError": MALFORMED,
    "ClientHttpProxyError": NO_CONNECTION,
    "ClientPayloadError": CUT,
    "UploadAbortedError": LOST,
}
# What cannot come out of a POST whose answer is read as bytes and whose address was checked
# with the settings; should it ever, it is an answer all the same.
NOT_MET = {
    "ServerFingerprintMismatch",  # no fingerprint is pinned
    "UnixClientConnectorError",
    "TooManyRedirects",
    "WSServerHandshakeError",
    "ContentTypeError",  # response.json() is not used
    "InvalidURL",
    "InvalidUrlClientError",
    "RedirectClientError",
    "NonHttpUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlRedirectClientError",
}
ALL = {
    name: error
    for name, error in inspect.getmembers(client_exceptions, inspect.isclass)
    if issubclass(error, aiohttp.ClientError)
}


def asked_failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Answer:
    async def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(Transport, "ask", fail)
    (answer,) = asyncio.run(ask(Api()))
    return answer


def test_every_exception_of_aiohttp_is_known_here() -> None:
    assert set(ALL) == {*TRANSLATED, *NOT_MET}


@pytest.mark.parametrize(("name", "wanted"), TRANSLATED.items())
def test_translation(name: str, wanted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ALL[name].__new__(ALL[name])
    if wanted is ApiError:
        with pytest.raises(ApiError, match="does not verify"):
            asked_failing(error, monkeypatch)
    else:
        assert short(asked_failing(error, monkeypatch)) == wanted


@pytest.mark.parametrize("name", sorted(NOT_MET))
def test_the_rest_is_no_success(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asked_failing(ALL[name].__new__(ALL[name]), monkeypatch)
    assert answer.kind in (OutcomeKind.UNREACHABLE, OutcomeKind.BAD_RESPONSE)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TimeoutError(), LATE),
        (MalformedError(code=400, message="Bad"), MALFORMED),
        (ConnectionResetError(), LOST),
        (BrokenPipeError(), LOST),
        (ssl.SSLError("bad record"), LOST),
        (OSError("no buffer space"), LOST),
    ],
)
def test_bare_errors_of_the_system(
    error: Exception, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert short(asked_failing(error, monkeypatch)) == wanted


def test_the_key_that_aiohttp_would_repeat_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers: Any = {"apiKey": KEY}
    info = aiohttp.RequestInfo(Api().base_url, "POST", headers, Api().base_url)  # type: ignore[arg-type]
    error = aiohttp.ClientResponseError(info, (), status=400, message="Bad", headers=headers)
    assert KEY in repr(error)
    answer = asked_failing(error, monkeypatch)
    assert KEY not in repr(answer)


@pytest.mark.parametrize("error", [KeyError("bug"), asyncio.CancelledError()])
def test_bugs_and_cancellation_pass(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        asked_failing(error, monkeypatch)


# --- One after the other -----------------------------------------------------------------


def test_answers_in_a_row() -> None:
    replies = iter(
        [
            web.json_response({"swapped": False}),
            web.Response(status=503, headers={"Retry-After": "3"}),
            web.json_response({"status": "404", "message": "gone"}, status=404),
            web.Response(status=502, text="<html>", content_type="text/html"),
            web.Response(body=SUCCESS, content_type="text/plain"),
        ]
    )

    async def handler(request: web.Request) -> web.Response:
        return next(replies)

    async def run() -> list[Answer]:
        server = await serve(handler)
        answers = await ask(Api(base_url=str(server.make_url(""))), times=5)
        await server.close()
        return answers

    answers = asyncio.run(run())
    assert [short(answer) for answer in answers] == [
        (OutcomeKind.SUCCESS, None, 200),
        (OutcomeKind.SERVER_ERROR, None, 503),
        (OutcomeKind.NOT_FOUND, None, 404),
        (OutcomeKind.SERVER_ERROR, None, 502),
        (OutcomeKind.SUCCESS, None, 200),
    ]
    assert [answer.swapped for answer in answers] == [False, None, None, None, True]
    assert answers[1].retry_after_seconds == 3.0
    assert answers[2].message == "gone"


BASE = "https://api.tyntec.com/network-signal/v1"
MOVED = "/call-forwarding/unconditional/check"


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("dialect", Dialect)
def test_paths(endpoint: Endpoint, dialect: Dialect) -> None:
    moved = (dialect, endpoint) == (Dialect.LATER, Endpoint.CALL_FORWARDING_CHECK)
    wanted = MOVED if moved else f"/{endpoint.value}"
    assert url(Api(dialect=dialect), endpoint) == BASE + wanted


def test_every_dialect_has_every_path() -> None:
    assert set(PATHS) == set(Dialect)
    assert all(set(paths) == set(Endpoint) for paths in PATHS.values())


def test_single_paths_can_be_overridden() -> None:
    api = Api(base_url="http://127.0.0.1:8080/", paths={Endpoint.SIM_SWAP_CHECK: "/v2/check"})
    assert url(api, Endpoint.SIM_SWAP_CHECK) == "http://127.0.0.1:8080/v2/check"
    assert url(api, Endpoint.SIM_SWAP_DATE) == "http://127.0.0.1:8080/sim-swap/retrieve-date"


@pytest.mark.parametrize("endpoint", Endpoint)
def test_addresses_hold_nothing_but_the_path(endpoint: Endpoint) -> None:
    parts = urlsplit(url(Api(), endpoint))
    assert not parts.query
    assert not any(
        character.isdigit() for character in parts.path.removeprefix("/network-signal/v1")
    )


@pytest.mark.parametrize("window", [1, 240, 2400])
def test_the_window_is_always_sent_where_there_is_one(window: int) -> None:
    sent = json.loads(body(Lookup("+491713920012", Endpoint.SIM_SWAP_CHECK, window)))
    assert sent == {"phoneNumber": "+491713920012", "maxAge": window}


@pytest.mark.parametrize("endpoint", [e for e in Endpoint if not e.takes_max_age])
def test_other_endpoints_get_the_number_alone(endpoint: Endpoint) -> None:
    assert body(Lookup("+491713920012", endpoint)) == b'{"phoneNumber":"+491713920012"}'
