"""Sends one request over a connection of aiohttp's pool and brings back the reply as it came.

Pool, DNS, TLS, proxies and parser are aiohttp's. Its ``ClientSession`` is passed by: cookies,
redirects, middlewares and a writer task for each request take as much CPU as all the rest, and
the contract knows none of them. A redirect is a reply like any other, so the key never goes to
another host.
"""

from __future__ import annotations

import asyncio
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from batch_screen.api.answers import MAX_BODY_BYTES
from batch_screen.api.connections import QuietConnector, Talk
from batch_screen.api.deadline import Deadlines
from batch_screen.api.plain import Reply

MalformedError = HttpProcessingError
"""What came back is not HTTP."""

_OK = 200
_ERROR_BODY_SECONDS = 2.0
"""A page of error that drips would hold its slot until the timeout; its status says enough."""
_CHUNK_BYTES = 16 * 1024


class Wire:
    """The way to one address, over whichever connection is free."""

    def __init__(
        self,
        connector: QuietConnector,
        deadlines: Deadlines,
        request: aiohttp.ClientRequest,
        *,
        connect_timeout_seconds: float,
    ) -> None:
        """``request`` tells the pool where to connect to, and is written anew for each."""
        self._connector = connector
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_seconds)
        self._head = ""

    async def ask(self, content: bytes, correlator: str, limit: float) -> tuple[Reply, Talk]:
        """The reply to one POST, and the connection, to be closed if the reply was not for it.

        ``limit`` is an instant of the loop's clock; later it raises ``TimeoutError``. Raises
        aiohttp's ``ClientError``, ``OSError`` and ``MalformedError`` as they come. Of an error
        reply, as much of the body as can be had in a short while: its status and headers say
        enough, and a dead key or a Retry-After must not be lost because the page that comes
        with it is.
        """
        connection = self._connector.take()
        try:
            if connection is None:
                with self._deadlines.at(limit):
                    connection = await self._connected()
            talk = cast("Talk | None", connection.protocol)
            if talk is None or talk.transport is None:
                raise aiohttp.ServerDisconnectedError
            heard = talk.listen()
            talk.transport.write(self._told(content, correlator))
            reply = await self._deadlines.by(limit, heard)
            if reply is None:
                with self._deadlines.at(limit):
                    message, payload = await _first_words(talk)
                body = await self._rest(message.code, payload, limit)
                reply = Reply(message.code, message.headers, body)
                if not payload.is_eof():
                    return reply, talk
            self._connector.put(connection)
            connection = None
            return reply, talk
        finally:
            if connection is not None:
                connection.close()

    async def _connected(self) -> Connection:
        try:
            return await self._connector.connect(self._request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error

    def _told(self, content: bytes, correlator: str) -> bytes:
        # Head and body in one piece: a server that reads them apart may answer the half.
        head = self._head or self._made_head()
        told = f"{head}x-correlator: {correlator}\r\nContent-Length: {len(content)}\r\n\r\n"
        return told.encode() + content

    def _made_head(self) -> str:
        """The part that is the same for all; known once the pool has added a proxy's headers."""
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


async def _first_words(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    """The head of the reply; what a server says before it (100, 103) is passed over."""
    while True:
        message, payload = await protocol.read()
        if not 100 <= message.code <= 199 or message.code == 101:
            return message, payload
