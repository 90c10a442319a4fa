"""Connections that are kept, what is sent on them, and what they rest on in aiohttp."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection as AiohttpConnection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from batch_screen.api.answers import MAX_BODY_BYTES
from batch_screen.api.client import Client
from batch_screen.api.deadline import Deadlines
from batch_screen.api.transport import (
    MalformedError,
    QuietConnector,
    Reply,
    Transport,
)
from batch_screen.model import Answer
from tests.unit.api.servers import (
    TRUE,
    Exchange,
    asked,
    lookup,
    read_request,
    whole,
)

# --- Idle connections -------------------------------------------------------------------


async def keep_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(whole(TRUE))


def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await keep_answering(reader, writer)

    async def ask(client: Client) -> None:
        client._connector._keep_alive_seconds = 0.1
        for pause in (0.0, 0.2, 0.0):
            answer = await client.ask(lookup(), "c")
            assert answer.swapped is True
            await asyncio.sleep(pause)

    asked(exchange, ask)
    assert len(connections) == 2


def test_whoever_waits_for_a_connection_gets_the_one_that_becomes_free() -> None:
    async def ask(client: Client) -> list[Answer]:
        client._connector._limit = 1
        return await asyncio.gather(*(client.ask(lookup(n), f"c{n}") for n in range(5)))

    assert [answer.swapped for answer in asked(keep_answering, ask)] == [True] * 5


REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Said: yes\r\n\r\n{}"


async def read_one_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def asked_once(
    exchange: Exchange, *, times: int = 1, through_proxy: bool = False, is_closed: bool = False
) -> list[Reply]:
    """The replies of a server, or of a proxy, that talks so on each of its connections.

    ``is_closed``: after each of them, as where it was somebody else's.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await exchange(reader, writer)
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
            transport = Transport(connector, Deadlines(), request, connect_timeout_seconds=1)
            limit = loop.time() + 2
            replies = []
            for n in range(times):
                reply, connection = await transport.ask(b'{"n":%d}' % n, f"c-{n}", limit)
                replies.append(reply)
                if is_closed:
                    connection.close()
            return replies

    return asyncio.run(run())


def received(*, times: int = 1, through_proxy: bool = False) -> list[bytes]:
    """The requests as they arrive."""
    requests = []

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await read_one_request(reader))
            writer.write(REPLY)

    replies = asked_once(exchange, times=times, through_proxy=through_proxy)
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
    line, headers, body = fields(*received())
    assert line == "POST /v1/x HTTP/1.1"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", headers["Host"])
    assert (headers["apiKey"], headers["x-correlator"]) == ("k", "c-0")
    assert (headers["Content-Length"], body) == ("7", b'{"n":0}')
    assert "Proxy-Authorization" not in headers


def test_a_connection_is_used_again_and_each_request_is_its_own() -> None:
    said = [fields(request) for request in received(times=5)]
    assert [(h["x-correlator"], b) for _, h, b in said] == [
        (f"c-{n}", b'{"n":%d}' % n) for n in range(5)
    ]


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_connection_that_is_closed_after_its_reply_is_not_used_again(is_closed: bool) -> None:
    connections = []

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            await read_one_request(reader)
            writer.write(REPLY)

    assert len(asked_once(exchange, times=9, is_closed=is_closed)) == 9
    assert len(connections) == (9 if is_closed else 1)


def test_a_proxy_is_told_the_whole_address_and_its_own_password() -> None:
    line, headers, _ = fields(received(through_proxy=True)[0])
    assert line == "POST http://api.example/v1/x?y=1 HTTP/1.1"
    assert headers["Host"] == "api.example"
    assert headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"
    assert [fields(r)[0] for r in received(times=3, through_proxy=True)] == [line] * 3


def test_interim_replies_are_passed_over() -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one_request(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + REPLY)

    (reply,) = asked_once(exchange)
    assert (reply.status, reply.body) == (200, b"{}")


def test_a_body_is_cut_off_and_its_connection_not_used_again() -> None:
    connections = []

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await read_one_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        while True:
            writer.write(b" " * 10_000)
            await writer.drain()

    for reply in asked_once(exchange, times=2):
        assert MAX_BODY_BYTES < len(reply.body) < 2 * MAX_BODY_BYTES
    assert len(connections) == 2


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\r\n\r\n", b"HTTP/1.1 yes\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
def test_what_is_no_http_is_named_so(noise: bytes) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_one_request(reader)
        writer.write(noise)
        await writer.drain()
        await asyncio.sleep(0.1)

    with pytest.raises(MalformedError):
        asked_once(exchange)


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
    connection = ResponseHandler(loop)
    with rests_on("ResponseHandler: no parser and no transport at first"):
        assert (connection._loop, connection._parser, connection.transport) == (loop, None, None)
        assert (connection.is_connected(), connection.should_close) == (False, False)
    with rests_on("ResponseHandler._parser, made by set_response_params, and what read brings"):
        connection.set_response_params(read_until_eof=True, auto_decompress=False)
        assert connection._parser is not None
        connection.data_received(whole(TRUE))
        message, payload = await connection.read()
        assert (message.code, message.headers["content-length"]) == (200, str(len(TRUE)))
        assert (payload.is_eof(), payload.read_nowait()) == (True, TRUE)
    with rests_on("ResponseHandler.should_close, true once bytes came while _parser was None"):
        assert not connection.should_close
        connection._parser = None
        connection.data_received(TRUE)
        assert connection.should_close
    with rests_on("ResponseHandler.read, which raises HttpProcessingError where no HTTP came"):
        connection = ResponseHandler(loop)
        connection.set_response_params(read_until_eof=True, auto_decompress=False)
        connection.data_received(b"220 ready\r\n\r\n")
        with pytest.raises(HttpProcessingError):
            await connection.read()


def test_the_private_parts_of_aiohttp_are_as_they_were() -> None:
    asyncio.run(check_private_parts())
