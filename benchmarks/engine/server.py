"""A server that costs as little as a server can: fixed answers of the API after some milliseconds.

It reads requests only as far as their length and shares no code with what asks it. Run it as a
process: it prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import sys
from collections import deque
from typing import cast

_BACKLOG = 4096
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_BODY = json.dumps({"swapped": False}).encode()
REPLY = (
    b"HTTP/1.1 200 OK\r\n"
    b"Date: Sun, 01 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b"Cache-Control: no-store\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Delayed:
    """Writes the reply to each connection so long after its request: one timer for all."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._due: deque[tuple[float, asyncio.WriteTransport]] = deque()

    def reply(self, transport: asyncio.WriteTransport) -> None:
        """A request has come."""
        if not self._due:
            self._loop.call_later(self._seconds, self._send)
        self._due.append((self._loop.time() + self._seconds, transport))

    def _send(self) -> None:
        now = self._loop.time() + 0.0005  # half a millisecond early, or twice as many timers
        while self._due and self._due[0][0] <= now:
            _, transport = self._due.popleft()
            if not transport.is_closing():
                transport.write(REPLY)
        if self._due:
            self._loop.call_later(max(0.0, self._due[0][0] - now), self._send)


class Connection(asyncio.Protocol):
    """Finds where requests end, and nothing else."""

    def __init__(self, delayed: Delayed) -> None:
        self._delayed = delayed
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (size := request_bytes(self._buffer)) is not None:
            self._buffer = self._buffer[size:]
            self._delayed.reply(self._transport)


def request_bytes(buffer: bytes) -> int | None:
    """How long the first request is; None: it has not all come.

    >>> request_bytes(b"POST / HTTP/1.1\\r\\nContent-Length: 2\\r\\n\\r\\n{}POST")
    41
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(buffer, 0, end + 2)
    size = end + 4 + (int(length[1]) if length else 0)
    return size if len(buffer) >= size else None


async def serve(latency_seconds: float) -> None:
    """Serves until standard input ends, as it does with the process that holds it."""
    loop = asyncio.get_running_loop()
    delayed = Delayed(latency_seconds)
    server = await loop.create_server(lambda: Connection(delayed), "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency-seconds", type=float, default=0.01)
    chosen = parser.parse_args()
    try:
        import uvloop  # noqa: PLC0415 (an extra)
    except ImportError:
        asyncio.run(serve(chosen.latency_seconds))
    else:
        uvloop.run(serve(chosen.latency_seconds))


if __name__ == "__main__":
    main()
