"""Answers without end or measure, cut short or in odd frames."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterable

import pytest

from batch_screen.api.client import Client
from batch_screen.config.sections import Api
from batch_screen.model import Answer, OutcomeKind
from tests.unit.api.servers import (
    KEY,
    OK,
    PEAK_BYTES,
    TRUE,
    Exchange,
    asked,
    lookup,
    one_by_one,
    read_request,
    whole,
)

# --- Answers without end and without measure ---------------------------------------------


def endless(head: bytes, again: bytes, pause: float = 0.0) -> Exchange:
    """Says the head, and then the same for ever."""

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return exchange


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
        assert time.monotonic() - began < 15
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
    assert time.perf_counter() - began < 10
    assert answer.kind in (OutcomeKind.TIMEOUT, OutcomeKind.BAD_RESPONSE)


def test_an_error_that_drips_gives_its_slot_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_screen.api.transport._ERROR_BODY_SECONDS", 0.1)
    head = b"HTTP/1.1 422 No\r\nContent-Length: 9999\r\n\r\n"
    began = time.perf_counter()
    (answer,) = asked(endless(head, b" ", pause=0.02), one_by_one(1), timeout_seconds=30)
    assert 0.1 <= time.perf_counter() - began < 15
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


def sayings(texts: Iterable[bytes]) -> Exchange:
    """Says one text on each connection and hangs up."""
    left = iter(texts)

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(next(left))

    return exchange


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

        async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(3):
                assert b"Cookie" not in await read_request(reader)
                writer.write(said)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(exchange, "127.0.0.1", 0)
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
