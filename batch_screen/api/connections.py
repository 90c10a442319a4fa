"""Connections that are used again only if nothing was said on them unasked.

aiohttp hands an idle connection out again with whatever it has received in the meantime, and
takes that for the answer to the next question: one number's answer would become another's.

It also takes as long to find an idle connection and to begin a reply as to send a request; so
idle ones lie here instead, and replies of the plain kind are read without its parser.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from functools import partial
from time import monotonic
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from batch_screen.api.plain import Reply, plain_reply


class Talk(ResponseHandler):
    """aiohttp's connection, which reads plain replies at once and leaves the others to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._heard: asyncio.Future[Reply | None] | None = None
        self.poll: select.poll | None = None
        """Tells what the system holds that the loop has not seen; None: never asked yet."""
        self.echoes = 0

    def listen(self) -> asyncio.Future[Reply | None]:
        """To be called before asking: the plain reply, or None where ``read`` has to go on."""
        self._parser = None  # what an earlier reply has left: now bytes nobody asked for stay raw
        self._heard = self._loop.create_future()
        return self._heard

    def data_received(self, data: bytes) -> None:
        heard, self._heard = self._heard, None
        if heard is None:
            super().data_received(data)
            return
        reply = plain_reply(data)
        if reply is None:
            self.set_response_params(read_until_eof=True, auto_decompress=False)
            super().data_received(data)
        if not heard.done():
            heard.set_result(reply)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        heard, self._heard = self._heard, None
        if heard is not None and not heard.done():
            heard.set_result(None)  # ``read`` raises what has happened


class QuietConnector(aiohttp.TCPConnector):
    """A pool for one address, which drops connections on which something arrived unasked."""

    def __init__(self, *, keepalive_timeout: float, **settings: Any) -> None:
        super().__init__(keepalive_timeout=keepalive_timeout, **settings)
        self._factory = cast("partial[ResponseHandler]", partial(Talk, loop=self._loop))
        self._keep_alive_seconds = keepalive_timeout
        self._idle: deque[tuple[float, Connection]] = deque()

    def take(self) -> Connection | None:
        """An idle connection on which nothing waits to be taken for an answer, if there is one."""
        now = monotonic()
        while self._idle:
            since, connection = self._idle.popleft()
            talk = cast("Talk", connection.protocol)
            if now - since <= self._keep_alive_seconds and _is_quiet(talk):
                return connection
            connection.close()
        return None

    def put(self, connection: Connection) -> None:
        """The connection's reply was read to its end: it may be taken again."""
        if self._waiters:  # they hear of what goes back to aiohttp's own pool
            connection.release()
        else:
            self._idle.append((monotonic(), connection))

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's signature)
    ) -> Connection:
        """A connection, old or new, on which nothing waits to be taken for an answer.

        Raises ``ClientConnectionError`` if a new one speaks before it is asked.
        """
        while True:  # ends with the idle connections
            connection = await super().connect(req, traces, timeout)
            talk = cast("Talk | None", connection.protocol)
            if talk is None:  # closed already; aiohttp says so in its own words
                return connection
            is_new = talk.poll is None
            # A new one is not polled: TLS begins with tickets that are no answer.
            if not talk.should_close if is_new else _is_quiet(talk):
                talk.poll = talk.poll or _poll(connection)
                return connection
            connection.close()
            if is_new:
                raise aiohttp.ClientConnectionError("the server spoke first")

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Closes all connections, those that lie here too, and waits for them to be closed."""
        for _, connection in self._idle:
            connection.release()
        self._idle.clear()
        await super().close(abort_ssl=abort_ssl)


def _is_quiet(talk: Talk | None) -> bool:
    """Whether the connection stands and nothing has come since its last reply."""
    if talk is None or not talk.is_connected() or talk.should_close:
        return False
    return talk.poll is not None and not talk.poll.poll(0)


def _poll(connection: Connection) -> select.poll:
    """Tells whether the system holds bytes, or an end, that the event loop has not seen yet."""
    poll = select.poll()
    if connection.transport is not None:
        poll.register(connection.transport.get_extra_info("socket"), select.POLLIN)
    return poll
