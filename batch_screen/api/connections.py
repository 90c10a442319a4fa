"""Connections that are used again only if nothing was said on them unasked.

aiohttp hands an idle connection out again with whatever it has received in the meantime, and
takes that for the answer to the next question: one number's answer would become another's.
"""

from __future__ import annotations

import select
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class QuietConnector(aiohttp.TCPConnector):
    """Drops connections on which something arrived unasked, be it only their end."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._asked_on: WeakSet[ResponseHandler] = WeakSet()

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
            is_new = protocol not in self._asked_on
            if not protocol.should_close and (is_new or not _has_more(connection)):
                self._asked_on.add(protocol)
                return connection
            connection.close()
            if is_new:
                raise aiohttp.ClientConnectionError("the server spoke first")


def _has_more(connection: Connection) -> bool:
    """Whether the system holds bytes, or an end, that the event loop has not seen yet.

    Not asked of new connections: TLS begins with tickets that are no answer.
    """
    if connection.transport is None:
        return True
    poll = select.poll()
    poll.register(connection.transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))
