from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from yarl import URL

from batch_screen.api.connections import QuietConnector
from batch_screen.api.deadline import Deadlines
from batch_screen.api.plain import Reply
from batch_screen.api.wire import MAX_BODY_BYTES, MalformedError, Wire

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Said: yes\r\n\r\n{}"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def asked(
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
            wire = Wire(connector, Deadlines(), request, connect_timeout_seconds=1)
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
            requests.append(await read_request(reader))
            writer.write(REPLY)

    replies = asked(talk, times=times, through_proxy=through_proxy)
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
            await read_request(reader)
            writer.write(REPLY)

    assert len(asked(talk, times=9, is_closed=is_closed)) == 9
    assert len(connections) == (9 if is_closed else 1)


def test_a_proxy_is_told_the_whole_address_and_its_own_password() -> None:
    line, headers, _ = fields(heard(through_proxy=True)[0])
    assert line == "POST http://api.example/v1/x?y=1 HTTP/1.1"
    assert headers["Host"] == "api.example"
    assert headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"
    assert [fields(r)[0] for r in heard(times=3, through_proxy=True)] == [line] * 3


def test_interim_replies_are_passed_over() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + REPLY)

    (reply,) = asked(talk)
    assert (reply.status, reply.body) == (200, b"{}")


def test_a_body_is_cut_off_and_its_connection_not_used_again() -> None:
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        while True:
            writer.write(b" " * 10_000)
            await writer.drain()

    for reply in asked(talk, times=2):
        assert MAX_BODY_BYTES < len(reply.body) < 2 * MAX_BODY_BYTES
    assert len(connections) == 2


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\r\n\r\n", b"HTTP/1.1 yes\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
def test_what_is_no_http_is_named_so(noise: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(noise)
        await writer.drain()
        await asyncio.sleep(0.1)

    with pytest.raises(MalformedError):
        asked(talk)
