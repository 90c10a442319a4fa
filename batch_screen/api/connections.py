"""Connections that are used again only if nothing was said on them unasked.

aiohttp hands an idle connection out again with whatever it has received in the meantime, and
takes that for the answer to the next question: one number's answer would become another's.
"""

from __future__ import annotations

import select
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class QuietConnector(aiohttp.TCPConnector):
    """Drops connections on which something arrived unasked, be it only their end."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._polls: WeakKeyDictionary[ResponseHandler, select.poll] = WeakKeyDictionary()

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
            protocol = connection.protocol
            if protocol is None:  # closed already; aiohttp says so in its own words
                return connection
            poll = self._polls.get(protocol)
            # A new one is not polled: TLS begins with tickets that are no answer.
            if not protocol.should_close and (poll is None or not poll.poll(0)):
                if poll is None:
                    self._polls[protocol] = _poll(connection)
                return connection
            connection.close()
            if poll is None:
                raise aiohttp.ClientConnectionError("the server spoke first")


def _poll(connection: Connection) -> select.poll:
    """Tells whether the system holds bytes, or an end, that the event loop has not seen yet."""
    poll = select.poll()
    if connection.transport is not None:
        poll.register(connection.transport.get_extra_info("socket"), select.POLLIN)
    return poll
