"""Transport: sends one request over a connection of aiohttp's pool and returns the raw reply.

Pool, DNS, TLS, proxies and parser are aiohttp's. Its ``ClientSession`` is passed by: cookies,
redirects, middlewares and a writer task for each request take as much CPU as all the rest, and
the contract knows none of them. A redirect is a reply like any other, so the key never goes to
another host.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections import deque
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection as AiohttpConnection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace
from multidict import CIMultiDict

from batch_screen.api.answers import MAX_BODY_BYTES
from batch_screen.api.deadline import Deadlines

# Whole replies of the plain kind, read at once: a status, headers, a body of a stated length.
#
# Nearly every answer comes like that, in one piece. aiohttp's parser, which makes a stream for
# each, took as much CPU as sending and receiving. Whatever is not exactly so (in pieces, chunked,
# interim, upgraded, unusual characters) is left to it: this knows one shape and no exceptions.

_LONGEST = 8 * 1024
_NO_BODY = frozenset({"204", "304"})
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(rf"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*\r\n((?:{_NAME}:[ -~]*\r\n)+)\r\n")
_FIELD = re.compile(rf"({_NAME}): *([ -~]*)\r\n")
_LENGTH = re.compile(r"[0-9]{1,4}")


class Reply(NamedTuple):
    """A raw HTTP reply: status, headers and body as they were sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_simple_response(data: bytes) -> Reply | None:
    r"""Parses a complete, simple response; None for any other, which is left to aiohttp.

    >>> parse_simple_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").body
    b'{}'
    >>> parse_simple_response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}") is None
    True
    """
    if len(data) > _LONGEST:
        return None
    text = data.decode("latin-1")  # a character for each byte, so places are the same
    head = _HEAD.match(text)
    if head is None or head[1] in _NO_BODY or " \r\n" in head[2]:
        return None
    headers = CIMultiDict(_FIELD.findall(head[2]))
    lengths = headers.getall("Content-Length", [])
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return None
    if int(lengths[0]) != len(data) - head.end() or "Transfer-Encoding" in headers:
        return None
    said = headers.getall("Connection", [])  # each of them may end it
    if "Upgrade" in headers or any(word.lower() != "keep-alive" for word in said):
        return None
    return Reply(int(head[1]), headers, data[head.end() :])


# Connections that are used again only if nothing was said on them unasked.
#
# aiohttp hands an idle connection out again with whatever it has received in the meantime, and
# takes that for the answer to the next question: one number's answer would become another's.
#
# It also takes as long to find an idle connection and to begin a reply as to send a request; so
# idle ones lie here instead, and replies of the plain kind are read without its parser.


class Connection(ResponseHandler):
    """An aiohttp connection that parses simple responses itself, and no others."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._reply: asyncio.Future[Reply | None] | None = None
        self.poll: select.poll | None = None
        """Shows bytes that the event loop has not seen yet; None: never used so far."""
        self.echoes = 0

    def expect_reply(self) -> asyncio.Future[Reply | None]:
        """Called before the request: the simple reply, or None where ``read`` has to take over."""
        self._parser = None  # what an earlier reply has left: now bytes nobody asked for stay raw
        self._reply = self._loop.create_future()
        return self._reply

    def data_received(self, data: bytes) -> None:
        awaited, self._reply = self._reply, None
        if awaited is None:
            super().data_received(data)
            return
        reply = parse_simple_response(data)
        if reply is None:
            self.set_response_params(read_until_eof=True, auto_decompress=False)
            super().data_received(data)
        if not awaited.done():
            awaited.set_result(reply)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        awaited, self._reply = self._reply, None
        if awaited is not None and not awaited.done():
            awaited.set_result(None)  # ``read`` raises what has happened


class QuietConnector(aiohttp.TCPConnector):
    """Connection pool for one address that drops connections on which unexpected bytes arrived."""

    def __init__(self, *, keepalive_timeout: float, **settings: Any) -> None:
        super().__init__(keepalive_timeout=keepalive_timeout, **settings)
        self._factory = cast("partial[ResponseHandler]", partial(Connection, loop=self._loop))
        self._keep_alive_seconds = keepalive_timeout
        self._idle: deque[tuple[float, AiohttpConnection]] = deque()

    def take(self) -> AiohttpConnection | None:
        """An idle connection without unread bytes, if there is one."""
        now = monotonic()
        while self._idle:
            since, pooled = self._idle.popleft()
            connection = cast("Connection", pooled.protocol)
            if now - since <= self._keep_alive_seconds and _is_quiet(connection):
                return pooled
            pooled.close()
        return None

    def put(self, pooled: AiohttpConnection) -> None:
        """Returns a connection to the pool once its reply was read to the end."""
        if self._waiters:  # only what goes back to aiohttp's own pool wakes them
            pooled.release()
        else:
            self._idle.append((monotonic(), pooled))

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's signature)
    ) -> AiohttpConnection:
        """A connection, reused or new, without unread bytes.

        Raises ``ClientConnectionError`` if a new one speaks before it is asked.
        """
        while True:  # ends with the idle connections
            pooled = await super().connect(req, traces, timeout)
            connection = cast("Connection | None", pooled.protocol)
            if connection is None:  # closed already; aiohttp says so in its own words
                return pooled
            is_new = connection.poll is None
            # A new one is not polled: TLS begins with tickets that are no answer.
            if not connection.should_close if is_new else _is_quiet(connection):
                connection.poll = connection.poll or _poll(pooled)
                return pooled
            pooled.close()
            if is_new:
                raise aiohttp.ClientConnectionError("the server spoke first")

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Closes all connections, idle ones too, and waits until they are closed."""
        for _, pooled in self._idle:
            pooled.release()
        self._idle.clear()
        await super().close(abort_ssl=abort_ssl)


