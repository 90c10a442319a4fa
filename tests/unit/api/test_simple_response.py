"""What is read without aiohttp's parser is what aiohttp reads."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.http import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.api.transport import (
    Connection,
    Reply,
    parse_simple_response,
)
from tests.unit.api.servers import (
    OK,
)


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