def _is_quiet(connection: Connection | None) -> bool:
    """Whether the connection is open and nothing has arrived since its last reply."""
    if connection is None or not connection.is_connected() or connection.should_close:
        return False
    return connection.poll is not None and not connection.poll.poll(0)


def _poll(pooled: AiohttpConnection) -> select.poll:
    """A poll object that shows bytes, or an end, that the event loop has not seen yet."""
    poll = select.poll()
    if pooled.transport is not None:
        poll.register(pooled.transport.get_extra_info("socket"), select.POLLIN)
    return poll


MalformedError = HttpProcessingError
"""What came back is not HTTP."""

_OK = 200
_ERROR_BODY_SECONDS = 2.0
"""A dripping error page would hold its slot until the timeout; its status is enough."""
_CHUNK_BYTES = 16 * 1024


class Transport:
    """The way to one address, over any free connection of the pool."""

    def __init__(
        self,
        connector: QuietConnector,
        deadlines: Deadlines,
        request: aiohttp.ClientRequest,
        *,
        connect_timeout_seconds: float,
    ) -> None:
        """``request`` says where the pool connects to; its headers are set for each request."""
        self._connector = connector
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_seconds)
        self._head = ""

    async def ask(self, content: bytes, correlator: str, limit: float) -> tuple[Reply, Connection]:
        """Sends one POST: its reply, and the connection, which the caller closes if in doubt.

        ``limit`` is an instant of the loop's clock; later it raises ``TimeoutError``. Raises
        aiohttp's ``ClientError``, ``OSError`` and ``MalformedError`` as they come. Of an error
        reply, as much of the body as can be had in a short while: its status and headers say
        enough, and a dead key or a Retry-After must not be lost because the page that comes
        with it is.
        """
        pooled = self._connector.take()
        try:
            if pooled is None:
                with self._deadlines.at(limit):
                    pooled = await self._connected()
            connection = cast("Connection | None", pooled.protocol)
            if connection is None or connection.transport is None:
                raise aiohttp.ServerDisconnectedError
            awaited = connection.expect_reply()
            connection.transport.write(self._request_bytes(content, correlator))
            reply = await self._deadlines.by(limit, awaited)
            if reply is None:
                with self._deadlines.at(limit):
                    message, payload = await _final_head(connection)
                body = await self._rest(message.code, payload, limit)
                reply = Reply(message.code, message.headers, body)
                if not payload.is_eof():
                    return reply, connection
            self._connector.put(pooled)
            pooled = None
            return reply, connection
        finally:
            if pooled is not None:
                pooled.close()

    async def _connected(self) -> AiohttpConnection:
        try:
            return await self._connector.connect(self._request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error

    def _request_bytes(self, content: bytes, correlator: str) -> bytes:
        # Head and body in one piece: a server that reads them apart may answer the half.
        head = self._head or self._made_head()
        head += f"x-correlator: {correlator}\r\nContent-Length: {len(content)}\r\n\r\n"
        return head.encode() + content

    def _made_head(self) -> str:
        """The head that all requests share; known once the pool has added proxy headers."""
        request = self._request
        through_proxy = request.proxy is not None and not request.is_ssl()
        target = str(request.url) if through_proxy else request.url.raw_path_qs
        headers = "".join(
            f"{name}: {value}\r\n"
            for name, value in request.headers.items()
            if name != "Content-Length"
        )
        self._head = f"POST {target} HTTP/1.1\r\n{headers}"
        return self._head

    async def _rest(self, status: int, payload: StreamReader, limit: float) -> bytes:
        """The body, cut off soon after it exceeds ``MAX_BODY_BYTES``."""
        if payload.is_eof():  # it came with the head: nothing to wait for
            return payload.read_nowait()
        content = bytearray()
        if status != _OK:
            limit = min(limit, self._loop.time() + _ERROR_BODY_SECONDS)
        try:
            with self._deadlines.at(limit):
                async for chunk in payload.iter_chunked(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > MAX_BODY_BYTES:
                        break
        except (aiohttp.ClientError, OSError):  # a timeout is an OSError
            if status == _OK:
                raise
        return bytes(content)


async def _final_head(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    """The final head of the reply; interim ones (100, 103) are skipped."""
    while True:
        message, payload = await protocol.read()
        if not 100 <= message.code <= 199 or message.code == 101:
            return message, payload
